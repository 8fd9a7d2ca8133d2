"""The processes of a run: all that were started, alone in their folder, and told by number when one is lost."""

import gc
import os
import time
from contextlib import contextmanager

import torch
from accelerate.utils import gather_object

from ..storage.locks import LockedFolder, is_free
from .messages import say


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


class FolderLock(LockedFolder):
    """
    Holds an output folder for one run while it is a context. Process `rank` locks byte `rank`.

    Args:
        folder (`str` or `Path`): As of a [`LockedFolder`].
        rank, world_size (`int`): Which process this is, of how many.

    Raises:
        ValueError: In all processes, if another run holds the folder.
    """

    def __init__(self, folder, rank: int, world_size: int):
        super().__init__(folder, "--output_dir", rank)
        self.rank = rank
        self.world_size = max(world_size, 1)

    def __enter__(self):
        problem = self.acquire()
        with named_when_lost(self):
            problems = [each for each in gather_object([problem]) if each is not None]
        if problems:
            self.release()
            raise ValueError(problems[0])
        return self

    def say(self, text: str):
        say(text)

    def ended(self) -> list[int]:
        """Which other processes of the run have ended; waits a moment until there is one."""
        deadline = time.monotonic() + SEARCH_SECONDS
        while self.file is not None:
            others = [rank for rank in range(self.world_size) if rank != self.rank]
            if (ended := [rank for rank in others if is_free(self.file, rank)]) or time.monotonic() > deadline:
                return ended
            time.sleep(0.05)
        return []


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
def group_of_run(is_own: bool):
    """
    The group of processes ends with a run that ends well, if it is the run's own. A thread of gloo may still hold
    tensors, and aborts a Python that ends before.
    """
    yield
    if is_own and torch.distributed.is_initialized() and torch.distributed.get_backend() == "gloo":
        torch.distributed.destroy_process_group()
        gc.collect()  # a trainer holds groups, and itself


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
