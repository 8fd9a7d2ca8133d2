"""What ends a run early: SIGTERM and SIGUSR1, which save a checkpoint, and its minutes, which leave a result."""

import os
import signal
import threading
import time
from datetime import timedelta

import torch


# "Try again", EX_TEMPFAIL of sysexits.h: training is not finished, and nothing is wrong with it.
EXIT_STATUS = 75
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
# A launcher and the cluster above it may both pass on the same signal. What comes within so many seconds is that one.
SAME_SIGNAL = 1.0


class Stopped(Exception):
    """Training ended before its last step, because it was asked to."""


class StopRequest:
    """
    Takes note of SIGTERM and SIGUSR1 while it is a context; a second one, a second later or more, ends the process.

    Under several processes the signal may reach any of them. [`agreed`] tells all of them the same at the same place,
    and so does [`time_is_up`].

    Args:
        max_minutes (`float`, *optional*): How long the run may take, from here on and in what came before.
    """

    def __init__(self, max_minutes: float | None = None):
        self.max_seconds = None if max_minutes is None else 60 * max_minutes
        self.received: float | None = None
        self.group = None
        self.before: dict = {}
        self.began = time.monotonic()
        self.seconds_before = 0.0  # of the run that this one goes on with

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # only there Python sets handlers
            self.before = {number: signal.signal(number, self.receive) for number in SIGNALS}
        return self

    def __exit__(self, *exception):
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def receive(self, number, frame):
        now = time.monotonic()
        if self.received is None:
            self.received = now
        elif now - self.received > SAME_SIGNAL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def connect(self, seconds: float):
        """Let all processes agree, through a group of their own on the CPU, so that no device is waited for."""
        if torch.distributed.is_initialized():
            self.group = torch.distributed.new_group(backend="gloo", timeout=timedelta(seconds=seconds))

    def agreed(self) -> bool:
        """Whether any process has been asked to stop; to be called by all of them."""
        return self.any_says(self.received is not None)

    def seconds(self) -> float:
        """How long the run has taken, interruptions not counted."""
        return self.seconds_before + time.monotonic() - self.began

    def time_is_up(self) -> bool:
        """Whether the run has taken as long as it may; to be called by all processes."""
        return self.max_seconds is not None and self.any_says(self.seconds() >= self.max_seconds)

    def any_says(self, answer: bool) -> bool:
        if self.group is None:
            return answer
        flag = torch.tensor(int(answer))
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX, group=self.group)
        return bool(flag)


def shield_worker(number: int = 0):
    """
    Let a worker that reads data end with its process alone: a cluster sends SIGTERM to all processes of a job, and
    without its workers the run could not reach the end of its step.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=end_when_told_by, args=(os.getppid(),), daemon=True).start()


def end_when_told_by(parent: int):
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
