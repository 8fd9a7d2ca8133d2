"""Log-mel features of recordings, computed once and kept on disk in half precision."""

import copy
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from ..storage.guards import reading, writing
from .lengths import SLOW, version_of


# Frames that are decoded at once, five minutes, and those that are computed at once, which fit into the processor's
# cache.
PIECE, CHUNK = 1 << 15, 1 << 10
BYTES_PER_VALUE = 2  # float16
# The logarithm of the least energy that the feature extractor tells from none.
LOWEST = np.float32(np.log(np.finfo(np.float32).eps))
FEATURES, INDEX = "features.f16", "index.jsonl"
# Of what is kept: another one if the same recording has other features.
VERSION = 2
# Below this a value is the floor, rounded.
FLOOR = LOWEST + np.float32(0.01)


class UnusableRecording(ValueError):
    """A recording has no features."""


class CachedFeatures:
    """
    Features of recordings, (num_frames, num_mel_bins) each, before padding and normalisation. A frame depends on its
    25 ms alone, so that a window has the frames of its recording from where it begins, on a grid of 10 ms.

    Args:
        folder (`str` or `Path`): Where they are kept: a file of all, and a line of JSON per recording, in their order.
        feature_extractor ([`SSASTFeatureExtractor`]): Makes them.
    """

    def __init__(self, folder, feature_extractor):
        self.folder = Path(folder)
        self.extractor = copy.copy(feature_extractor)
        self.extractor.do_normalize = False  # so that other statistics need no other cache
        self.extractor.min_frames = None  # nor other patches
        self.shift = self.extractor.num_samples(2) - self.extractor.num_samples(1)
        names = ("sampling_rate", "num_mel_bins")
        self.settings = {"version": VERSION} | {name: getattr(self.extractor, name) for name in names}
        # Name -> first frame, number of frames, and what is wrong with it, if anything is.
        self.places: dict[str, tuple[int, int, str | None]] = {}
        self.total = 0  # frames

    def fill(self, recordings, lengths: np.ndarray, crop: Callable):
        """
        Compute what is not there yet; what an interrupted run computed is used.

        Args:
            recordings ([`Recordings`]): All that are asked for later.
            lengths (`np.ndarray`): In samples, from their headers; 0 if unknown.
            crop (`Callable`): Decodes them; [`Cropper.crop`].

        Raises:
            ValueError: If the folder holds features of other recordings or settings.
            OSError: If they cannot be written, or if a recording cannot be read for now; a missing one is unusable.
        """
        with writing(self.folder / INDEX):
            self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "_lock"):
            lines = self.read_index()
            for number, (name, version, *_) in enumerate(lines):
                self.check(name, version, recordings[number] if number < len(recordings) else None)
            self.remember(lines)
            path, index = self.folder / FEATURES, self.folder / INDEX
            rest = tqdm(range(len(lines), len(recordings)), desc="features", unit="file", delay=SLOW)
            with writing(path), path.open("ab") as features, index.open("a", encoding="utf-8") as file:
                features.truncate(self.total * self.bytes_per_frame)  # what no line tells of
                for number in rest:
                    recording = recordings[number]
                    count, fault = 0, None
                    try:
                        for piece in self.compute(recording, int(lengths[number]), crop):
                            features.write(piece.tobytes())
                            count += len(piece)
                    except UnusableRecording as error:
                        features.truncate(self.total * self.bytes_per_frame)
                        count, fault = 0, str(error)
                    features.flush()  # before the line that tells of it
                    line = [recording["name"], version_of_recording(recording), count, fault]
                    file.write(json.dumps(line) + "\n")
                    file.flush()
                    self.remember([line])

    @property
    def bytes_per_frame(self) -> int:
        return BYTES_PER_VALUE * self.settings["num_mel_bins"]

    def read_index(self) -> list[list]:
        """A line per recording that is there: name, version, number of frames, what is wrong with it."""
        path = self.folder / INDEX
        if not path.exists():
            if any(each.name != "_lock" for each in self.folder.iterdir()):
                raise ValueError(f"--cache_features {self.folder} holds something else; name another folder.")
            path.write_text(json.dumps(self.settings) + "\n", encoding="utf-8")
        with reading(path, "an index of cached features", "Delete the folder."):
            text = path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            if whole != text:  # killed while it wrote
                path.write_text(whole, encoding="utf-8")
            settings, *lines = [json.loads(line) for line in whole.splitlines()]
            lines = [[str(name), str(version), int(count), fault] for name, version, count, fault in lines]
        before = {name: settings.get(name) for name in self.settings}
        changed = [
            f"{name} {before[name]}, now {value}" for name, value in self.settings.items() if before[name] != value
        ]
        if changed:
            raise ValueError(
                f"--cache_features {self.folder} is of other settings ({'; '.join(changed)}). Delete it, or "
                "name another folder."
            )
        size = sum(count for *_, count, _ in lines) * self.bytes_per_frame
        path = path.with_name(FEATURES)
        if lines and (not path.exists() or path.stat().st_size < size):
            raise ValueError(f"{path} is shorter than its index says; delete {self.folder}.")
        return lines

    def check(self, name: str, version: str, recording: dict | None):
        """ValueError if features in the cache are not those of the recording that belongs there."""
        if recording is None or recording["name"] != name:
            here = "nothing" if recording is None else recording["name"]
            raise ValueError(
                f"--cache_features {self.folder} is of other audio: it has {name} where this run has {here}. Delete "
                "it, or name another folder."
            )
        if version_of_recording(recording) != version:
            raise ValueError(
                f"--cache_features {self.folder}: {name} has changed since. Delete the folder, or name another one."
            )

    def remember(self, lines: list[list]):
        for name, _, count, fault in lines:
            if name not in self.places:
                self.places[name] = (self.total, count, fault)
            self.total += count

    def compute(self, recording: dict, samples: int, crop: Callable):
        """The features of a recording, in pieces, (num_frames, num_mel_bins) each."""
        frames = max(self.extractor.num_frames(samples), 1) if samples else PIECE
        count = max(frames // PIECE, 1)  # the last piece takes what is left, which may be too short by itself
        for number in range(count):
            end = frames if number == count - 1 else (number + 1) * PIECE
            first, last = number * PIECE * self.shift, self.extractor.num_samples(end)
            try:
                audio = crop(recording, first, last, samples if count > 1 else 0, self.extractor.num_samples(1))
            except (ValueError, FileNotFoundError) as error:
                raise UnusableRecording(str(error)) from error
            yield self.features(audio)

    def features(self, audio: np.ndarray) -> np.ndarray:
        """Features (num_frames, num_mel_bins) of samples (num_samples,), as they are kept."""
        frames = max(self.extractor.num_frames(len(audio)), 1)
        chunks = (
            audio[first * self.shift : self.extractor.num_samples(min(first + CHUNK, frames))]
            for first in range(0, frames, CHUNK)
        )
        options = {"padding": False, "truncation": False, "return_tensors": "np"}
        rate = self.extractor.sampling_rate
        return np.concatenate(
            [self.extractor(chunk, rate, **options)["input_values"][0].astype(np.float16) for chunk in chunks]
        )

    def values(self) -> np.ndarray:
        """All features that are there, one recording after the other, (num_frames, num_mel_bins), from the disk."""
        shape = (self.total, self.settings["num_mel_bins"])
        return np.memmap(self.folder / FEATURES, np.float16, "r", shape=shape)

    def window(self, name: str, begin: int, end: int, shortest: int, gain: float = 0.0) -> np.ndarray:
        """
        The features of samples `begin` to `end` of a recording, made louder by `gain` dB, (num_frames, num_mel_bins).

        Raises:
            ValueError: If the recording is unusable, or if less than `shortest` samples are left of it there.
        """
        start, count, fault = self.places[name]
        if fault is not None:
            raise ValueError(fault)
        first = begin // self.shift
        number = min(self.extractor.num_frames(end - begin), count - first)
        if number < (least := self.extractor.num_frames(shortest)):
            second = begin / self.extractor.sampling_rate
            raise ValueError(
                f"{name} is too short: {max(number, 0)} frames from second {second:.1f} on, one patch takes {least}"
            )
        bins = self.settings["num_mel_bins"]
        values = np.fromfile(
            self.folder / FEATURES, np.float16, number * bins, offset=(start + first) * self.bytes_per_frame
        )
        values = values.reshape(number, bins)
        if not gain:
            return values
        # What is louder has more energy in each bin, but silence; the least energy is the feature extractor's.
        shifted = np.maximum(values + np.float32(gain * math.log(10) / 10), LOWEST)
        return np.where(values > FLOOR, shifted, LOWEST)


def version_of_recording(recording: dict) -> str:
    """Changes whenever a file, or the audio in a table, does."""
    if (content := recording.get("bytes")) is not None:
        return hashlib.sha256(memoryview(content)).hexdigest()[:32]
    if recording.get("path") is None:
        return "missing"
    where = f"{recording['offset']} " if recording.get("offset") is not None else ""
    return where + version_of(recording.get("archive") or recording["path"])
