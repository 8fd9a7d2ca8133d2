"""What was recorded, dropped or picked, read as far as it is shown; and what there is to say about it."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..audio.decoding import audio_packages, opened
from ..audio.opening import open_file
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.clips import AudioFile


# Quieter than this, samples within [-1, 1] are nothing that anybody hears.
SILENCE = 1e-4
SILENT = "This is silence, or nearly"


@dataclass
class Part:
    """
    A part of a recording, as a model hears it.

    Args:
        samples (`np.ndarray` of shape `(num_samples,)`): Mono, float32, at the model's rate.
        begin (`float`): Where it begins, in seconds.
        notes (`list[str]`): Sentences about it, for people.
    """

    samples: np.ndarray
    begin: float
    notes: list[str] = field(default_factory=list)


def open_sound(path: str | None, sampling_rate: int) -> tuple[AudioFile, list[str]]:
    """
    A recording, of which nothing but the header is read yet, and what to say about its format.

    Raises:
        ValueError: If there is none, or if it is no readable audio.
        OSError: If there is no such file.
    """
    if path is None:
        raise ValueError("Record, drop or pick a clip first.")
    name = Path(path).name
    with open_file(path) as file, opened(file, name) as sound:
        rate, channels = sound.samplerate, sound.channels
    notes = []
    if channels > 1:
        notes.append(f"Its {channels} channels were mixed down to one.")
    if rate != sampling_rate:
        notes.append(f"It was resampled from {rate:,} to {sampling_rate:,} Hz.")
    return AudioFile.open({"name": name, "path": path}, sampling_rate), notes


def read_part(path: str | None, extractor: SSASTFeatureExtractor, fewest: int, most: int, begin: float = 0.0) -> Part:
    """
    Read what a model looks at together.

    Args:
        path (`str`, *optional*): The audio file.
        extractor ([`SSASTFeatureExtractor`]): Of the model.
        fewest, most (`int`): Frames of one patch, and of what the model was trained on.
        begin (`float`, defaults to 0): From which second on; if the recording ends before, its last part.

    Raises:
        ValueError: If there is no file, if it is no audio, or if it is shorter than a patch.
        OSError: If there is no such file.
    """
    rate = extractor.sampling_rate
    clip, notes = open_sound(path, rate)
    shortest, longest = extractor.num_samples(fewest), extractor.num_samples(most)
    if clip.num_samples < shortest:
        raise ValueError(
            f"{clip.name} is {clip.num_samples / rate:.2f} s long, too short for this model, which needs "
            f"{shortest / rate:.2f} s. Take a longer clip."
        )
    begin = min(max(begin, 0.0), clip.num_samples / rate)
    first = min(round(begin * rate), max(clip.num_samples - longest, 0))
    last = min(first + longest, clip.num_samples)
    samples = clip.read(first, last)
    total = clip.num_samples / rate
    if last - first < clip.num_samples:
        notes.insert(0, f"It is {in_words(total)} long; this is from {first / rate:.1f} to {last / rate:.1f} s.")
    if is_silent(samples):
        notes.append(f"{SILENT}: its patches look alike, so there is nothing to tell apart.")
    return Part(samples, first / rate, notes)


def frame_shift(extractor: SSASTFeatureExtractor) -> float:
    """Seconds from one frame to the next; at some rates 10 ms are no whole samples."""
    return (extractor.num_samples(2) - extractor.num_samples(1)) / extractor.sampling_rate


def is_silent(samples: np.ndarray | None) -> bool:
    """Whether there is nothing in samples, if there are any, that anybody would hear."""
    return samples is None or bool(np.abs(samples).max(initial=0.0) < SILENCE)


def in_words(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def as_wav(samples: np.ndarray, sampling_rate: int) -> bytes:
    """Samples (num_samples,) as the content of a WAV file; what is beyond full scale is made quieter."""
    soundfile, _ = audio_packages()
    buffer = io.BytesIO()
    loudest = max(float(np.abs(samples).max(initial=0.0)), 1.0)
    soundfile.write(buffer, samples / loudest, sampling_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
