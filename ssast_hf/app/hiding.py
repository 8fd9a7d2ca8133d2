"""Which patches to hide: drawn as in pretraining, a stretch of time, a band of frequencies, or painted."""

import numpy as np
import torch

from ..masking_ssast import sample_mask


CLUSTER, RANDOM, TIME, FREQUENCY, PAINTED = "cluster", "random", "time span", "frequency band", "painted by hand"
STRATEGIES = (CLUSTER, RANDOM, TIME, FREQUENCY, PAINTED)
# A patch is hidden if so much of it is painted.
ENOUGH = 0.25


def choose_patches(
    strategy: str, share: float, seed: int, grid_shape: tuple[int, int], painted: np.ndarray | None = None
) -> torch.Tensor:
    """
    Args:
        strategy (`str`): One of [`STRATEGIES`].
        share (`float`): Which part of the patches, from 0 to 1; at least one is hidden, and never all.
        seed (`int`): The same gives the same.
        grid_shape (`tuple[int, int]`): Patches along (frequency, time).
        painted (`np.ndarray` of shape `(height, width)`, bool, *optional*): For `"painted by hand"`: a picture of the
            patches with low frequencies at the bottom, `True` where there is paint. Share and seed do not matter then.

    Returns:
        `torch.BoolTensor` of shape `(1, num_patches)`; True = hidden.

    Raises:
        ValueError: If nothing or everything is painted, or if there is no part of the patches to choose.
    """
    frequency, time = grid_shape
    if frequency * time < 2:
        raise ValueError("This clip is a single patch to the model: nothing would be left to see. Take a longer one.")
    if strategy == PAINTED:
        return painted_patches(painted, grid_shape)
    generator = torch.Generator().manual_seed(seed)
    if strategy in (CLUSTER, RANDOM):
        count = min(max(round(share * frequency * time), 1), frequency * time - 1)
        valid = torch.ones(1, frequency * time, dtype=torch.bool)
        return sample_mask(strategy, grid_shape, torch.tensor([count]), valid, generator)
    size = frequency if strategy == FREQUENCY else time
    if size < 2:
        reason = "reach over all frequencies" if strategy == FREQUENCY else "reach over all of this clip"
        raise ValueError(f"The patches of this model {reason}, so a {strategy} would hide everything. Choose another.")
    count = min(max(round(share * size), 1), size - 1)
    begin = int(torch.randint(size - count + 1, (), generator=generator))
    mask = torch.zeros(grid_shape, dtype=torch.bool)
    (mask if strategy == FREQUENCY else mask.T)[begin : begin + count] = True
    return mask.reshape(1, -1)


def painted_patches(painted: np.ndarray | None, grid_shape: tuple[int, int]) -> torch.Tensor:
    """The patches of which enough is painted, (1, N) bool; ValueError if these are none or all."""
    if painted is None or not painted.any():
        raise ValueError("Nothing is painted yet: paint over what is to be hidden, and press the button again.")
    picture = torch.from_numpy(np.ascontiguousarray(painted[::-1])).float()  # low frequencies first
    covered = torch.nn.functional.adaptive_avg_pool2d(picture[None], grid_shape)[0]
    mask = covered >= min(ENOUGH, float(covered.max()))
    if mask.all():
        raise ValueError("Everything is painted, so nothing is left to see. Leave a part free.")
    return mask.reshape(1, -1)
