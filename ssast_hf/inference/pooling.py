"""What is kept of the tokens of windows: patches, time steps, or sums of which clips make their mean."""

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
        `(layers, steps, D)` for `"frame"`; for `"clip"` sums over the steps, and their number, `(layers, D + 1)`.
    """
    patches = tokens[:, :, NUM_PREFIX_TOKENS:].unflatten(2, grid)  # (layers, B, frequency, time, D)
    spans = [(window.first - window.start, window.last - window.start) for window in windows]
    if level == "clip":
        return list(sums_of(tokens, patches, spans, pooling).cpu().numpy())
    # To the CPU together: each way there waits for the device.
    values = (patches.mean(dim=2) if level == "frame" else patches).cpu().numpy()
    return [values[:, i, ..., first:last, :] for i, (first, last) in enumerate(spans)]


def sums_of(tokens: torch.Tensor, patches: torch.Tensor, spans: list[tuple[int, int]], pooling: str) -> torch.Tensor:
    """Sums over the steps of each span, and how many these are, (B, layers, D + 1); shapes as in [`keep`]."""
    first, last = torch.tensor(spans, device=tokens.device).unsqueeze(2).unbind(dim=1)  # (B, 1)
    steps = torch.arange(patches.shape[3], device=tokens.device)
    is_kept = ((steps >= first) & (steps < last)).to(tokens.dtype)  # (B, time)
    if pooling == "mean":
        sums = (is_kept.unsqueeze(1) @ patches.mean(dim=2)).squeeze(2)  # (layers, B, D)
    else:
        sums = tokens[:, :, :NUM_PREFIX_TOKENS].mean(dim=2) * (last - first)
    counts = (last - first).expand(len(sums), -1, -1).to(sums.dtype)  # (layers, B, 1)
    return torch.cat((sums, counts), dim=2).transpose(0, 1)


def join(parts: list[np.ndarray], level: str) -> np.ndarray:
    """What the windows of a clip, as from [`keep`], make together, with or without the axis of layers."""
    if level != "clip":
        return np.concatenate(parts, axis=-2)
    sums = np.sum(parts, axis=0)
    return sums[..., :-1] / sums[..., -1:]
