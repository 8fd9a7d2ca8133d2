"""
What can go wrong with the outside world, told as this package's errors.

Libraries fail in many ways on a damaged file or a full disk: `RecursionError`, `StopIteration`, `SafetensorError`.
Where the package reads or writes through one, it does so inside [`reading`] or [`writing`], which turn any of these
into one error that names the file and says what to do. Inside are calls of libraries alone, so that a mistake of this
package's own keeps its traceback.
"""

import errno
import shutil
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


class UnreadableFile(ValueError):
    """A file is damaged, holds something else, is too large, or would have to run code to be read."""


class NoRoom(OSError):
    """Nothing more can be written where a file is: the disk is full, or a share of it used up."""


@contextmanager
def reading(path, expected: str, remedy: str = "Download or copy it again."):
    """
    Whatever a library raises about the content of a file becomes an [`UnreadableFile`].

    Args:
        path (`str` or `Path`): The file, for the message.
        expected (`str`): What it should be, such as `"a safetensors file"`.
        remedy (`str`): What to do, as a sentence.

    Raises:
        UnreadableFile: If the content cannot be read.
        OSError: As it is, if it names the file that it is about: one that is missing, or may not be read; or if a disk
            is full, since libraries write while they read.
    """
    try:
        yield
    except UnreadableFile:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise UnreadableFile(f"{path} needs more memory to be read than there is.") from error
        if isinstance(error, OSError) and (error.filename is not None or error.errno in FULL):
            raise
        raise UnreadableFile(f"{path} is not {expected} ({reason(error)}). {remedy}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there is no memory left on the CPU; PyTorch says so in a RuntimeError."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error)


@contextmanager
def writing(path):
    """
    A full disk and the like, while a library writes to `path`, become an error that names it and says what to do.

    Raises:
        NoRoom: If the file could not be written for want of room.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno not in FULL:
            raise
        # What PyTorch's writer of zip files makes of what the system told it.
        words = ("PytorchStreamWriter", "inline_container", "unexpected pos")
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in words):
            raise
        if isinstance(error, OSError):
            path, why = error.filename2 or error.filename or path, error.strerror  # of a copy, the second
        else:
            why = reason(error)
        raise NoRoom(f"{path} could not be written: {why}. {remedy_of(error, path)}") from error


LONGEST_LINE = 300
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def remedy_of(error: Exception, path) -> str:
    """What to do when nothing more can be written where `path` is."""
    number = error.errno if isinstance(error, OSError) else errno.ENOSPC
    if number == errno.EDQUOT:
        return "Your share of that disk is used up; make room, or choose another place."
    if number == errno.EFBIG:
        return "No larger file is allowed there (see ulimit -f); choose another place."
    folder = Path(path)
    while not folder.is_dir():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 1e6:.0f} MB are free there; make room, or choose another place."


def reason(error: BaseException) -> str:
    """The first line of what an error says, with its type where that alone says what happened."""
    lines = str(error).strip().splitlines()
    if not lines or isinstance(error, (KeyError, RecursionError)):
        return type(error).__name__ + (f": {shortened_line(lines[0])}" if lines else "")
    return shortened_line(lines[0].rstrip("."))


def shortened_line(text: str) -> str:
    """A line for people; what a file holds may be of any length."""
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}..."
