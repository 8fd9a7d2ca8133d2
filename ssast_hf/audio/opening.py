"""Where a recording is, as an open file: on disk, in memory, or inside an archive."""

import io
import os
import stat
from reprlib import repr as shortened
from typing import BinaryIO

from ..storage.guards import UnreadableFile


# Bytes of a path, on Linux.
LONGEST_PATH = 4096


def open_recording(recording: dict) -> BinaryIO:
    """
    The file of a recording, of which nothing is read yet.

    Args:
        recording (`dict`): What [`as_recording`] returns.

    Raises:
        ValueError: If it is none.
        OSError: If there is no such file.
    """
    name, content = recording["name"], recording.get("bytes")
    if content is not None:
        return io.BytesIO(content) if isinstance(content, bytes) else reader_of(content)
    if recording.get("path") is None:
        raise ValueError(f"{name} holds neither audio nor a path")
    if recording.get("offset") is not None:
        return io.BufferedReader(Member(recording["archive"], recording["offset"], recording["size"]))
    if not is_path(recording["path"]):
        raise UnreadableFile(f"{name} holds {shortened(recording['path'])}, no path to a file")
    return open_file(recording["path"])


def reader_of(buffer) -> BinaryIO:
    """A file in a buffer of Arrow's, without a copy: a table on disk may hold hours in one cell."""
    import pyarrow  # reading a file by its path does not need it

    return pyarrow.BufferReader(buffer)


def open_file(path: str) -> BinaryIO:
    """An open file; a ValueError if it is none. To open a pipe would wait for ever."""
    if not is_path(path):
        raise UnreadableFile(f"{shortened(path)} is no path to a file")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadableFile(f"{path} is no regular file")
    return open(path, "rb")


def is_path(path: str) -> bool:
    """Whether a file can be called so."""
    try:
        return 0 < len(os.fsencode(path)) <= LONGEST_PATH and "\0" not in path
    except UnicodeEncodeError:
        return False


class Member(io.RawIOBase):
    """`size` bytes of a file from `offset` on, as a file of their own."""

    def __init__(self, path: str, offset: int, size: int):
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115  # closed with this one
        self.offset = offset
        self.size = size
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = max(offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence], 0)
        return self.position

    def readinto(self, buffer) -> int:
        view = memoryview(buffer)[: max(self.size - self.position, 0)]
        self.file.seek(self.offset + self.position)
        count = self.file.readinto(view)
        self.position += count
        return count

    def close(self):
        self.file.close()
        super().close()
