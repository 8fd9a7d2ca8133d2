"""Weights on disk: read without running any code in them."""

import hashlib
import json
import pickle
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from .guards import UnreadableFile


CHUNK_BYTES = 1 << 20


def read_pth(path) -> dict[str, torch.Tensor]:
    """
    Read a PyTorch file that holds nothing but named tensors; no code in it is run.

    Args:
        path (`str` or `Path`): A file written by `torch.save(model.state_dict(), path)`.

    Returns:
        `dict[str, torch.Tensor]` on the CPU. The data stay on disk until they are used.

    Raises:
        UnreadableFile: If the file is damaged, holds anything but tensors, or would have to run code to be read.
        OSError: If there is no such file.
    """
    path = Path(path)
    # Opened first, so that a missing or unreadable file is reported as what it is.
    with path.open("rb"):
        is_zip = zipfile.is_zipfile(path)
    try:
        # torch does not look at the checksums
        damaged = zipfile.ZipFile(path).testzip() if is_zip else None
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip) if damaged is None else None
    except pickle.UnpicklingError as error:
        # PyTorch's own message proposes `weights_only=False`, which would run the code.
        raise UnreadableFile(
            f"{path} is damaged, or holds Python objects whose loading would run code; it was not loaded. Expected a "
            "file of plain tensors, as written by torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:  # damaged bytes can make the reader fail in any way
        raise UnreadableFile(f"{path} is truncated, damaged or no PyTorch file. Download or copy it again.") from error
    if damaged is not None:
        raise UnreadableFile(f"{path} is damaged: the checksum of {damaged} is wrong. Download or copy it again.")
    if not isinstance(content, dict) or not content:
        raise UnreadableFile(f"{path} holds a {type(content).__name__}; expected a dictionary of named tensors.")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise UnreadableFile(
                f"{path} holds a {type(value).__name__} under {key!r}; expected a state dict, names and tensors only."
            )
    return dict(content)


def read_weights(folder) -> dict[str, torch.Tensor]:
    """
    Read the weights of a saved model, in one or several safetensors files, in the data types stored.

    Raises:
        ValueError: If there are none, or if a file is damaged or missing.
    """
    state: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            state |= read_safetensors(path)
    return state


def weight_files(folder) -> list[Path]:
    """
    The files that transformers loads the weights of a saved model from: `model.safetensors`, or the index and the
    files that it names. A ValueError if there are none, or if one is missing.
    """
    folder = Path(folder)
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return [single]
    if not index.exists():
        raise ValueError(f"{folder} holds no model.safetensors. Is it a folder written by save_pretrained?")
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index} is no index of safetensors files ({error}).") from error
    if missing := [name for name in names if not (folder / name).exists()]:
        raise ValueError(f"{folder} lacks {', '.join(missing)}, named in {index.name}. Copy the folder again.")
    return [*(folder / name for name in names), index]


def read_safetensors(path) -> dict[str, torch.Tensor]:
    """All tensors of one safetensors file; ValueError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dictionary
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or damaged ({error}). Download or copy it again.") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
