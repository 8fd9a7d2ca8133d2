"""What a model makes of single clips: losses, a picture of before and after, and which clips are alike."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch.nn.functional import normalize

from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTForPretraining
from ..training.plots import patches_to_spectrogram
from .clips import SAMPLING_RATE, Clip


# Masks per clip that losses are averaged over, the same before and after.
NUM_MASKS = 8


@dataclass
class Look:
    """A clip to a model: mean losses, features (frames, mels), a mask (patches,) and predictions (patches, area)."""

    loss: float
    error: float
    input_values: torch.Tensor
    bool_masked_pos: torch.Tensor
    reconstruction: torch.Tensor


class Viewer:
    """A pretrained model in a folder, and what it makes of clips."""

    def __init__(self, folder: Path):
        self.model = SSASTForPretraining.from_pretrained(folder, dtype=torch.float32).eval()
        self.feature_extractor = SSASTFeatureExtractor.from_pretrained(folder)

    def features(self, clip: Clip) -> torch.Tensor:
        """(1, frames, mels), as long as the clip."""
        options = dict(padding=False, truncation=False, return_attention_mask=False, return_tensors="pt")
        return self.feature_extractor(clip.audio, sampling_rate=SAMPLING_RATE, **options)["input_values"]

    @torch.no_grad()
    def look(self, clip: Clip) -> Look:
        input_values = self.features(clip)
        masks = [torch.Generator().manual_seed(seed) for seed in range(NUM_MASKS)]
        outputs = [self.model(input_values, generator=mask) for mask in masks]
        return Look(
            loss=float(np.mean([each.loss for each in outputs])),
            error=float(np.mean([each.generative_loss for each in outputs])),
            input_values=input_values[0],
            bool_masked_pos=outputs[0].bool_masked_pos[0],
            reconstruction=outputs[0].reconstruction[0],
        )

    @torch.no_grad()
    def alike(self, clips: list[Clip]) -> torch.Tensor:
        """Cosine of the angle between the clips' vectors, seen from their mean, (clips, clips); 1 for the same."""
        vectors = torch.cat([self.model.base_model(self.features(clip)).pooler_output for clip in clips])
        vectors = normalize(vectors - vectors.mean(dim=0))
        return vectors @ vectors.T


def draw_before_after(clip: Clip, before: Look, after: Look, config, path: Path):
    """A PNG of a clip's spectrogram, of what the model sees of it, and of what it makes of the rest, then and now."""
    area = before.reconstruction.shape[1]
    mask = patches_to_spectrogram(before.bool_masked_pos[:, None].expand(-1, area), config).numpy()
    original = before.input_values.T[: mask.shape[0], : mask.shape[1]].numpy()
    panels = {
        "the recording": original,
        f"what the model sees: {mask.mean():.0%} is hidden": np.ma.masked_where(mask, original),
    }
    for word, look in (("before", before), ("after", after)):
        predicted = patches_to_spectrogram(look.reconstruction, config).numpy()
        error = np.square(predicted - original)[mask].mean()
        panels[f"its guesses {word}: error {error:.3f}"] = np.where(mask, predicted, original)
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for axis, (title, values) in zip(axes.flat, panels.items(), strict=True):
        axis.set_facecolor("0.85")
        extent = (0, original.shape[1] / 100, 0, original.shape[0])
        limits = dict(vmin=original.min(), vmax=original.max())
        axis.imshow(values, origin="lower", aspect="auto", extent=extent, cmap="magma", **limits)
        axis.set_title(title)
    for axis in axes[1]:
        axis.set_xlabel("seconds")
    for axis in axes[:, 0]:
        axis.set_ylabel("mel bin")
    figure.savefig(path, dpi=100)


def draw_losses(losses: list[dict], path: Path):
    """A PNG of the loss of each step."""
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.plot(range(1, len(losses) + 1), [step["loss"] for step in losses], color="#b5367a")
    axis.set(xlabel="step", ylabel="loss", title="on the clips that it learns from")
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
