"""The encoder of a saved model and its feature extractor, from a folder or the Hub, ready to compute."""

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.utils import cached_file, logging

from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTModel
from ..storage.guards import reading, reason
from ..storage.reading import read_tensor, sha256_of, weight_files
from ..storage.sizes import check_model_folder, read_extractor_fields


# What heads call the weights by which they sum the layers.
LAYER_WEIGHTS = "layer_weights"
# Fields that change no embedding: who saved a model, and what its head says.
NAMES = (
    "transformers_version dtype torch_dtype architectures auto_map feature_extractor_type id2label label2id "
    "problem_type event_threshold"
).split()


def load_encoder(name, device: torch.device, dtype: torch.dtype) -> tuple[SSASTModel, SSASTFeatureExtractor]:
    """
    Args:
        name (`str` or `Path`): A folder of any SSAST model, with or without a head, or its name on the Hub.
        device, dtype (`torch.device`, `torch.dtype`): Where and in which type the encoder computes.

    Raises:
        ValueError: If it is no SSAST model, damaged, or without the weights of an encoder.
        OSError: If there is no such folder or repository.
    """
    if not Path(name).is_dir() and (str(name).count("/") != 1 or str(name).startswith((".", "/"))):
        raise FileNotFoundError(f"{name} is neither a folder nor a repository on the Hub (owner/name).")
    if Path(name).is_dir():
        check_model_folder(name)
        read_extractor_fields(name)
    remedy = "Copy or download the model again."
    with reading(name, "an SSAST model", remedy), quiet_loading():
        model, info = SSASTModel.from_pretrained(name, dtype=dtype, output_loading_info=True, trust_remote_code=False)
    if missing := sorted(set(info["missing_keys"]) - {"embeddings.mask_token"}):
        raise ValueError(f"{name} lacks weights of an encoder, such as {missing[0]}. {remedy}")
    with reading(f"{name}/preprocessor_config.json", "that of an SSAST model", remedy):
        feature_extractor = SSASTFeatureExtractor.from_pretrained(name)
    return on_device(model, device), feature_extractor


def on_device(model, device: torch.device):
    """A model, ready to compute there and not to be trained; ValueError if that device is none of this machine's."""
    try:
        return model.eval().requires_grad_(False).to(device)
    except (RuntimeError, AssertionError) as error:  # the second of a PyTorch without CUDA
        raise ValueError(
            f"device={str(device)!r} cannot be used here ({reason(error)}). Choose another one."
        ) from error


def load_layer_weights(name, count: int) -> torch.Tensor:
    """
    The share of each of `count` hidden states in the sum that a head has learned, `(count,)`, float32.

    Raises:
        ValueError: If the model has none, or not as many.
    """
    weights = read_tensor(folder_of(name), LAYER_WEIGHTS)
    if weights is None or weights.shape != (count,):
        found = "no" if weights is None else f"{tuple(weights.shape)}"
        raise ValueError(
            f'{name} has {found} {LAYER_WEIGHTS}; layer="weighted" needs the {count} of a model that was fine-tuned '
            "with use_weighted_layer_sum. Choose a layer by its number."
        )
    return weights.float().softmax(dim=0)


def folder_of(name) -> Path:
    """Where a model's files are: the folder itself, or that in the cache of the Hub."""
    return Path(name) if Path(name).is_dir() else Path(str(cached_file(name, "config.json"))).parent


def as_device(name) -> torch.device:
    """A device by its name, such as `cuda:1`; ValueError if it is none."""
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be one of PyTorch, such as 'cpu' or 'cuda:0'; got {name!r}.") from error


def sha256_of_weights(name) -> str:
    """
    The SHA-256 of a model's `model.safetensors`; of one that is stored in several files, of their SHA-256 in a row.
    """
    digests = [sha256_of(path) for path in weight_files(folder_of(name))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def sha256_of_settings(settings: dict[str, dict]) -> str:
    """The SHA-256 of what makes embeddings besides weights, fields by what they belong to, without mere names."""
    counted = {
        part: {key: value for key, value in fields.items() if not key.startswith("_") and key not in NAMES}
        for part, fields in settings.items()
    }
    return hashlib.sha256(json.dumps(counted, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def quiet_loading():
    """Without transformers' table of the weights of heads, which are not needed here."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def default_device() -> torch.device:
    """The accelerator of this machine if it has one, else the CPU."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
