"""Files of PyTorch: their bytes, the archive around them, the pickle in it, and what it unpickles to."""

import inspect
import io
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import _utils as rebuild

from ssast_hf import SSASTConfig
from ssast_hf.conversion import convert_hf_to_original, convert_original_to_hf

from . import readings
from .damage import damage_bytes
from .pickles import Call, code, hostile_pickle
from .seeds import FINETUNED_OPTIONS, OPTIONS, state_dict
from .verdicts import CANARY, Trial
from .zips import damage_zip


def checkpoint(random, folder: Path, seeds: Path) -> Trial:
    """A `.pth` that is converted, and converted back."""
    pretraining = random.random() < 0.75
    source = folder / "input" / "file.pth"
    options = OPTIONS if pretraining else FINETUNED_OPTIONS
    seed = (seeds / ("pretraining.pth" if pretraining else "classifier.pth")).read_bytes()
    state = state_dict(pretraining)
    way = random.choice("intact bytes bytes legacy zip zip pickle objects objects tensors tensors keys".split())
    if way == "intact":
        description, data = "intact", seed
    elif way == "bytes":
        description, data = damage_bytes(random, seed)
    elif way == "legacy":
        description, data = damage_bytes(random, saved(state, _use_new_zipfile_serialization=False))
    elif way == "zip":
        description, data = damage_zip(random, seed)
    elif way == "pickle":
        description, data = hostile_pickle(random, seed, folder / CANARY)
    else:
        changes = {"objects": change_objects, "tensors": change_tensors, "keys": change_keys}[way]
        description, changed = changes(random, state, folder / CANARY)
        data = saved(changed, _use_new_zipfile_serialization=random.random() < 0.8)
    source.write_bytes(data)
    result = folder / "out" / "result"

    def run():
        convert_original_to_hf(source, result, **options)
        back = folder / "back.pth"
        convert_hf_to_original(result, back)
        return back

    def check(back):
        expected = readings.pth(source)
        prefixed = {key if key.startswith("module.") else f"module.{key}": value for key, value in expected.items()}
        numbers = ("module.p_input_fdim", "module.p_input_tdim")  # become numbers of the configuration
        weights = {key: value for key, value in prefixed.items() if key not in numbers}
        written = readings.safetensors(result / "model.safetensors")
        extras = result / "original_extras.safetensors"
        written |= readings.safetensors(extras) if extras.exists() else {}
        if not pretraining:
            del written["audio_spectrogram_transformer.embeddings.mask_token"]  # which such a file does not have
        if difference := readings.compare(readings.unnamed(written), readings.unnamed(weights)):
            return difference
        returned = {key: value for key, value in readings.pth(back).items() if key not in numbers}
        return None if returned == weights else "the way there and back changes it"

    fields = inspect.signature(SSASTConfig).parameters
    names = {source.name, "module.", "v.", "--", *fields, *(key.removeprefix("module.") for key in state)}
    return Trial(f"{way}: {description}", run, check, names, is_intact=way == "intact")


