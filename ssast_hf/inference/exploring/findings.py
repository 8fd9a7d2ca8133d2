"""What there is to say of clips beside where they lie: groups by label, duplicates and outliers."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..embedding.stored import Rows
from .nearest import Found
from .plots import COLOURS, GREY, PLAIN


# Clips that each one is compared with for outliers.
NEIGHBOURS = 5
# Outliers that are listed: so many, or this share of few clips.
MOST_OUTLIERS, OUTLIER_SHARE = 20, 0.1


class Part(NamedTuple):
    """A clip: a path, and from and to where in it in seconds."""

    path: str
    start: float
    end: float

    @property
    def title(self) -> str:
        """The file's name, and where in it the clip is, unless it begins with the file."""
        name = Path(self.path).name
        return f"{name}, {self.start:g} to {self.end:g} s" if self.start else name


class Pair(NamedTuple):
    """Two clips that are the same to the model: their numbers among all, and the cosine of their vectors."""

    numbers: tuple[int, int]
    parts: tuple[Part, Part]
    similarity: float


class Outlier(NamedTuple):
    """A clip that is unlike all others: its place among those of the map, and the mean cosine to the nearest ones."""

    place: int
    similarity: float


def groups_of(labels: list[str]) -> dict[str, tuple[str, np.ndarray]]:
    """
    Names for a legend -> colour and which clips, a mask `(num_clips,)`. The most frequent labels have colours of their
    own; without any label it is one group.
    """
    values = np.array(labels, object)
    counts = Counter(label for label in labels if label)
    if not counts:
        return {"clips": (PLAIN, np.ones(len(labels), bool))}
    frequent = sorted(label for label, _ in counts.most_common(len(COLOURS)))
    groups = {label: (colour, values == label) for label, colour in zip(frequent, COLOURS, strict=False)}
    rest = {"other labels": (values != "") & ~np.isin(values, frequent), "without a label": values == ""}
    return groups | {name: (GREY, mask) for name, mask in rest.items() if mask.any()}


def duplicates_of(found: Found, clips: Rows, numbers: np.ndarray, least: float) -> list[Pair]:
    """
    Pairs whose cosine is `least` or more, each once, the most alike first.

    Args:
        found ([`Found`]): What is nearest to each clip.
        clips ([`Rows`]): The clips, and their `numbers` among all, `(num_clips,)`.
        least (`float`): The least cosine.
    """
    pairs = {}
    for i, k in zip(*np.nonzero((found.numbers >= 0) & (found.similarities >= least)), strict=True):
        own = int(numbers[i]), Part(clips.paths[i], float(clips.starts[i]), float(clips.ends[i]))
        place = Part(found.paths[i, k], float(found.starts[i, k]), float(found.ends[i, k]))
        other = int(found.numbers[i, k]), place
        first, second = sorted((own, other))
        pair = Pair((first[0], second[0]), (first[1], second[1]), float(found.similarities[i, k]))
        pairs[pair.numbers] = pair
    return sorted(pairs.values(), key=lambda pair: (-pair.similarity, pair.numbers))


def outliers_of(found: Found) -> list[Outlier]:
    """The clips that are furthest from those nearest to them, the furthest first."""
    near = np.ma.masked_where(found.numbers < 0, found.similarities)[:, :NEIGHBOURS]
    means = near.mean(axis=1).filled(1)
    count = min(MOST_OUTLIERS, max(1, round(OUTLIER_SHARE * len(means))))
    return [Outlier(int(place), float(means[place])) for place in np.argsort(means, kind="stable")[:count]]
