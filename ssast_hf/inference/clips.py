"""What a caller passes as a clip: numbers, a file, or a row of `datasets`; read as far as it is needed."""

import os
from collections.abc import Callable, Mapping
from reprlib import repr as shortened
from typing import NamedTuple

import numpy as np
import torch

from ..audio.decoding import audio_packages, load_window, read_header
from ..audio.opening import open_recording


# Keys of a dictionary that is one clip, as `datasets.Audio` makes it, decoded or not.
ARRAY, BYTES, PATH = "array", "bytes", "path"
# Columns of a table that may hold clips, in the order of preference.
COLUMNS = ("audio", "path", "file", "array")


class Waveform(NamedTuple):
    """A clip in memory: `samples` `(num_samples,)`, float32, at the model's rate."""

    name: str
    samples: np.ndarray

    @property
    def num_samples(self) -> int:
        return len(self.samples)

    def read(self, begin: int, end: int) -> np.ndarray:
        return self.samples[begin:end]


class AudioFile(NamedTuple):
    """A recording as from [`as_recording`], and how many samples its header says that it has at the model's rate."""

    recording: dict
    num_samples: int
    sampling_rate: int

    @classmethod
    def open(cls, recording: dict, sampling_rate: int) -> "AudioFile":
        """ValueError if it is no readable audio, OSError if there is no such file."""
        with open_recording(recording) as file:
            return cls(recording, read_header(file, recording["name"], sampling_rate)[0], sampling_rate)

    @property
    def name(self) -> str:
        return self.recording["name"]

    def read(self, begin: int, end: int, read: Callable | None = None) -> np.ndarray:
        """Samples `begin` to `end`, all of them, float32; errors and `read` as of [`load_window`]."""
        audio = load_window(self.recording, self.sampling_rate, begin, end, 1, self.num_samples, read)
        return np.pad(audio, (0, end - begin - len(audio)))  # resampling may miss the last ones


def is_batch(clips) -> bool:
    """Whether something is several clips: a list of anything but numbers, or an array with two axes."""
    if isinstance(clips, (np.ndarray, torch.Tensor)):
        return clips.ndim == 2 or clips.dtype == object
    return isinstance(clips, (list, tuple)) and not (len(clips) and isinstance(clips[0], (int, float, np.number)))


def is_table(clips) -> bool:
    """Whether something is columns of several clips, as `datasets.map` and Ray pass them, and not one clip."""
    return isinstance(clips, Mapping) and ARRAY not in clips and any(map(is_batch, clips.values()))


def column_of(table: dict) -> list:
    """The clips in a dictionary of columns."""
    for name in COLUMNS:
        if name in table:
            return list(table[name])
    raise ValueError(f"The table has the columns {', '.join(map(repr, table))}, none of them {' or '.join(COLUMNS)}.")


def to_clip(clip, name: str, sampling_rate: int, expected: int) -> Waveform | AudioFile:
    """
    Args:
        clip: Numbers `(num_samples,)`, floating point; the path of an audio file; or a dictionary with `array` and
            `sampling_rate`, with `bytes`, or with `path`.
        name (`str`): For messages, unless it is a file.
        sampling_rate (`int`): Of numbers that come without one, in Hz. They are resampled if it is not the expected.
        expected (`int`): In Hz.

    Raises:
        ValueError: If it is none of these, not mono, not floating point or not finite.
        OSError: If there is no such file.
    """
    if isinstance(clip, (str, os.PathLike)):
        return AudioFile.open({"name": str(clip), "path": str(clip)}, expected)
    if not isinstance(clip, Mapping):
        return Waveform(name, to_samples(clip, name, sampling_rate, expected))
    if clip.get(ARRAY) is not None:
        return to_clip(clip[ARRAY], name, clip.get("sampling_rate") or sampling_rate, expected)
    if clip.get(BYTES) is not None:
        return AudioFile.open({"name": str(clip.get(PATH) or name), "bytes": clip[BYTES]}, expected)
    if clip.get(PATH) is not None:
        return to_clip(clip[PATH], name, sampling_rate, expected)
    raise ValueError(f"{name} has {', '.join(map(repr, clip)) or 'nothing'}; expected {ARRAY}, {BYTES} or {PATH}.")


def to_samples(clip, name: str, sampling_rate: int, expected: int) -> np.ndarray:
    """Numbers as mono float32 samples `(num_samples,)` at the `expected` rate; arguments and errors as above."""
    try:
        wave = clip.detach().cpu().float().numpy() if isinstance(clip, torch.Tensor) else np.asarray(clip)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no audio: {shortened(clip)}.") from error
    if wave.ndim != 1 or wave.dtype.kind != "f":
        raise ValueError(
            f"{name} has the shape {wave.shape} and the type {wave.dtype}; expected mono floating point, "
            "(num_samples,). Mix channels with audio.mean(axis=channel_axis); divide integers by their full scale."
        )
    wave = wave.astype(np.float32)
    if not np.isfinite(wave).all():
        raise ValueError(f"{name} holds NaN or infinite samples; repair or drop it.")
    if sampling_rate == expected or not len(wave):
        return wave
    _, soxr = audio_packages()
    return soxr.resample(wave, sampling_rate, expected)
