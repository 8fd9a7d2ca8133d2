"""PyTorch's own files: named tensors, read without running any code in them, and in little memory."""

import pickle
import pickletools
import re
import sys
import tempfile
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import torch

from .guards import UnreadableFile, reading, writing


# Reading a file may take so many times its size of memory, and so many bytes more.
MEMORY_FACTOR, MEMORY_BYTES = 3, 64 << 20
# What names and shapes of twenty thousand tensors take, a hundred times as many as a model has.
MAX_PICKLE_BYTES = 4 << 20
# What reading named tensors calls. PyTorch allows more, such as `bytearray`, which takes any memory it is told to.
CALLS = re.compile(
    r"collections OrderedDict|torch Size|torch(\.cuda)? \w+Storage|torch\.serialization _get_layout"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|sparse_tensor)"
)
# Calls whose names are put together while the pickle runs, and others that PyTorch does not write.
HIDDEN_CALLS = ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4")
# Before 2020, PyTorch wrote a file as five pickles, of which the fourth has names and shapes, and then the numbers.
LEGACY_PICKLES = 5


def read_pth(path) -> dict[str, torch.Tensor]:
    """
    Read a PyTorch file that holds nothing but named tensors; no code in it is run.

    It takes no more memory than three times the size of the file and 64 MB. The numbers of a file in today's format
    stay on disk until they are used.

    Args:
        path (`str` or `Path`): A file written by `torch.save(model.state_dict(), path)`.

    Returns:
        `dict[str, torch.Tensor]` on the CPU, equal to what `torch.load(path, weights_only=True)` gives.

    Raises:
        UnreadableFile: If the file is damaged, holds anything but tensors, would have to run code to be read, or would
            take more memory than that.
        OSError: If there is no such file.
    """
    path = Path(path)
    if has_checksums(path):
        content = load_zip(path)
    else:
        with path.open("rb") as file:
            check_pickles(path, file, LEGACY_PICKLES)
        content = load(path, mmap=False)
        check_tensors(path, content)
    return dict(content)


def has_checksums(path) -> bool:
    """Whether a PyTorch file is in the format since 2020, a zip archive, where damage is noticed."""
    with Path(path).open("rb") as file, reading(path, "a whole PyTorch file"):
        return zipfile.is_zipfile(file)


def load_zip(path: Path) -> dict[str, torch.Tensor]:
    """What an archive holds. Checked are first that it is whole and small, then that it was read as it is."""
    with reading(path, "a whole PyTorch file"), zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        names = {record.filename.lower(): record.filename for record in records}
        folders = {name.partition("/")[0] for name in names.values()}
        # Which of two would be read depends on the reader.
        if len(names) < len(records) or len(folders) != 1:
            raise UnreadableFile(f"{path} holds two entries of one name, or several folders, so it was not loaded.")
        check_memory(path, sum(record.file_size for record in records))
        if damaged := archive.testzip():  # PyTorch does not look at the checksums
            raise UnreadableFile(f"{path} is damaged: the checksum of {damaged} is wrong. Download or copy it again.")
        (folder,) = folders
        with archive.open(f"{folder}/data.pkl") as file:
            check_pickles(path, file, 1)
        places = Outline(archive.open(f"{folder}/data.pkl")).load()
        byte_order = names.get(f"{folder}/byteorder".lower())
        if byte_order is not None and archive.read(byte_order).decode() != sys.byteorder:
            raise UnreadableFile(
                f"{path} has its numbers in the byte order of another kind of machine. Load it with torch.load there "
                "or here, and save it again on this machine with torch.save."
            )
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            content = load_unpacked(path, archive)
        else:
            content = load(path, mmap=True)
    check_tensors(path, content)
    own = {record.filename.removeprefix(f"{folder}/data/"): record for record in records}
    check_records(path, content, places, own)
    return content


class Place(NamedTuple):
    """Where a tensor lies: the record of its numbers, by name, and which of them are its own."""

    record: str
    offset: int
    shape: tuple
    strides: tuple


class Outline(pickle.Unpickler):
    """
    Reads from a pickle of named tensors where they lie, as a dictionary of [`Place`]. It makes no tensor and knows no
    function but those here; whatever else the pickle names is `None` in it.
    """

    def persistent_load(self, saved_id):
        return saved_id[2]  # of ("storage", its type, the record's name, ...)

    def find_class(self, module, name):
        if name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return lambda record, offset, shape, strides, *_: Place(record, offset, tuple(shape), tuple(strides))
        return {"OrderedDict": OrderedDict, "_rebuild_parameter": lambda place, *_: place}.get(name, lambda *_: None)


