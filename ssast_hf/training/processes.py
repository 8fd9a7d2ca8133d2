"""The processes of a run: all that were started, alone in their folder, and told by number when one is lost."""

import os
import platform
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch
from accelerate.utils import gather_object

from .messages import say


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Transformers uploads no file that begins with an underscore.
LOCK = "_lock"
# How long to look for the process that was lost: a connection may close before the system has released its lock.
SEARCH_SECONDS = 5


def check_launcher(world_size: int):
    """ValueError if the launcher started more processes than work together: each would train a model of its own."""
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started != max(world_size, 1):
        raise ValueError(
            f"The launcher started {started} processes, but this one is in a group of {max(world_size, 1)}; they "
            "would all write into one folder. Start them with torchrun --nproc_per_node, which sets what is needed: "
            "WORLD_SIZE, RANK and LOCAL_RANK."
        )
    if world_size < 2 and "ACCELERATE_USE_CPU" in os.environ and "MASTER_PORT" in os.environ:
        say(
            "This is a single process: without a GPU `accelerate launch` starts no more, whatever --num_processes. "
            "torchrun --nproc_per_node does."
        )


class FolderLock:
    """
    Holds an output folder for one run while it is a context. Process `rank` locks byte `rank` of a file in it; the
    system releases it whenever the process ends, and does not pass it on to workers that outlive it.

    Args:
        folder (`str` or `Path`): The folder; made if there is none, and removed if nothing was written into it.
        rank, world_size (`int`): Which process this is, of how many.

    Raises:
        ValueError: In all processes, if another run holds the folder.
    """

    def __init__(self, folder, rank: int, world_size: int):
        self.path = Path(folder) / LOCK
        self.rank = rank
        self.world_size = max(world_size, 1)
        self.file: IO | None = None

    def __enter__(self):
        problem = self.acquire()
        with named_when_lost(self):
            problems = [each for each in gather_object([problem]) if each is not None]
        if problems:
            self.release()
            raise ValueError(problems[0])
        return self

    def __exit__(self, *exception):
        self.release()

    def acquire(self) -> str | None:
        """Lock the folder; returns who else holds it."""
        if fcntl is None:
            say(f"This system has no locks: see to it that no other run writes into {self.path.parent}.")
            return None
        while True:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                file = self.path.open("a+")
            except OSError as error:
                return (
                    f"--output_dir {self.path.parent} cannot be written to ({error.strerror}). Allow it, or choose "
                    "another one."
                )
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self.rank)
            except (BlockingIOError, PermissionError):
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                return (
                    f"{self.path.parent} is in use by another run ({holder}). Wait for its end, stop it, or choose "
                    "another --output_dir."
                )
            except OSError as error:
                file.close()
                reason = error.strerror or error
                say(f"{self.path} cannot be locked ({reason}): see to it that no other run writes there.")
                return None
            if self.path.exists() and os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                break
            file.close()  # a run that ended just then has removed it
        if self.rank == 0:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        self.file = file
        return None

    def release(self):
        if self.file is None:
            return
        if self.rank == 0:
            self.path.unlink(missing_ok=True)
            if not any(self.path.parent.iterdir()):
                self.path.parent.rmdir()
        self.file.close()
        self.file = None

    def ended(self) -> list[int]:
        """Which other processes of the run have ended; waits a moment until there is one."""
        deadline = time.monotonic() + SEARCH_SECONDS
        while self.file is not None:
            others = [rank for rank in range(self.world_size) if rank != self.rank]
            if (ended := [rank for rank in others if is_free(self.file, rank)]) or time.monotonic() > deadline:
                return ended
            time.sleep(0.05)
        return []


def is_free(file: IO, rank: int) -> bool:
    """Whether no other process has locked the byte of a process."""
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, rank)
        fcntl.lockf(file, fcntl.LOCK_UN, 1, rank)
    except OSError:
        return False
    return True


@contextmanager
def named_when_lost(lock: FolderLock):
    """A failure to reach another process of the run becomes a ConnectionError that names the one that has ended."""
    try:
        yield
    except RuntimeError as error:
        if lock.world_size < 2 or not is_of_connections(error):
            raise
        ended = lock.ended()
        names = " and ".join(map(str, ended))
        what = (
            f"Process {names} of {lock.world_size} (counted from 0) has ended"
            if ended
            else f"Another process of {lock.world_size} cannot be reached, or took longer than --ddp_timeout"
        )
        raise ConnectionError(
            f"{what}, so process {lock.rank} ends, too. What it says itself comes first; if it says nothing, it was "
            "killed, perhaps for want of memory. The same command goes on from the last checkpoint."
        ) from error


@contextmanager
def told_when_alone():
    """The same while the group of processes begins, when no folder is locked yet."""
    try:
        yield
    except RuntimeError as error:
        if not is_of_connections(error):
            raise
        raise ConnectionError(
            f"Process {os.environ.get('RANK')} has not found the others of {os.environ.get('WORLD_SIZE')} within "
            "--ddp_timeout seconds; see what they say, and that all of them are started."
        ) from error


def is_of_connections(error: RuntimeError) -> bool:
    """Whether PyTorch says that processes have lost each other; gloo has no type of its own for that."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
