"""Pairs of recordings, of the same speaker or of two, and how well a model tells which."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from ...audio.columns import find_column
from ...audio.labelled import LabelledData
from ...audio.labels import text_of
from ...audio.recordings import Recordings, check_names, files_of_manifest, read_manifest


# What columns are usually called.
FIRST = tuple("first path1 file1 filename1 audio1 enrolment enrollment".split())
SECOND = tuple("second path2 file2 filename2 audio2 test".split())
TARGET = ("label", "target", "same")
ANSWERS = dict.fromkeys(("1", "1.0", "true", "same", "target", "yes"), True)
ANSWERS |= dict.fromkeys(("0", "0.0", "false", "different", "nontarget", "no"), False)
# Of the detection cost: the share of pairs of one speaker that is expected. A miss costs as much as a false alarm.
EXPECTED = 0.01


@dataclass(frozen=True)
class Trials:
    """
    Args:
        recordings ([`LabelledData`]): Each that occurs, once, without labels.
        first, second (`np.ndarray` of shape `(num_pairs,)`): Which of them make up a pair.
        is_same (`np.ndarray` of shape `(num_pairs,)`): Whether a pair is of one speaker, boolean.
    """

    recordings: LabelledData
    first: np.ndarray
    second: np.ndarray
    is_same: np.ndarray

    def select(self, chosen: np.ndarray) -> "Trials":
        """The pairs whose two recordings are among some, by their indices."""
        place = np.full(len(self.recordings), -1)
        place[chosen] = np.arange(len(chosen))
        first, second = place[self.first], place[self.second]
        kept = (first >= 0) & (second >= 0)
        return Trials(self.recordings.select(chosen), first[kept], second[kept], self.is_same[kept])


def load_trials(source: str, audio_dir=None) -> Trials:
    """
    Read a table of pairs.

    Raises:
        ValueError: If a column is missing, a label is none, or all pairs are alike; with the row or the column.
        OSError: If it cannot be read.
    """
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"--trials {source} does not exist. Expected a table (.csv, .tsv, .jsonl, .json).")
    rows = read_manifest(path)
    columns = list(rows[0])
    first = find_column(columns, None, path, FIRST, "the first recordings", "first")
    second = find_column(columns, None, path, SECOND, "the second ones", "second")
    target = find_column(columns, None, path, TARGET, "1 for the same speaker and 0 else", "label")
    is_same = []
    for number, row in enumerate(rows, start=1):
        answer = ANSWERS.get(str(text_of(row.get(target))).lower())
        if answer is None:
            raise ValueError(f"{source}, row {number}: {target} is {row.get(target)!r}, expected 1 or 0.")
        is_same.append(answer)
    pairs = [files_of_manifest(path, rows, column, audio_dir) for column in (first, second)]
    row_of: dict[str, int] = {}
    for files in pairs:
        for number, file in enumerate(files, start=1):
            row_of.setdefault(file, number)
    check_names(list(row_of), source)
    index = {file: i for i, file in enumerate(row_of)}
    found = Recordings(Dataset.from_dict({"path": list(row_of)}), source)
    recordings = LabelledData(found, [""] * len(row_of), [], source, np.array(list(row_of.values())))
    numbers = [np.array([index[file] for file in each]) for each in pairs]
    trials = Trials(recordings, numbers[0], numbers[1], np.array(is_same))
    check_kinds(trials)
    return trials


def check_kinds(trials: Trials):
    """ValueError if there are not pairs of one speaker and pairs of two."""
    kinds = np.unique(trials.is_same)
    if len(kinds) < 2:
        found = "no pairs" if not len(kinds) else f"pairs of {'one speaker' if kinds[0] else 'two speakers'} alone"
        raise ValueError(f"{trials.recordings.source} has {found} of recordings that can be used.")


def cosines(trials: Trials, embeddings: np.ndarray) -> np.ndarray:
    """How alike the recordings of each pair are, from embeddings (num_recordings, width)."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = embeddings / np.maximum(lengths, 1e-12)
    return (directions[trials.first] * directions[trials.second]).sum(axis=1)


def verification(scores: np.ndarray, is_same: np.ndarray) -> dict[str, float]:
    """
    Equal error rate, and the smallest detection cost, relative to that of always giving the better one of both
    answers.
    """
    from sklearn.metrics import det_curve  # here, as in figures.py

    if len(set(is_same.tolist())) < 2:
        return {"equal_error_rate": float("nan"), "min_dcf": float("nan")}
    alarms, misses, _ = det_curve(is_same, scores)
    # The curve has steps: between the last point on one side and the first on the other.
    alarms, misses = np.append(np.insert(alarms, 0, 1.0), 0.0), np.append(np.insert(misses, 0, 0.0), 1.0)
    order = np.argsort(-alarms, kind="stable")
    alarms, misses = alarms[order], misses[order]
    after = int(np.argmax(misses >= alarms))
    before = max(after - 1, 0)
    gaps = alarms[before] - misses[before], misses[after] - alarms[after]
    share = 0.0 if sum(gaps) == 0 else gaps[0] / sum(gaps)
    equal = alarms[before] + share * (alarms[after] - alarms[before])
    cost = EXPECTED * misses + (1 - EXPECTED) * alarms
    return {"equal_error_rate": float(equal), "min_dcf": float(cost.min() / min(EXPECTED, 1 - EXPECTED))}
