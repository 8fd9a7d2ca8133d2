"""What libraries raise about the outside world becomes one kind of error, which names the file."""

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from ssast_hf.storage.guards import UnreadableFile, reading, writing


@pytest.mark.parametrize(
    "error",
    [KeyError("metadata"), StopIteration(), RecursionError("too deep"), SafetensorError("short"), OSError("?")],
)
def test_whatever_a_reader_raises_names_the_file(error):
    expected = r"weights\.bin is not a file of weights \(.+\)\. Copy it again\."
    with pytest.raises(UnreadableFile, match=expected), reading("weights.bin", "a file of weights", "Copy it again."):
        raise error


def test_a_missing_file_and_a_clear_message_stay_as_they_are():
    with pytest.raises(FileNotFoundError), reading("missing", "a file"):
        Path("missing").read_text()
    with pytest.raises(UnreadableFile, match=r"^two headers$"), reading("file", "a file"):
        raise UnreadableFile("two headers")


def test_a_disk_that_is_full_while_reading_is_no_fault_of_the_file(tmp_path):
    with pytest.raises(OSError, match="MB are free there"), writing(tmp_path), reading("table.parquet", "a table"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_too_little_memory_is_said():
    with pytest.raises(UnreadableFile, match="more memory"), reading("file", "a file"):
        raise MemoryError


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_full_disk_is_told_with_what_is_free(tmp_path, error):
    expected = r"model could not be written: .*\. \d+ MB are free there; make room"
    with pytest.raises(OSError, match=expected), writing(tmp_path / "new" / "model"):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), TypeError(), PermissionError(errno.EACCES, "no")])
def test_other_errors_while_writing_are_not_hidden(error):
    with pytest.raises(type(error)) as caught, writing("model"):
        raise error
    assert caught.value is error
