"""How well scores rank recordings that may have several labels."""

import numpy as np


class Ranking:
    """
    Average precision and area under the ROC curve of each label, as scikit-learn computes them, for recordings that
    are drawn again and again: with one sort of the scores for all draws, and looking at those alone that have a label.

    Args:
        targets (`np.ndarray` of shape `(num_clips, num_labels)`): 0 and 1.
        scores (`np.ndarray` of shape `(num_clips, num_labels)`): The higher the surer.
    """

    def __init__(self, targets: np.ndarray, scores: np.ndarray):
        targets, scores = np.asarray(targets).T > 0, np.asarray(scores).T
        self.order = np.argsort(-scores, axis=1, kind="stable")  # (num_labels, num_clips), the surest first
        ranked = np.take_along_axis(scores, self.order, axis=1)
        places = np.arange(ranked.shape[1])
        # Clips of equal scores are found together: where the first and the last of them are.
        is_last = np.pad(ranked[:, 1:] != ranked[:, :-1], ((0, 0), (0, 1)), constant_values=True)
        is_first = np.pad(is_last[:, :-1], ((0, 0), (1, 0)), constant_values=True)
        firsts = np.maximum.accumulate(np.where(is_first, places, 0), axis=1)
        lasts = np.minimum.accumulate(np.where(is_last, places, places[-1])[:, ::-1], axis=1)[:, ::-1]
        # Those that have a label, label by label; and how many of these are at or before the last, before the first.
        has_it = np.take_along_axis(targets, self.order, axis=1)
        self.labels, self.places = np.nonzero(has_it)
        self.first, self.last = firsts[self.labels, self.places], lasts[self.labels, self.places]
        numbers = np.cumsum(has_it).reshape(has_it.shape)
        self.up_to = numbers[self.labels, self.last]
        self.before = numbers[self.labels, self.first] - has_it[self.labels, self.first]
        self.begins = numbers[self.labels, 0] - has_it[self.labels, 0]

    def figures(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Average precisions and areas, `(num_labels,)` each, if each clip is there so many times, `(num_clips,)`. NaN
        without a clip that has the label; areas also without one that has not.
        """
        num_labels, labels = len(self.order), self.labels
        times = counts.take(self.order)
        found = np.cumsum(times, axis=1)
        weights = times[labels, self.places]
        # The same of those that have the label, from the first label on.
        true = np.append(0, np.cumsum(weights))
        total = np.bincount(labels, weights, num_labels)
        others = found[:, -1] - total
        upto, before = found[labels, self.last], found[labels, self.first] - times[labels, self.first]
        hits, hits_before = true[self.up_to] - true[self.begins], true[self.before] - true[self.begins]
        precisions = np.bincount(labels, weights * hits / np.maximum(upto, 1), num_labels)
        # Of the others, those that are ranked lower, and half of those at the same score.
        wrong = upto - hits + before - hits_before
        areas = np.bincount(labels, weights * (others[labels] - wrong / 2), num_labels)
        with np.errstate(invalid="ignore", divide="ignore"):
            return precisions / total, areas / (total * others)

    def means(self, counts: np.ndarray) -> dict[str, float]:
        """The means over the labels of which they are known; NaN if there is none."""
        return {
            name: float(values[known].mean()) if (known := np.isfinite(values)).any() else float("nan")
            for name, values in zip(("mean_average_precision", "roc_auc"), self.figures(counts), strict=True)
        }
