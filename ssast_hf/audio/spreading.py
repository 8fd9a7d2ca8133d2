"""Folds of recordings that may have several labels."""

import numpy as np


def spread(targets: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """
    A fold for each recording with several labels, (n,), from 0: the rarest label first, each group goes where that is
    most lacking (after Sechidis et al. 2011).
    """
    random = np.random.default_rng(seed)
    labels = np.zeros((groups.max() + 1, targets.shape[1]), dtype=np.float32)
    np.add.at(labels, groups, targets)
    left = labels.sum(axis=0, dtype=np.float64)  # of each label, where no fold is chosen yet
    wanted = np.tile(left / count, (count, 1))  # (folds, num_labels)
    room = np.full(count, len(labels) / count)
    fold_of = np.full(len(labels), -1)
    while (fold_of < 0).any():
        waiting = np.flatnonzero(fold_of < 0)
        has_labels = left.any()
        rarest = int(np.where(left > 0, left, np.inf).argmin())
        having = waiting[labels[waiting, rarest] > 0] if has_labels else waiting
        for group in random.permutation(having):
            lack = wanted[:, rarest] if has_labels else room
            fold = np.lexsort((random.random(count), -room, -lack))[0]
            fold_of[group] = fold
            wanted[fold] -= labels[group]
            left -= labels[group]
            room[fold] -= 1
    return fold_of[groups]
