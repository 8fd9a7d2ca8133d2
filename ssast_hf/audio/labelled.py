"""Recordings with labels: a folder with a sub-folder per class, a table with a column of labels, or a data set."""

from dataclasses import dataclass, replace
from pathlib import Path

import fsspec
import numpy as np
from datasets import Dataset, Value
from pyarrow import parquet

from ..storage.guards import UnreadableFile, reading
from .columns import described_classes, find_column
from .labels import USUAL, LabelColumn, in_order, marks_in, read_label_csv, read_labels
from .recordings import Recordings, cells_of, check_names, files_of_manifest, locate, nothing_in, read_manifest
from .tables import called_audio, load_tables, open_hub


# What may lie beside recordings and have their labels.
TABLES = (".csv", ".tsv", ".json", ".jsonl")
# What sub-folders are called that are no classes.
PARTS = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation"}


@dataclass(frozen=True)
class LabelOptions:
    """
    How labelled data are read.

    Args:
        kind (`str`, defaults to `"class"`): What labels are: `"class"` or `"speaker"`, one per recording; `"classes"`,
            any number; `"number"`; or `"text"`.
        audio_column, label_column (`str`, *optional*): Columns of a table; found by their usual names if not given.
        group_column (`str`, *optional*): The column that says which recordings belong together.
        fold_column (`str`, *optional*): The column that says to which fold a recording belongs.
        audio_dir (`str` or `Path`, *optional*): What paths in a table are relative to; its own folder, or one called
            `audio` in it, if not given.
        label_csv (`str` or `Path`, *optional*): The original's table of classes: index, mid, display_name.
        label_separator (`str`, *optional*): Between several labels in one cell: `;`, `|` or `,` if not given; `"none"`
            takes cells as they are.
        config_name (`str`, *optional*): Of a data set on the Hub.
        labels_alone (`bool`, defaults to `False`): Open no audio: that of parquet files stays where it is, and
            recordings of events are not measured. Then labels can be checked, and nothing can be decoded.
    """

    kind: str = "class"
    audio_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    fold_column: str | None = None
    audio_dir: str | Path | None = None
    label_csv: str | Path | None = None
    label_separator: str | None = None
    config_name: str | None = None
    labels_alone: bool = False


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
        events (`list[list[tuple[float, float, str]]]`, *optional*): When the labels are: begin and end in seconds, and
            the name of the class.
        separator (`str`, *optional*): What was found between several labels of one recording, if that was looked for.
    """

    recordings: Recordings
    labels: list
    names: list[str]
    source: str
    rows: np.ndarray
    groups: list[str] | None = None
    folds: list[str] | None = None
    events: list[list[tuple[float, float, str]]] | None = None
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
        return of_folder(Path(source), files, options)
    if kind == "manifest":
        recordings, column, others = of_manifest(Path(source), options)
    elif kind == "parquet":
        recordings, column, others = of_tables(source, files, options)
    else:
        recordings, column, others = of_hub(source, split, options)
    return labelled(recordings, column, others, options)


def labelled(recordings: Recordings, column: LabelColumn, others: dict[str, list[str]], options: LabelOptions):
    """Recordings with what a column of labels says, and others, by their names."""
    column = with_names(column, options)
    labels, names = read_labels(column, options.kind, options.label_separator)
    looks = options.kind == "classes" and options.label_separator is None
    rows = np.arange(1, len(labels) + 1)
    return LabelledData(
        Recordings(recordings.rows, recordings.source, numbers=rows.tolist()),
        labels,
        names,
        recordings.source,
        rows,
        others.get(options.group_column or ""),
        others.get(options.fold_column or ""),
        separator=next(iter(marks_in(column)), None) if looks else None,
    )


def with_names(column: LabelColumn, options: LabelOptions) -> LabelColumn:
    """A column with the names of the original's table of classes, if there is one."""
    if options.label_csv is None:
        return column
    names, keys = read_label_csv(options.label_csv)
    return replace(column, names=names, keys=keys, origin=str(options.label_csv))


def of_folder(folder: Path, files: list[str], options: LabelOptions) -> LabelledData:
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
    recordings = Recordings(Dataset.from_dict({"path": files}), str(folder))
    column = LabelColumn(labels, f"{folder}, sub-folders of the files in their order")
    return labelled(recordings, column, {}, replace(options, label_separator="none"))


