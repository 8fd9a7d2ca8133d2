"""Audio files in, waveforms out."""

from importlib.resources import files
from pathlib import Path

import numpy as np


def load_audio(path, sampling_rate: int = 16000) -> np.ndarray:
    """
    Read an audio file as the models expect it: mono, at their sampling rate.

    Args:
        path (`str` or `Path`): Any format that libsndfile reads: WAV, FLAC, OGG, MP3, ...
        sampling_rate (`int`, defaults to 16000): Wanted rate in Hz; the file is resampled if it has another.

    Returns:
        `np.ndarray` of shape `(num_samples,)`, float32, within [-1, 1] for integer formats.

    Raises:
        ValueError: If the file is no readable audio.
        OSError: If there is no such file.
    """
    try:
        import soundfile
        import soxr
    except ImportError as error:
        raise ImportError(
            f"Reading audio files needs {error.name}: pip install soundfile soxr, or install ssast_hf with [train]."
        ) from error

    with Path(path).open("rb") as file:
        try:
            audio, rate = soundfile.read(file, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path} is no readable audio file ({error.error_string})") from error
    audio = audio.mean(axis=1)
    return audio if rate == sampling_rate else soxr.resample(audio, rate, sampling_rate)


def bundled_clips() -> list[Path]:
    """Paths of the eight short recordings in the package; `assets/clips/README.md` has sources and licences."""
    folder = Path(str(files(__package__))) / "assets" / "clips"
    return sorted(path for path in folder.iterdir() if path.suffix in (".flac", ".wav"))
