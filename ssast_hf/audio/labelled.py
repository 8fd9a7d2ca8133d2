"""Recordings with labels: a folder with a sub-folder per class, a table with a column of labels, or a data set."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .label_tables import LabelOptions, LabelTable, read_table, with_names
from .labels import Event, LabelColumn, in_order, marks_in, read_labels
from .recordings import Recordings, check_names, locate


# What may lie beside recordings and have their labels.
TABLES = (".csv", ".tsv", ".json", ".jsonl")
# What sub-folders are called that are no classes.
PARTS = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation"}


@dataclass(frozen=True)
class LabelledData:
    """
    Recordings with their labels, all lists of one length.

    Args:
        recordings ([`Recordings`]): Where they are; none is decoded.
        labels (`list`): The name of a class each, a list of them, a float or a text, by the kind of labels.
        names (`list[str]`): The classes in an order that is always the same; none of numbers and texts.
        source (`str`): For messages.
        rows (`np.ndarray`): The number of each in its source, from 1.
        groups (`list[str]`, *optional*): Which group each belongs to.
        folds (`list[str]`, *optional*): Which fold each belongs to.
        events (`list[list[Event]]`, *optional*): When the labels are.
        separator (`str`, *optional*): What was found between several labels of one recording, if that was looked for.
    """

    recordings: Recordings
    labels: list
    names: list[str]
    source: str
    rows: np.ndarray
    groups: list[str] | None = None
    folds: list[str] | None = None
    events: list[list[Event]] | None = None
    separator: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, chosen: np.ndarray) -> "LabelledData":
        """Some of it, by indices or a boolean array, with the same names."""
        indices = np.flatnonzero(chosen) if chosen.dtype == bool else chosen

        def some(values):
            return None if values is None else [values[i] for i in indices]

        recordings = Recordings(self.recordings.rows.select(indices), self.source, numbers=self.rows[indices].tolist())
        return replace(
            self,
            recordings=recordings,
            labels=some(self.labels),
            rows=self.rows[indices],
            groups=some(self.groups),
            folds=some(self.folds),
            events=some(self.events),
        )

    def place(self, index: int) -> str:
        """Where a recording is named, for messages."""
        recording, row = self.recordings[index], f"{self.source}, row {self.rows[index]}"
        return f"{row} ({recording['path']})" if recording.get("path") else row

    def name(self, index: int) -> str:
        """What a recording is called: its file, or its row and what the table calls it."""
        recording = self.recordings[index]
        return recording["name"] if recording.get("bytes") is None else self.place(index)

    def targets(self) -> np.ndarray:
        """
        Labels as numbers: of one class each the class's index, int64 `(n,)`; of several one column per class, float32
        `(n, num_classes)` of 0 and 1; of numbers float32 `(n,)`.
        """
        if not self.names:
            return np.array(self.labels, dtype=np.float32)
        index = {name: i for i, name in enumerate(self.names)}
        if not self.is_multilabel:
            return np.array([index[label] for label in self.labels], dtype=np.int64)
        targets = np.zeros((len(self), len(self.names)), dtype=np.float32)
        for row, labels in zip(targets, self.labels, strict=True):
            row[[index[label] for label in labels]] = 1
        return targets

    @property
    def is_multilabel(self) -> bool:
        return bool(self.labels) and isinstance(self.labels[0], list)


def load_labelled(source: str, options: LabelOptions | None = None, split: str = "train") -> LabelledData:
    """
    List the recordings of a data set and their labels, without decoding any.

    Args:
        source (`str`): A folder with a sub-folder per class; a manifest (CSV, TSV, JSONL, or JSON as in the original
            code, `{"data": [{"wav": path, "labels": label}]}`); a parquet file, or a folder or pattern of some; or the
            name of a data set on the Hub.
        options ([`LabelOptions`], *optional*): How it is read.
        split (`str`, defaults to `"train"`): Of a data set on the Hub.

    Raises:
        ValueError: If there is nothing, or a column, label or group is missing; with the row or the column.
        OSError: If something cannot be read.
    """
    options = options or LabelOptions()
    kind, files = locate(source)
    if kind == "tar":
        raise ValueError(f"{source} has tar archives, which hold no labels. Unpack them, or pass a table of labels.")
    if kind == "audio":
        return labelled(of_folder(Path(source), files, options), replace(options, label_separator="none"))
    return labelled(read_table(source, kind, files, options, split), options)


def labelled(table: LabelTable, options: LabelOptions) -> LabelledData:
    """The recordings of a table with a label or some labels each. A wrong one is told before audio is copied."""
    labels, names = read_labels(table.labels, options.kind, options.label_separator)
    looks = options.kind == "classes" and options.label_separator is None
    return LabelledData(
        table.recordings(),
        labels,
        names,
        table.source,
        np.arange(1, len(labels) + 1),
        table.others.get(options.group_column or ""),
        table.others.get(options.fold_column or ""),
        separator=next(iter(marks_in(table.labels)), None) if looks else None,
    )


def of_folder(folder: Path, files: list[str], options: LabelOptions) -> LabelTable:
    """The sub-folders of a folder as classes."""
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is one recording without a label. Expected a folder with a sub-folder per class.")
    if options.kind not in ("class", "speaker"):
        raise ValueError(f"{folder}: sub-folders are classes, one per recording; other labels need a table.")
    for option in ("label_column", "group_column", "fold_column"):
        if (name := getattr(options, option)) is not None:
            raise ValueError(f"--{option} {name}: {folder} is a folder of audio files and has no columns.")
    check_names(files, str(folder))
    labels = []
    for file in files:
        parents = Path(file).relative_to(folder).parts[:-1]
        if not parents:
            raise ValueError(f"{file} lies in no sub-folder of {folder}, so it has no label.")
        labels.append(parents[0])
    names = in_order(set(labels))
    if len(names) < 2:
        tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES)
        remedy = f"For the labels in a table pass {tables[0]}." if tables else "Expected a sub-folder per class."
        raise ValueError(f"{folder} has all its recordings in the sub-folder {names[0]}: one class. {remedy}")
    if PARTS.issuperset(map(str.lower, names)):
        raise ValueError(
            f"{folder} has the sub-folders {', '.join(names)}, which are parts and no classes: pass each by itself, "
            f"such as --train_data {folder / names[-1]}."
        )
    others = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
    if empty := [name for name in others if name not in names]:
        raise ValueError(f"{folder / empty[0]} has no audio, so its class has no example. Fill it, or take it away.")
    column = LabelColumn(labels, f"{folder}, sub-folders of the files in their order")
    return LabelTable(str(folder), with_names(column, options), {}, {}, files)
