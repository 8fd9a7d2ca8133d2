"""What is kept of the tokens of windows: patches, time steps, or sums of which clips make mean and deviation."""

import numpy as np
import torch

from ..modeling_ssast import NUM_PREFIX_TOKENS
from .stitching import Window


def keep(
    tokens: torch.Tensor, grid: tuple[int, int], windows: list[Window], level: str, pooling: str
) -> list[np.ndarray]:
    """
    Args:
        tokens (`torch.Tensor` of shape `(layers, B, L, D)`): Of B windows, float32.
        grid (`tuple[int, int]`): Patches along frequency and time, padding included.
        windows (`list[Window]`): Which steps are kept of each.
        level, pooling (`str`): As of [`Embedder`].

    Returns:
        An array per window, which may share memory with the others: `(layers, frequency, steps, D)` for `"patch"`,
        `(layers, steps, D)` for `"frame"`; for `"clip"` sums over the steps, and their number, `(layers, W + 1)`,
        where W is D, or D times the frequencies for the pooling `"bands"`; and with `"statistics"` between these sums
        of squared differences to the mean, `(layers, 2 W + 1)`.
    """
    patches = tokens[:, :, NUM_PREFIX_TOKENS:].unflatten(2, grid)  # (layers, B, frequency, time, D)
    spans = [(window.first - window.start, window.last - window.start) for window in windows]
    if level == "clip":
        return list(sums_of(tokens, patches, spans, pooling).cpu().numpy())
    # To the CPU together: each way there waits for the device.
    values = (patches.mean(dim=2) if level == "frame" else patches).cpu().numpy()
    return [values[:, i, ..., first:last, :] for i, (first, last) in enumerate(spans)]


def sums_of(tokens: torch.Tensor, patches: torch.Tensor, spans: list[tuple[int, int]], pooling: str) -> torch.Tensor:
    """Sums over the steps of each span, and how many these are, (B, layers, ...); shapes as in [`keep`]."""
    first, last = torch.tensor(spans, device=tokens.device).unsqueeze(2).unbind(dim=1)  # (B, 1)
    steps = torch.arange(patches.shape[3], device=tokens.device)
    is_kept = ((steps >= first) & (steps < last)).to(tokens.dtype)  # (B, time)
    if pooling == "cls":
        sums = tokens[:, :, :NUM_PREFIX_TOKENS].mean(dim=2) * (last - first)
    else:
        sums = sums_of_patches(patches, is_kept, pooling)
    counts = (last - first).expand(len(sums), -1, -1).to(sums.dtype)  # (layers, B, 1)
    return torch.cat((sums, counts), dim=2).transpose(0, 1)


def sums_of_patches(patches: torch.Tensor, is_kept: torch.Tensor, pooling: str) -> torch.Tensor:
    """
    Sums over time: of the means over frequency, (layers, B, D); for `"bands"` of each frequency, side by side from low
    to high, (layers, B, F * D); for `"statistics"` beside the first their squared differences to the mean, (..., 2 D).

    Args:
        patches (`torch.Tensor` of shape `(layers, B, F, T, D)`): Of all frequencies and times.
        is_kept (`torch.Tensor` of shape `(B, T)`): 1 for times that count, else 0; of the type of `patches`.
        pooling (`str`): `"mean"`, `"bands"` or `"statistics"`.
    """
    if pooling == "bands":
        return torch.einsum("bt,lbftd->lbfd", is_kept, patches).flatten(2)
    weights = is_kept.unsqueeze(1)  # (B, 1, T)
    steps = patches.mean(dim=2)
    sums = weights @ steps  # (layers, B, 1, D)
    if pooling == "mean":
        return sums.squeeze(2)
    squares = weights @ (steps - sums / weights.sum(dim=2, keepdim=True)).square()
    return torch.cat((sums, squares), dim=3).squeeze(2)


def join(parts: list[np.ndarray], level: str, pooling: str) -> np.ndarray:
    """What the windows of a clip, as from [`keep`], make together, with or without the axis of layers."""
    if level != "clip":
        return np.concatenate(parts, axis=-2)
    if pooling == "statistics":
        return joined_statistics(np.stack(parts))
    sums = np.sum(parts, axis=0)
    return sums[..., :-1] / sums[..., -1:]


def joined_statistics(parts: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over all steps, (..., 2 W), of sums (windows, ..., 2 W + 1) as in [`keep`]."""
    sums, squares = np.split(parts[..., :-1], 2, axis=-1)
    counts = parts[..., -1:]
    total = counts.sum(axis=0)
    mean = sums.sum(axis=0) / total
    # Of each window about its own mean, and of that mean about the one of all.
    squares = squares + counts * np.square(sums / counts - mean)
    return np.concatenate((mean, np.sqrt(squares.sum(axis=0) / total)), axis=-1)
