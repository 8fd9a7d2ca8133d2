"""What encodes recordings of any length window by window: how they are divided, and which windows go together."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from ..configuration_ssast import SSASTConfig
from ..feature_extraction_ssast import SSASTFeatureExtractor
from .bucketing import batches_of
from .stitching import Window, plan_windows


# Threads of a processor that are kept busy by what is as long as one window; more does not stay in the cache.
THREADS_PER_WINDOW = 4
# Windows that are encoded together by default; on a processor only if they are short.
BATCH_SIZE_ON_CPU, BATCH_SIZE = 8, 64
# Batches that are read before the first of them is encoded, so that windows of like lengths are together.
LOOK_AHEAD = 16


class Piece(NamedTuple):
    """A window of a clip: of which clip, in words of whoever asks; which of its steps; and its samples, if any."""

    clip: Any
    window: Window
    samples: np.ndarray | None


class WindowedModel:
    """
    What encodes windows, whatever it makes of them. Who inherits from it sets these, and has `config` and `encode`.

    Attributes:
        feature_extractor ([`SSASTFeatureExtractor`]): Says how many samples make a frame.
        window_steps, hop_steps (`int`): Columns of patches of a window, and from one to the next.
        batch_size (`int`): Most windows that are encoded together.
        most_steps (`int`, *optional*): Their steps in all.
    """

    feature_extractor: SSASTFeatureExtractor
    window_steps: int
    hop_steps: int
    batch_size: int
    most_steps: int | None

    @property
    def config(self) -> SSASTConfig:
        """Patches, and how far apart they are."""
        raise NotImplementedError

    def encode(self, pieces: list[Piece]) -> list[np.ndarray]:
        """What is kept of each window of a batch."""
        raise NotImplementedError

    def batches(self, lengths: list[int]) -> Iterator[list[int]]:
        """Which windows of so many steps go together."""
        return batches_of(lengths, self.batch_size, self.config.grid_shape[1], self.most_steps)

    def choose_batches(self, batch_size: int | str, device: torch.device):
        """How many windows are encoded together at most; ValueError if it is no number."""
        self.most_steps = None
        if batch_size == "auto" and device.type == "cpu":
            few = max(torch.get_num_threads() // THREADS_PER_WINDOW, 1)
            batch_size, self.most_steps = BATCH_SIZE_ON_CPU * few, self.config.grid_shape[1] * few
        elif batch_size == "auto":
            batch_size = BATCH_SIZE
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f'batch_size must be "auto" or an integer from 1 up; got {batch_size!r}.')
        self.batch_size = batch_size

    def steps_of(self, window: float | None, hop: float | None) -> tuple[int, int]:
        """The size of windows, and how far apart they are, in columns of patches."""
        config = self.config
        shift, length = config.frame_seconds
        shortest = (config.patch_shape[1] - 1) * shift + length
        if window is not None and not shortest <= window < float("inf"):
            raise ValueError(f"window must be at least one patch, {shortest:g} seconds; got {window!r}.")
        num_frames = config.max_length if window is None else int(round((window - length) / shift, 6)) + 1
        size = config.time_grid(num_frames)
        if hop is None:
            return size, max(size - size // 4, 1)
        step = shift * config.time_stride
        if not step <= hop <= size * step:
            raise ValueError(f"hop must be from one step, {step:g} s, to one window, {size * step:g} s; got {hop!r}.")
        return size, int(round(hop / step, 6))

    def encode_in_order(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, np.ndarray]]:
        """Pieces with what is kept of each, in their order; no more are read at once than [`LOOK_AHEAD`] batches."""
        waiting: list[Piece] = []
        for piece in pieces:
            waiting.append(piece)
            if len(waiting) == LOOK_AHEAD * self.batch_size:
                yield from zip(waiting, self.encode_all(waiting), strict=True)
                waiting = []
        yield from zip(waiting, self.encode_all(waiting), strict=True)

    def encode_all(self, pieces: list[Piece]) -> list[np.ndarray]:
        """What is kept of each of a few pieces; of one without samples nothing, an empty array."""
        results = [np.zeros(0, dtype=np.float32)] * len(pieces)
        whole = [number for number, piece in enumerate(pieces) if piece.samples is not None]
        lengths = [pieces[number].window.stop - pieces[number].window.start for number in whole]
        for batch in self.batches(lengths):
            numbers = [whole[place] for place in batch]
            for number, result in zip(numbers, self.encode([pieces[number] for number in numbers]), strict=True):
                results[number] = result
        return results

    def is_long(self, num_samples: int) -> bool:
        """Whether a clip takes several windows."""
        return self.config.time_grid(self.feature_extractor.num_frames(num_samples)) > self.window_steps

    def times_of(self, num_samples: int) -> np.ndarray:
        """The centres of the steps of a clip in seconds, also at rates of which 10 ms are no whole samples."""
        extractor, config = self.feature_extractor, self.config
        shift = (extractor.num_samples(2) - extractor.num_samples(1)) / extractor.sampling_rate
        return config.frame_times(self.feature_extractor.num_frames(num_samples)) * (shift / config.frame_seconds[0])

    def windows_of(self, num_samples: int, name: str) -> list[tuple[Window, int, int]]:
        """The windows of a clip, each with the samples that it begins and ends at; ValueError if it is too short."""
        config, samples_of = self.config, self.feature_extractor.num_samples
        shortest = samples_of(config.patch_shape[1])
        if num_samples < shortest:
            raise ValueError(
                f"{name} has {num_samples} samples; one patch takes {shortest} at "
                f"{self.feature_extractor.sampling_rate} Hz. Drop or lengthen it."
            )
        windows = plan_windows(
            config.time_grid(self.feature_extractor.num_frames(num_samples)), self.window_steps, self.hop_steps
        )
        if len(windows) == 1:
            return [(windows[0], 0, num_samples)]
        shift = (samples_of(2) - samples_of(1)) * config.time_stride
        size = samples_of((self.window_steps - 1) * config.time_stride + config.patch_shape[1])
        return [(window, window.start * shift, window.start * shift + size) for window in windows]
