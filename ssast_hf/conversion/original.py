"""
Between the original SSAST code's layout of the weights and this package's: a file in, a folder out, and back.

Both ways read top to bottom: read the tensors, rename them by the tables below while accounting for every key, write
the result into a temporary place, load it again and compare, move it into place. Each returns a report, a list of
lines. What was released, and where it is to be had, is not known here.
"""

import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..configuration_ssast import RELEASED_MASK, SSASTConfig, same_share
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..heads_ssast import SSASTForAudioClassification
from ..modeling_ssast import SSASTForPretraining, SSASTModel
from ..storage.guards import UnreadableFile
from ..storage.pth import has_checksums, read_pth
from ..storage.reading import find_file, read_safetensors
from ..storage.writing import check_output, written_whole
from .carried import add_carried, read_carried
from .folders import (
    ConversionError,
    check_reloaded,
    hidden_states,
    raise_problems,
    random_input,
    read_feature_extractor,
    read_model,
    tensor_problem,
)
from .kinds import ENCODER, kind_of, reason_to_stay


# Module names, original -> here. `{i}` is a layer. Each module has a weight and a bias unless named in full.
TENSORS = {
    "v.cls_token":          ENCODER + "embeddings.cls_token",
    "v.dist_token":         ENCODER + "embeddings.distillation_token",
    "v.pos_embed":          ENCODER + "embeddings.position_embeddings",
}  # fmt: skip
MODULES = {
    "v.patch_embed.proj":   ENCODER + "embeddings.patch_embeddings.projection",
    "v.norm":               ENCODER + "layernorm",
}  # fmt: skip
LAYER_MODULES = {
    "v.blocks.{i}.norm1":     ENCODER + "encoder.layer.{i}.layernorm_before",
    "v.blocks.{i}.attn.proj": ENCODER + "encoder.layer.{i}.attention.output.dense",
    "v.blocks.{i}.norm2":     ENCODER + "encoder.layer.{i}.layernorm_after",
    "v.blocks.{i}.mlp.fc1":   ENCODER + "encoder.layer.{i}.intermediate.dense",
    "v.blocks.{i}.mlp.fc2":   ENCODER + "encoder.layer.{i}.output.dense",
}  # fmt: skip
# One fused module in the original, its rows in this order.
FUSED_MODULE = "v.blocks.{i}.attn.qkv"
FUSED_PARTS = [ENCODER + "encoder.layer.{i}.attention.attention." + part for part in ("query", "key", "value")]
PRETRAINING_TENSORS = {"mask_embed": ENCODER + "embeddings.mask_token"}
PRETRAINING_MODULES = {
    "cpredlayer.0":         "discrimination_head.dense",
    "cpredlayer.2":         "discrimination_head.out_proj",
    "gpredlayer.0":         "reconstruction_head.dense",
    "gpredlayer.2":         "reconstruction_head.out_proj",
}  # fmt: skip
CLASSIFIER_MODULES = {
    "mlp_head.0":           "classifier.layernorm",
    "mlp_head.1":           "classifier.dense",
}  # fmt: skip
# Scalars that the original stores among the weights -> fields of the configuration.
CONFIG_SCALARS = {"p_input_fdim": "num_mel_bins", "p_input_tdim": "max_length"}
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
# ImageNet classifiers that the original carries along and never uses; kept beside the model for the way back.
UNUSED = ("v.head.weight", "v.head.bias", "v.head_dist.weight", "v.head_dist.bias")
EXTRAS_FILE = "original_extras.safetensors"
# All released models have 64 dimensions per head; a checkpoint does not say.
HEAD_SIZE = 64


