"""Parts of a result, made one after the other from the recordings that belong to them."""

import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.bad_files import BadFiles
from ...audio.recordings import as_recording
from ...configuration_ssast import SSASTConfig
from ...storage.guards import FULL
from ..embedder import Embedder
from ..stitching import Window
from ..windowed import Piece
from .parts import Extent, Origin, PartWriter, new_part, numbers_in, path_of, schema_of
from .reading import Item, Task, WindowReader, read_windows


# Programs that read a folder of parquet files leave out what begins with an underscore.
SKIPPED_LIST = "_skipped_files.txt"
WORKERS_ON_CPU, MOST_WORKERS = 2, 8


@dataclass
class Job:
    """
    What every process that makes parts has to know; it can be pickled.

    Args:
        recordings ([`Recordings`]): Of all sources; or a stream.
        source (`str`): What they are called together, for messages.
        folder (`Path`): Where the parts are.
        origin ([`Origin`]): What they are made of.
        options (`dict`): Of the [`Embedder`], besides its model.
        num_workers (`int`, *optional*): Processes that decode; by default as many as suit the model's device.
        bad_files (`dict`): Options of [`BadFiles`].
        working_folder (`str`): What relative paths are relative to.
    """

    recordings: Any
    source: str
    folder: Path
    origin: Origin
    options: dict
    num_workers: int | None
    bad_files: dict
    working_folder: str = field(default_factory=os.getcwd)

    @property
    def is_stream(self) -> bool:
        return not hasattr(self.recordings, "__len__")

    @property
    def size(self) -> int:
        """How many recordings belong to a part."""
        return self.origin.settings["recordings_per_part"]

    def numbers(self, part: int) -> range:
        """Which recordings a part is of."""
        return range(part * self.size, min((part + 1) * self.size, len(self.recordings)))

    def items(self, parts: Iterable[int]) -> Iterator[Item]:
        """The recordings of parts."""
        return (Item(part, number, self.recordings[number]) for part in parts for number in self.numbers(part))

    def streamed_items(self, there: dict[int, Extent]) -> Iterator[Item]:
        """
        The recordings of a stream, without those of parts that are there.

        Raises:
            ValueError: If those were made of another stream.
        """
        for number, row in enumerate(self.recordings):
            part = number // self.size
            recording = as_recording(row, self.source, number)
            if part in there:
                check_place(path_of(self.folder, part), there[part], number, recording["name"])
            else:
                yield Item(part, number, recording)


def check_place(path: Path, extent: Extent, number: int, name: str):
    """ValueError if a recording that now belongs to a part is not the one that it was made of."""
    expected = {extent.begin: extent.first, extent.end - 1: extent.last}.get(number, name)
    if not extent.begin <= number < extent.end or name != expected:
        was = expected if name != expected else "none"
        raise ValueError(
            f"{path} was made of other recordings: number {number + 1} of the sources is now {name}, and was {was}. "
            f"Choose another --output, or delete {path.parent}."
        )


def embed_parts(job: Job, embedder: Embedder, items: Iterable[Item]) -> Iterator[float]:
    """
    Write the parts that recordings belong to. Yields, per recording, the seconds that were embedded.

    Raises:
        ValueError: If recordings cannot be used, and that is not to be.
        OSError: If a part cannot be written.
    """
    decoded = job.folder / f".decoded-{platform.node()}-{os.getpid()}"
    reader = WindowReader(None if job.is_stream else job.recordings, embedder, decoded)
    bad_files = BadFiles(job.folder / SKIPPED_LIST, **job.bad_files)
    schema = schema_of(embedder.width, embedder.level, job.origin)
    num_workers = job.num_workers
    if num_workers is None:
        is_cpu = embedder.device.type == "cpu"
        num_workers = WORKERS_ON_CPU if is_cpu else min(MOST_WORKERS, os.cpu_count() or 1)
    windows = read_windows(reader, items, embedder, num_workers)
    try:
        for number, group in groupby(windows, key=lambda pair: pair[0].part):
            pieces = (Piece(task, task.window, samples) for task, samples in group)
            with told_when_full(job.folder), new_part(path_of(job.folder, number), schema) as part:
                ends: list[Task] = []
                for task in write_recordings(embedder, pieces, part):
                    bad_files.add([] if task.problem is None else [(task.name, task.problem)], task.problem is None)
                    reader.finish(task.name)
                    ends = [*ends[:1], task]
                    yield 0.0 if task.problem else task.num_samples / reader.sampling_rate
                part.close(Extent(ends[0].number, ends[-1].number + 1, ends[0].name, ends[-1].name))
    finally:
        shutil.rmtree(decoded, ignore_errors=True)


@contextmanager
def told_when_full(folder: Path):
    """An OSError for want of room on a disk says what there is, and how to go on."""
    try:
        yield
    except OSError as error:
        cause: BaseException | None = error
        while cause is not None and not (isinstance(cause, OSError) and cause.errno in FULL):
            cause = cause.__cause__
        if cause is None:
            raise
        done = len(numbers_in(folder))
        raise OSError(f"{error} The same command goes on; parts that are whole stay, {done} so far.") from error


def write_recordings(embedder: Embedder, pieces: Iterable[Piece], part: PartWriter) -> Iterator[Task]:
    """Add the rows of recordings to a part; yields the last task of each, with the first problem of any."""
    config, rate = embedder.encoder.config, embedder.feature_extractor.sampling_rate
    results: list[np.ndarray] = []
    problem = None
    for piece, result in embedder.encode_in_order(pieces):
        task = piece.clip
        problem = problem or task.problem
        if problem is None and embedder.level == "clip":
            results.append(result)
        elif problem is None:
            part.add(task.name, *bounds_of(task.window, config), result)
        if not task.is_last:
            continue
        if results and problem is None:
            part.add(task.name, np.zeros(1), np.array([task.num_samples / rate]), embedder.join(results)[None])
        yield task._replace(problem=problem)
        results, problem = [], None


def bounds_of(window: Window, config: SSASTConfig) -> tuple[np.ndarray, np.ndarray]:
    """Where the steps that are kept of a window begin and end in the recording, in seconds, (num_steps,) each."""
    shift, length = config.frame_seconds
    starts = np.arange(window.first, window.last) * config.time_stride * shift
    return starts, starts + (config.patch_shape[1] - 1) * shift + length