def load_unpacked(path: Path, archive: zipfile.ZipFile):
    """As [`load`], of a compressed archive: from a copy that is not, because PyTorch maps the bytes on disk."""
    # Where mapped files cannot be removed, the copy stays until the system clears its temporary files.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        copy = Path(scratch, "unpacked.pth")
        with writing(copy), zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as unpacked:
            for record in archive.infolist():
                unpacked.writestr(record.filename, archive.read(record), zipfile.ZIP_STORED)
        return load(copy, mmap=True, name=path)


def load(path: Path, mmap: bool, name: Path | None = None):
    """What PyTorch makes of a file, called `name` in messages."""
    name = path if name is None else name
    with reading(name, "a whole PyTorch file"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        except pickle.UnpicklingError as error:
            # PyTorch's own message proposes `weights_only=False`, which would run the code.
            raise would_run_code(name) from error


def check_pickles(path: Path, file, number: int):
    """
    Raise an UnreadableFile unless the pickles that `file` begins with are short and call nothing but what makes
    tensors. None of it is run.
    """
    with reading(path, "a whole PyTorch file"):
        for _ in range(number):
            for operation, argument, position in pickletools.genops(file):
                calls = operation.name == "GLOBAL" and not CALLS.fullmatch(str(argument))
                if calls or operation.name in HIDDEN_CALLS:
                    raise would_run_code(path)
                if (position or 0) > MAX_PICKLE_BYTES:
                    raise UnreadableFile(f"{path} lists far more than the tensors of a model; it was not loaded.")


def would_run_code(path: Path) -> UnreadableFile:
    return UnreadableFile(
        f"{path} is damaged, or holds more than plain tensors, whose loading may run code; it was not loaded. "
        "Expected what torch.save(model.state_dict(), path) writes, of tensors without attributes of their own."
    )


def check_tensors(path: Path, content):
    """Raise an UnreadableFile unless `content` is named tensors, each no larger than what is stored of it."""
    if not isinstance(content, dict) or not content:
        raise UnreadableFile(f"{path} holds a {type(content).__name__}; expected a dictionary of named tensors.")
    num_bytes = 0
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise UnreadableFile(
                f"{path} holds a {type(value).__name__} under {key!r}; expected a state dict, names and tensors only."
            )
        if value.layout == torch.strided:
            if value.nbytes > value.untyped_storage().nbytes():
                raise UnreadableFile(
                    f"{path}: {key} has the shape {tuple(value.shape)}, but fewer numbers than that are stored of it. "
                    "Save it again, with .contiguous()."
                )
            num_bytes += value.nbytes
    check_memory(path, num_bytes)


def check_records(path: Path, content: dict[str, torch.Tensor], places, records: dict[str, zipfile.ZipInfo]):
    """
    Raise an UnreadableFile unless what each tensor lies in is all of its own record, by size and checksum. PyTorch
    maps as many bytes as the tensor declares, wherever the record ends, and may take another record for one of this
    name.
    """
    checked: set[tuple[str, int]] = set()
    places = places if isinstance(places, dict) else {}
    for key, tensor in content.items():
        if tensor.layout != torch.strided:
            continue
        storage = tensor.untyped_storage()
        place = places.get(key)
        found = (tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        if not isinstance(place, Place) or (place.offset, place.shape, place.strides) != found:
            raise damaged_record(path, key)
        if (place.record, storage.data_ptr()) in checked or not storage.nbytes():
            continue
        checked.add((place.record, storage.data_ptr()))
        record = records.get(place.record)
        data = torch.empty(0, dtype=torch.uint8).set_(storage)
        if record is None or (record.file_size, record.CRC) != (storage.nbytes(), zlib.crc32(data.numpy())):
            raise damaged_record(path, key)


def damaged_record(path: Path, key: str) -> UnreadableFile:
    return UnreadableFile(
        f"{path} is damaged: {key} is not all of its own record in the file. Download or copy it again."
    )


def check_memory(path: Path, num_bytes: int):
    """Raise an UnreadableFile if `num_bytes` in memory are too many for the size of a file."""
    allowed = MEMORY_FACTOR * path.stat().st_size + MEMORY_BYTES
    if num_bytes > allowed:
        raise UnreadableFile(
            f"{path} would take {num_bytes / 1e6:.0f} MB of memory. Allowed are {MEMORY_FACTOR} times its size and "
            f"{MEMORY_BYTES / 1e6:.0f} MB more, {allowed / 1e6:.0f} MB; it was not loaded."
        )
