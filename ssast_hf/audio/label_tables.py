"""Tables with labels: what they say of each row, and where its recording is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import fsspec
from datasets import Audio, Dataset, Value
from pyarrow import parquet

from ..storage.guards import UnreadableFile, reading
from .columns import described_classes, find_column
from .labels import USUAL, LabelColumn, read_label_csv
from .recordings import Recordings, check_names, files_of_manifest, filled, nothing_in, read_manifest
from .tables import called_audio, column_of_all, load_tables, open_hub


# What columns of times are called; these have no option.
BEGINS, ENDS = ("onset", "start", "begin"), ("offset", "end")


@dataclass(frozen=True)
class LabelOptions:
    """
    How labelled data are read.

    Args:
        kind (`str`, defaults to `"class"`): What labels are: `"class"` or `"speaker"`, one per recording; `"classes"`,
            any number; `"number"`; `"text"`; or `"events"`, with their times.
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
class Columns:
    """
    Which columns of a table are read, but that of audio or paths.

    Args:
        label (`str`): That of labels.
        times (`tuple[str, ...]`): Of events, those of begins and of ends.
        others (`dict[str, str]`): Those of groups and of folds -> the options that name them.
    """

    label: str
    times: tuple[str, ...]
    others: dict[str, str]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([self.label, *self.times, *self.others]))


@dataclass(frozen=True)
class LabelTable:
    """
    What a table says, a list per column.

    Args:
        source (`str`): For messages.
        labels ([`LabelColumn`]): What is in the column of labels.
        others (`dict[str, list[str]]`): Columns of groups and of folds, by their names.
        times (`dict[str, list]`): Columns of begins and of ends, in this order, by their names; empty but for events.
        files (`list[str]`, *optional*): Of a table with paths; `None` in it if a row has none.
        load (`Callable`, *optional*): Rows with the column `audio`; of other tables files are all there is.
    """

    source: str
    labels: LabelColumn
    others: dict[str, list[str]]
    times: dict[str, list]
    files: list[str] | None = None
    load: Callable[[], Dataset] | None = None

    def __len__(self) -> int:
        return len(self.labels.cells)

    def recordings(self, rows: list[int] | None = None) -> Recordings:
        """Where the recordings of some rows, or of all, are. Audio in parquet files is copied, which takes a while."""
        found = Dataset.from_dict({"path": self.files}) if self.load is None else self.load()
        rows = list(range(len(self))) if rows is None else rows
        if len(rows) < len(self):
            found = found.select(rows)
        return Recordings(found, self.source, numbers=[row + 1 for row in rows])


def read_table(source: str, kind: str, files: list[str], options: LabelOptions, split: str) -> LabelTable:
    """
    Read everything but audio.

    Args:
        source (`str`): As in [`load_labelled`].
        kind, files: What it is, `"manifest"`, `"parquet"` or `"hub"`, as from [`locate`].
        options ([`LabelOptions`]): How it is read.
        split (`str`): Of a data set on the Hub.

    Raises:
        ValueError: If a column is missing, or a file is empty.
        OSError: If something cannot be read.
    """
    if kind == "manifest":
        return of_manifest(Path(source), options)
    return of_parquet(source, files, options) if kind == "parquet" else of_hub(source, split, options)


def of_manifest(path: Path, options: LabelOptions) -> LabelTable:
    rows = read_manifest(path)
    columns = find_columns(list(rows[0]), options, path)
    cells = {name: [row.get(name) for row in rows] for name in columns.names}
    files = files_of_manifest(path, rows, options.audio_column, options.audio_dir)
    return table_of_cells(cells, columns, None, str(path), options, files)


