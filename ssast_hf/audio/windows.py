"""Through which windows a recording is seen: once per epoch all of it, cut at other places each time."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Windows:
    """
    How stretches of audio are cut. All lengths are in samples at the model's rate.

    A stretch that is longer than a window is cut at a random place, and then every `hop` samples, so that its first
    and its last window are shorter and nothing is left out. How many windows that makes depends on its length alone:
    as few as cover it, and one more where these would leave the first cut next to no choice.

    Args:
        length (`int`): Of a window.
        hop (`int`): From where one begins to where the next one does; `length` if they do not overlap.
        shortest (`int`): What is of use. A stretch that is longer than a window by less than this is one window.
    """

    length: int
    hop: int
    shortest: int

    def count(self, samples: np.ndarray) -> np.ndarray:
        """How many windows stretches of so many samples have, any shape; at least one."""
        least = 1 + -(-np.maximum(samples - self.length, 0) // self.hop)
        least = np.where(samples < self.length + self.shortest, 1, least)
        slack = (least - 1) * self.hop + self.length - samples
        return least + ((least > 1) & (8 * slack < self.hop))

    def place(self, samples: int, number: int, position: float) -> tuple[int, int]:
        """
        Where a window begins and ends; the end may lie beyond that of a stretch shorter than a window.

        Args:
            samples (`int`): Length of the stretch.
            number (`int`): Which of its windows.
            position (`float`): Where to cut, from 0 to 1; the same for all windows of a stretch.
        """
        count = int(self.count(np.int64(samples)))
        slack = (count - 1) * self.hop + self.length - samples
        if count == 1:
            begin = int(position * (max(-slack, 0) + 1))
            return begin, begin + self.length
        lowest, highest = max(slack - self.hop + 1, 0), min(slack, self.hop - 1)
        begin = number * self.hop - lowest - int(position * (highest - lowest + 1))
        end = begin + self.length
        # What is left at an end may be too short to be of use: it then takes a little from its neighbour.
        return min(max(begin, 0), samples - self.shortest), max(min(end, samples), self.shortest)


@dataclass(frozen=True)
class Stretches:
    """
    Parts of recordings.

    Args:
        recordings (`np.ndarray`): Which recordings, by index, (number of stretches,).
        begins (`np.ndarray`): Where in these the stretches begin, in samples at the model's rate, like `recordings`.
        samples (`np.ndarray`): How long they are; 0 if that is unknown.
        lengths (`np.ndarray`): How long the recordings are.
    """

    recordings: np.ndarray
    begins: np.ndarray
    samples: np.ndarray
    lengths: np.ndarray

    @classmethod
    def whole(cls, lengths: np.ndarray) -> "Stretches":
        """All of each recording, of so many samples."""
        return cls(np.arange(len(lengths)), np.zeros_like(lengths), lengths, lengths)

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, selected: np.ndarray) -> "Stretches":
        return Stretches(
            self.recordings[selected], self.begins[selected], self.samples[selected], self.lengths[selected]
        )
