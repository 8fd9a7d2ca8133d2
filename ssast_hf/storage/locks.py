"""An output folder that one run alone writes into."""

import os
import platform
import sys
from pathlib import Path
from typing import IO


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Transformers uploads no file that begins with an underscore.
LOCK = "_lock"


class LockedFolder:
    """
    Holds an output folder while it is a context: a byte of a file in it is locked. The system releases it whenever the
    process ends, and does not pass it on to workers that outlive it.

    Args:
        folder (`str` or `Path`): The folder; made if there is none, and removed if nothing was written into it.
        option (`str`): What names it on the command line, for messages.
        byte (`int`, defaults to 0): Which byte; processes that share a folder lock one each.

    Raises:
        ValueError: If another run holds the folder.
    """

    def __init__(self, folder, option: str, byte: int = 0):
        self.path = Path(folder) / LOCK
        self.option = option
        self.byte = byte
        self.file: IO | None = None

    def __enter__(self):
        if problem := self.acquire():
            raise ValueError(problem)
        return self

    def __exit__(self, *exception):
        self.release()

    def say(self, text: str):
        print(text, file=sys.stderr)

    def acquire(self) -> str | None:
        """Lock the folder; returns who else holds it."""
        if fcntl is None:
            self.say(f"This system has no locks: see to it that no other run writes into {self.path.parent}.")
            return None
        while True:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                file = self.path.open("a+")
            except OSError as error:
                return (
                    f"{self.option} {self.path.parent} cannot be written to ({error.strerror}). Allow it, or choose "
                    "another one."
                )
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self.byte)
            except (BlockingIOError, PermissionError):
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                return (
                    f"{self.path.parent} is in use by another run ({holder}). Wait for its end, stop it, or choose "
                    f"another {self.option}."
                )
            except OSError as error:
                file.close()
                reason = error.strerror or error
                self.say(f"{self.path} cannot be locked ({reason}): see to it that no other run writes there.")
                return None
            if self.path.exists() and os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                break
            file.close()  # a run that ended just then has removed it
        if self.byte == 0:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        self.file = file
        return None

    def release(self):
        if self.file is None:
            return
        if self.byte == 0:
            self.path.unlink(missing_ok=True)
            if not any(self.path.parent.iterdir()):
                self.path.parent.rmdir()
        self.file.close()
        self.file = None


def is_free(file: IO, byte: int) -> bool:
    """Whether no other process has locked a byte."""
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
        fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)
    except OSError:
        return False
    return True
