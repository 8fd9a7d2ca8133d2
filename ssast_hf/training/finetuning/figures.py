"""
What is measured: figures of a test, as scikit-learn computes them. It and scipy are imported where they are needed, so
that a mistake in labels or options is told two seconds earlier.
"""

import numpy as np

from ...audio.intervals import Measure
from ...audio.ranking import Ranking


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
        either = true + confusion.sum(axis=0)  # a class that is said alone counts, too: as 0
        f1 = 2 * right[either > 0] / either[either > 0]
        return {"accuracy": float(right.sum() / len(clips)), "macro_f1": float(f1.mean())}

    return measure


def of_several(scores: np.ndarray, targets: np.ndarray) -> Measure:
    """Of scores and 0 or 1, (clips, classes); each figure is the mean of the classes that have one."""
    ranking = Ranking(targets, scores)

    def measure(clips: np.ndarray) -> dict[str, float]:
        return ranking.means(np.bincount(clips, minlength=len(targets)))

    return measure


def of_numbers(scores: np.ndarray, targets: np.ndarray) -> Measure:
    """Of numbers (clips, 1) and (clips,)."""
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    said = scores.reshape(-1)

    def measure(clips: np.ndarray) -> dict[str, float]:
        pair = targets[clips], said[clips]
        return {
            "mean_absolute_error": float(mean_absolute_error(*pair)),
            "mean_squared_error": float(mean_squared_error(*pair)),
            "r2": float(r2_score(*pair)) if len(set(pair[0].tolist())) > 1 else float("nan"),
        }

    return measure


def speakers_of(trials) -> np.ndarray:
    """
    Of whom both recordings of each pair are, (num_pairs, 2), as far as pairs of one speaker tell: what they connect is
    one. Pairs that share a speaker err together, so whole speakers are drawn.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count, first, second = len(trials.recordings), trials.first, trials.second
    edges = np.ones(trials.is_same.sum()), (first[trials.is_same], second[trials.is_same])
    speakers = connected_components(coo_matrix(edges, (count, count)), directed=False)[1]
    return np.stack((speakers[first], speakers[second]), axis=1)
