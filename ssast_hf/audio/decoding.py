"""Audio files in, waveforms out."""

import io
import os
import stat
from reprlib import repr as shortened
from typing import BinaryIO

import numpy as np

from ..storage.guards import UnreadableFile, reading


AUDIO_SUFFIXES = tuple(".aif .aiff .au .caf .flac .m4a .mp3 .oga .ogg .opus .w64 .wav".split())
# Beyond these a header is damaged, or made to exhaust the memory. In Hz.
LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000
MOST_CHANNELS = 64
# Samples, of all channels, that are decoded at once.
BLOCK = 1 << 22
LOUDEST = 1e12
# Bytes of a path, on Linux.
LONGEST_PATH = 4096
# What libsndfile reports of a file that does not say how long it is lies far beyond.
LONGEST = 2**48


def load_audio(path, sampling_rate: int = 16000) -> np.ndarray:
    """
    Read an audio file as the models expect it: mono, at their sampling rate.

    Args:
        path (`str` or `Path`): Any format that libsndfile reads: WAV, FLAC, OGG, MP3, ...; of 100 Hz to 1 MHz, with
            up to 64 channels. All of it is read, four bytes per sample.
        sampling_rate (`int`, defaults to 16000): Wanted rate in Hz; the file is resampled if it has another.

    Returns:
        `np.ndarray` of shape `(num_samples,)`, float32, within [-1, 1] for integer formats.

    Raises:
        ValueError: If the file is no readable audio.
        OSError: If there is no such file.
        ImportError: If soundfile or soxr are not installed.
    """
    with open_file(str(path)) as file:
        return decode_audio(file, str(path), sampling_rate)


def open_file(path: str) -> BinaryIO:
    """An open file; a ValueError if it is none. To open a pipe would wait for ever."""
    if not is_path(path):
        raise UnreadableFile(f"{shortened(path)} is no path to a file")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadableFile(f"{path} is no regular file")
    return open(path, "rb")


def is_path(path: str) -> bool:
    """Whether a file can be called so."""
    try:
        return 0 < len(os.fsencode(path)) <= LONGEST_PATH and "\0" not in path
    except UnicodeEncodeError:
        return False


def load_crop(recording: dict, sampling_rate: int, max_samples: int, min_samples: int, position: float) -> np.ndarray:
    """
    Read a part of a recording for training, and nothing more of a long file than that.

    Args:
        recording (`dict`): What [`as_recording`] returns.
        sampling_rate (`int`): Wanted rate in Hz.
        max_samples, min_samples (`int`): At most and at least so many samples at that rate.
        position (`float`): Where to cut a longer recording, from 0, its beginning, to 1, its end.

    Returns:
        `np.ndarray` of shape `(num_samples,)`, float32, finite.

    Raises:
        ValueError: If it is no readable audio, empty, not finite or too short.
        OSError: If there is no such file.
        ImportError: If soundfile or soxr are not installed.
    """
    name = recording["name"]
    file: BinaryIO
    if recording.get("bytes") is not None:
        file = io.BytesIO(recording["bytes"])
    elif recording.get("path") is None:
        raise ValueError(f"{name} holds neither audio nor a path")
    elif recording.get("offset") is not None:
        with open(recording["archive"], "rb") as archive:
            archive.seek(recording["offset"])
            file = io.BytesIO(archive.read(recording["size"]))
    elif not is_path(recording["path"]):
        raise UnreadableFile(f"{name} holds {shortened(recording['path'])}, no path to a file")
    else:
        file = open_file(recording["path"])
    with file:
        audio = decode_audio(file, name, sampling_rate, max_samples, position)
    if len(audio) < min_samples:
        raise ValueError(
            f"{name} is too short: {len(audio)} samples at {sampling_rate} Hz, one patch takes {min_samples}"
        )
    # Beyond all audio, even of integers read as floating point; the features' sums would overflow.
    if not (np.abs(audio) < LOUDEST).all():
        raise ValueError(f"{name} holds NaN, infinite or absurdly large samples")
    return audio


def decode_audio(file, name: str, sampling_rate: int, max_samples: int | None = None, position: float = 0.0):
    """Mono float32 samples of an open audio file at `sampling_rate`, on request a part; `name` is for messages."""
    soundfile, soxr = audio_packages()
    with reading(name, "a readable audio file", "Repair or remove it."):
        try:
            with soundfile.SoundFile(file) as sound:
                check_header(sound, name)
                rate = sound.samplerate
                # One more than it takes, since resampling rounds.
                wanted = sound.frames if max_samples is None else max_samples * rate // sampling_rate + 2
                if sound.frames > wanted:
                    sound.seek(round(position * (sound.frames - wanted)))
                audio = read_mono(sound, wanted)
        except soundfile.LibsndfileError as error:
            raise UnreadableFile(f"{name} is no readable audio file ({error.error_string})") from error
        audio = audio if rate == sampling_rate or not len(audio) else soxr.resample(audio, rate, sampling_rate)
    return audio[:max_samples]


def check_header(sound, name: str):
    """UnreadableFile if an open audio file claims what no recording is. Believed, it could take all memory."""
    if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
        raise UnreadableFile(
            f"{name} has a sampling rate of {sound.samplerate} Hz; expected {LOWEST_RATE} to {HIGHEST_RATE}"
        )
    if sound.channels > MOST_CHANNELS:
        raise UnreadableFile(f"{name} has {sound.channels} channels; expected at most {MOST_CHANNELS}")
    if sound.frames > LONGEST:
        raise UnreadableFile(f"{name} does not say how long it is; encode it again, into a file and not a pipe")


def read_mono(sound, count: int) -> np.ndarray:
    """
    The mean of the channels of at most `count` samples from where an open audio file stands, float32. The memory that
    it takes depends on what the file holds, not on what its header claims.
    """
    blocks = [np.zeros(0, dtype=np.float32)]
    while count > 0 and len(block := sound.read(min(count, BLOCK // sound.channels), "float32", always_2d=True)):
        blocks.append(block.mean(axis=1))
        count -= len(block)
    return np.concatenate(blocks)


def audio_packages():
    """The modules `soundfile` and `soxr`, which are not among the package's requirements."""
    try:
        import soundfile
        import soxr
    except ImportError as error:
        raise ImportError(
            f'Reading audio files needs {error.name}, which is not installed: pip install "ssast_hf[train]"'
        ) from error
    return soundfile, soxr
