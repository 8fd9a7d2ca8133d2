"""Scores of windows in, answers on the time line of the whole recording out."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..stitching import Window


class Answer(NamedTuple):
    """What is said of a recording from `start` to `end`, in seconds, and how sure: a probability, cosine or value."""

    start: float
    end: float
    label: str
    score: float


class TimeLine(NamedTuple):
    """
    When the steps of a recording are, in seconds. A step is heard around its centre, so that one ends and the next
    begins halfway between two centres.

    Args:
        shift (`float`): From one step to the next.
        first (`float`): The centre of the first one.
        num_steps (`int`): How many there are.
        duration (`float`): Of the recording.
    """

    shift: float
    first: float
    num_steps: int
    duration: float

    def begin_of(self, step: int) -> float:
        """Where a step begins and the one before it ends; the recording's own ends belong to the outermost steps."""
        if step <= 0:
            return 0.0
        return self.duration if step >= self.num_steps else self.first + (step - 0.5) * self.shift


class ClipAnswers:
    """
    Labels, values or speakers: the best of each window.

    Args:
        line ([`TimeLine`]): Of the recording.
        names (`list[str]`): Of the classes.
        top_k (`int`, *optional*): At most so many.
        threshold (`float`, *optional*): With a higher score alone.
    """

    def __init__(self, line: TimeLine, names: list[str], top_k: int | None, threshold: float | None):
        self.line, self.names = line, names
        self.top_k, self.threshold = top_k, threshold

    def add(self, window: Window, seconds: tuple[float, float], scores: np.ndarray) -> Iterator[Answer]:
        """Of a window that was heard from and to so many seconds, and of its scores (num_labels,)."""
        end = self.line.duration if window.stop == self.line.num_steps else seconds[1]
        for label in np.argsort(-scores, kind="stable")[: self.top_k]:
            if self.threshold is None or scores[label] > self.threshold:
                yield Answer(seconds[0], end, self.names[label], float(scores[label]))

    def finish(self) -> Iterator[Answer]:
        yield from ()


class EventAnswers:
    """
    Events: for each class the stretches of steps in which it is the best one or, if there may be several at once,
    above a threshold. The score is the mean over the stretch.

    Args:
        line ([`TimeLine`]): Of the recording.
        names (`list[str]`): Of the classes.
        is_single (`bool`): Whether there is one class at a time, the best.
        threshold (`float`, *optional*): Only steps with a higher score.
    """

    def __init__(self, line: TimeLine, names: list[str], is_single: bool, threshold: float | None):
        self.line, self.names = line, names
        self.is_single, self.threshold = is_single, threshold
        self.is_open = np.zeros(len(names), dtype=bool)
        self.begin = np.zeros(len(names), dtype=np.int64)
        self.total = np.zeros(len(names))
        self.finished: list[tuple[int, int, int, float]] = []

    def add(self, window: Window, seconds: tuple[float, float], scores: np.ndarray) -> Iterator[Answer]:
        """Of the scores (steps, num_labels) of what is kept of a window."""
        active = np.ones(scores.shape, dtype=bool)
        if self.is_single:
            active = scores.argmax(axis=1)[:, None] == np.arange(len(self.names))
        if self.threshold is not None:
            active &= scores > self.threshold
        before = np.vstack((self.is_open, active[:-1]))
        sums = np.vstack((np.zeros(len(self.names)), scores.cumsum(axis=0, dtype=np.float64)))
        for step, label in np.argwhere(active != before).tolist():
            if active[step, label]:
                self.begin[label], self.total[label] = window.first + step, -sums[step, label]
            else:
                self.close(label, window.first + step, sums[step, label])
        self.is_open = active[-1]
        self.total += np.where(self.is_open, sums[-1], 0.0)
        # In the order in which they begin: not before those that have begun earlier.
        earliest = self.begin[self.is_open].min(initial=window.last)
        yield from self.release(earliest)

    def finish(self) -> Iterator[Answer]:
        for label in np.flatnonzero(self.is_open).tolist():
            self.close(label, self.line.num_steps, 0.0)
        yield from self.release(self.line.num_steps)

    def close(self, label: int, end: int, more: float):
        begin = int(self.begin[label])
        self.finished.append((begin, end, label, (self.total[label] + more) / (end - begin)))

    def release(self, earliest: int) -> Iterator[Answer]:
        """Those that begin before a step, as answers."""
        ready = sorted(event for event in self.finished if event[0] < earliest)
        self.finished = [event for event in self.finished if event[0] >= earliest]
        for begin, end, label, score in ready:
            yield Answer(self.line.begin_of(begin), self.line.begin_of(end), self.names[label], float(score))


class TextAnswers:
    """
    Text by the best path of CTC: characters, words, or all of it in one. The score is the mean probability of the
    characters, and of a text without any that of the blanks.

    Args:
        line ([`TimeLine`]): Of the recording.
        tokenizer: Of the class `Wav2Vec2CTCTokenizer`.
        blank (`int`): What the model says where there is no character.
        unit (`str`): `"char"`, `"word"` or `"clip"`.
    """

    def __init__(self, line: TimeLine, tokenizer, blank: int, unit: str):
        self.line, self.tokenizer, self.blank, self.unit = line, tokenizer, blank, unit
        self.space = tokenizer.get_vocab().get(tokenizer.word_delimiter_token)
        # The character that is being written: which, since which step, and the probabilities so far.
        self.token, self.begin, self.scores = blank, 0, [0.0, 0]
        self.written: list[tuple[int, int, int, float]] = []
        self.blanks = [0.0, 0]

    def add(self, window: Window, seconds: tuple[float, float], scores: np.ndarray) -> Iterator[Answer]:
        """Of the best token and its probability at each step that is kept of a window, (steps, 2)."""
        for step, (token, score) in enumerate(scores.tolist(), start=window.first):
            if int(token) != self.token:
                yield from self.end_token(step)
                self.token, self.begin, self.scores = int(token), step, [0.0, 0]
            self.scores = [self.scores[0] + score, self.scores[1] + 1]

    def finish(self) -> Iterator[Answer]:
        yield from self.end_token(self.line.num_steps)
        if self.unit == "clip":
            yield self.answer(0, self.line.num_steps)
        else:
            yield from self.end_word()

    def end_token(self, end: int) -> Iterator[Answer]:
        total, count = self.scores
        if self.token == self.blank:
            self.blanks = [self.blanks[0] + total, self.blanks[1] + count]
        elif self.token == self.space and self.unit != "clip":
            yield from self.end_word()
        else:
            self.written.append((self.token, self.begin, end, total / count))
            if self.unit == "char":
                yield from self.end_word()

    def end_word(self) -> Iterator[Answer]:
        if self.written:
            yield self.answer(self.written[0][1], self.written[-1][2])

    def answer(self, begin: int, end: int) -> Answer:
        tokens, scores = [each[0] for each in self.written], [each[3] for each in self.written]
        self.written = []
        # Equal characters that are left had a blank between them.
        text = self.tokenizer.decode(tokens, group_tokens=False, clean_up_tokenization_spaces=False)
        score = float(np.mean(scores)) if scores else self.blanks[0] / max(self.blanks[1], 1)
        return Answer(self.line.begin_of(begin), self.line.begin_of(end), text.strip(), score)
