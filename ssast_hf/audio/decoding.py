"""Audio files in, waveforms out."""

from collections.abc import Callable
from contextlib import contextmanager

import numpy as np

from ..storage.guards import UnreadableFile, reading
from .opening import open_file, open_recording


AUDIO_SUFFIXES = tuple(".aif .aiff .au .caf .flac .m4a .mp3 .oga .ogg .opus .w64 .wav".split())
# What a column of paths or of audio is called, in the order of preference.
COLUMNS = tuple("audio wav path file file_path filepath audio_path audio_filepath filename file_name flac mp3".split())
# Beyond these a header is damaged, or made to exhaust the memory. In Hz.
LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000
MOST_CHANNELS = 64
# Samples, of all channels, that are decoded at once.
BLOCK = 1 << 22
LOUDEST = 1e12
# What libsndfile reports of a file that does not say how long it is lies far beyond.
LONGEST = 2**48
# Samples of MP3 that have to be decoded before others come out right.
MP3_MEMORY = 16384
# By how many samples resampling may miss a length.
ROUNDING = 16


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


def load_window(
    recording: dict,
    sampling_rate: int,
    begin: int,
    end: int,
    min_samples: int,
    known_samples: int = 0,
    read: Callable[[dict, int, int], np.ndarray] | None = None,
) -> np.ndarray:
    """
    Read a window of a recording for training, and nothing more of a long file than that.

    Args:
        recording (`dict`): What [`as_recording`] returns.
        sampling_rate (`int`): Wanted rate in Hz.
        begin, end (`int`): Which samples at that rate; the recording may end before.
        min_samples (`int`): At least so many.
        known_samples (`int`): How long its header said that the recording is; 0 if it need not be as long.
        read (`Callable`, *optional*): What reads it, if it is not to be decoded: takes recording, begin and end.

    Returns:
        `np.ndarray` of shape `(num_samples,)`, float32, finite.

    Raises:
        ValueError: If it is no readable audio, empty, not finite or too short, or has become shorter.
        OSError: If there is no such file.
        ImportError: If soundfile or soxr are not installed.
    """
    name = recording["name"]
    if read is not None:
        audio = read(recording, begin, end)
    else:
        with open_recording(recording) as file:
            audio = decode_audio(file, name, sampling_rate, begin, end)
    if len(audio) < min(end, known_samples) - begin - ROUNDING:
        raise ValueError(
            f"{name} ends before second {min(end, known_samples) / sampling_rate:.1f}, but says or said that it has "
            f"{known_samples / sampling_rate:.1f} seconds; it is truncated, or was changed during the run"
        )
    if len(audio) < min_samples:
        raise ValueError(
            f"{name} is too short: {len(audio)} samples at {sampling_rate} Hz, one patch takes {min_samples}"
        )
    # Beyond all audio, even of integers read as floating point; the features' sums would overflow.
    if not (np.abs(audio) < LOUDEST).all():
        raise ValueError(f"{name} holds NaN, infinite or absurdly large samples")
    return audio


def decode_audio(file, name: str, sampling_rate: int, begin: int = 0, end: int | None = None) -> np.ndarray:
    """
    Mono float32 samples of an open audio file at `sampling_rate`, on request from sample `begin` to before `end`;
    `name` is for messages.
    """
    _, soxr = audio_packages()
    with opened(file, name) as sound:
        rate = sound.samplerate
        # More than it takes, since resampling rounds.
        wanted = sound.frames if end is None else (end - begin) * rate // sampling_rate + 2
        enter(sound, min(begin * rate // sampling_rate, sound.frames))
        audio = read_mono(sound, wanted)
        audio = audio if rate == sampling_rate or not len(audio) else soxr.resample(audio, rate, sampling_rate)
    return audio if end is None else audio[: end - begin]


@contextmanager
def opened(file, name: str):
    """An open audio file as libsndfile reads it, with what goes wrong as UnreadableFile; `name` is for messages."""
    soundfile, _ = audio_packages()
    with reading(name, "a readable audio file", "Repair or remove it."):
        try:
            with soundfile.SoundFile(file) as sound:
                check_header(sound, name)
                yield sound
        except soundfile.LibsndfileError as error:
            raise UnreadableFile(f"{name} is no readable audio file ({error.error_string})") from error


def enter(sound, place: int):
    """Go to a sample of an open audio file, to read on from there to wherever the reader likes."""
    before = min(place, MP3_MEMORY) if is_mp3(sound) else 0
    if place:
        sound.seek(place - before)
    if is_mp3(sound):
        # After each read soundfile goes to where it is anyway, and the decoder would begin with a gap again.
        sound.seekable = lambda: False
        read_mono(sound, before)


def is_mp3(sound) -> bool:
    """Whether to go to a place in an open audio file takes looking at all that is before, as libsndfile does it."""
    return sound.subtype.startswith("MPEG")


def read_header(file, name: str, sampling_rate: int) -> tuple[int, bool]:
    """
    How many samples at `sampling_rate` an open audio file has, and whether reading can begin anywhere in it at once.
    """
    with opened(file, name) as sound:
        return sound.frames * sampling_rate // sound.samplerate, not is_mp3(sound)


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
