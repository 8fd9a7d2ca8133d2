"""What is measured: figures of a test by scikit-learn, and within which intervals they are."""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)


# Figures by name, of the clips of these indices.
Measure = Callable[[np.ndarray], dict[str, float]]
# How often a test is drawn anew, to see how much its figures depend on which clips are in it; and, since scikit-learn
# takes its time for each of many classes, of how many at most.
DRAWS, FEWEST_DRAWS, CLASSES_DRAWN = 1000, 50, 20000
# Clips that are drawn twice stand beside each other in a ranking, which makes it look better: the interval is moved
# back by how much better the mean of all draws is.
FLATTERED = "mean_average_precision"


def of_classes(scores: np.ndarray, targets: np.ndarray) -> Measure:
    """
    Of scores (clips, classes) and classes (clips,). The numbers are those of scikit-learn, whose functions would take
    seconds to draw the test anew a thousand times.
    """
    said, num_classes = scores.argmax(axis=1), scores.shape[1]

    def measure(clips: np.ndarray) -> dict[str, float]:
        pairs = targets[clips] * num_classes + said[clips]
        confusion = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
        right, true = confusion.diagonal(), confusion.sum(axis=1)
        there = true > 0
        f1 = 2 * right[there] / (true + confusion.sum(axis=0))[there]
        return {"accuracy": float(right.sum() / len(clips)), "macro_f1": float(f1.mean())}

    return measure


def of_several(scores: np.ndarray, targets: np.ndarray) -> Measure:
    """Of scores and 0 or 1, (clips, classes); of the classes that some clips have and some have not."""

    def measure(clips: np.ndarray) -> dict[str, float]:
        shares = targets[clips].mean(axis=0)
        pairs = [(targets[clips, i], scores[clips, i]) for i in np.flatnonzero((shares > 0) & (shares < 1))]
        if not pairs:
            return {"mean_average_precision": float("nan"), "roc_auc": float("nan")}
        return {
            "mean_average_precision": float(np.mean([average_precision_score(*pair) for pair in pairs])),
            "roc_auc": float(np.mean([roc_auc_score(*pair) for pair in pairs])),
        }

    return measure


def of_numbers(scores: np.ndarray, targets: np.ndarray) -> Measure:
    """Of numbers (clips, 1) and (clips,)."""
    said = scores.reshape(-1)

    def measure(clips: np.ndarray) -> dict[str, float]:
        pair = targets[clips], said[clips]
        return {
            "mean_absolute_error": float(mean_absolute_error(*pair)),
            "mean_squared_error": float(mean_squared_error(*pair)),
            "r2": float(r2_score(*pair)) if len(set(pair[0].tolist())) > 1 else float("nan"),
        }

    return measure


def intervals(
    measure: Measure, count: int, groups: list[str] | None, seed: int, size: int = 1
) -> dict[str, list[float]]:
    """
    Between which two values 95 % of each figure are, of clips, or whole groups of them, drawn with replacement.

    Args:
        measure ([`Measure`]): Makes the figures.
        count (`int`): How many clips there are.
        groups (`list[str]`, *optional*): Which group each belongs to.
        seed (`int`): Source of randomness.
        size (`int`, defaults to 1): Of how many classes the figures are one by one; of many there are fewer draws.
    """
    units = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    members = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units))[:-1])
    random = np.random.default_rng(seed)
    figures = []
    for _ in range(int(np.clip(CLASSES_DRAWN / size, FEWEST_DRAWS, DRAWS))):
        drawn = random.integers(len(members), size=len(members))
        figures.append(measure(np.concatenate([members[i] for i in drawn])))
    result = {}
    measured = measure(np.arange(count))
    for name in figures[0]:
        values = np.array([each[name] for each in figures])
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, (2.5, 97.5)) if len(values) else (np.nan, np.nan)
        if name == FLATTERED and len(values):
            low, high = (value - values.mean() + measured[name] for value in (low, high))
        result[name] = [float(low), float(high)]
    return result