def of_parquet(source: str, files: list[str], options: LabelOptions) -> LabelTable:
    (audio, kind), count = column_of_all(files, options.audio_column)
    columns, names = columns_in(files[0], options)
    for file in files[1:]:
        others, described = columns_in(file, options)
        if others != columns:
            pairs = zip(others.names, columns.names, strict=False)
            other, first = next(pair for pair in pairs if pair[0] != pair[1])
            raise ValueError(f"{file} has a column {other!r} where {files[0]} has {first!r}; rename one of them.")
        if described != names:
            raise ValueError(
                f"{file}, column {columns.label!r} describes other classes than {files[0]} does, or in another order."
            )
    has_paths = is_text(kind)
    wanted = dict.fromkeys([*columns.names, audio] if has_paths else columns.names)
    cells: dict[str, list] = {name: [] for name in columns.names}
    paths: list[str] = []
    for file in files:
        with (
            reading(file, "a readable parquet file"),
            fsspec.open(file, "rb") as content,
            parquet.ParquetFile(content) as table,
        ):
            # Not `parquet.read_table`: its threads outlive it with the open file, and abort a command that ends here.
            rows = table.read(columns=list(wanted), use_threads=False)
        for name in columns.names:
            cells[name] += rows.column(name).to_pylist()
        if has_paths and len(rows):
            paths += paths_in(file, audio, rows.column(audio).to_pylist(), options.audio_dir)
    if not count:
        raise nothing_in(source)

    def load() -> Dataset:
        if options.labels_alone:
            return Dataset.from_dict({"path": [""] * count})
        return load_tables(files, source, options.audio_column)

    if not has_paths:
        return table_of_cells(cells, columns, names, source, options, load=load)
    is_local = Path(files[0]).exists()
    return table_of_cells(cells, columns, names, source, options, paths, None if is_local else load)


def columns_in(file: str, options: LabelOptions) -> tuple[Columns, list[str] | None]:
    """The columns to read of a parquet file, and the classes that numbers stand for, if it describes them."""
    with reading(file, "a readable parquet file"), fsspec.open(file, "rb") as content:
        schema = parquet.read_schema(content)
    columns = find_columns(schema.names, options, file)
    return columns, described_classes(schema, columns.label)


def paths_in(file: str, column: str, cells: list, folder: str | Path | None) -> list[str]:
    """The paths in a parquet file; if that is on this machine, as from [`files_of_manifest`]."""
    if not Path(file).exists():
        return cells
    return files_of_manifest(Path(file), [{column: cell} for cell in cells], column, folder)


def of_hub(source: str, split: str, options: LabelOptions) -> LabelTable:
    dataset, audio = open_hub(source, split, options.config_name, options.audio_column)
    columns = find_columns(dataset.column_names, options, source)
    names = described_classes(dataset.features.arrow_schema, columns.label)
    cells = {name: list(dataset[name]) for name in columns.names}

    def load() -> Dataset:
        return called_audio(dataset.select_columns([audio]), audio)

    files = list(dataset[audio]) if is_text(dataset.features[audio]) else None
    return table_of_cells(cells, columns, names, source, options, files, load)


def is_text(kind: Audio | Value) -> bool:
    """Whether a column holds paths."""
    return isinstance(kind, Value) and kind.dtype in ("string", "large_string")


def table_of_cells(
    cells: dict[str, list],
    columns: Columns,
    names: list[str] | None,
    source: str,
    options: LabelOptions,
    files: list[str] | None = None,
    load: Callable[[], Dataset] | None = None,
) -> LabelTable:
    """A table of what is in its columns; `names` are what numbers of classes stand for, if that is described."""
    others = {name: filled(cells[name], name, source, option) for name, option in columns.others.items()}
    keys = None
    if names is not None:
        keys = {name: name for name in names} | {str(i): name for i, name in enumerate(names)}
    if load is None:
        check_names(files or [], source)
    place = f"{source}, column {columns.label!r}"
    column = LabelColumn(cells[columns.label], place, names, keys, "its description", columns.label)
    return LabelTable(
        source, with_names(column, options), others, {name: cells[name] for name in columns.times}, files, load
    )


def with_names(column: LabelColumn, options: LabelOptions) -> LabelColumn:
    """A column with the names of the original's table of classes, if there is one."""
    if options.label_csv is None:
        return column
    names, keys = read_label_csv(options.label_csv)
    return replace(column, names=names, keys=keys, origin=str(options.label_csv))


def find_columns(columns: list[str], options: LabelOptions, source) -> Columns:
    """Those to read among the columns of a table; UnreadableFile if one is missing."""
    label = find_column(columns, options.label_column, source, USUAL[options.kind], "labels", "--label_column")
    times: tuple[str, ...] = ()
    if options.kind == "events":
        times = (
            find_column(columns, None, source, BEGINS, "the begin of events, in seconds", "onset"),
            find_column(columns, None, source, ENDS, "their end", "offset"),
        )
    named = {"--group_column": options.group_column, "--fold_column": options.fold_column}
    others = {name: option for option, name in named.items() if name is not None}
    for name, option in others.items():
        if name not in columns:
            raise UnreadableFile(
                f"{option} {name}: {source} has the columns {', '.join(map(repr, columns))}, and not that one."
            )
    return Columns(label, times, others)
