"""The encoder of a saved model and its feature extractor, from a folder or the Hub, ready to compute."""

import hashlib
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.utils import cached_file, logging

from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTModel
from ..storage.guards import reading
from ..storage.reading import sha256_of, weight_files
from ..storage.sizes import check_model_folder, read_extractor_fields


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
    return model.eval().requires_grad_(False).to(device), feature_extractor


def sha256_of_weights(name) -> str:
    """
    The SHA-256 of a model's `model.safetensors`; of one that is stored in several files, of their SHA-256 in a row.
    """
    folder = name if Path(name).is_dir() else Path(str(cached_file(name, "config.json"))).parent
    digests = [sha256_of(path) for path in weight_files(folder)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


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
