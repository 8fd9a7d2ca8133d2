"""A saved model's folder on disk: its own files alone, the JSON and the weights in them, and their checksums."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open

from .guards import UnreadableFile, reading


CHUNK_BYTES = 1 << 20
# A configuration has some kilobytes; names of a hundred thousand classes have a few megabytes.
MAX_JSON_BYTES = 16 << 20
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def find_file(folder, name: str) -> Path | None:
    """
    The file called `name` in a model's folder, or `None` if there is none.

    A link must lead to a file in the same folder, so that nothing else of this machine becomes part of a model. In
    the cache of the Hub it may lead to where that keeps the files of the same repository.

    Raises:
        ValueError: If it is a link that leads elsewhere or nowhere, or if it is no file.
    """
    path, home = Path(folder, name), Path(folder).resolve()
    if not path.exists() and not path.is_symlink():
        return None
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # of a loop, by the version of Python
        raise ValueError(f"{path} is a link that leads nowhere. Remove it, or put the file itself there.") from error
    homes = [home, *((each.parent / "blobs").resolve() for each in home.parents if each.name == "snapshots")]
    if not any(target.is_relative_to(each) for each in homes):
        raise ValueError(f"{path} is a link to {target}, out of the folder. Put the file itself there.")
    if not target.is_file():
        raise ValueError(f"{path} is no file.")
    return path


def read_json(path, expected: str) -> dict:
    """
    The fields of a JSON file.

    Args:
        path (`str` or `Path`): The file.
        expected (`str`): What it should be, such as `"a valid configuration"`.

    Raises:
        UnreadableFile: If it is not JSON, holds no fields, or is larger than 16 MB.
    """
    path = Path(path)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise UnreadableFile(f"{path} has {path.stat().st_size / 1e6:.0f} MB, so it is not {expected}.")
    with reading(path, expected):
        fields = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(fields, dict):
        raise UnreadableFile(f"{path} is not {expected}: it holds a {type(fields).__name__}, no fields.")
    return fields


def read_weights(folder) -> dict[str, torch.Tensor]:
    """
    Read the weights of a saved model, in one or several safetensors files, in the data types stored.

    Raises:
        ValueError: If there are none, or if a file is damaged, missing or a link out of the folder.
    """
    state: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            state |= read_safetensors(path)
    if not state:
        raise ValueError(f"{folder} holds no tensors in its {WEIGHTS}. Copy the folder again.")
    return state


def weight_shapes(folder) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that [`read_weights`] would read, without reading them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            with reading(path, "a whole safetensors file"), safe_open(path, framework="pt") as file:
                shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    return shapes


def read_tensor(folder, key: str) -> torch.Tensor | None:
    """One of the tensors that [`read_weights`] would read, alone; `None` if it is not there."""
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            with reading(path, "a whole safetensors file"), safe_open(path, framework="pt") as file:
                if key in file.keys():  # noqa: SIM118
                    return file.get_tensor(key)
    return None


def weight_files(folder) -> list[Path]:
    """
    The files that transformers loads the weights of a saved model from: `model.safetensors`, or the index and the
    files that it names. A ValueError if there are none, or if one is missing or lies elsewhere.
    """
    if (single := find_file(folder, WEIGHTS)) is not None:
        return [single]
    if (index := find_file(folder, INDEX)) is None:
        raise ValueError(f"{folder} holds no {WEIGHTS}. Is it a folder written by save_pretrained?")
    content = read_json(index, "an index of safetensors files")
    placed = content.get("weight_map")
    if not isinstance(placed, dict) or not placed or not isinstance(content.get("metadata"), dict):
        raise ValueError(f"{index} is not an index of safetensors files: it lacks a weight_map or metadata.")
    names = set(placed.values()) if all(isinstance(name, str) for name in placed.values()) else {repr(placed)[:80]}
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"{index} names {name}, which is no safetensors file in its folder.")
    files = {name: find_file(folder, name) for name in sorted(names)}
    if missing := [name for name, path in files.items() if path is None]:
        raise ValueError(f"{folder} lacks {', '.join(missing)}, named in {INDEX}. Copy the folder again.")
    return [*(path for path in files.values() if path is not None), index]


def read_safetensors(path) -> dict[str, torch.Tensor]:
    """All tensors of one safetensors file; ValueError if it is damaged."""
    with reading(path, "a whole safetensors file"), safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dictionary


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
