"""Recordings in, decoded windows out, in the order of the sources: headers in threads, audio in workers."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ...audio.decoded import BYTES_PER_SAMPLE, DecodedFiles, room_in
from ...audio.decoding import read_header
from ...audio.opening import open_recording
from ...storage.guards import NoRoom
from ..clips import AudioFile
from ..stitching import Window
from ..windowed import LOOK_AHEAD, WindowedModel


# Headers are read before their recordings are needed: by so many threads, and so many.
HEADER_THREADS, HEADERS_AHEAD = 4, 16
NO_STEPS = Window(0, 0, 0, 0)


class Item(NamedTuple):
    """A recording of the sources: its place among them, the part that it belongs to, and where it is."""

    part: int
    number: int
    recording: dict


class Task(NamedTuple):
    """
    A window to read: of which recording of which part, its length, which steps, and which samples.

    `recording` is `None` where workers find it by its number, or find its samples decoded. Of a recording that cannot
    be used, `problem` says why.
    """

    part: int
    number: int
    name: str
    num_samples: int
    window: Window
    begin: int
    end: int
    is_last: bool
    recording: dict | None = None
    is_decoded: bool = False
    problem: str | None = None


class Header(NamedTuple):
    """Length in samples at the model's rate; whether it was decoded to disk; or what is wrong."""

    num_samples: int
    is_decoded: bool
    problem: str | None


class WindowReader(Dataset):
    """
    Samples of windows by their [`Task`], as pairs of the task, with a `problem` if there is one, and of the samples.

    Args:
        recordings ([`Recordings`], *optional*): By number; none of a stream.
        model ([`WindowedModel`]): Says how recordings are divided.
        folder (`Path`): Where to decode what cannot be entered in the middle.
    """

    def __init__(self, recordings, model: WindowedModel, folder: Path):
        self.recordings = recordings
        self.sampling_rate = model.feature_extractor.sampling_rate
        self.decoded = DecodedFiles(folder, self.sampling_rate)
        self.in_use: list[str] = []
        self.divide = model.windows_of
        self.is_long = model.is_long

    def __getstate__(self) -> dict:
        # Workers need neither the model nor what belongs to it.
        return self.__dict__ | {"divide": None, "is_long": None}

    def __getitem__(self, task: Task) -> tuple[Task, np.ndarray | None]:
        if task.problem is not None:
            return task, None
        recording = task.recording or {"name": task.name}
        if task.recording is None and not task.is_decoded:
            recording = self.recordings[task.number]
        file = AudioFile(recording, task.num_samples, self.sampling_rate)
        task = task._replace(recording=None)  # not to be sent back
        try:
            return task, file.read(task.begin, task.end, self.decoded.read if task.is_decoded else None)
        except (ValueError, OSError) as error:
            return task._replace(problem=str(error)), None

    def header(self, item: Item) -> Header:
        """The header of a recording. What is long and cannot be entered is decoded to disk, if there is room."""
        name = item.recording["name"]
        try:
            with open_recording(item.recording) as file:
                num_samples, is_entered = read_header(file, name, self.sampling_rate)
        except (ValueError, OSError) as error:
            return Header(0, False, str(error))
        is_sent = self.recordings is None and item.recording.get("bytes") is not None  # to a worker, per window
        if not self.is_long(num_samples) or (is_entered and not is_sent):
            return Header(num_samples, False, None)
        if BYTES_PER_SAMPLE * num_samples > room_in(self.decoded.folder):
            return Header(num_samples, False, None)  # slow, but possible
        self.decoded.samples[name] = num_samples
        self.in_use.append(name)
        try:
            self.decoded.read(item.recording, 0, 0)
        except NoRoom:
            self.finish(name)
            return Header(num_samples, False, None)  # others took what was free
        except (ValueError, OSError) as error:
            self.finish(name)
            return Header(num_samples, False, str(error))
        return Header(num_samples, True, None)

    def finish(self, name: str):
        """Forget a recording that was decoded to disk, unless it is there twice."""
        if name in self.in_use:
            self.in_use.remove(name)
            if name not in self.in_use:
                self.decoded.remove(name)

    def tasks(self, items: Iterable[Item]) -> Iterator[Task]:
        """The windows of recordings, one recording after the other."""
        for item, header in in_advance(self.header, items):
            name, num_samples = item.recording["name"], header.num_samples
            task = Task(item.part, item.number, name, num_samples, NO_STEPS, 0, 0, True, problem=header.problem)
            if header.problem is not None:
                yield task
                continue
            try:
                windows = self.divide(num_samples, name)
            except ValueError as error:
                yield task._replace(problem=str(error))
                continue
            task = task._replace(is_decoded=header.is_decoded)
            if self.recordings is None and not header.is_decoded:
                task = task._replace(recording=item.recording)
            for place, (window, begin, end) in enumerate(windows, start=1):
                yield task._replace(window=window, begin=begin, end=end, is_last=place == len(windows))


def in_advance(function: Callable, items: Iterable) -> Iterator[tuple]:
    """Items with what a function makes of them, in their order, computed by threads a few items ahead."""
    waiting: deque = deque()
    with ThreadPoolExecutor(HEADER_THREADS) as threads:
        for item in items:
            waiting.append((item, threads.submit(function, item)))
            if len(waiting) > HEADERS_AHEAD:
                item, future = waiting.popleft()
                yield item, future.result()
        while waiting:
            item, future = waiting.popleft()
            yield item, future.result()


def read_windows(reader: WindowReader, items: Iterable[Item], model: WindowedModel, num_workers: int) -> Iterable:
    """
    The windows of recordings in their order, as from [`WindowReader`], decoded by workers while others are encoded.
    """
    options = {}
    if num_workers:
        # While some batches are encoded, as many are decoded.
        options["prefetch_factor"] = max(LOOK_AHEAD * model.batch_size // num_workers, 2)
    # Of type "sampler" is whatever says what to read.
    tasks: Iterable = reader.tasks(items)
    return DataLoader(reader, None, sampler=tasks, num_workers=num_workers, collate_fn=as_it_is, **options)  # type: ignore


def as_it_is(item):
    return item