def original_names(num_layers: int, pretraining: bool) -> dict[str, list[str]]:
    """The original's tensor names in its order -> the names here; three for the fused query, key and value."""
    tensors = TENSORS | (PRETRAINING_TENSORS if pretraining else {})
    names = {source: [target] for source, target in tensors.items()}

    def add(source, targets, **layer):
        for kind in ("weight", "bias"):
            names[f"{source}.{kind}".format(**layer)] = [f"{target}.{kind}".format(**layer) for target in targets]

    for i in range(num_layers):
        add(FUSED_MODULE, FUSED_PARTS, i=i)
        for source, target in LAYER_MODULES.items():
            add(source, [target], i=i)
    for source, target in (MODULES | (PRETRAINING_MODULES if pretraining else CLASSIFIER_MODULES)).items():
        add(source, [target])
    return names


def convert_original_to_hf(checkpoint, output_dir, overwrite: bool = False, **config_fields) -> list[str]:
    """
    Turn a checkpoint of the original code into a folder for the Auto classes, weights bit for bit.

    Args:
        checkpoint (`str` or `Path`): A `.pth` of the pretraining code, which becomes an [`SSASTForPretraining`], or
            of the fine-tuning code (with `mlp_head`), which becomes an [`SSASTForAudioClassification`].
        output_dir (`str` or `Path`): The folder to write: safetensors, configuration, feature extractor, code.
        overwrite (`bool`, defaults to `False`): Whether an existing model folder is replaced. A README.md in it stays,
            also if it is another model's card, of which nothing is known here: the command, and
            [`convert_checkpoint`] of `hub/released.py`, take such a card away.
        config_fields: Fields of [`SSASTConfig`] that the tensors do not determine, such as `num_masked_patches` or
            `mask_strategy`; for fine-tuned files also `max_length` (required) and the strides. Those that an export
            kept in the file need not be given (see [`convert_hf_to_original`]); if they are, they win.

    Returns:
        `list[str]`: The audit: what became of every key.

    Raises:
        ConversionError: If a key is unknown, missing, misshapen or not finite, and the message names all of them; or
            if the file is damaged or cannot be read safely.
        ValueError: If a field of the configuration is out of range.
        OSError: If `output_dir` cannot be written or exists.
    """
    check_output(output_dir, overwrite, source=checkpoint)
    with written_whole(output_dir) as folder:
        return write_converted(checkpoint, folder, **config_fields)


def write_converted(
    checkpoint, folder: Path, released_mask: tuple[int, int] = RELEASED_MASK, **config_fields
) -> list[str]:
    """As [`convert_original_to_hf`], into a new folder; `released_mask` as in [`rename_original`]."""
    try:
        source_state = read_pth(checkpoint)
        kept, of_extractor = read_carried(checkpoint)
    except UnreadableFile as error:
        raise ConversionError(str(error)) from error
    fields = kept | config_fields
    state, extras, config, model_class, report = rename_original(source_state, released_mask, **fields)
    with torch.device("meta"):
        model = model_class(config)
    model.load_state_dict(state, strict=True, assign=True)
    if not hidden_states(model.eval().base_model, random_input(config)).isfinite().all():
        raise ConversionError(f"The weights in {checkpoint} are finite, but what they make of a random input is not.")
    model.save_pretrained(folder)
    # Without a mask, as the original was trained.
    shape = {"num_mel_bins": config.num_mel_bins, "max_length": config.max_length, "min_frames": config.patch_shape[1]}
    SSASTFeatureExtractor(**{"return_attention_mask": False} | of_extractor | shape).save_pretrained(folder)
    if used := sorted({*kept, *of_extractor} - config_fields.keys()):
        report.insert(0, f"note     as in the model that {checkpoint} was exported from: {', '.join(used)}")
    if extras:
        save_file(extras, folder / EXTRAS_FILE, metadata={"format": "pt"})
    check_reloaded(model_class, folder, state)
    if not has_checksums(checkpoint):
        report.append(
            f"note     {checkpoint} is in PyTorch's format of before 2020, which has no checksums: damage to its "
            "numbers would go unnoticed"
        )
    return report


