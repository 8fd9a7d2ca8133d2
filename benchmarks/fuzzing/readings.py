"""Weights as bytes by name, read without the package: plain PyTorch, or the few lines that safetensors take."""

import contextlib
import io
import json
import struct
import zipfile
from pathlib import Path

import torch


# A tensor as its data type, its shape and its bytes.
Plain = tuple[str, tuple[int, ...], bytes]


def plain(tensor: torch.Tensor) -> Plain:
    """A tensor as its data type, shape and bytes, however it lies in memory."""
    contents = tensor.detach().clone(memory_format=torch.contiguous_format)
    return str(tensor.dtype), tuple(tensor.shape), contents.flatten().view(torch.uint8).numpy().tobytes()


def pth(path) -> dict[str, Plain]:
    """A file of PyTorch by its own reader, which copies all of it into memory, after Python's has unpacked it."""
    source = path
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:  # others are in the older format
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            source = io.BytesIO()
            with zipfile.ZipFile(source, "w") as unpacked:
                for entry in archive.infolist():
                    unpacked.writestr(entry.filename, archive.read(entry))
            source.seek(0)
    return {key: plain(tensor) for key, tensor in torch.load(source, weights_only=True, mmap=False).items()}


def safetensors(path) -> dict[str, Plain]:
    """A safetensors file: eight bytes of length, a header in JSON, then the bytes of the tensors."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    types = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = (f"torch.{types.get(entry['dtype'])}", tuple(entry["shape"]), data[start:end])
    return tensors


def folder(path: Path) -> dict[str, Plain]:
    """The weights of a model's folder, in one file or in those that an index names."""
    if (path / "model.safetensors").exists():
        return safetensors(path / "model.safetensors")
    names = set(json.loads((path / "model.safetensors.index.json").read_text())["weight_map"].values())
    tensors: dict[str, Plain] = {}
    for name in sorted(names):
        tensors |= safetensors(path / name)
    return tensors


def unnamed(tensors: dict[str, Plain]) -> list[tuple[str, bytes]]:
    """
    Data types and bytes without names or shapes, sorted: equal for two layouts of the same weights. What one of the
    layouts fuses, query, key and value, is taken apart.
    """
    contents = []
    for name, (dtype, _, data) in tensors.items():
        third = len(data) // 3
        parts = [data[:third], data[third : 2 * third], data[2 * third :]] if ".qkv." in name else [data]
        contents += [(dtype, part) for part in parts]
    return sorted(contents)


def compare(own: list, independent: list) -> str | None:
    """What two sorted lists of contents do not share, in words, or `None`."""
    if own == independent:
        return None
    extra = sum(content not in independent for content in own)
    lost = sum(content not in own for content in independent)
    return f"of {len(independent)} tensors {lost} are lost or changed, and {extra} of {len(own)} come from nowhere"
