"""How sure a figure is: 95 % intervals."""

import numpy as np
from scipy.stats import t as student


RESAMPLES = 1000


def bootstrap_interval(correct: np.ndarray, groups: list[str] | None, seed: int) -> tuple[float, float]:
    """
    Of an accuracy, by drawing test clips, or whole groups of them, again and again.

    Args:
        correct (`np.ndarray` of shape `(num_clips,)`): 1 where right, 0 where wrong; or a mean of several such.
        groups (`list[str]`, *optional*): Which group each clip belongs to.
        seed (`int`): Source of randomness.
    """
    units = np.arange(len(correct)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(units, weights=correct), np.bincount(units)
    random = np.random.default_rng(seed)
    drawn = (random.integers(len(sums), size=len(sums)) for _ in range(RESAMPLES))
    means = [sums[units].sum() / counts[units].sum() for units in drawn]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Of the mean of two or more accuracies, by Student's distribution; within 0 and 1."""
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    half = student.ppf(0.975, len(values) - 1) * error
    return max(float(mean - half), 0.0), min(float(mean + half), 1.0)
