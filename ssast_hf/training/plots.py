"""Pictures of what a model sees and predicts, and of how training went."""

import math
from pathlib import Path

import numpy as np
import torch


# Panels of the picture of curves: title and the names of what is drawn, with validation in the same panel.
PANELS = {
    "loss": ("loss",),
    "discriminative loss (nats)": ("discriminative_loss",),
    "generative loss": ("generative_loss",),
    "pretext accuracy": ("accuracy",),
    "prediction variance (0: collapsed)": ("prediction_variance",),
    "masked and duplicate patches": ("masked_fraction", "duplicate_fraction"),
    "clips per second": ("clips_per_second",),
    "learning rate": ("learning_rate",),
}
# Of so many classes the names and numbers of a confusion matrix can be read.
MOST_NAMED = 60


def new_figure(**options):
    """An empty figure of matplotlib, which is imported here: mistakes in a command are told a second earlier."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(**options)
    FigureCanvasAgg(figure)
    return figure


def patches_to_spectrogram(patches: torch.Tensor, config) -> torch.Tensor:
    """
    Put patches back in their places, the reverse of [`SSASTForPretraining.patchify`] for patches that do not overlap.

    Args:
        patches (`torch.Tensor` of shape `(num_patches, patch_area)`): One clip's patches, frequency-major.
        config ([`SSASTConfig`]): Gives the shape of patches and of their grid along frequency.

    Returns:
        `torch.Tensor` of shape `(num_mel_bins, num_frames)`; rows and frames outside all patches are left out.
    """
    patch_frequency, patch_time = config.patch_shape
    grid = patches.reshape(config.grid_shape[0], -1, patch_frequency, patch_time)
    return grid.transpose(1, 2).flatten(2).flatten(0, 1)


def plot_reconstruction(input_values, bool_masked_pos, reconstruction, config, path, title: str = ""):
    """
    Draw one clip's spectrogram, the same with masked patches blanked, and with predictions in their place.

    Args:
        input_values (`torch.Tensor` of shape `(num_frames, num_mel_bins)`): The clip, normalised.
        bool_masked_pos (`torch.BoolTensor` of shape `(num_patches,)`): True = masked.
        reconstruction (`torch.Tensor` of shape `(num_patches, patch_area)`): Predicted patches.
        config ([`SSASTConfig`]): The model's configuration; patches must not overlap.
        path (`str` or `Path`): The PNG to write.
        title (`str`, *optional*): Heading of the picture.
    """
    mask = patches_to_spectrogram(bool_masked_pos[:, None].expand(-1, reconstruction.shape[1]), config).numpy()
    original = input_values.T[: mask.shape[0], : mask.shape[1]].float().numpy()
    predicted = patches_to_spectrogram(reconstruction.float(), config).numpy()
    panels = {
        "original": original,
        f"masked: what the model sees ({mask.mean():.0%} hidden)": np.ma.masked_where(mask, original),
        "reconstructed: predictions in the hidden places": np.where(mask, predicted, original),
    }
    figure = new_figure(figsize=(10, 7.5))
    # Set by hand: to let matplotlib find them takes longer than all the rest.
    margins = dict(left=0.07, right=0.88, bottom=0.07, top=0.91, hspace=0.18)
    axes = figure.subplots(len(panels), 1, sharex=True, gridspec_kw=margins)
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        axis.set_facecolor("0.6")
        extent = (0, original.shape[1] / 100, 0, original.shape[0])
        image = axis.imshow(
            values,
            origin="lower",
            aspect="auto",
            extent=extent,
            vmin=original.min(),
            vmax=original.max(),
            cmap="magma",
        )
        axis.set(title=name, ylabel="mel bin")
    axes[-1].set_xlabel("time in seconds")
    figure.colorbar(image, cax=figure.add_axes((0.9, 0.07, 0.02, 0.84)), label="normalised log-mel energy")
    figure.suptitle(title)
    figure.savefig(Path(path), dpi=120)


def plot_curves(history: list[dict], path, panels: dict[str, tuple[str, ...]] | None = None):
    """
    Draw what was logged, training and validation.

    Args:
        history (`list[dict]`): `trainer.state.log_history`.
        path (`str` or `Path`): The PNG to write.
        panels (`dict[str, tuple[str, ...]]`, *optional*): Titles, and the names of what is drawn; those of pretraining
            if not given.
    """
    panels = panels or PANELS
    rows = math.ceil(len(panels) / 2)
    figure = new_figure(figsize=(11, 2.6 * rows))
    inch = 1 / (2.6 * rows)  # so that titles have their place above few rows, too
    margins = dict(left=0.07, right=0.98, bottom=0.5 * inch, top=1 - 0.3 * inch, hspace=0.35, wspace=0.17)
    axes = figure.subplots(rows, 2, squeeze=False, gridspec_kw=margins)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, names) in zip(axes.flat, panels.items(), strict=False):
        for name in names:
            for key, label in ((name, "training"), (f"eval_{name}", "validation")):
                points = [(entry["step"], entry[key]) for entry in history if key in entry]
                if points:
                    style = dict(marker="o", markersize=3) if key != name or len(points) < 20 else {}
                    axis.plot(*zip(*points, strict=True), label=f"{name.replace('_', ' ')}, {label}", **style)
        axis.set(title=title)
        axis.locator_params(nbins=5)
        axis.ticklabel_format(axis="y", scilimits=(-2, 4))
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize="small")
    for axis in axes[-1]:
        axis.set_xlabel("step")
    figure.savefig(Path(path), dpi=110)


def as_written(axis):
    """Let the names at the axes be text: dollars in them are no formulas."""
    for label in [*axis.get_xticklabels(), *axis.get_yticklabels()]:
        label.set_parse_math(False)


def plot_confusion(counts: np.ndarray, names: list[str], path):
    """
    Draw which classes are taken for which.

    Args:
        counts (`np.ndarray` of shape `(num_classes, num_classes)`): How many clips of each class (rows) were taken for
            which (columns).
        names (`list[str]`): The classes.
        path (`str` or `Path`): The PNG to write.
    """
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    size = min(max(0.35 * len(names), 4), 30)
    figure = new_figure(figsize=(size + 2, size + 1), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axis.set(xlabel="the model says", ylabel="label", title="share of the clips of each label")
    if len(names) <= MOST_NAMED:
        places = np.arange(len(names))
        axis.set_xticks(places, names, rotation=90)
        axis.set_yticks(places, names)
        as_written(axis)
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(counts[row, column])
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    figure.colorbar(image, ax=axis)
    figure.savefig(Path(path), dpi=110)
