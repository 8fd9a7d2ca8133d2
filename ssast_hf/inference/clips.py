"""What a caller passes as a clip: numbers, a file, or a row of `datasets`; read as far as it is needed."""

import os
from collections.abc import Callable, Mapping, Sequence
from reprlib import repr as shortened
from typing import NamedTuple

import numpy as np
import torch

from ..audio.decoding import COLUMNS, LOUDEST, audio_packages, load_window, read_header
from ..audio.opening import open_recording
from ..feature_extraction_ssast import looks_like_stereo


# Keys of a dictionary that is one clip, as `datasets.Audio` makes it, decoded or not.
ARRAY, BYTES, PATH, RATE = "array", "bytes", "path", "sampling_rate"


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


def as_list(clips):
    """A column of `datasets`, which is a sequence and no list, as a list; anything else as it is."""
    is_column = isinstance(clips, Sequence) and not isinstance(clips, (str, bytes, list, tuple))
    return list(clips) if is_column else clips


def is_batch(clips) -> bool:
    """Whether something is several clips: a list of anything but numbers, or an array of rows, of paths or of both."""
    if isinstance(clips, np.ndarray):
        return clips.ndim == 2 or (clips.ndim == 1 and clips.dtype.kind in "OUS")
    if isinstance(clips, torch.Tensor):
        return clips.ndim == 2
    return isinstance(clips, (list, tuple)) and not (len(clips) and isinstance(clips[0], (int, float, np.number)))


def check_mono(clips):
    """ValueError for an array that is stereo by its shape, and not two clips: two rows, or two columns."""
    if isinstance(clips, (np.ndarray, torch.Tensor)) and clips.ndim == 2 and looks_like_stereo(clips):
        raise ValueError(
            f"The array has the shape {tuple(clips.shape)}, which looks like stereo; expected mono. Mix the channels "
            "down, for example with audio.mean(axis=channel_axis). If these are two clips, pass a list."
        )


def is_table(clips) -> bool:
    """Whether something is columns of several clips, as `datasets.map` and Ray pass them, and not one clip."""
    if not isinstance(clips, Mapping) or ARRAY in clips:
        return False
    column = audio_column(clips)
    return any(map(is_batch, clips.values() if column is None else [clips[column]]))


def audio_column(table: Mapping) -> str | None:
    """The name of the column that holds clips, if there is one."""
    return next((name for name in COLUMNS if name in table), None)


def rows_of(table: Mapping) -> list:
    """The clips in a dictionary of columns; numbers together with their rate, if a column `sampling_rate` has it."""
    column = audio_column(table)
    if column is None:
        raise ValueError(
            f"The table has the columns {', '.join(map(repr, table))}, none of them {' or '.join(COLUMNS)}."
        )
    clips = list(table[column])
    if RATE not in table:
        return clips
    rates = np.broadcast_to(table[RATE], len(clips)).tolist()
    return [
        clip if isinstance(clip, (str, os.PathLike, Mapping)) else {ARRAY: clip, RATE: rate}
        for clip, rate in zip(clips, rates, strict=True)
    ]


def to_clip(clip, name: str, sampling_rate: int, expected: int) -> Waveform | AudioFile:
    """
    Args:
        clip: Numbers `(num_samples,)`, floating point; the path of an audio file; a dictionary with `array` and
            `sampling_rate`, with `bytes`, or with `path`; or a decoder of torchcodec's, as `datasets` 4 makes them.
        name (`str`): For messages, unless it is a file.
        sampling_rate (`int`): Of numbers that come without one, in Hz. They are resampled if it is not the expected.
        expected (`int`): In Hz.

    Raises:
        ValueError: If it is none of these, not mono, not floating point or not finite.
        OSError: If there is no such file.
    """
    if isinstance(clip, (str, os.PathLike)):
        return AudioFile.open({"name": str(clip), "path": str(clip)}, expected)
    if hasattr(clip, "get_all_samples"):
        samples = clip.get_all_samples()
        return to_clip(samples.data.mean(dim=0), name, samples.sample_rate, expected)
    if not isinstance(clip, Mapping):
        return Waveform(name, to_samples(clip, name, sampling_rate, expected))
    if clip.get(ARRAY) is not None:
        return to_clip(clip[ARRAY], name, clip.get(RATE) or sampling_rate, expected)
    if clip.get(BYTES) is not None:
        return AudioFile.open({"name": str(clip.get(PATH) or name), "bytes": clip[BYTES]}, expected)
    # A path, or a row of a data set, where audio comes before where it was.
    if (column := next((each for each in COLUMNS if clip.get(each) is not None), None)) is not None:
        return to_clip(clip[column], name, sampling_rate, expected)
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
    if not (np.abs(wave) < LOUDEST).all():  # beyond, the features' sums would overflow
        raise ValueError(f"{name} holds NaN, infinite or absurdly large samples; repair or drop it.")
    if sampling_rate == expected or not len(wave):
        return wave
    _, soxr = audio_packages()
    return soxr.resample(wave, sampling_rate, expected)