def saved(content, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def change_objects(random, state, canary: Path) -> tuple[str, object]:
    """Anything among the tensors, or around them."""
    other = random.choice(
        (
            None, 3, 2**100, 1.5, "text", b"bytes", [1, 2], (torch.zeros(1),), {"a": torch.zeros(1)}, {1, 2},
            complex(1, 2),
            np.zeros(3), np.float32(1), torch.float32, torch.Size([1]), torch.device("cpu"), OrderedDict(a=1),
            Path("x"),
            torch.Generator, torch.nn.Linear(1, 1), bytearray(100), slice(1), range(3), Ellipsis, float("nan"),
            "x" * 100_000,
        )
    )  # fmt: skip
    way = random.choice("value key code code nested around empty parameters".split())
    key = random.choice(list(state))
    if way == "value":
        return f"{key} is {type(other).__name__}", state | {key: other}
    if way == "key":
        odd = random.choice((3, None, b"bytes", ("a", 1), True, 1.5, "\0", "", "x" * 10_000, "module.", "é\n\x1b[31m"))
        return f"key {odd!r:.40}", state | {odd: torch.zeros(3)}
    if way == "code":
        name, value = code(random, canary)
        return f"code under {key}: {name}", state | {random.choice((key, "extra")): value}
    if way == "nested":
        return "nested", {random.choice(("model", "state_dict", "module")): state}
    if way == "around":
        return f"a {type(other).__name__}", other
    if way == "empty":
        return "empty", random.choice(({}, [], (), None, OrderedDict()))
    return "parameters in order", OrderedDict((k, torch.nn.Parameter(v, False)) for k, v in state.items())


def change_keys(random, state, canary: Path) -> tuple[str, object]:
    state = dict(state)
    key, other = random.sample(list(state), 2)
    way = random.choice("removed renamed swapped added layer layers prefix unprefixed several sorted".split())
    if way in ("removed", "several"):
        for each in random.sample(list(state), 1 if way == "removed" else random.randrange(1, len(state))):
            del state[each]
    elif way == "renamed":
        state[random.choice((key + "x", key.upper(), key[1:], key + "\n", f"{key}.weight", "é"))] = state.pop(key)
    elif way == "swapped":
        state[key], state[other] = state[other], state[key]
    elif way == "added":
        state[random.choice(("module.v.extra", "module.mlp_head.1.weight", "module.v.norm.running"))] = torch.zeros(3)
    elif way == "layer":
        number = random.choice(("2", "7", "10", str(10**9), "9" * 40, "-1", "01", "٣", "1e3"))
        state[f"module.v.blocks.{number}.norm1.weight"] = torch.zeros(16)
    elif way == "layers":
        for number in range(2, random.choice((5, 300))):
            state[f"module.v.blocks.{number}.norm1.weight"] = torch.zeros(16)
    elif way == "prefix":
        prefix = random.choice(("module.", "model.", "module.module."))
        state = {prefix + each.removeprefix("module."): value for each, value in state.items()}
    elif way == "unprefixed":
        state = {each.removeprefix("module."): value for each, value in state.items()}
    elif way == "sorted":
        state = dict(sorted(state.items(), key=lambda _: random.random()))
    return f"{way} {key}", state


def change_tensors(random, state, canary: Path) -> tuple[str, object]:
    """One tensor, now and then all of them, of another kind, type, shape or content."""
    state = dict(state)
    key = random.choice((random.choice(list(state)), "module.v.pos_embed", "module.v.patch_embed.proj.weight"))
    scalar = random.choice([each for each in state if "p_input" in each] or [key])
    tensor = state[key]
    way = random.choice("type types shape content layout scalar forged shared".split())
    if way in ("type", "types"):
        dtype = random.choice(
            (torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.int64, torch.uint8, torch.bool,
             torch.float8_e4m3fn, torch.complex128, torch.int8)
        )  # fmt: skip
        chosen = [each for each in state if "p_input" not in each] if way == "types" else [key]
        return f"{way} {dtype} {key}", state | {each: state[each].to(dtype) for each in chosen}
    if way == "shape":
        changed = random.choice(
            (
                lambda: tensor[None], lambda: tensor.flatten(), lambda: tensor[..., :-1].clone(), lambda: tensor[:0],
                lambda: tensor.new_zeros(0), lambda: tensor.sum(),
                lambda: tensor.mT.contiguous() if tensor.ndim > 1 else tensor[:1],
                lambda: torch.cat([tensor, tensor], -1) if tensor.ndim else tensor,
                lambda: tensor.reshape(*tensor.shape, 1, 1),
                lambda: tensor.new_zeros((*tensor.shape[:-1], 0)), lambda: torch.zeros(1).expand(*[1] * 30),
            )
        )  # fmt: skip
        try:
            state[key] = changed()
        except (IndexError, RuntimeError):  # a number has no last dimension
            state[key] = torch.zeros(2, 2)
        return f"shape of {key}: {tuple(state[key].shape)}", state
    if way == "content":
        state[key] = torch.full_like(tensor, random.choice((0, 1))) if not tensor.is_floating_point() else (
            torch.full_like(tensor, random.choice((float("nan"), float("inf"), 0.0, 3e38, 1e-45, -1e30)))
        )  # fmt: skip
        return f"content of {key}", state
    if way == "layout":
        name, state[key] = odd_layout(random, tensor)
        return f"{key} is {name}", state
    if way == "scalar":
        number = random.choice(
            (
                torch.tensor(0), torch.tensor(-1), torch.tensor(2**62), torch.tensor(10**6), torch.tensor(33),
                torch.tensor(32.0), torch.tensor(32 + 0j), torch.tensor(True), torch.tensor([32]),
                torch.tensor(32, dtype=torch.uint8),
                torch.tensor(64, dtype=torch.int16), torch.empty((), device="meta"), torch.tensor(1),
                torch.tensor(2**31),
                torch.tensor(float("nan")), torch.tensor(32).to_sparse(),
            )
        )  # fmt: skip
        return f"{scalar} = {number}", state | {scalar: number}
    if way == "shared":
        other = random.choice([each for each in state if state[each].shape == tensor.shape])
        memory = torch.randn(2 * max(tensor.numel(), 1))
        state[key] = memory[: tensor.numel()].view(tensor.shape)
        half = tensor.numel() // 2
        state[other] = memory[half : half + tensor.numel()].view(tensor.shape)
        return f"{key} and {other} overlap", state
    name, state[key] = forged(random, tensor)
    return f"{key} is forged: {name}", state


def odd_layout(random, tensor):
    huge = random.choice((10**6, 10**9, 10**13))
    return random.choice(
        (
            lambda: ("of stride 0", torch.zeros(1).expand(tensor.shape)),
            lambda: (f"of stride 0, {huge} wide", torch.zeros(1).expand(*tensor.shape[:-1], huge)),
            lambda: ("transposed", tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor),
            lambda: ("a slice", torch.stack([tensor, tensor], -1)[..., 0]),
            lambda: ("sparse", tensor.to_sparse()),
            lambda: ("sparse in rows", tensor.to_sparse_csr() if tensor.ndim == 2 else tensor.to_sparse()),
            lambda: ("nested", torch.nested.nested_tensor([tensor.float().reshape(-1)] * 2)),
            lambda: ("jagged", torch.nested.nested_tensor([tensor.float().flatten()] * 2, layout=torch.jagged)),
            lambda: ("on meta", tensor.to("meta")),
            lambda: (f"on meta, {huge} wide", torch.empty((huge,), device="meta")),
            lambda: ("quantized", torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)),
            lambda: ("a parameter", torch.nn.Parameter(tensor.float())),
            lambda: ("conjugated", torch.complex(tensor.float(), tensor.float()).conj()),
            lambda: ("negated", torch.complex(tensor.float(), tensor.float()).conj().imag),
            lambda: ("channels last", tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor),
        )
    )()  # fmt: skip


