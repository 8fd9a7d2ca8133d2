"""Clips as vectors: which are alike, when, and which bundled clips are nearest."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..assets import titled_clips
from ..inference.embedder import Embedder
from .pictures import draw_pair
from .sounds import SILENT, is_silent, open_sound
from .windows import Progress, encoded


# Moments of a recording in a picture, at most.
MOST_MOMENTS = 400
MOST_NEAREST = 3
# With how many others the first one is drawn.
MOST_DRAWN = 4
# From this cosine on, two clips are the same: a bundled clip is no neighbour of itself.
SAME = 0.9999


@dataclass
class Heard:
    """
    A recording to a model: `vectors` (steps, D), one per time step; `times` (steps,), their centres in seconds; and
    `notes`, sentences about its format.
    """

    name: str
    vectors: np.ndarray
    times: np.ndarray
    seconds: float
    notes: list[str]

    @property
    def whole(self) -> np.ndarray:
        """One vector for all of it, (D,)."""
        return self.vectors.mean(axis=0)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Vectors and times of at most [`MOST_MOMENTS`]: several steps are one, if there are many."""
        count = min(len(self.times), MOST_MOMENTS)
        vectors = [part.mean(axis=0) for part in np.array_split(self.vectors, count)]
        return np.stack(vectors), np.array([part.mean() for part in np.array_split(self.times, count)])


def hear(embedder: Embedder, path: str, name: str, progress: Progress) -> Heard:
    """A recording, encoded; `embedder` is one of the level `"frame"`. Errors as of [`open_sound`]."""
    clip, notes = open_sound(path, embedder.feature_extractor.sampling_rate)
    parts, is_quiet = [], True
    for piece, part in encoded(embedder, clip, progress):
        parts.append(part)
        is_quiet = is_quiet and is_silent(piece.samples)
    if is_quiet:
        notes.append(f"{SILENT}.")
    vectors = embedder.join(parts)
    seconds = clip.num_samples / embedder.feature_extractor.sampling_rate
    return Heard(name, vectors, embedder.times_of(clip.num_samples), seconds, notes)


class Comparison:
    """
    Vectors of a model, seen from the mean of the bundled clips. From the origin, all sounds point about the same way.

    Bundled clips that are shorter than a patch are left out.

    Args:
        embedder ([`Embedder`]): Of the level `"frame"`.
    """

    def __init__(self, embedder: Embedder):
        self.embedder = embedder
        extractor = embedder.feature_extractor
        shortest = extractor.num_samples(embedder.config.patch_shape[1])
        self.bundled = {
            name: hear(embedder, str(path), name, lambda share: None).whole
            for name, path in titled_clips().items()
            if open_sound(str(path), extractor.sampling_rate)[0].num_samples >= shortest
        }
        self.centre = np.mean(list(self.bundled.values()), axis=0)

    def similarity(self, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        """Cosines (n, m) between vectors (n, D) and (m, D)."""
        return directions(ours - self.centre) @ directions(theirs - self.centre).T

    def nearest(self, heard: Heard) -> list[tuple[str, float]]:
        """The bundled clips that are most like a recording and not the same, the nearest first, with their cosines."""
        alike = self.similarity(heard.whole[None], np.stack(list(self.bundled.values())))[0]
        names = list(self.bundled)
        others = [i for i in np.argsort(-alike, kind="stable") if alike[i] < SAME]
        return [(names[i], float(alike[i])) for i in others[:MOST_NEAREST]]

    def table(self, heard: list[Heard]) -> np.ndarray:
        """How alike recordings are as a whole, (n, n)."""
        wholes = np.stack([each.whole for each in heard])
        return self.similarity(wholes, wholes)


def directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, D) of length 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def draw_over_time(maker: Comparison, one: Heard, other: Heard) -> np.ndarray:
    """How alike the moments of two recordings are, as a picture; of a size that is always the same."""
    (ours, our_times), (theirs, their_times) = one.moments(), other.moments()
    alike, to_whole = maker.similarity(ours, theirs), maker.similarity(ours, other.whole[None])[:, 0]
    return draw_pair(our_times, their_times, alike, to_whole, (one.name, other.name))


def told_apart(named: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Clips with their names; of those that share one the second is "name (2)", and so on."""
    seen: Counter = Counter()
    told = []
    for name, path in named:
        seen[name] += 1
        told.append((name if seen[name] == 1 else f"{name} ({seen[name]})", path))
    return told


def show_comparison(comparison, clips: list, progress: Progress) -> tuple[str, np.ndarray, dict, list[list]]:
    """
    What the tab shows of some recordings.

    Args:
        comparison (`Callable[[], Comparison]`): Makes it, once there is something to compare.
        clips (`list`): Paths, or pairs of name and path.
        progress (`Progress`): Told how much is done.

    Returns:
        A sentence; pictures of the first one with each of the next few over time, one below the other; the table of
        all of them, as columns; and for each its name, its seconds and the bundled clips that are nearest.

    Raises:
        ValueError: If there are fewer than two, or if one is no audio or too short.
        OSError: If there is no such file.
    """
    named = told_apart([clip if isinstance(clip, tuple) else (Path(clip).name, clip) for clip in clips])
    if len(named) < 2:
        raise ValueError("Tick or drop two clips or more, to compare them with each other.")
    maker = comparison()
    heard = []
    for number, (name, path) in enumerate(named):
        share = lambda done, number=number: progress((number + done) / len(named))  # noqa: E731
        heard.append(hear(maker.embedder, path, name, share))
    picture = np.concatenate([draw_over_time(maker, heard[0], each) for each in heard[1 : MOST_DRAWN + 1]])
    alike = maker.table(heard)
    names = [each.name for each in heard]
    table = {
        "headers": ["", *names],
        "data": [[n, *(f"{v:+.2f}" for v in r)] for n, r in zip(names, alike, strict=True)],
    }
    rows = [
        [each.name, f"{each.seconds:.1f}", *(f"{name} ({value:+.2f})" for name, value in maker.nearest(each))]
        for each in heard
    ]
    first = f"{names[0]} and {names[1]}: {alike[0, 1]:+.2f} as a whole."
    if (left_out := len(heard) - 1 - MOST_DRAWN) > 0:
        first += f" Of {left_out} more there is no picture."
    formats = [f"{each.name}: {' '.join(each.notes)}" for each in heard if each.notes]
    return " ".join([first, f"{heard[0].vectors.shape[1]} numbers each.", *formats]), picture, table, rows
