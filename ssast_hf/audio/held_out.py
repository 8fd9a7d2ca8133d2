"""Which part of the training data is held out to validate on, such that nothing in it was trained on."""

import numpy as np

from .windows import Stretches, Windows


# With fewer recordings, a part of each is held out instead of some of them.
FEW = 10


def hold_out(
    samples: np.ndarray, windows: Windows, fraction: float, seed: int, groups: list[str] | None = None
) -> tuple[Stretches, Stretches]:
    """
    Divide recordings into a part to train on and one to validate on.

    Args:
        samples (`np.ndarray`): Their lengths at the model's rate, 0 if unusable; those stay with the first part.
        windows ([`Windows`]): How they are cut.
        fraction (`float`): The share of all windows to validate on, above 0.
        seed (`int`): Source of randomness.
        groups (`list[str]`, *optional*): Which group each recording belongs to; no group is divided.

    Returns:
        The stretches to train on, and those to validate on.

    Raises:
        ValueError: If nothing would be left to train on.
    """
    usable = samples >= windows.shortest
    is_long = samples >= 2 * windows.length
    if groups is None and (usable.sum() == 1 or (usable.sum() < FEW and is_long.any())):
        return by_time(samples, windows, fraction, is_long if is_long.any() else samples >= 2 * windows.shortest)
    units = np.arange(len(samples)) if groups is None else np.unique(groups, return_inverse=True)[1]
    held_out = by_unit(units, windows.count(samples) * usable, fraction, seed)
    if not (usable & ~held_out).any():
        what = "recording" if groups is None else "group"
        raise ValueError(
            f"{len(np.unique(units[usable]))} {what} is too little to train and validate on; pass --validation_data, "
            "or set --validation_fraction 0."
        )
    whole = Stretches.whole(samples)
    return whole[~held_out], whole[held_out]


def by_unit(units: np.ndarray, counts: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """
    Which recordings to hold out, boolean, as whole units: drawn one after the other, unless too large for what is
    still wanted; at least the smallest one.

    Args:
        units (`np.ndarray`): The unit of each recording, from 0.
        counts (`np.ndarray`): How many windows each recording has; 0 if it is unusable.
        fraction (`float`): The share of the windows to hold out.
        seed (`int`): Source of randomness.
    """
    sizes = np.bincount(units, weights=counts)
    wanted = np.ceil(fraction * sizes.sum())
    order = np.random.default_rng(seed).permutation(len(sizes))
    chosen = np.zeros(len(sizes), dtype=bool)
    for unit in order[sizes[order] > 0]:
        if sizes[unit] <= wanted:
            chosen[unit] = True
            wanted -= sizes[unit]
    if not chosen.any() and sizes.any():
        chosen[np.argmin(np.where(sizes > 0, sizes, np.inf))] = True
    return chosen[units] & (counts > 0)


def by_time(
    samples: np.ndarray, windows: Windows, fraction: float, divided: np.ndarray
) -> tuple[Stretches, Stretches]:
    """
    The beginnings and the ends of recordings. The end is the given share of a recording, but at least a window, unless
    that is more than half of it.

    Args:
        samples, windows, fraction: As for [`hold_out`].
        divided (`np.ndarray`): Which recordings have an end that is held out, boolean.
    """
    if not divided.any():
        raise ValueError(
            "1 recording of this length is too little to train and validate on; set --validation_fraction 0."
        )
    ends = np.maximum(np.ceil(fraction * samples), np.minimum(windows.length, samples // 2)).astype(samples.dtype)
    ends = np.where(divided, np.minimum(ends, samples - windows.shortest), 0)
    train = Stretches(np.arange(len(samples)), np.zeros_like(samples), samples - ends, samples)
    return train, Stretches(np.arange(len(samples)), samples - ends, ends, samples)[divided]
