"""Runs cases in child processes with a limit of memory and of time, and says of each what became of it."""

import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch

from .archives import archive
from .checkpoints import checkpoint
from .features import features
from .folders import model_folder, stock_folder
from .lists import special_source
from .manifests import manifest
from .sounds import audio_file
from .verdicts import GOOD, Trial, Verdict, judge


# Kind of input -> what makes one of it. A case's number says which: the kinds take turns.
KINDS = {
    "checkpoint": checkpoint,
    "model folder": model_folder,
    "stock AST folder": stock_folder,
    "audio file": audio_file,
    "manifest or folder": manifest,
    "archive": archive,
    "features": features,
}
# Forked from a process that has imported everything.
FORK = multiprocessing.get_context("fork")
# How many cases a child runs before the next one takes over, so that nothing that one leaves behind adds up.
CASES_PER_CHILD = 100


@dataclass
class Limits:
    """What one case may take: seconds of the clock, and bytes of memory beyond what the process has."""

    seconds: float = 30.0
    memory: int = 1 << 29


@dataclass
class Child:
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    left: deque[int]
    started: float = field(default_factory=time.monotonic)


def kind_of(number: int) -> str:
    return list(KINDS)[number % len(KINDS)]


def run_cases(
    numbers: Iterable[int], seed: int, seeds: Path, work: Path, limits: Limits, processes: int
) -> Iterator[tuple[int, Verdict]]:
    """
    Run cases and yield their numbers and verdicts, in the order in which they end. The folder of a case that ends
    badly stays in `work`, under the case's number.
    """
    waiting = deque(numbers)
    children: list[Child] = []
    try:
        while waiting or children:
            while waiting and len(children) < processes:
                cases = deque(waiting.popleft() for _ in range(min(CASES_PER_CHILD, len(waiting))))
                children.append(start(cases, seed, seeds, work, limits))
            ready = wait([child.pipe for child in children], timeout=0.2)
            for child in list(children):
                ended = None
                if child.pipe in ready:
                    try:
                        verdict = child.pipe.recv()
                    except EOFError:
                        child.process.join()
                        ended = Verdict("uncaught", f"the process died ({how(child.process)})", "")
                    else:
                        if isinstance(verdict, str):
                            raise RuntimeError(f"The fuzzer itself failed in case {child.left[0]}:\n{verdict}")
                        yield child.left.popleft(), verdict
                        child.started = time.monotonic()
                elif time.monotonic() - child.started > limits.seconds:
                    ended = Verdict("endless", f"after {limits.seconds:g} s", "")
                if ended is not None or not child.left:
                    stop(child)
                    children.remove(child)
                if ended is not None and child.left:
                    number = child.left.popleft()
                    ended.description = said(work / str(number) / "description.txt")
                    yield number, ended
                    waiting.extendleft(reversed(child.left))
    finally:
        for child in children:
            stop(child)


def said(path: Path) -> str:
    """What a case that did not come to its end wrote about itself."""
    return path.read_text(errors="replace") if path.exists() else "not even written"


def how(process) -> str:
    return signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"exit status {process.exitcode}"


def start(cases: deque[int], seed: int, seeds: Path, work: Path, limits: Limits) -> Child:
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=serve, args=(list(cases), seed, seeds, work, limits, sender), daemon=True)
    process.start()
    sender.close()
    return Child(process, receiver, cases)


def stop(child: Child):
    child.process.kill()
    child.process.join()
    child.pipe.close()


def serve(numbers: list[int], seed: int, seeds: Path, work: Path, limits: Limits, pipe: Connection):
    """What a child does: run its cases one after another and send what became of each."""
    quiet()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + limits.memory, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        try:
            verdict = run_case(number, seed, seeds, work)
        except BaseException:
            pipe.send(traceback.format_exc())
            return
        pipe.send(verdict)
    pipe.close()


def quiet():
    """Warnings and tables of libraries go nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)


def run_case(number: int, seed: int, seeds: Path, work: Path) -> Verdict:
    """Make the input of a case, run it and judge; nothing of it is left unless it ended badly."""
    folder = work / str(number)
    if folder.exists():
        shutil.rmtree(folder)
    for name in ("input", "out", "tmp"):
        (folder / name).mkdir(parents=True)
    trial = make_trial(number, seed, seeds, folder)
    (folder / "description.txt").write_text(trial.description, errors="replace")
    # After the input was made: what the package leaves in it counts.
    tempfile.tempdir = str(folder / "tmp")
    verdict = judge(trial, folder)
    tempfile.tempdir = None
    if verdict.word in GOOD:
        shutil.rmtree(folder)
    return verdict


def make_trial(number: int, seed: int, seeds: Path, folder: Path) -> Trial:
    """The input of a case, which depends on the seed and its number alone."""
    source = random.Random(f"{seed} {number}")
    torch.manual_seed(source.randrange(2**32))
    kind = KINDS[kind_of(number)]
    if kind in (manifest, archive) and source.random() < 0.05:
        kind = special_source
    return kind(source, folder, seeds)