def rename_original(state: dict[str, torch.Tensor], released_mask: tuple[int, int] = RELEASED_MASK, **config_fields):
    """
    Rename the tensors of an original checkpoint; nothing is read or written.

    Args:
        state (`dict[str, torch.Tensor]`): The checkpoint.
        released_mask (`tuple[int, int]`): So many of so many patches were masked, which a checkpoint does not say.
        config_fields: As in [`convert_original_to_hf`].

    Returns:
        The state dict for this package, the unused tensors, the configuration, the model class, and the audit.

    Raises:
        ConversionError: As in [`convert_original_to_hf`].
    """
    prefixed = [key for key in state if key.startswith("module.")]
    if prefixed and len(prefixed) < len(state):
        raise ConversionError(
            f"{len(prefixed)} of {len(state)} keys begin with module.; expected all of them or none."
        )
    prefix = "module." if prefixed else ""
    state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    if "v.cls_token" not in state or "v.pos_embed" not in state or "v.patch_embed.proj.weight" not in state:
        raise ConversionError(
            "This is not an SSAST checkpoint: v.cls_token, v.pos_embed or v.patch_embed.proj.weight is missing. The "
            f"file holds {len(state)} tensors, such as {', '.join(sorted(state)[:3])}."
        )
    if "v.dist_token" not in state:
        raise ConversionError(
            "v.dist_token is missing: this is a base_nokd model, which has no distillation token. Neither stock AST "
            "nor this package can express it."
        )
    # A file without any head is taken for one of pretraining, so that the audit names what it lacks.
    pretraining = kind_of(state, original=True) is not SSASTForAudioClassification
    config = read_config(state, pretraining, released_mask, config_fields)
    model_class = SSASTForPretraining if pretraining else SSASTForAudioClassification

    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in model_class(config).state_dict().items()}
    names = original_names(config.num_hidden_layers, pretraining)
    scalars = list(CONFIG_SCALARS) if pretraining else []
    raise_problems(find_problems(state, names, shapes, scalars, prefix))

    renamed: dict[str, torch.Tensor] = {}
    memory: set[int] = set()
    extras, audit = {}, []
    for source, targets in names.items():
        parts = unshared(state[source], len(targets), memory)
        renamed |= dict(zip(targets, parts, strict=True))
        audit.append(f"{'renamed' if len(parts) == 1 else 'split':8} {prefix}{source} -> {', '.join(targets)}")
    for source in scalars:
        audit.append(f"config   {prefix}{source} -> {CONFIG_SCALARS[source]} = {state[source].item()}")
    for source in UNUSED:
        if source in state:
            extras[source] = unshared(state[source], 1, memory)[0]
            audit.append(f"dropped  {prefix}{source} (unused by the original; kept in {EXTRAS_FILE})")
    if not pretraining:
        mask_token = ENCODER + "embeddings.mask_token"
        renamed[mask_token] = torch.zeros(shapes[mask_token], dtype=state["v.cls_token"].dtype)
        audit.append(f"absent   {mask_token}: a fine-tuned file has none; zeros, not used for classification")
        audit.append("absent   discrimination_head, reconstruction_head: a fine-tuned file has none")
    audit.append(f"{len(state)} tensors of the checkpoint accounted for, {len(renamed)} written.")
    return renamed, extras, config, model_class, audit


def has_rows(tensor: torch.Tensor | None) -> bool:
    """Whether there is a matrix to read a width from; if not, the audit will name it."""
    return tensor is not None and tensor.ndim == 2 and tensor.shape[0] > 0


def find_problems(state, names, shapes, scalars, prefix: str) -> list[str]:
    """In words: keys of `state` that are unknown, misshapen or unusable, and keys of `names` that it lacks."""
    expected = {
        source: (sum(shapes[target][0] for target in targets), *shapes[targets[0]][1:])
        for source, targets in names.items()
    }
    for source in set(UNUSED) & set(state):  # of any number of ImageNet classes
        classes = tuple(state[source].shape[:1])
        expected[source] = classes + tuple(state["v.cls_token"].shape[2:]) * source.endswith("weight")
    problems = [
        f"missing: {prefix}{source}, shape {shape}" for source, shape in expected.items() if source not in state
    ]
    for source, tensor in state.items():
        if source in expected:
            problem = tensor_problem(tensor, expected[source], state["v.cls_token"].dtype)
            problems += [f"{problem[0]}: {prefix}{source} {problem[1]}"] if problem else []
        elif source not in scalars:
            problems.append(f"unknown: {prefix}{source}, shape {tuple(tensor.shape)}")
    return problems


