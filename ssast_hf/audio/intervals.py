"""How sure figures of a test are: its recordings, or whole groups of them, are drawn again and again."""

from collections.abc import Callable

import numpy as np


# Figures by name, of the recordings (or pairs) of these indices.
Measure = Callable[[np.ndarray], dict[str, float]]
DRAWS = 1000
# A figure that fewer of the draws have has no interval: those that have it are not like the others.
KNOWN = 0.8
# Recordings that are drawn twice stand beside each other in a ranking, which makes it look better: the interval is
# moved back by how much better the mean of all draws is.
FLATTERED = "mean_average_precision"


def units_of(count: int, groups: list[str] | None) -> np.ndarray:
    """Which unit of what is drawn each recording belongs to, int64 `(count,)` from 0: its group, or itself."""
    return np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]


def intervals(measure: Measure, units: np.ndarray, seed: int) -> dict[str, list[float]]:
    """
    Between which two values 95 % of each figure are, of units drawn with replacement.

    Args:
        measure ([`Measure`]): Makes the figures.
        units (`np.ndarray` of shape `(count,)` or `(count, 2)`): Which unit each recording belongs to, from 0; or
            which one or two each pair does. A pair of two units that are drawn a and b times is there a times b times.
        seed (`int`): Source of randomness.

    Returns:
        `dict[str, list[float]]`: Both ends; NaN where there is but one way to draw, which says nothing about others,
            or where more than a fifth of the draws have no such figure.
    """
    number, random = int(units.max()) + 1, np.random.default_rng(seed)
    clips, figures, draws = np.arange(len(units)), [], []
    for _ in range(DRAWS):
        times = np.bincount(random.integers(number, size=number), minlength=number)
        counts = times[units] if units.ndim == 1 else of_pairs(units, times)
        if counts.any():  # of few units, no pair may be left
            figures.append(measure(np.repeat(clips, counts)))
            draws.append(hash(counts.tobytes()))
    result = {}
    for name, measured in measure(clips).items():
        values = np.array([each[name] for each in figures])
        is_known = np.isfinite(values)
        values = values[is_known]
        several = np.isfinite(measured) and is_known.mean() >= KNOWN and len(set(np.array(draws)[is_known])) > 1
        low, high = np.percentile(values, (2.5, 97.5)) if several else (np.nan, np.nan)
        if name == FLATTERED and several:
            low, high = np.clip(np.array([low, high]) - values.mean() + measured, 0, 1)
        result[name] = [float(low), float(high)]
    return result


def span(interval: list[float], form: str = ".3f") -> str:
    """An interval in words."""
    low, high = interval
    return f"{low:{form}} to {high:{form}}" if np.isfinite(interval).all() else "not known"


def of_pairs(units: np.ndarray, times: np.ndarray) -> np.ndarray:
    """How often pairs of units (count, 2) are there, if each unit is there so many times; one with itself as often."""
    first, second = units.T
    return times[first] * np.where(first == second, 1, times[second])
