"""Pictures of embeddings: clips on a map, and a recording over time."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


# Told apart by most people; what there is more of than colours is grey.
COLOURS = "#0072b2 #e69f00 #009e73 #cc79a7 #56b4e9 #d55e00 #7b2382 #8c6d31 #f0c808 #444444".split()
GREY, PLAIN = "#b8b8b8", "#7b2382"
# Shares of values beyond which colours do not change, in percent.
DARKEST, BRIGHTEST = 2, 98


def draw_map(places: np.ndarray, groups: dict[str, tuple[str, np.ndarray]], title: str, path: Path):
    """
    A PNG of clips on a map.

    Args:
        places (`np.ndarray` of shape `(num_clips, 2)`): Where they lie.
        groups (`dict`): For the legend: names -> colour and which clips, a mask `(num_clips,)`; a single one has none.
        title (`str`): Heading of the picture.
        path (`Path`): Where to write it.
    """
    figure = Figure(figsize=(9 if len(groups) > 1 else 7.5, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    size = float(np.clip(12000 / len(places), 6, 40))
    for name, (colour, mask) in groups.items():
        label = f"{name} ({mask.sum()})"
        x, y = places[mask].T
        order = 1 if colour == GREY else 2
        axis.scatter(x, y, s=size, color=colour, label=label, edgecolor="white", linewidth=0.4, zorder=order)
    axis.set(xticks=[], yticks=[], xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axis.spines[:].set_color("0.8")
    axis.set_title(title, fontsize="medium")
    if len(groups) > 1:
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, markerscale=1.3)
    figure.savefig(path, dpi=100)


def draw_recording(spectrogram: np.ndarray, times: np.ndarray, vectors: np.ndarray, seconds: float, title, path: Path):
    """
    A PNG of a recording over time: its spectrogram, how like the whole of it each moment is, and how like each other.

    Args:
        spectrogram (`np.ndarray` of shape `(num_mel_bins, num_columns)`): All of it.
        times (`np.ndarray` of shape `(num_moments,)`): Their centres in seconds.
        vectors (`np.ndarray` of shape `(num_moments, D)`): Of length 1.
        seconds (`float`): How long it is.
        title (`str`): Heading of the picture.
        path (`Path`): Where to write it.
    """
    figure = Figure(figsize=(10, 11), layout="constrained")
    FigureCanvasAgg(figure)
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1.3, 6))
    low, high = np.percentile(spectrogram, (DARKEST, 100))
    extent = (0, seconds, 0, len(spectrogram))
    above.imshow(spectrogram, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high)
    above.set_title(title, fontsize="medium")
    above.set_ylabel("mel bin")
    mean = vectors.mean(axis=0)
    middle.plot(times, vectors @ (mean / max(float(np.linalg.norm(mean)), 1e-12)), color=PLAIN, linewidth=1.2)
    middle.set_ylabel("similarity\nto the whole")
    middle.grid(alpha=0.3)
    alike = vectors @ vectors.T
    low, high = np.percentile(alike, (DARKEST, BRIGHTEST))
    image = below.pcolormesh(times, times, alike, cmap="viridis", vmin=low, vmax=high, shading="nearest")
    below.set(xlabel="seconds", ylabel="seconds", xlim=(0, seconds), ylim=(seconds, 0))
    figure.colorbar(image, ax=below, label="similarity of two moments (cosine)", location="bottom", shrink=0.6)
    figure.savefig(path, dpi=100)