def of_manifest(path: Path, options: LabelOptions) -> tuple[Recordings, LabelColumn, dict[str, list[str]]]:
    """The recordings, the labels and other columns of a manifest."""
    rows = read_manifest(path)
    label = label_column(list(rows[0]), options, path)
    others = {
        name: cells_of(rows, name, path, option)
        for name, option in other_columns(list(rows[0]), options, path).items()
    }
    column = LabelColumn([row.get(label) for row in rows], f"{path}, column {label!r}")
    files = files_of_manifest(path, rows, options.audio_column, options.audio_dir)
    check_names(files, str(path))
    return Recordings(Dataset.from_dict({"path": files}), str(path)), column, others


def of_tables(source: str, files: list[str], options: LabelOptions):
    """The recordings, the labels and other columns of parquet files."""
    cells: dict[str, list] = {}
    names = None
    for file in files:
        with reading(file, "a readable parquet file"), fsspec.open(file, "rb") as content:
            schema = parquet.read_schema(content)
        label = label_column(schema.names, options, file)
        others = other_columns(schema.names, options, file)
        described = described_classes(schema, label)
        if file != files[0] and described != names:
            raise ValueError(
                f"{file}, column {label!r} describes other classes than {files[0]} does, or in another order."
            )
        names = described
        with reading(file, "a readable parquet file"), fsspec.open(file, "rb") as content:
            table = parquet.read_table(content, columns=[label, *others])
        for name in {label, *others}:
            cells.setdefault(name, []).extend(table.column(name).to_pylist())
    column, found = columns_of(cells, label, names, others, source)
    if column.cells:
        # What is wrong is told before the audio is copied.
        read_labels(with_names(column, options), options.kind, options.label_separator)
    if options.labels_alone:
        return Recordings(Dataset.from_dict({"path": [""] * len(column.cells)}), source), column, found
    rows = load_tables(files, source, options.audio_column)
    if not len(rows):
        raise nothing_in(source)
    if isinstance(rows.features["audio"], Value) and Path(files[0]).exists():
        paths = [{"path": path} for path in rows["audio"]]
        rows = Dataset.from_dict({"path": files_of_manifest(Path(files[0]), paths, "path", options.audio_dir)})
    return Recordings(rows, source), column, found


def of_hub(source: str, split: str, options: LabelOptions):
    """The recordings, the labels and other columns of a data set on the Hub."""
    dataset, audio = open_hub(source, split, options.config_name, options.audio_column)
    label = label_column(dataset.column_names, options, source)
    others = other_columns(dataset.column_names, options, source)
    names = described_classes(dataset.features.arrow_schema, label)
    cells = {name: list(dataset[name]) for name in {label, *others}}
    recordings = Recordings(called_audio(dataset.select_columns([audio]), audio), source)
    return recordings, *columns_of(cells, label, names, others, source)


def columns_of(cells: dict[str, list], label: str, names: list[str] | None, others: dict[str, str], source: str):
    """The column of labels, with the names that numbers stand for, and the other ones as text."""
    found = {
        name: cells_of([{name: cell} for cell in cells[name]], name, source, option) for name, option in others.items()
    }
    keys = None
    if names is not None:
        keys = {name: name for name in names} | {str(i): name for i, name in enumerate(names)}
    column = LabelColumn(cells[label], f"{source}, column {label!r}", names, keys, "its description")
    return column, found


def label_column(columns: list[str], options: LabelOptions, source) -> str:
    usual = USUAL[options.kind]
    return find_column(columns, options.label_column, source, usual, "labels", "--label_column")


def other_columns(columns: list[str], options: LabelOptions, source) -> dict[str, str]:
    """The columns of groups and of folds -> the options that name them."""
    named = {"--group_column": options.group_column, "--fold_column": options.fold_column}
    wanted = {name: option for option, name in named.items() if name is not None}
    for name, option in wanted.items():
        if name not in columns:
            raise UnreadableFile(
                f"{option} {name}: {source} has the columns {', '.join(map(repr, columns))}, and not that one."
            )
    return wanted