def unshared(tensor: torch.Tensor, num_parts: int, memory: set[int]) -> list[torch.Tensor]:
    """Equal parts of a tensor, copied where they would share memory with each other or with one in `memory`."""
    address = tensor.untyped_storage().data_ptr()
    parts = tensor.chunk(num_parts)
    if num_parts > 1 or address in memory:  # safetensors stores no tensor that shares memory
        parts = [part.clone() for part in parts]
    memory.add(address)
    return [part.contiguous() for part in parts]


def read_config(state, pretraining: bool, released_mask: tuple[int, int], config_fields: dict) -> SSASTConfig:
    """The configuration that the shapes in an original checkpoint imply, with `config_fields` for what they do not."""
    projection, positions = state["v.patch_embed.proj.weight"], state["v.pos_embed"]
    if (
        projection.ndim != 4
        or projection.shape[1] != 1
        or positions.ndim != 3
        or positions.shape[0] != 1
        or (0 in projection.shape)
    ):
        raise ConversionError(
            f"misshapen: v.patch_embed.proj.weight is {tuple(projection.shape)}, expected (hidden, 1, frequency, "
            f"time); v.pos_embed is {tuple(positions.shape)}, expected (1, patches + 2, hidden)"
        )
    hidden_size, num_patches = positions.shape[2], positions.shape[1] - 2
    blocks = {int(match[1]) for key in state if (match := re.match(r"v\.blocks\.(\d+)\.", key))}
    last = max(blocks, default=0)
    if last > 2 * len(blocks):  # one stray key must not make a model of a million layers
        raise ConversionError(f"unknown: v.blocks.{last}, while v.blocks has only {len(blocks)} layers")
    feed_forward = state.get("v.blocks.0.mlp.fc1.weight")
    fields = {
        "hidden_size": hidden_size,
        "num_hidden_layers": last + 1,
        "intermediate_size": feed_forward.shape[0] if has_rows(feed_forward) else 4 * hidden_size,
        "patch_size": list(projection.shape[2:]),
    }
    if pretraining:
        for source, name in CONFIG_SCALARS.items():
            if source not in state:
                raise ConversionError(f"missing: {source}, a scalar; it is {name} of the pretraining input")
            scalar = state[source]
            if scalar.ndim or scalar.dtype not in INTEGERS or scalar.layout != torch.strided or scalar.item() < 1:
                raise ConversionError(
                    f"misshapen: {source} is {tuple(scalar.shape)} {scalar.dtype}, expected a positive integer of "
                    "shape ()"
                )
            fields[name] = scalar.item()
        # Pretraining of the original never overlaps patches.
        fields |= {"frequency_stride": projection.shape[2], "time_stride": projection.shape[3]}
    elif config_fields.get("max_length") is None:
        raise ConversionError(
            "A fine-tuned checkpoint does not say how long its input is: pass --max_length, in frames."
        )
    elif has_rows(state.get("mlp_head.1.weight")):
        fields["num_labels"] = state["mlp_head.1.weight"].shape[0]
    for name, value in config_fields.items():
        if fields.get(name, value) != value:
            raise ConversionError(f"{name}={value} contradicts the checkpoint, which says {fields[name]}.")
    fields |= config_fields
    if (names := fields.get("id2label")) is not None:
        if len(names) != fields.get("num_labels", len(names)):
            raise ConversionError(
                f"id2label names {len(names)} classes, and mlp_head.1.weight has {fields['num_labels']}."
            )
        fields = {"label2id": {name: i for i, name in names.items()}} | fields
    if "num_attention_heads" not in fields:
        if hidden_size % HEAD_SIZE:
            raise ConversionError(
                f"hidden_size={hidden_size} is no multiple of {HEAD_SIZE}, the released models' dimensions per head: "
                "pass --num_attention_heads."
            )
        fields["num_attention_heads"] = hidden_size // HEAD_SIZE
    config = SSASTConfig(**fields)
    if config.num_patches != num_patches:
        raise ConversionError(
            f"misshapen: v.pos_embed has {num_patches} patches, but num_mel_bins={config.num_mel_bins} and "
            f"max_length={config.max_length} with patches of {config.patch_shape} and strides of "
            f"{(config.frequency_stride, config.time_stride)} make {config.grid_shape[0]} x {config.grid_shape[1]} = "
            f"{config.num_patches}"
        )
    if "num_masked_patches" not in fields:
        config.num_masked_patches = same_share(*released_mask, num_patches)
    return config


