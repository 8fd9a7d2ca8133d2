"""Checkpoints in the original code's layout, made from a seed and written down independently of the package."""

import numpy as np
import torch


def original_shapes(hidden_size, num_layers, patch_shape, max_length, patch_area=None) -> dict[str, tuple]:
    """Names and shapes as the original code saves them, without the `module.` prefix; 166 for 12 layers."""
    height, width = patch_shape
    num_patches = (128 // height) * ((max_length - width) // width + 1)
    shapes = {
        "mask_embed": (1, 1, hidden_size),
        "v.cls_token": (1, 1, hidden_size),
        "v.dist_token": (1, 1, hidden_size),
        "v.pos_embed": (1, num_patches + 2, hidden_size),
        "v.patch_embed.proj.weight": (hidden_size, 1, height, width),
        "v.patch_embed.proj.bias": (hidden_size,),
    }
    linears = {}
    for i in range(num_layers):
        for norm in ("norm1", "norm2"):
            shapes[f"v.blocks.{i}.{norm}.weight"] = shapes[f"v.blocks.{i}.{norm}.bias"] = (hidden_size,)
        linears[f"v.blocks.{i}.attn.qkv"] = (3 * hidden_size, hidden_size)
        linears[f"v.blocks.{i}.attn.proj"] = (hidden_size, hidden_size)
        linears[f"v.blocks.{i}.mlp.fc1"] = (4 * hidden_size, hidden_size)
        linears[f"v.blocks.{i}.mlp.fc2"] = (hidden_size, 4 * hidden_size)
    shapes["v.norm.weight"] = shapes["v.norm.bias"] = (hidden_size,)
    linears["v.head"] = linears["v.head_dist"] = (1000, hidden_size)
    for head in ("cpredlayer", "gpredlayer"):
        linears[f"{head}.0"] = (hidden_size, hidden_size)
        linears[f"{head}.2"] = (patch_area or height * width, hidden_size)
    for name, shape in linears.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    return shapes


def fill(shapes: dict[str, tuple], seed: int) -> dict[str, torch.Tensor]:
    """Random float32 tensors: keys in sorted order, weights with deviation 0.05, the rest 0.02, norms around 1."""
    random = np.random.RandomState(seed)
    state = {}
    for key in sorted(shapes):
        scale = 0.05 if "weight" in key and "norm" not in key else 0.02
        values = random.standard_normal(shapes[key]).astype(np.float32) * np.float32(scale)
        if "norm" in key and key.endswith("weight"):
            values = values + np.float32(1)
        state[key] = torch.from_numpy(values)
    return state


def original_checkpoint(
    hidden_size=64, num_layers=2, patch_shape=(16, 16), max_length=128, seed=0, prefix="module."
) -> dict[str, torch.Tensor]:
    """A pretraining checkpoint."""
    state = fill(original_shapes(hidden_size, num_layers, patch_shape, max_length), seed)
    state["p_input_fdim"], state["p_input_tdim"] = torch.tensor(128), torch.tensor(max_length)
    return {prefix + key: tensor for key, tensor in state.items()}


def finetuned_checkpoint(num_labels=5, **arguments) -> dict[str, torch.Tensor]:
    """A checkpoint of the original's fine-tuning code: no pretraining heads, no input size, an `mlp_head`."""
    state = original_checkpoint(**arguments)
    for key in list(state):
        if any(part in key for part in ("cpredlayer", "gpredlayer", "mask_embed", "p_input")):
            del state[key]
    hidden_size = arguments.get("hidden_size", 64)
    shapes = {"0.weight": (hidden_size,), "0.bias": (hidden_size,), "1.weight": (num_labels, hidden_size)}
    head = fill(shapes | {"1.bias": (num_labels,)}, seed=100)
    return state | {f"module.mlp_head.{key}": tensor for key, tensor in head.items()}
