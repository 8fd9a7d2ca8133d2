"""Answers on the time line of a recording, as a picture."""

import numpy as np
from matplotlib import colormaps

from ..inference.predicting.answers import Answer
from ..inference.predicting.heads import NUMBERS, TEXT
from .pictures import INK, MARK, as_image, blank, in_grey, shortened


# Rows of a picture, at most: the labels with the highest scores in all.
MOST_LABELS = 10
MOST_WORDS = 60
FAINTEST = 0.03


def draw_answers(answers: list[Answer], seconds: float, kind: str) -> np.ndarray:
    """
    A picture (height, width, 4), uint8, of what a head of this kind said of a recording of so many seconds: of a
    single window a bar per label, as long as its score; of more, when which label had which score.
    """
    is_single = len({(each.start, each.end) for each in answers}) == 1
    if kind == NUMBERS:
        return draw_values(answers, seconds)
    if kind == TEXT:
        return draw_spans(answers[:MOST_WORDS], max(each.end for each in answers[:MOST_WORDS]))
    return draw_bars(answers[:MOST_LABELS]) if is_single else draw_spans(answers, seconds)


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


def draw_spans(answers: list[Answer], seconds: float) -> np.ndarray:
    """A row per label, and in it a bar from each beginning to each end, the stronger the surer."""
    totals: dict[str, float] = {}
    for each in answers:
        totals[each.label] = totals.get(each.label, 0.0) + each.score * (each.end - each.start)
    labels = sorted(totals, key=lambda label: -totals[label])[:MOST_LABELS]
    figure, axis = rows_for(len(labels))
    colours = colormaps["viridis"]
    for each in answers:
        if each.label in labels:
            place, score = len(labels) - 1 - labels.index(each.label), min(max(each.score, 0.0), 1.0)
            width = max(each.end - each.start, seconds / 400)
            axis.barh(place, width, left=each.start, height=0.62, color=colours(score), alpha=max(score, FAINTEST))
    axis.set_yticks(np.arange(len(labels))[::-1], [shortened(label, 24) for label in labels])
    axis.set(xlim=(0, max(seconds, 1e-3)), ylim=(-0.6, len(labels) - 0.4), xlabel="seconds")
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