def convert_hf_to_original(ssast_dir, output_path, overwrite: bool = False) -> list[str]:
    """
    Write the weights of a saved SSAST model in the original code's layout, bit for bit.

    Args:
        ssast_dir (`str` or `Path`): A folder of an [`SSASTForPretraining`] or [`SSASTForAudioClassification`]. The
            unused ImageNet heads of the original are restored if the folder has an `original_extras.safetensors`.
        output_path (`str` or `Path`): The `.pth` to write. An entry in it that the original does not read has what
            tensors do not say: attention heads, masking, names of classes, the feature extractor's numbers.
        overwrite (`bool`, defaults to `False`): Whether an existing file is replaced.

    Returns:
        `list[str]`: What was written.

    Raises:
        ConversionError: If the original has no place for this model.
        OSError: If `output_path` cannot be written or exists.
    """
    check_output(output_path, overwrite, source=ssast_dir, is_folder=False)
    config, state = read_model(ssast_dir)
    model_class = kind_of(state)
    if reason := reason_to_stay(model_class, config):
        raise ConversionError(
            f"{ssast_dir} has {reason}, and the original's files no place for it. They have pretraining heads or a "
            'classifier with pooling_mode="mean" or "cls".'
        )
    pretraining = model_class is SSASTForPretraining
    if model_class is SSASTModel:
        raise ConversionError(
            f"{ssast_dir} holds an encoder alone. The original's files have pretraining heads or a classifier: save "
            "an SSASTForPretraining or SSASTForAudioClassification."
        )
    if pretraining and (config.frequency_stride, config.time_stride) != config.patch_shape:
        raise ConversionError(
            f"The original pretrains without overlap: strides {(config.frequency_stride, config.time_stride)} differ "
            f"from the patch {config.patch_shape}."
        )
    original = {source: torch.tensor(getattr(config, name)) for source, name in CONFIG_SCALARS.items() if pretraining}
    for source, targets in original_names(config.num_hidden_layers, pretraining).items():
        original[source] = torch.cat([state[target] for target in targets]) if len(targets) > 1 else state[targets[0]]
    extras = find_file(ssast_dir, EXTRAS_FILE)
    if extras is not None:
        unused = read_safetensors(extras)
        if not unused.keys() <= set(UNUSED):
            raise ConversionError(f"{extras} holds {', '.join(unused.keys() - set(UNUSED))}, unknown to the original.")
        original |= unused
    extractor = read_feature_extractor(ssast_dir, SSASTFeatureExtractor)
    with written_whole(output_path) as path:
        torch.save({f"module.{key}": tensor for key, tensor in original.items()}, path)
        add_carried(path, config, extractor, pretraining)
    report = [
        f"{len(original)} tensors written to {output_path}, and in an entry that the original does not read what they "
        "do not say: attention heads, masking, names of classes, the feature extractor's numbers."
    ]
    if any(key.startswith("decoder.") for key in state):
        report.append("The decoder is not among them: the original has none, and its heads mean nothing without it.")
    if extras is None:
        report.append(f"{', '.join(UNUSED)} are not among them: {ssast_dir} has no {EXTRAS_FILE}. Nothing uses them.")
    return report
