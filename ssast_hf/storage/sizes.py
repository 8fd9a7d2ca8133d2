"""
What a saved model's JSON says of sizes, checked before anything of these sizes is made.

transformers and PyTorch make whatever they are told: a million layers, names for a billion classes, a clip of a
billion samples. A file of a few bytes can tell them so.
"""

import math
from pathlib import Path
from reprlib import repr as shortened

import torch

from ..configuration_ssast import SSASTConfig
from ..modeling_ssast import SSASTForPretraining
from .guards import UnreadableFile, reading
from .reading import find_file, read_json, weight_shapes


CONFIG, EXTRACTOR = "config.json", "preprocessor_config.json"
# The largest that is believed of each field, far above any model that this package is for.
LARGEST = {
    "num_hidden_layers": 1000,
    "decoder_num_hidden_layers": 1000,
    "num_labels": 100_000,
    **dict.fromkeys(("vocab_size", "pad_token_id"), 1 << 20),
    "sampling_rate": 1_000_000,
    **dict.fromkeys(("hidden_size", "intermediate_size", "decoder_hidden_size", "num_attention_heads"), 1 << 16),
    **dict.fromkeys(("classifier_proj_size", "xvector_output_dim"), 1 << 16),
    **dict.fromkeys(
        ("max_length", "num_mel_bins", "frequency_stride", "time_stride", "patch_size", "min_frames"), 1 << 24
    ),
}
# Numbers in a full-length spectrogram: ten seconds have 128,000.
MOST_INPUTS = 1 << 27
# By these, transformers reads other files than the ones that were checked.
ELSEWHERE = ("configuration_files", "transformers_weights")
# What a class of transformers has, and no saved model of it.
FOREIGN = ("base_model_tp_plan", "base_model_pp_plan", "sub_configs")
# What a model may have in parameters that its folder lacks, beside as many as are there: heads, a decoder.
NEW_PARAMETERS = 50_000_000


def read_config_fields(folder) -> dict:
    """
    The fields of the `config.json` of a saved model, of this package or of stock AST.

    Raises:
        UnreadableFile: If it is not JSON, or if a size in it is no whole number or beyond all belief.
        FileNotFoundError: If there is no such folder, or no `config.json` in it.
        ValueError: If `config.json` is a link out of the folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} does not exist, or is a file; expected the folder of a saved model.")
    path = find_file(folder, CONFIG)
    if path is None:
        raise FileNotFoundError(f"{folder} is not a model's folder: it has no {CONFIG}.")
    fields = read_sizes(path, "a valid configuration")
    classes = fields.get("id2label") or {}
    if not isinstance(classes, dict) or len(classes) > LARGEST["num_labels"]:
        raise UnreadableFile(f"{path}: id2label must name at most {LARGEST['num_labels']} classes by their numbers.")
    if others := [name for name in ELSEWHERE if name in fields]:
        raise UnreadableFile(f"{path} has {others[0]}, which names other files to load. Remove it.")
    if others := [name for name in FOREIGN if name in fields]:
        raise UnreadableFile(f"{path} has {others[0]}, which is no field of a saved model. Remove it.")
    for name in ("attn_implementation", "_attn_implementation"):
        attention = fields.get(name)
        if attention is not None and (not isinstance(attention, str) or "/" in attention):  # that is code on the Hub
            raise UnreadableFile(f"{path} has {name}={shortened(attention)}, which is none of PyTorch's. Remove it.")
    return fields


def read_extractor_fields(folder) -> dict | None:
    """The fields of a folder's `preprocessor_config.json`, or `None` if it has none; errors as before."""
    path = find_file(folder, EXTRACTOR)
    if path is None:
        return None
    fields = read_sizes(path, "a feature extractor's configuration")
    for name in ("mean", "std", "padding_value"):
        value = fields.get(name, 0.0)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise UnreadableFile(f"{path}: {name} must be a finite number, got {shortened(value)}.")
    return fields


def read_sizes(path: Path, expected: str) -> dict:
    """The fields of a JSON file, if those of [`LARGEST`] are believable."""
    fields = read_json(path, expected)
    check_sizes(fields, path)
    return fields


def check_sizes(fields: dict, path):
    """UnreadableFile unless those of [`LARGEST`] are believable; `path` is what messages say where they are from."""
    if not isinstance(fields.get("auto_map") or {}, dict):
        raise UnreadableFile(f"{path}: auto_map must name classes, got {shortened(fields['auto_map'])}. Remove it.")
    for name, largest in LARGEST.items():
        value = fields.get(name)
        for number in value if name == "patch_size" and isinstance(value, list) else [value]:
            if number is not None and (type(number) is not int or not 0 <= number <= largest):
                raise UnreadableFile(
                    f"{path}: {name} must be a whole number up to {largest}, got {shortened(number)}. Correct it, or "
                    "copy the file again."
                )
    if (fields.get("max_length") or 1) * (fields.get("num_mel_bins") or 1) > MOST_INPUTS:
        raise UnreadableFile(
            f"{path}: max_length={fields['max_length']} frames of num_mel_bins={fields['num_mel_bins']} are more "
            f"than the {MOST_INPUTS} numbers that are taken for one clip. Correct it, or copy the file again."
        )


def check_model_folder(folder) -> None:
    """
    Raise what would make loading an [`SSASTForPretraining`] from `folder` take far more memory than its weights do.

    For a folder of any class of this package, before transformers sees it. Heads that it lacks may be made anew.

    Args:
        folder (`str` or `Path`): A saved model.

    Raises:
        UnreadableFile: If the configuration is not valid, or if tensors have other shapes than it says.
        FileNotFoundError, ValueError: As in [`read_config_fields`] and [`weight_shapes`].
    """
    fields, shapes = read_config_fields(folder), weight_shapes(folder)
    path = Path(folder) / CONFIG
    if fields.get("model_type") != SSASTConfig.model_type:
        raise UnreadableFile(
            f"{path} has model_type {shortened(fields.get('model_type'))}, expected {SSASTConfig.model_type!r}."
        )
    with reading(path, "a valid configuration", "Correct it, or copy the file again."):
        config = SSASTConfig.from_dict(fields)
    with torch.device("meta"):
        expected = SSASTForPretraining(config).state_dict()
    prefix = SSASTForPretraining.base_model_prefix + "."
    if not any(key.startswith(prefix) for key in shapes):  # an encoder alone
        shapes = {prefix + key: shape for key, shape in shapes.items()}
    for key, tensor in expected.items():
        if shapes.get(key, tuple(tensor.shape)) != tuple(tensor.shape):
            raise UnreadableFile(
                f"{folder}: {key} is {shapes[key]}, but {CONFIG} makes it {tuple(tensor.shape)}. Copy it again."
            )
    present = sum(math.prod(shape) for shape in shapes.values())
    missing = sum(tensor.numel() for key, tensor in expected.items() if key not in shapes)
    if missing > present + NEW_PARAMETERS:
        raise UnreadableFile(
            f"{path} makes a model of {missing} parameters more than the {present} in the folder. Correct it, or copy "
            "the folder again."
        )
