"""Saved models as tensors by name: read them, check that nothing is missing, and run them for comparison."""

import copy
from pathlib import Path
from reprlib import repr as shortened

import torch
from transformers import ASTConfig

from ..configuration_ssast import SSASTConfig
from ..modeling_ssast import SSASTModel
from ..storage.guards import reading, shortened_line
from ..storage.reading import read_weights
from ..storage.sizes import CONFIG, EXTRACTOR, read_config_fields, read_extractor_fields
from .kinds import ENCODER, kind_of


# Options of a forward pass, whatever a configuration says.
PLAIN = {"return_dict": True, "output_hidden_states": False, "output_attentions": False}
FLOATING_POINT = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class ConversionError(ValueError):
    """The input does not fit; the message names what and, for tensors, the shapes."""


def read_model(folder) -> tuple[SSASTConfig, dict[str, torch.Tensor]]:
    """Configuration and checked weights of any saved SSAST model; the encoder's keys have their prefix."""
    config = read_model_config(folder, SSASTConfig)
    state = with_encoder_prefix(read_weights(folder))
    model_class = kind_of(state)
    with torch.device("meta"):
        expected = model_class(config).state_dict()
    check_keys(state, with_encoder_prefix(expected) if model_class is SSASTModel else expected)
    return config, state


def read_model_config(folder, config_class):
    """The configuration in a folder, if it is of `config_class`."""
    fields, path = read_config_fields(folder), Path(folder) / CONFIG
    model_type = fields.get("model_type")
    if model_type != config_class.model_type:
        hint = " ssast-hf import-ast makes an SSAST model of it." if model_type == ASTConfig.model_type else ""
        raise ConversionError(
            f"{path} has model_type {shortened(model_type)}, expected {config_class.model_type!r}.{hint}"
        )
    with reading(path, "a valid configuration", "Correct it, or copy the file again."):
        return config_class.from_dict(fields)


def read_feature_extractor(folder, extractor_class):
    """The feature extractor in a folder, or `None` if there is none."""
    fields = read_extractor_fields(folder)
    if fields is None:
        return None
    path = Path(folder) / EXTRACTOR
    with reading(path, "a feature extractor's configuration", "Correct it, or copy the file again."):
        return extractor_class.from_dict(fields)


def with_encoder_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors with the names they have inside a model with a head."""
    if any(key.startswith(ENCODER) for key in state):
        return state
    return {ENCODER + key: tensor for key, tensor in state.items()}


def check_keys(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], ignore=()):
    """Raise a ConversionError that names every key that is missing, unknown, misshapen or not finite."""
    problems = [f"missing: {key}, shape {tuple(expected[key].shape)}" for key in expected if key not in state]
    dtype = next(iter(state.values())).dtype
    for key, tensor in state.items():
        if key in ignore:
            continue
        if key not in expected:
            problems.append(f"unknown: {key}, shape {tuple(tensor.shape)}")
        elif not expected[key].is_floating_point():  # a counter
            if tensor.dtype != expected[key].dtype or tensor.shape != expected[key].shape:
                problems.append(f"misshapen: {key} is {tuple(tensor.shape)} {tensor.dtype}, expected a whole number")
        elif problem := tensor_problem(tensor, expected[key].shape, dtype):
            problems.append(f"{problem[0]}: {key} {problem[1]}")
    raise_problems(problems)


def tensor_problem(tensor: torch.Tensor, shape, dtype: torch.dtype) -> tuple[str, str] | None:
    """What is wrong with one tensor of a checkpoint in a word and in detail, or `None`."""
    if tensor.is_meta or tensor.layout != torch.strided:
        return "unusable", f"is a {tensor.layout} tensor on {tensor.device}, expected plain numbers"
    if tensor.shape != tuple(shape) or tensor.dtype not in FLOATING_POINT:
        return "misshapen", f"is {tuple(tensor.shape)} {tensor.dtype}, expected {tuple(shape)} floating point"
    if tensor.dtype != dtype:
        return "mixed", f"{tuple(shape)} is {tensor.dtype}, others are {dtype}; a model has one data type"
    if not tensor.isfinite().all():
        return "not finite", f"{tuple(shape)} holds NaN or infinity"
    return None


def raise_problems(problems: list[str], shown: int = 40):
    """A ConversionError that lists the problems, if there are any."""
    if problems:
        more = [f"and {len(problems) - shown} more"] if len(problems) > shown else []
        lines = [shortened_line(problem) for problem in problems[:shown]]
        raise ConversionError("The checkpoint does not fit:\n  " + "\n  ".join(lines + more))


def random_input(config) -> torch.Tensor:
    """One normalised clip, (1, max_length, num_mel_bins), the same every time."""
    return torch.randn(1, config.max_length, config.num_mel_bins, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def hidden_states(encoder, input_values: torch.Tensor) -> torch.Tensor:
    """What the encoder makes of an input; computed in float32, whatever the weights are stored in."""
    if encoder.dtype != torch.float32:
        encoder = copy.deepcopy(encoder).float()
    return encoder(input_values, **PLAIN).last_hidden_state


def check_reloaded(model_class, folder: Path, state: dict[str, torch.Tensor]):
    """Raise a ConversionError unless the saved folder loads and holds exactly `state`."""
    model = model_class.from_pretrained(folder, dtype="auto")
    for key, tensor in model.state_dict().items():
        if not torch.equal(tensor, state[key]):
            raise ConversionError(f"{key} changed when it was saved and loaded; nothing was written.")
