"""What frozen embeddings tell about several labels at once: a probe per label, chosen on the training folds alone."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, PredefinedSplit
from sklearn.neighbors import KNeighborsRegressor
from tqdm import tqdm

from ...audio.intervals import FLATTERED, intervals, units_of
from ...audio.ranking import Ranking
from .measuring import counted
from .probing import ALPHAS, INVERSES, ITERATIONS, NEIGHBOURS, Fold, fit_best


@dataclass(frozen=True)
class Ranked:
    """
    Args:
        scores (`np.ndarray` of shape `(num_clips, num_labels)`): Of the test clips of a fold, in their order.
        layer (`int`): Chosen on the training folds: 0 for the embeddings, then one per layer.
        layer_scores (`np.ndarray` of shape `(num_layers,)`): Mean average precisions that it was chosen by.
    """

    scores: np.ndarray
    layer: int
    layer_scores: np.ndarray


class LogisticPerLabel(BaseEstimator):
    """One logistic classifier per label, each as strong as cross-validation says; its scores are logits."""

    def fit(self, x: np.ndarray, y: np.ndarray):
        """Of features (num_clips, D) and labels (num_clips, num_labels), positive where there is one."""
        self.fitted_ = [self._fit_one(x, has_it) for has_it in (y > 0).T]
        return self

    def _fit_one(self, x: np.ndarray, has_it: np.ndarray):
        fewest = int(min(has_it.sum(), (~has_it).sum()))
        if fewest < 2:  # too few to validate with
            return None
        options = dict(cv=min(3, fewest), scoring="average_precision")
        return GridSearchCV(LogisticRegression(max_iter=ITERATIONS), {"C": INVERSES}, **options).fit(x, has_it)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.stack(
            [np.zeros(len(x)) if one is None else one.decision_function(x) for one in self.fitted_], axis=1
        )


def candidates(kind: str) -> list:
    """What gives scores to labels; linear ones choose how strongly they are regularised, label by label."""
    if kind == "ridge":
        return [RidgeCV(ALPHAS, alpha_per_target=True)]  # by leaving out one example
    if kind == "logistic":
        return [LogisticPerLabel()]
    return [KNeighborsRegressor(count, metric="cosine") for count in NEIGHBOURS]


def rank(features: np.ndarray, targets: np.ndarray, fold: Fold, kind: str) -> Ranked:
    """
    Choose the layer, and the number of neighbours, by the mean average precision in cross-validation within what is
    trained on; fit there, and score the test.

    Args:
        features (`np.ndarray` of shape `(num_clips, num_layers, D)`): Embeddings of all clips.
        targets (`np.ndarray` of shape `(num_clips, num_labels)`): 0 and 1.
        fold ([`Fold`]): What is trained on and what is tested.
        kind (`str`): `"ridge"`, `"logistic"` or `"neighbours"`.
    """
    x, y = features[fold.train], targets[fold.train]
    if len(np.unique(fold.inner)) > 1:
        inner = PredefinedSplit(np.unique(fold.inner, return_inverse=True)[1])
    else:
        inner = KFold(min(5, len(y)), shuffle=True, random_state=0)
    fitted, layer, scores = fit_best(candidates(kind), x, 2 * y - 1, inner, mean_average_precision)
    return Ranked(fitted.predict(features[fold.test, layer]), layer, scores)


def mean_average_precision(scorer, x: np.ndarray, y: np.ndarray) -> float:
    """Of features (num_clips, D) and labels (num_clips, num_labels), positive where there is one."""
    return Ranking(y > 0, scorer.predict(x)).means(np.ones(len(y), int))[FLATTERED]


def measure_labels(
    name: str,
    seeds: list[np.ndarray],
    targets: np.ndarray,
    folds: list[Fold],
    groups: list[str] | None,
    settings: dict,
) -> dict:
    """As [`measure_features`], of targets (num_clips, num_labels)."""
    kind, count = settings["probe"], len(seeds) * len(folds)
    result: dict = {"name": name, "num_layers": seeds[0].shape[1], "width": seeds[0].shape[2]}
    with tqdm(total=2 * count, desc=f"{name}, probes", disable=None, leave=False) as bar:
        for what, key in ((kind, "probe"), ("neighbours", "neighbours")):
            ranked = [[rank(each, targets, fold, what) for fold in counted(folds, bar)] for each in seeds]
            result[key] = summary(ranked, targets, folds, groups, settings["seed"])
    return result


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
    }


def mean_of(values: np.ndarray) -> float | None:
    """The mean of those that are known, if any is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
