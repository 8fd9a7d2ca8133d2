"""What frozen embeddings tell about labels: simple classifiers, chosen on the training folds alone."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier, RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, KFold, PredefinedSplit, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


# Of the ridge classifier the weight of the squares, of the logistic one its inverse; and numbers of neighbours.
ALPHAS, INVERSES, NEIGHBOURS = np.logspace(-2, 5, 15), np.logspace(-4, 2, 7), (1, 5, 10)
ITERATIONS = 2000


@dataclass(frozen=True)
class Fold:
    """
    Args:
        name (`str`): For messages.
        train, test (`np.ndarray`): Indices of clips.
        inner (`np.ndarray`): To which part of what is trained on each of `train` belongs; choices are made by leaving
            out one after the other.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    inner: np.ndarray


@dataclass(frozen=True)
class Probed:
    """
    What a classifier made of the test clips of a fold.

    Args:
        predictions (`np.ndarray`): Classes of the test clips, in their order.
        layer (`int`): Chosen on the training folds: 0 for the embeddings, then one per layer.
        strength (`float`): Chosen there, too: of regularisation, or the number of neighbours.
        layer_scores (`np.ndarray` of shape `(num_layers,)`): Accuracies in cross-validation that it was chosen by.
    """

    predictions: np.ndarray
    layer: int
    strength: float
    layer_scores: np.ndarray


def candidates(kind: str, fewest: int) -> list:
    """
    Classifiers of one kind to choose from; linear ones choose how strongly they are regularised when fitted, to at
    least `fewest` examples of each class.
    """
    if kind == "ridge":
        return [RidgeClassifierCV(ALPHAS)]  # by leaving out one example
    if kind == "logistic":
        parts = 3 if fewest >= 3 else KFold(3, shuffle=True, random_state=0)
        return [GridSearchCV(LogisticRegression(max_iter=ITERATIONS), {"C": INVERSES}, cv=parts)]
    return [KNeighborsClassifier(count, metric="cosine") for count in NEIGHBOURS]


def strength_of(fitted) -> float:
    """What a fitted classifier has chosen."""
    if isinstance(fitted, GridSearchCV):
        return float(fitted.best_params_["C"])
    return float(getattr(fitted, "alpha_", None) or fitted.n_neighbors)


def with_strength(kind: str, strength: float):
    """A linear classifier of a strength that is known."""
    linear = RidgeClassifier(strength) if kind == "ridge" else LogisticRegression(C=strength, max_iter=ITERATIONS)
    return make_pipeline(StandardScaler(), linear)


def probe(features: np.ndarray, targets: np.ndarray, fold: Fold, kind: str) -> Probed:
    """
    Choose the layer, and the classifier, by cross-validation within what is trained on; fit it there, and test it.

    Args:
        features (`np.ndarray` of shape `(num_clips, num_layers, D)`): Embeddings of all clips.
        targets (`np.ndarray` of shape `(num_clips,)`): Classes.
        fold ([`Fold`]): What is trained on and what is tested.
        kind (`str`): `"ridge"`, `"logistic"` or `"neighbours"`.

    Raises:
        ValueError: If a class has too few examples for that kind.
    """
    x, y = features[fold.train], targets[fold.train]
    if len(np.unique(fold.inner)) > 1:
        inner = PredefinedSplit(np.unique(fold.inner, return_inverse=True)[1])
    else:
        fewest = np.unique(y, return_counts=True)[1].min()
        if fewest < 2 and kind == "logistic":
            raise ValueError(f"{fold.name}: a class has one example to train on; --probe logistic needs two.")
        kind_of_split, count = (StratifiedKFold, min(5, fewest)) if fewest > 1 else (KFold, min(5, len(y)))
        inner = kind_of_split(count, shuffle=True, random_state=0)
    fewest = min(np.unique(y[train], return_counts=True)[1].min() for train, _ in inner.split(x[:, 0], y))
    fitted, layer, scores = fit_best(candidates(kind, fewest), x, y, inner)
    return Probed(fitted.predict(features[fold.test, layer]), layer, strength_of(fitted[-1]), scores)


def fit_best(candidates: list, x: np.ndarray, y: np.ndarray, inner, scoring="accuracy"):
    """
    The candidate and the layer that score best in cross-validation, fitted to everything.

    Args:
        candidates (`list`): Estimators; those with more neighbours than there are examples are left out.
        x (`np.ndarray` of shape `(num_clips, num_layers, D)`): Embeddings.
        y (`np.ndarray` of shape `(num_clips, ...)`): What they are to tell.
        inner: How they are divided, as in scikit-learn.
        scoring (`str` or function): As in scikit-learn, the higher the better.

    Returns:
        A pipeline, fitted; the number of its layer; and the best score of each layer.
    """
    fewest = min(len(train) for train, _ in inner.split(x[:, 0], y))
    usable = [each for each in candidates if getattr(each, "n_neighbors", 1) <= fewest]
    pipelines = [make_pipeline(StandardScaler(), candidate) for candidate in usable]
    options = dict(cv=inner, scoring=scoring, error_score="raise")
    of_parts = np.array(
        [[cross_val_score(each, layer, y, **options) for layer in x.swapaxes(0, 1)] for each in pipelines]
    )
    if np.isnan(of_parts).all(axis=-1).any():  # of some labels there is none in a part
        raise ValueError("No part of what is trained on has a label that could tell one layer from another.")
    scores = np.nanmean(of_parts, axis=-1)
    best, layer = np.unravel_index(scores.argmax(), scores.shape)
    return clone(pipelines[best]).fit(x[:, layer], y), int(layer), scores.max(axis=0)


def draw(targets: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """`size` clips of each class (num_clips,), by their indices."""
    of_classes = [np.flatnonzero(targets == each) for each in np.unique(targets)]
    return np.concatenate([random.choice(clips, size, replace=False) for clips in of_classes])


def few_labels(
    features: np.ndarray, targets: np.ndarray, fold: Fold, chosen: Probed, kind: str, drawn: np.ndarray
) -> float:
    """
    Test accuracy of a linear classifier that is fitted to the clips that were drawn. Layer and strength are those that
    were chosen with all.
    """
    fitted = with_strength(kind, chosen.strength).fit(features[drawn, chosen.layer], targets[drawn])
    return float((fitted.predict(features[fold.test, chosen.layer]) == targets[fold.test]).mean())
