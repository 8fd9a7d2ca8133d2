"""Where and how much is measured, and what there is time for."""

import time
from contextlib import contextmanager

import torch


class NotRun(Exception):
    """A check that cannot be made here; says why."""


class Setting:
    """
    Args:
        device (`str`): `"cuda"` or `"cpu"`.
        is_quick (`bool`): Whether everything is as small as can be, so that nothing is learned but that it runs.
        seconds (`float`): What all of it may take. What is not begun by then is left out.
    """

    def __init__(self, device: str, is_quick: bool, seconds: float):
        self.device = device
        self.is_quick = is_quick
        self.deadline = time.monotonic() + seconds

    @property
    def is_cuda(self) -> bool:
        return self.device == "cuda"

    def has_time(self, reserve: float = 0.0) -> bool:
        """Whether there is time for more, if so many seconds are wanted afterwards."""
        return self.is_quick or time.monotonic() + reserve < self.deadline

    def describe(self) -> dict:
        """What was measured on."""
        name = torch.cuda.get_device_name() if self.is_cuda else "CPU"
        memory = torch.cuda.get_device_properties(0).total_memory if self.is_cuda else None
        return {"device": name, "memory": memory, "torch": torch.__version__, "is_quick": self.is_quick}


@contextmanager
def without_tf32():
    """float32 that is not rounded to TF32 on the way into products."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
