"""The bundled clips as the demonstration uses them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..assets import clip_credits, titled_clips
from ..audio import load_audio


SAMPLING_RATE = 16000
# What is drawn and measured, and never learned from.
HELD_OUT = ("rooster", "dog")
# The ends of a recording are silence where they are this much quieter than its loudest part.
QUIET = 10 ** (-35 / 20)


@dataclass
class Clip:
    """A recording: `audio` is `(num_samples,)` at 16 kHz without silence at its ends."""

    name: str
    path: Path
    audio: np.ndarray
    credit: str

    @property
    def is_held_out(self) -> bool:
        return self.name in HELD_OUT

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")


def load_clips() -> list[Clip]:
    """All of them, with who made them."""
    credits = clip_credits()
    return [
        Clip(
            name=title.replace(" ", "_"),
            path=path,
            audio=without_silence(load_audio(path, SAMPLING_RATE)),
            credit=credits[path.name],
        )
        for title, path in titled_clips().items()
    ]


def without_silence(audio: np.ndarray, block: int = SAMPLING_RATE // 20) -> np.ndarray:
    """A recording from its first sound to its last one, in steps of 50 ms."""
    blocks = audio[: len(audio) // block * block].reshape(-1, block)
    level = np.sqrt(np.square(blocks).mean(axis=1))
    loud = np.nonzero(level > level.max() * QUIET)[0]
    return audio[loud[0] * block : (loud[-1] + 1) * block]