def forged(random, tensor):
    """A call of what PyTorch itself rebuilds tensors with, and wrong arguments."""
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.randn(64).untyped_storage(), dtype=torch.float32, _internal=True
    )
    rebuilt, shape = rebuild._rebuild_tensor_v2, tuple(tensor.shape)
    stride = torch.empty(shape, device="meta").stride()
    number = random.choice((-1, -(2**40), 2**31, 2**40, 2**62, 10, 63))
    indices = torch.tensor([[random.choice((-5, 10**6, 2**40, 0))]])
    sparse = (indices, torch.ones(1), torch.Size([4]))
    return random.choice(
        (
            ("a storage too small", Call(rebuilt, storage, 0, shape, stride, False, OrderedDict())),
            (f"offset {number}", Call(rebuilt, storage, number, shape, stride, False, OrderedDict())),
            (f"size {number}", Call(rebuilt, storage, 0, (number,), (1,), False, OrderedDict())),
            (f"stride {number}", Call(rebuilt, storage, 0, (4,), (number,), False, OrderedDict())),
            (f"stride 0 and size {number}", Call(rebuilt, storage, 0, (number,), (0,), False, OrderedDict())),
            ("too few strides", Call(rebuilt, storage, 0, (2, 2), (1,), False, OrderedDict())),
            ("texts as sizes", Call(rebuilt, storage, "0", ("4",), (1,), False, OrderedDict())),
            ("no storage", Call(rebuilt, 3, 0, (4,), (1,), False, OrderedDict())),
            ("hooks", Call(rebuilt, storage, 0, (4,), (1,), False, {1: print})),
            ("sparse out of range", Call(rebuild._rebuild_sparse_tensor, torch.sparse_coo, sparse)),
            ("on meta", Call(rebuild._rebuild_meta_tensor_no_storage, torch.float32, (number,), (1,), False)),
            ("a parameter of a number", Call(rebuild._rebuild_parameter, 3, False, OrderedDict())),
            ("a parameter of itself", Call(rebuild._rebuild_parameter, torch.randn(shape), False, OrderedDict())),
        )
    )  # fmt: skip
