"""Figures of a test, and how sure they are."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ssast_hf.audio.intervals import intervals, of_pairs
from ssast_hf.training.finetuning.figures import of_classes, of_several, speakers_of
from ssast_hf.training.finetuning.trials import verification


def test_a_class_that_is_said_alone_counts():
    figures = of_classes(np.eye(3)[[0, 1]], np.array([0, 0]))(np.arange(2))
    assert figures["macro_f1"] == pytest.approx(f1_score([0, 0], [0, 1], average="macro"))
    assert figures["macro_f1"] == pytest.approx(1 / 3)


def test_figures_of_several_labels_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    targets = (random.random((40, 6)) < 0.3).astype(np.float32)
    scores = random.integers(0, 6, (40, 6)).astype(np.float64)  # many are equal
    targets[:, 0] = 0
    clips = random.integers(40, size=40)
    expected = [
        np.mean([figure(targets[clips, i], scores[clips, i]) for i in range(1, 6)])
        for figure in (average_precision_score, roc_auc_score)
    ]
    assert list(of_several(scores, targets)(clips).values()) == pytest.approx(expected)
    (low, high), _ = intervals(of_several(targets, targets), np.arange(40), seed=0).values()
    assert (low, high) == (1.0, 1.0)


def test_pairs_are_drawn_by_their_speakers():
    """Of three speakers, two recordings each, what one of them is like decides everything."""
    first, second = np.array([(i, j) for i in range(6) for j in range(i)]).T
    is_same = first // 2 == second // 2
    trials = SimpleNamespace(recordings=range(6), first=first, second=second, is_same=is_same)
    units = speakers_of(trials)
    np.testing.assert_array_equal(units, np.stack((first // 2, second // 2), axis=1))
    assert set(of_pairs(units, np.array([2, 0, 1]))[is_same]) == {2, 0, 1}
    assert set(of_pairs(units, np.array([2, 0, 1]))[~is_same]) == {0, 2}
    scores = np.where(is_same, 1.0, 0.0) - 2.0 * (is_same & (first // 2 == 2))
    found = intervals(lambda chosen: verification(scores[chosen], is_same[chosen]), units, seed=0)
    low, high = found["equal_error_rate"]
    assert (low, high > 0.5) == (0.0, True)
