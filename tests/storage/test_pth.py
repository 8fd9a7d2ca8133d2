"""PyTorch's files: what is read is what `torch.load` reads, all of it, in little memory, and no code is run."""

import os
import pickle
import struct
import sys
import zipfile

import pytest
import torch
from fresh import FreshProcess
from original import original_checkpoint

from ssast_hf.cli import main
from ssast_hf.conversion.original import convert_original_to_hf
from ssast_hf.storage.pth import read_pth


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_code_in_a_pickle_is_not_run(tmp_path):
    torch.save({"module.v.cls_token": torch.zeros(1), "x": Bomb(tmp_path / "ran")}, tmp_path / "bomb.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    for name in ("bomb.pth", "plain.pth"):
        with pytest.raises(ValueError, match=name) as error:
            read_pth(tmp_path / name)
        assert "weights_only=False" not in str(error.value)  # no advice to run it after all
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_file(original_file, tmp_path, capsys, share):
    data = original_file.read_bytes()
    original_file.write_bytes(data[: int(len(data) * share)])
    assert main(["convert", str(original_file), str(tmp_path / "ssast")]) == 1
    assert f"{original_file} is" in capsys.readouterr().err
    assert not (tmp_path / "ssast").exists()


def test_one_flipped_byte_is_noticed(original_file):
    with zipfile.ZipFile(original_file) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    data = bytearray(original_file.read_bytes())
    data[largest.header_offset + 500] ^= 1
    original_file.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        read_pth(original_file)


@pytest.mark.parametrize(
    "content", [torch.zeros(3), {}, {"a": 1}, {"model": {"a": torch.zeros(1)}}, {3: torch.zeros(1)}]
)
def test_anything_but_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth holds a"):
        read_pth(tmp_path / "x.pth")


def test_random_bytes_are_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(os.urandom(1000))
    with pytest.raises(ValueError, match=r"x\.pth"):
        read_pth(tmp_path / "x.pth")


def rewritten(source, path, change=lambda name, data: data, compression=zipfile.ZIP_STORED):
    """The same archive anew, its records changed; by another program, so that nothing is aligned."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return path


def assert_equal(state, expected):
    assert state.keys() == expected.keys()
    for key, tensor in state.items():
        assert tensor.dtype == expected[key].dtype
        assert torch.equal(tensor, expected[key]), key


@pytest.mark.parametrize("kind", ["as saved", "stored", "compressed", "before 2020"])
def test_every_kind_of_file_gives_what_torch_load_gives(tmp_path, kind):
    checkpoint = original_checkpoint()
    checkpoint["module.v.head.weight"] = checkpoint["module.v.pos_embed"][0, 3:7].t()  # a view that is not contiguous
    checkpoint["half"], checkpoint["none"] = torch.ones(5).bfloat16(), torch.zeros(0, 3)
    path = tmp_path / "x.pth"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=kind != "before 2020")
    if kind in ("stored", "compressed"):
        path = rewritten(path, tmp_path / "y.pth", compression=zipfile.ZIP_DEFLATED * (kind == "compressed"))
    assert_equal(read_pth(path), checkpoint)
    assert_equal(read_pth(path), torch.load(path, weights_only=True))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("change", [lambda data: data[:-4], lambda data: data + bytes(4)], ids=["short", "long"])
def test_records_of_another_size_than_declared_are_refused(original_file, tmp_path, capsys, change, compression):
    """Checksums are right. PyTorch does not notice: it reads on where a record ends."""

    def resize(name, data):
        return change(data) if "/data/" in name and len(data) > 100 else data

    path = rewritten(original_file, tmp_path / "resized.pth", resize, compression)
    assert main(["convert", str(path), str(tmp_path / "ssast")]) == 1
    assert f"{path} is damaged: module." in capsys.readouterr().err
    assert not (tmp_path / "ssast").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_two_readers_may_read_differently_are_refused(original_file, tmp_path):
    for number, name in enumerate(("original/data/0", "original/DATA.pkl", "other/data.pkl")):
        path = rewritten(original_file, tmp_path / f"{number}.pth")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"")
        with pytest.raises(ValueError, match=r"pth holds two entries of one name, or several folders"):
            read_pth(path)


def test_numbers_of_another_record_are_refused(tmp_path):
    """After a second archive, PyTorch's reader looks into the first one, and Python's into the second."""
    path, numbers = tmp_path / "x.pth", torch.arange(64.0)
    torch.save({"a": numbers, "b": -numbers}, path)
    first = path.read_bytes()
    torch.save({"a": -numbers, "b": numbers}, path)
    path.write_bytes(first + path.read_bytes())
    with pytest.raises(ValueError, match=r"x\.pth is damaged: a is not all of its own record"):
        read_pth(path)


def test_numbers_of_another_byte_order_are_refused(original_file, tmp_path):
    other = {"little": b"big", "big": b"little"}[sys.byteorder]
    path = rewritten(original_file, tmp_path / "x.pth", lambda name, data: other if "byteorder" in name else data)
    with pytest.raises(ValueError, match=r"x\.pth has its numbers in the byte order of another kind of machine"):
        read_pth(path)


def test_archive_that_is_no_checkpoint_or_broken(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("x/notes.txt", b"mine")
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 3, 3, 1000, 2000, 0)
    (tmp_path / "y.pth").write_bytes(bytes(100) + end)
    assert zipfile.is_zipfile(tmp_path / "y.pth")
    for name in ("x", "y"):
        with pytest.raises(ValueError, match=rf"{name}\.pth is not a whole PyTorch file"):
            read_pth(tmp_path / f"{name}.pth")


def test_audit_says_that_old_files_have_no_checksums(tmp_path):
    for name, new in (("new", True), ("old", False)):
        torch.save(original_checkpoint(), tmp_path / f"{name}.pth", _use_new_zipfile_serialization=new)
    notes = [
        [line for line in convert_original_to_hf(tmp_path / f"{name}.pth", tmp_path / name) if "checksum" in line]
        for name in ("new", "old")
    ]
    assert notes[0] == []
    assert notes[1][0].startswith(f"note     {tmp_path / 'old.pth'} is in PyTorch's format of before 2020")


# Memory


# Reads each file with as much memory as is promised to be enough, and prints what comes of it.
LIMITED = """
import os, resource, sys
from ssast_hf.storage.pth import MEMORY_BYTES, MEMORY_FACTOR, read_pth
read_pth(sys.argv[1])  # so that what is imported on the way is there
with open("/proc/self/statm") as file:
    before = int(file.read().split()[0]) * resource.getpagesize()
_, hard = resource.getrlimit(resource.RLIMIT_AS)
for path in sys.argv[1:]:
    limit = before + MEMORY_FACTOR * os.path.getsize(path) + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        print(sum(tensor.sum().item() for tensor in read_pth(path).values()))
    except ValueError as error:
        print(error)
"""


class Call:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.slow
def test_reading_takes_no_more_memory_than_is_said(original_file, tmp_path):
    """The first is read; the others ask for gigabytes in a few bytes."""
    shared = torch.ones(1 << 20)
    contents = {
        "whole": {"a": torch.ones(15 << 20)},
        "expanded": {"a": torch.ones(1).expand(1 << 32)},
        "shared": {f"{i}": shared.view(-1) for i in range(100)},
        "bytes": {"a": Call(bytearray, 2**31 - 1)},
        "tensor": {"a": Call(torch.Tensor, 1 << 30)},
        "list": {"a": list(range(1 << 20))},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pth")

    def inflate(name, data):
        return bytes(128 << 20) if name.endswith("data/0") else data

    rewritten(original_file, tmp_path / "compressed.pth", inflate, zipfile.ZIP_DEFLATED)
    torch.save({"a": torch.ones(1000)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "old.pth").read_bytes()
    (tmp_path / "old.pth").write_bytes(data.replace(b"M\xe8\x03", b"J\x00\x00\x00\x7f"))
    expected = {
        "whole": str(float(15 << 20)),
        "expanded": "a has the shape (4294967296,), but fewer numbers than that are stored of it",
        "shared": "would take 419 MB of memory. Allowed are 3 times its size and 67 MB more, 80 MB",
        "bytes": "whose loading may run code",
        "tensor": "whose loading may run code",
        "list": "lists far more than the tensors of a model",
        "compressed": "would take 135 MB of memory",
        "old": "needs more memory to be read than there is",
    }
    paths = [tmp_path / f"{name}.pth" for name in expected]
    printed = FreshProcess(LIMITED, [original_file, *paths], tmp_path, has_package=True).finish().splitlines()[1:]
    for path, line, message in zip(paths, printed, expected.values(), strict=True):
        assert message in line
        assert path.name in line or path.name == "whole.pth"
