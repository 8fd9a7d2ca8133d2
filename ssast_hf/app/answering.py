"""What a head says of a recording, and the same as a table to take home."""

import io
from pathlib import Path

from ..inference.predicting.answers import Answer
from ..inference.predicting.heads import EVENTS, LABELS, NUMBERS, SPEAKERS, TEXT
from ..inference.predicting.predictor import Predictor, check_finite
from ..inference.predicting.table import Table
from .foreign import ForeignClassifier
from .sounds import SILENT, in_words, is_silent, open_sound
from .time_line import draw_answers
from .windows import Progress, encoded


# What the tab is called, by what the head answers with.
TITLES = {
    LABELS: "Classify",
    NUMBERS: "Estimate",
    SPEAKERS: "Who is it",
    TEXT: "What was said",
    EVENTS: "Events",
}
# What a person wants to see of a single window: several classes, the best first.
SHOWN = 5


def answer(
    predictor: Predictor | ForeignClassifier, path: str | None, progress: Progress
) -> tuple[list[Answer], float, list[str]]:
    """
    Returns:
        The answers in the order of time, how long the recording is in seconds, and what there is to say about it.

    Raises:
        ValueError: If there is no recording, if it is no audio, too short, or holds what no model can use.
        OSError: If there is no such file.
    """
    rate = predictor.feature_extractor.sampling_rate
    clip, notes = open_sound(path, rate)
    rows: list[Answer] = []
    threshold, is_quiet = None, True
    if isinstance(predictor, ForeignClassifier):
        rows, is_quiet = predictor.answer(clip, SHOWN, progress)
    else:
        collected, threshold = predictor.answers(clip.num_samples), predictor.threshold
        for piece, scores in encoded(predictor, clip, progress):
            is_quiet = is_quiet and is_silent(piece.samples)
            check_finite(scores, clip.name)
            rows += collected.add(piece.window, predictor.seconds(piece.clip), scores)
        rows += collected.finish()
    if is_quiet:
        notes.append(f"{SILENT}: what a model says of it means nothing.")
    if not rows:
        above = "" if threshold is None else f" has a score above {threshold:g}"
        notes.append(f"Nothing{above or ' was found'} in this recording.")
    return rows, clip.num_samples / rate, notes


def as_csv(name: str, answers: list[Answer]) -> str:
    """The table that `ssast-hf predict` would write of a recording."""
    file = io.StringIO()
    table = Table(Path("answers.csv"), file)
    for each in answers:
        table.add(name, each)
    return file.getvalue()


def show_answers(predictor, path: str | None, progress: Progress):
    """
    What the tab shows: a sentence; a picture, or `None` if there is no answer; the answers as rows of text; and the
    same as CSV. Arguments and errors as of [`answer`].
    """
    answers, seconds, notes = answer(predictor, path, progress)
    name = Path(str(path)).name
    if not answers:
        return " ".join(notes), None, [], as_csv(name, [])
    if predictor.kind == TEXT:
        notes.append(f"“{as_text(answers)}”")
    rows = [[f"{each.start:.2f}", f"{each.end:.2f}", each.label, f"{each.score:.3f}"] for each in answers]
    notes.append(f"{len(answers)} answer{'s' * (len(answers) != 1)} for {in_words(seconds)}.")
    picture, num_left_out = draw_answers(answers, seconds, predictor.kind)
    if num_left_out:
        which = "words at the end" if predictor.kind == TEXT else "labels with the lowest scores"
        notes.append(f"{num_left_out} {which} are in the table alone, and not in the picture.")
    return " ".join(notes), picture, rows, as_csv(name, answers)


def as_text(answers: list[Answer]) -> str:
    """What was said, all words in a row."""
    return " ".join(each.label for each in answers if each.label)
