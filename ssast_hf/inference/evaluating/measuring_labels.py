"""Figures of features where recordings may have several labels."""

import numpy as np

from ...audio.intervals import FLATTERED, intervals, units_of
from ...audio.ranking import Ranking
from .measuring import Yardstick
from .probing import Fold
from .probing_labels import Ranked, draw, few_labels, rank


def summary(ranked: list[list[Ranked]], targets: np.ndarray, folds: list[Fold], groups: list[str] | None, seed: int):
    """
    Figures by seed of the features and fold. Each fold is ranked for itself: scores of probes that were trained on
    other folds do not compare. The mean is over folds.
    """
    of_folds = list(zip(*ranked, strict=True))  # by fold, then by seed
    rankings = [
        [Ranking(targets[fold.test], each.scores) for each in seeds]
        for fold, seeds in zip(folds, of_folds, strict=True)
    ]
    found = [
        [each.figures(np.ones(len(fold.test), int)) for each in of_fold]
        for fold, of_fold in zip(folds, rankings, strict=True)
    ]
    precisions, curves = np.moveaxis(np.mean(found, axis=1), 1, 0)  # (folds, labels) each
    tested = np.concatenate([fold.test for fold in folds])
    ends = np.cumsum([len(fold.test) for fold in folds])

    def measure(clips: np.ndarray) -> dict[str, float]:
        counts = np.split(np.bincount(clips, minlength=len(tested)), ends[:-1])
        means = [
            [each.means(times)[FLATTERED] for each in of_fold]
            for times, of_fold in zip(counts, rankings, strict=True)
            if times.any()
        ]
        return {FLATTERED: float(np.nanmean(np.mean(means, axis=1)))}

    units = units_of(len(tested), None if groups is None else [groups[i] for i in tested])
    per_fold = [float(np.nanmean(each)) for each in precisions]
    return {
        FLATTERED: float(np.mean(per_fold)),
        "interval": intervals(measure, units, seed)[FLATTERED],
        "area_under_curve": mean_of(curves),
        "per_fold": per_fold,
        "per_label": [mean_of(values) for values in np.transpose(precisions)],
        "layers": [each.layer for of_seed in ranked for each in of_seed],
        "by_layer": np.mean([each.layer_scores for of_seed in ranked for each in of_seed], axis=0).tolist(),
        "strengths": [each.strengths.tolist() for of_seed in ranked for each in of_seed],
    }


def mean_of(values: np.ndarray) -> float | None:
    """The mean of those that are known, if any is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def least(targets: np.ndarray, folds: list[Fold]) -> int:
    """Labels that nothing has are no labels."""
    counts = [targets[fold.train].sum(axis=0) for fold in folds]
    return int(min(each[each > 0].min() for each in counts))


LABELS = Yardstick(FLATTERED, rank, summary, least, draw, few_labels)
