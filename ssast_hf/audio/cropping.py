"""Windows of recordings, decoded: where they are, how loud they are made, and which are too quiet."""

import math

import numpy as np

from ..storage.guards import NoRoom
from .bad_files import Quiet
from .decoded import DecodedFiles
from .decoding import load_window
from .windows import Windows


# Keeps the random numbers of gains apart from those of windows.
GAIN = 1
# How many windows in a row may be unreadable before the search for one ends, and how many too quiet.
ATTEMPTS, QUIET_ATTEMPTS = 100, 1000


class QuietWindow(ValueError):
    """A window is quieter than wanted."""


class Cropper:
    """
    Decodes windows of recordings.

    Args:
        feature_extractor ([`SSASTFeatureExtractor`]): Gives the sampling rate and the most that a window can hold.
        min_frames (`int`): Frames of one patch; shorter recordings are unusable.
        seed (`int`): Source of randomness.
        window_seconds (`float`, *optional*): Length of a window; as much as the feature extractor takes if not given.
        overlap_seconds (`float`, defaults to 0): Of a window with the next one.
        min_level (`float`, *optional*): The level that a window must have, in dB relative to full scale: 20 times the
            logarithm of its root mean square.
        decoded ([`DecodedFiles`], *optional*): Recordings that are better decoded as a whole.

    Raises:
        ValueError: If a window is longer than what the feature extractor takes, shorter than a patch, or not longer
            than its overlap.
    """

    def __init__(
        self,
        feature_extractor,
        min_frames: int,
        seed: int,
        window_seconds: float | None = None,
        overlap_seconds: float = 0.0,
        min_level: float | None = None,
        decoded: DecodedFiles | None = None,
    ):
        self.sampling_rate = feature_extractor.sampling_rate
        self.min_samples = feature_extractor.num_samples(min_frames)
        self.seed = seed
        self.min_level = min_level
        self.decoded = decoded
        longest = feature_extractor.num_samples(feature_extractor.max_length)
        length = longest if window_seconds is None else round(window_seconds * self.sampling_rate)
        if not self.min_samples <= length <= longest:
            raise ValueError(
                f"--window_seconds {window_seconds:g}: expected {self.min_samples / self.sampling_rate:g} s, one "
                f"patch, to {longest / self.sampling_rate:g} s, the {feature_extractor.max_length} frames that the "
                "model takes (see --max_length)."
            )
        overlap = round(overlap_seconds * self.sampling_rate)
        if not 0 <= overlap < length:
            raise ValueError(
                f"--window_overlap {overlap_seconds:g}: expected 0 to less than the {length / self.sampling_rate:g} s "
                "of a window."
            )
        self.windows = Windows(length, length - overlap, self.min_samples)

    def random(self, *key: int) -> np.random.Generator:
        """Random numbers that depend on the seed and the key alone."""
        return np.random.default_rng((self.seed, *key))

    def gain(self, jitter: float, *key: int) -> float:
        """A gain between minus and plus `jitter` dB, that depends on the seed and the key alone."""
        return float(self.random(*key, GAIN).uniform(-jitter, jitter)) if jitter else 0.0

    def crop(
        self, recording: dict, begin: int, end: int, known_samples: int = 0, min_samples: int | None = None
    ) -> np.ndarray:
        """
        Samples `begin` to `end` of a recording, (num_samples,); at least a patch, or `min_samples`.

        Raises:
            ValueError, OSError: If it is unusable; see [`load_window`].
            QuietWindow: If it is too quiet.
        """
        read = self.decoded.read if self.decoded is not None and recording["name"] in self.decoded else None
        least = self.min_samples if min_samples is None else min_samples
        try:
            audio = load_window(recording, self.sampling_rate, begin, end, least, known_samples, read)
        except NoRoom:  # others took what was free
            if self.decoded is not None:
                self.decoded.samples.pop(recording["name"])
            audio = load_window(recording, self.sampling_rate, begin, end, least, known_samples)
        if self.min_level is not None and (level := level_of(audio)) < self.min_level:
            raise QuietWindow(f"{level:.1f} dB, below --min_level {self.min_level:g}")
        return audio

    def silence(self) -> np.ndarray:
        """What stands in for a recording where all are unusable, until the main process has read about it."""
        return np.zeros(self.min_samples, dtype=np.float32)


def louder(audio: np.ndarray, gain: float) -> np.ndarray:
    """Samples (num_samples,) by `gain` dB louder."""
    return audio * np.float32(10 ** (gain / 20)) if gain else audio


def level_of(audio: np.ndarray) -> float:
    """Level of samples (num_samples,) in dB relative to full scale; at least -200."""
    return 20 * math.log10(max(float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))), 1e-10))


def named_window(recording: dict, number: int, count: int) -> str:
    """A window's name; the same one in all epochs, though it begins elsewhere in each."""
    return recording["name"] if count == 1 else f"{recording['name']}, window {number + 1} of {count}"


def check_not_all_quiet(skipped: list[tuple[str, str]]):
    """ValueError if the search for a window that is loud enough took too long."""
    quiet = [reason for _, reason in skipped if isinstance(reason, Quiet)]
    if len(quiet) >= QUIET_ATTEMPTS:
        loudest = max(quiet, key=lambda reason: float(reason.split()[0]))
        raise ValueError(
            f"{len(quiet)} windows in a row are too quiet; the loudest has {loudest}. Lower it, or leave out what is "
            "silent."
        )
