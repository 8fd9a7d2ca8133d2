"""Pictures of spectrograms and what lies over them, legible on a light page and on a dark one."""

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


# Inches and dots per inch; the margins are set by hand, so that a place in the picture can be found again. At the top
# lies the label that the page puts there.
SIZE, DOTS = (6.0, 3.1), 120
LEFT, RIGHT, BOTTOM, TOP = 0.1, 0.985, 0.155, 0.875
# Grey is read on white and on black alike. There is no background.
INK, BLANK, MARK = "#858585", "#85858555", "#18b5a0"
# Pixels of the picture to paint on, per mel bin and per frame, about.
CANVAS = (960, 256)


def blank(size: tuple[float, float] = SIZE) -> Figure:
    """A figure without background."""
    figure = Figure(figsize=size, dpi=DOTS)
    figure.patch.set_alpha(0)
    return figure


def in_grey(axis):
    """Axes whose text and lines are read on any background."""
    axis.tick_params(colors=INK, labelsize=9)
    axis.spines[:].set_color(INK)
    axis.xaxis.label.set_color(INK)
    axis.yaxis.label.set_color(INK)
    axis.patch.set_alpha(0)


def as_image(figure: Figure) -> np.ndarray:
    """The picture, (height, width, 4), uint8."""
    for text in figure.findobj(Text):  # names of files and labels, in which $ is a character as others are
        text.set_parse_math(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def draw_spectrogram(
    values: np.ndarray,
    frame_shift: float,
    begin: float = 0.0,
    limits: tuple[float, float] | None = None,
    colours: str = "magma",
    over: tuple[np.ndarray, str, tuple[float, float]] | None = None,
    marks: list[tuple[int, int, int, int]] | None = None,
    is_even: bool = True,
) -> np.ndarray:
    """
    Args:
        values (`np.ndarray` of shape `(num_mel_bins, num_frames)`): Drawn as colours; NaN is left blank.
        frame_shift (`float`): Seconds from one frame to the next.
        begin (`float`): The second at which it begins.
        limits (`tuple[float, float]`, *optional*): Values of the darkest and the brightest colour.
        colours (`str`): Of matplotlib's maps.
        over (*optional*): Values `(num_mel_bins, num_frames)` to draw over them, NaN for none, their map and limits.
        is_even (`bool`, defaults to `True`): Whether these cover evenly; otherwise the lower, the fainter.
        marks (`list[tuple[int, int, int, int]]`, *optional*): Frames to outline: first frame and bin, and how many.

    Returns:
        `np.ndarray` of shape `(height, width, 4)`, uint8.
    """
    figure = blank()
    axis = figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))
    mels, frames = values.shape
    extent = (begin, begin + frames * frame_shift, 0, mels)
    options: dict = dict(origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    axis.imshow(np.ones_like(values), cmap="gray", vmin=0, vmax=2, alpha=0.33, **options)
    axis.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=low, vmax=max(high, low + 1e-6), **options)
    if over is not None:
        upper, upper_colours, (lowest, highest) = over
        highest = max(highest, lowest + 1e-9)
        share = (np.nan_to_num(upper, nan=lowest) - lowest) / (highest - lowest)
        strength = np.full_like(share, 0.8) if is_even else np.clip(share, 0.1, 0.9)
        shown = np.ma.masked_invalid(upper)
        axis.imshow(shown, cmap=upper_colours, vmin=lowest, vmax=highest, alpha=strength, **options)
    for frame, mel, width, height in marks or []:
        x, y, right = begin + frame * frame_shift, mel, begin + (frame + width) * frame_shift
        box = np.array([[x, y], [right, y], [right, y + height], [x, y + height], [x, y]])
        axis.plot(*box.T, color="black", linewidth=3.4, clip_on=False)
        axis.plot(*box.T, color=MARK, linewidth=2, clip_on=False)
    axis.set(xlim=extent[:2], ylim=extent[2:], xlabel="seconds", ylabel="mel bin")
    in_grey(axis)
    return as_image(figure)


def place_in(picture_xy: tuple[float, float], num_mels: int, num_frames: int) -> tuple[int, int] | None:
    """The mel bin and the frame at a pixel (x, y) of [`draw_spectrogram`]'s picture; `None` beside the spectrogram."""
    width, height = SIZE[0] * DOTS, SIZE[1] * DOTS
    x = (picture_xy[0] / width - LEFT) / (RIGHT - LEFT)
    y = (1 - picture_xy[1] / height - BOTTOM) / (TOP - BOTTOM)
    if not (0 <= x < 1 and 0 <= y < 1):
        return None
    return int(y * num_mels), int(x * num_frames)


def draw_canvas(values: np.ndarray) -> np.ndarray:
    """A spectrogram (num_mel_bins, num_frames) without axes, to paint on: (height, width, 3), uint8."""
    low, high = float(values.min()), float(values.max())
    colours = colormaps["magma"]((values[::-1] - low) / max(high - low, 1e-6), bytes=True)[:, :, :3]
    rows = np.arange(CANVAS[1]) * len(colours) // CANVAS[1]
    columns = np.arange(CANVAS[0]) * colours.shape[1] // CANVAS[0]
    return np.ascontiguousarray(colours[rows][:, columns])


def draw_pair(ours, theirs, alike: np.ndarray, to_whole: np.ndarray, names: tuple[str, str]) -> np.ndarray:
    """
    How alike the moments of two recordings are.

    Args:
        ours, theirs (`np.ndarray` of shapes `(n,)` and `(m,)`): Their times in seconds.
        alike (`np.ndarray` of shape `(n, m)`): Cosines.
        to_whole (`np.ndarray` of shape `(n,)`): Of the first one's moments, to the second one as a whole.
        names (`tuple[str, str]`): What they are called.
    """
    figure = blank((6.0, 5.3))
    above = figure.add_axes((0.12, 0.715, 0.70, 0.2))
    below = figure.add_axes((0.12, 0.105, 0.70, 0.575), sharex=above)
    above.plot(ours, to_whole, color=MARK, linewidth=1.6, marker="o" if len(ours) < 40 else None, markersize=3)
    above.set(ylim=(-1.05, 1.05), ylabel="to all of it")
    above.grid(alpha=0.3)
    above.tick_params(labelbottom=False)
    edges = [edges_of(times) for times in (ours, theirs)]
    image = below.pcolormesh(*edges, alike.T, cmap="viridis", vmin=-1, vmax=1, shading="flat")
    below.set(xlabel=f"{shortened(names[0])}, seconds", ylabel=f"{shortened(names[1])}, seconds")
    bar = figure.colorbar(image, cax=figure.add_axes((0.84, 0.105, 0.025, 0.575)))
    bar.set_label("similarity (cosine)")
    for axis in (above, below, bar.ax):
        in_grey(axis)
    bar.outline.set_edgecolor(INK)
    return as_image(figure)


def edges_of(times: np.ndarray) -> np.ndarray:
    """Where moments begin and end, (n + 1,), from their centres (n,)."""
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.05
    return np.concatenate(([times[0] - half], (times[1:] + times[:-1]) / 2, [times[-1] + half]))


def shortened(name: str, most: int = 32) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."
