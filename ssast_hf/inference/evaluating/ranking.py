"""How well scores rank recordings that may have several labels, and how sure that is."""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from .intervals import RESAMPLES


def average_precisions(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Per label, (num_labels,), of 0 and 1 and of scores, (num_clips, num_labels); NaN without a clip that has it."""
    return np.array(
        [
            average_precision_score(has_it, score) if has_it.any() else np.nan
            for has_it, score in zip(targets.T, scores.T, strict=True)
        ]
    )


def areas(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The same of the area under the ROC curve; NaN also if all clips have the label."""
    return np.array(
        [
            roc_auc_score(has_it, score) if 0 < has_it.sum() < len(has_it) else np.nan
            for has_it, score in zip(targets.T, scores.T, strict=True)
        ]
    )


class Ranking:
    """
    Average precision for clips that are drawn again and again, with one sort of the scores for all draws.

    Args:
        targets, scores (`np.ndarray` of shape `(num_clips, num_labels)`): Of the clips of a test.
    """

    def __init__(self, targets: np.ndarray, scores: np.ndarray):
        self.order = np.argsort(-scores, axis=0, kind="stable")
        self.targets = np.take_along_axis(targets, self.order, axis=0)
        ranked = np.take_along_axis(scores, self.order, axis=0)
        # Clips of equal scores are found together: where the last of them is.
        places = np.arange(len(ranked))[:, None]
        ends = np.where(
            np.vstack((ranked[1:] != ranked[:-1], np.ones((1, ranked.shape[1]), bool))), places, len(ranked)
        )
        self.ends = np.minimum.accumulate(ends[::-1], axis=0)[::-1]

    def mean(self, counts: np.ndarray) -> float:
        """The mean over labels that occur, if each clip is there so many times, `(num_clips,)`; NaN if none does."""
        weights = counts[self.order]
        found = weights * self.targets
        precision = np.cumsum(found, axis=0) / np.maximum(np.cumsum(weights, axis=0), 1)
        total = found.sum(axis=0)
        is_there = total > 0
        sums = (found * np.take_along_axis(precision, self.ends, axis=0)).sum(axis=0)
        return float((sums[is_there] / total[is_there]).mean()) if is_there.any() else np.nan


def interval_of_mean(folds: list[list[Ranking]], groups: list[np.ndarray], seed: int) -> tuple[float, float]:
    """
    95 % of the mean average precision, by drawing clips of each test again, or whole groups of them.

    A clip that is drawn twice stands beside itself, which makes rankings look better than they are. So the interval is
    moved by how much better the mean of all draws is than what was measured.

    Args:
        folds (`list[list[Ranking]]`): Of each test, those of one or several models with other random weights.
        groups (`list[np.ndarray]`): Of each test, to which unit of what is drawn each clip belongs, from 0.
        seed (`int`): Source of randomness.
    """
    random = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES):
        values = []
        for rankings, units in zip(folds, groups, strict=True):
            number = units.max() + 1
            counts = np.bincount(random.integers(number, size=number), minlength=number)[units].astype(np.float64)
            values.append(np.mean([ranking.mean(counts) for ranking in rankings]))
        means.append(np.nanmean(values))
    measured = np.nanmean([np.mean([each.mean(np.ones(len(each.order))) for each in fold]) for fold in folds])
    low, high = np.nanpercentile(means, (2.5, 97.5)) - (np.nanmean(means) - measured)
    return max(float(low), 0.0), min(float(high), 1.0)
