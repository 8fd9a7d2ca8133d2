"""Figures of features where each recording has one class."""

import numpy as np
from sklearn.metrics import f1_score

from ...audio.intervals import intervals, units_of
from .measuring import Yardstick
from .probing import Fold, Probed, draw, few_labels, probe


def summary(probed: list[list[Probed]], targets: np.ndarray, folds: list[Fold], groups: list[str] | None, seed: int):
    """Figures of a classifier, by seed of the features and fold."""
    tested = np.concatenate([fold.test for fold in folds])
    predictions = [np.concatenate([each.predictions for each in of_folds]) for of_folds in probed]
    correct = np.mean([each == targets[tested] for each in predictions], axis=0)
    ends = np.cumsum([len(fold.test) for fold in folds])[:-1]
    choices = [each for of_folds in probed for each in of_folds]
    units = units_of(len(tested), None if groups is None else [groups[i] for i in tested])
    return {
        "accuracy": float(correct.mean()),
        "interval": intervals(lambda clips: {"accuracy": float(correct[clips].mean())}, units, seed)["accuracy"],
        "macro_f1": float(np.mean([f1_score(targets[tested], each, average="macro") for each in predictions])),
        "per_fold": [float(part.mean()) for part in np.split(correct, ends)],
        "layers": [each.layer for each in choices],
        "by_layer": np.mean([each.layer_scores for each in choices], axis=0).tolist(),
        "strengths": [each.strength for each in choices],
    }


def least(targets: np.ndarray, folds: list[Fold]) -> int:
    return int(min(np.unique(targets[fold.train], return_counts=True)[1].min() for fold in folds))


CLASSES = Yardstick("accuracy", probe, summary, least, draw, few_labels)
