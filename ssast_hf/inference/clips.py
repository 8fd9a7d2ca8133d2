"""What a caller passes as a clip, as a waveform: numbers, a file, or a row of `datasets`."""

import io
import os
from collections.abc import Mapping
from reprlib import repr as shortened

import numpy as np
import torch

from ..audio.decoding import audio_packages, decode_audio, load_audio


# Keys of a dictionary that is one clip, as `datasets.Audio` makes it, decoded or not.
ARRAY, BYTES, PATH = "array", "bytes", "path"


def is_batch(clips) -> bool:
    """Whether something is several clips: a list of anything but numbers, or an array with two axes."""
    if isinstance(clips, (np.ndarray, torch.Tensor)):
        return clips.ndim == 2 or clips.dtype == object
    return isinstance(clips, (list, tuple)) and not (len(clips) and isinstance(clips[0], (int, float, np.number)))


def is_table(clips) -> bool:
    """Whether something is columns of several clips, as `datasets.map` and Ray pass them, and not one clip."""
    return isinstance(clips, Mapping) and ARRAY not in clips and any(map(is_batch, clips.values()))


def to_waveform(clip, name: str, sampling_rate: int, expected: int) -> np.ndarray:
    """
    A clip as mono float32 samples `(num_samples,)` at the `expected` rate.

    Args:
        clip: Numbers `(num_samples,)`, floating point; the path of an audio file; or a dictionary with `array` and
            `sampling_rate`, with `bytes`, or with `path`.
        name (`str`): For messages.
        sampling_rate (`int`): Of numbers that come without one, in Hz. They are resampled if it is not the expected.
        expected (`int`): In Hz.

    Raises:
        ValueError: If it is none of these, not mono, not floating point or not finite.
        OSError: If there is no such file.
    """
    if isinstance(clip, (str, os.PathLike)):
        return load_audio(clip, expected)
    if isinstance(clip, Mapping):
        if clip.get(ARRAY) is not None:
            return to_waveform(clip[ARRAY], name, clip.get("sampling_rate") or sampling_rate, expected)
        if clip.get(BYTES) is not None:
            return decode_audio(io.BytesIO(clip[BYTES]), str(clip.get(PATH) or name), expected)
        if clip.get(PATH) is not None:
            return load_audio(clip[PATH], expected)
        raise ValueError(f"{name} has {', '.join(map(repr, clip)) or 'nothing'}; expected {ARRAY}, {BYTES} or {PATH}.")
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
