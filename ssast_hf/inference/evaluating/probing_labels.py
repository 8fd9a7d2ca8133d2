"""What frozen embeddings tell about several labels at once: a probe per label, chosen on the training folds alone."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, PredefinedSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ...audio.intervals import FLATTERED
from ...audio.ranking import Ranking
from .probing import ALPHAS, INVERSES, ITERATIONS, NEIGHBOURS, Fold, fit_best


@dataclass(frozen=True)
class Ranked:
    """
    Args:
        scores (`np.ndarray` of shape `(num_clips, num_labels)`): Of the test clips of a fold, in their order.
        layer (`int`): Chosen on the training folds: 0 for the embeddings, then one per layer.
        strengths (`np.ndarray` of shape `(num_labels,)`): Of regularisation, chosen there, too; NaN where there was
            too little to choose by. Of neighbours one, their number.
        layer_scores (`np.ndarray` of shape `(num_layers,)`): Mean average precisions that it was chosen by.
    """

    scores: np.ndarray
    layer: int
    strengths: np.ndarray
    layer_scores: np.ndarray


class LogisticPerLabel(BaseEstimator):
    """
    One logistic classifier per label; its scores are logits, and 0 of a label without a classifier.

    Args:
        strengths (`np.ndarray` of shape `(num_labels,)`, *optional*): How strong each is, as scikit-learn's `C`; NaN
            for no classifier. By default each is as strong as cross-validation says.
    """

    def __init__(self, strengths: np.ndarray | None = None):
        self.strengths = strengths

    def fit(self, x: np.ndarray, y: np.ndarray):
        """Of features (num_clips, D) and labels (num_clips, num_labels), positive where there is one."""
        columns = (y > 0).T
        if self.strengths is None:
            self.fitted_ = [self._fit_best(x, has_it) for has_it in columns]
        else:
            self.fitted_ = [self._fit_one(x, *each) for each in zip(columns, self.strengths, strict=True)]
        return self

    def _fit_best(self, x: np.ndarray, has_it: np.ndarray):
        fewest = int(min(has_it.sum(), (~has_it).sum()))
        if fewest < 2:  # too few to validate with
            return None
        options = dict(cv=min(3, fewest), scoring="average_precision")
        return GridSearchCV(LogisticRegression(max_iter=ITERATIONS), {"C": INVERSES}, **options).fit(x, has_it)

    def _fit_one(self, x: np.ndarray, has_it: np.ndarray, strength: float):
        if np.isnan(strength) or has_it.all() or not has_it.any():
            return None
        return LogisticRegression(C=strength, max_iter=ITERATIONS).fit(x, has_it)

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


def strengths_of(fitted) -> np.ndarray:
    """What a fitted candidate has chosen, label by label."""
    if isinstance(fitted, LogisticPerLabel):
        return np.array([np.nan if one is None else one.best_params_["C"] for one in fitted.fitted_])
    return np.atleast_1d(fitted.alpha_ if isinstance(fitted, RidgeCV) else fitted.n_neighbors)


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
    return Ranked(scores_of(fitted, features[fold.test, layer]), layer, strengths_of(fitted[-1]), scores)


def mean_average_precision(scorer, x: np.ndarray, y: np.ndarray) -> float:
    """Of features (num_clips, D) and labels (num_clips, num_labels), positive where there is one."""
    return Ranking(y > 0, scores_of(scorer, x)).means(np.ones(len(y), int))[FLATTERED]


def scores_of(fitted, x: np.ndarray) -> np.ndarray:
    """Of features (num_clips, D), (num_clips, num_labels); scikit-learn gives those of a single label flat."""
    return fitted.predict(x).reshape(len(x), -1)


def draw(targets: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """
    Clips by their indices, so that of each label there are `size` with it, or more, and as many without it, as far as
    there are such. Those that were drawn for one label count for the next.

    Args:
        targets (`np.ndarray` of shape `(num_clips, num_labels)`): 0 and 1.
        size (`int`): How many.
        random (`np.random.Generator`): Source of randomness.
    """
    is_drawn = np.zeros(len(targets), dtype=bool)
    for label in random.permutation(targets.shape[1]):
        has_it = targets[:, label] > 0
        for alike in (has_it, ~has_it):
            lacking = min(size, alike.sum()) - (alike & is_drawn).sum()
            if lacking > 0:
                is_drawn[random.choice(np.flatnonzero(alike & ~is_drawn), lacking, replace=False)] = True
    return np.flatnonzero(is_drawn)


def few_labels(
    features: np.ndarray, targets: np.ndarray, fold: Fold, chosen: Ranked, kind: str, drawn: np.ndarray
) -> float:
    """
    Mean average precision in the test of linear classifiers that are fitted to the clips that were drawn. Layer and
    strengths are those that were chosen with all.
    """
    # By one decomposition for all labels, since each may have a strength of its own.
    linear = Ridge(chosen.strengths, solver="svd") if kind == "ridge" else LogisticPerLabel(chosen.strengths)
    fitted = make_pipeline(StandardScaler(), linear).fit(features[drawn, chosen.layer], 2 * targets[drawn] - 1)
    return mean_average_precision(fitted, features[fold.test, chosen.layer], targets[fold.test])
