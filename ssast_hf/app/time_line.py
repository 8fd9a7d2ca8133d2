"""Answers on the time line of a recording, as a picture."""

import numpy as np
from matplotlib import colormaps

from ..inference.predicting.answers import Answer
from ..inference.predicting.heads import NUMBERS, TEXT
from .pictures import INK, MARK, as_image, blank, in_grey, shortened


# Rows of a picture, at most.
MOST_ROWS = 10
FAINTEST = 0.03
# Seconds that an answer may end before its recording, and be about all of it.
ROUNDED = 0.1


def draw_answers(answers: list[Answer], seconds: float, kind: str) -> tuple[np.ndarray, int]:
    """
    A picture (height, width, 4), uint8, of what a head of this kind said of a recording of so many seconds: if it is
    about all of it at once a bar per label, as long as its score; else when which label had which score; of text, when
    each of the first words was said. And how many labels or words have no place in it.
    """
    if kind == NUMBERS:
        return draw_values(answers, seconds), 0
    is_of_all = all(each.start == 0 and each.end >= seconds - ROUNDED for each in answers)
    if is_of_all and kind != TEXT:
        best = sorted(answers, key=lambda each: -each.score)[:MOST_ROWS]
        return draw_bars(best), max(len(answers) - MOST_ROWS, 0)
    rows = [(each.label, [each]) for each in answers] if kind == TEXT else by_label(answers)
    shown = rows[:MOST_ROWS]
    if kind == TEXT:
        seconds = max(each.end for _, row in shown for each in row)
    return draw_spans(shown, seconds), len(rows) - len(shown)


def by_label(answers: list[Answer]) -> list[tuple[str, list[Answer]]]:
    """Each label with its answers, first the one with the highest scores in all."""
    rows: dict[str, list[Answer]] = {}
    for each in answers:
        rows.setdefault(each.label, []).append(each)
    return sorted(rows.items(), key=lambda row: -sum(each.score * (each.end - each.start) for each in row[1]))


def draw_bars(answers: list[Answer]) -> np.ndarray:
    figure, axis = rows_for(len(answers))
    places = np.arange(len(answers))[::-1]
    axis.barh(places, [each.score for each in answers], height=0.62, color=MARK)
    for place, each in zip(places, answers, strict=True):
        axis.text(max(each.score, 0) + 0.01, place, f"{each.score:.2f}", va="center", color=INK, fontsize=9)
    axis.set_yticks(places, [shortened(each.label, 24) for each in answers])
    axis.set(xlim=(min(0.0, *(each.score for each in answers)), 1.12), ylim=(-0.6, len(answers) - 0.4), xlabel="score")
    in_grey(axis)
    return as_image(figure)


def draw_spans(rows: list[tuple[str, list[Answer]]], seconds: float) -> np.ndarray:
    """A row per label, and in it a bar from each beginning to each end, the stronger the surer."""
    figure, axis = rows_for(len(rows))
    places = np.arange(len(rows))[::-1]
    for place, (_, answers) in zip(places, rows, strict=True):
        scores = np.clip([each.score for each in answers], 0.0, 1.0)
        colours = colormaps["viridis"](scores, alpha=np.maximum(scores, FAINTEST))
        spans = [(each.start, max(each.end - each.start, seconds / 400)) for each in answers]
        axis.broken_barh(spans, (place - 0.31, 0.62), facecolors=colours)
    axis.set_yticks(places, [shortened(label, 24) for label, _ in rows])
    axis.set(xlim=(0, max(seconds, 1e-3)), ylim=(-0.6, len(rows) - 0.4), xlabel="seconds")
    in_grey(axis)
    return as_image(figure)


def draw_values(answers: list[Answer], seconds: float) -> np.ndarray:
    """A line per number over time."""
    figure = blank((6.0, 2.6))
    axis = figure.add_axes((0.13, 0.2, 0.85, 0.67))
    for label in dict.fromkeys(each.label for each in answers):
        points = [((each.start + each.end) / 2, each.score) for each in answers if each.label == label]
        axis.plot(*zip(*points, strict=True), marker="o", markersize=4, label=shortened(label))
    axis.set(xlim=(0, max(seconds, 1e-3)), xlabel="seconds", ylabel="value")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=9, labelcolor=INK, frameon=False)
    in_grey(axis)
    return as_image(figure)


def rows_for(count: int):
    """A figure with axes for so many rows, with room for their names at the left."""
    height = 1.0 + 0.34 * max(count, 1)
    figure = blank((6.0, height))
    return figure, figure.add_axes((0.29, 0.5 / height, 0.69, 1 - 0.88 / height))
