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
from .recordings import Recordings, cells_of, check_names, files_of_manifest, nothing_in, read_manifest
from .tables import called_audio, column_of_all, load_tables, open_hub


# What columns of times are called; these have no option.
BEGINS, ENDS = ("onset", "start", "begin"), ("offset", "end")


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
class LabelTable:
    """
    What a table says, a list per column.

    Args:
        source (`str`): For messages.
        labels ([`LabelColumn`]): What is in the column of labels.
        others (`dict[str, list[str]]`): Columns of groups and of folds, by their names.
        times (`dict[str, list]`): Columns of begins and of ends, in this order, by their names; empty but for events.
        files (`list[str]`, *optional*): Of a table with paths.
        load (`Callable`, *optional*): Of a table that holds the audio itself: rows with the column `audio`.
    """

    source: str
    labels: LabelColumn
    others: dict[str, list[str]]
    times: dict[str, list]
    files: list[str] | None = None
    load: Callable[[], Dataset] | None = None

    def recordings(self) -> Recordings:
        """Where the recordings of all rows are. The audio in parquet files is copied now, which may take a while."""
        rows = Dataset.from_dict({"path": self.files}) if self.load is None else self.load()
        return Recordings(rows, self.source, numbers=list(range(1, len(self.labels.cells) + 1)))


def read_table(source: str, kind: str, files: list[str], options: LabelOptions, split: str) -> LabelTable:
    """
    Read everything but audio.

    Args:
        source (`str`): As in [`load_labelled`].
        kind, files: What it is, `"manifest"`, `"parquet"` or `"hub"`, as from [`locate`].
        options ([`LabelOptions`]): How it is read.
        split (`str`): Of a data set on the Hub.

    Raises:
        ValueError: If a column is missing, or the table is empty.
        OSError: If something cannot be read.
    """
    if kind == "manifest":
        return of_manifest(Path(source), options)
    return of_parquet(source, files, options) if kind == "parquet" else of_hub(source, split, options)


def of_manifest(path: Path, options: LabelOptions) -> LabelTable:
    rows = read_manifest(path)
    cells = {name: [row.get(name) for row in rows] for name in columns_read(list(rows[0]), options, path)}
    files = files_of_manifest(path, rows, options.audio_column, options.audio_dir)
    return table_of_cells(cells, None, str(path), options, files=files)


def of_parquet(source: str, files: list[str], options: LabelOptions) -> LabelTable:
    (audio, kind), count = column_of_all(files, options.audio_column)
    has_paths = is_text(kind)
    cells: dict[str, list] = {}
    names = None
    for file in files:
        with reading(file, "a readable parquet file"), fsspec.open(file, "rb") as content:
            schema = parquet.read_schema(content)
        columns = columns_read(schema.names, options, file)
        described = described_classes(schema, columns[0])
        if file != files[0] and described != names:
            raise ValueError(
                f"{file}, column {columns[0]!r} describes other classes than {files[0]} does, or in another order."
            )
        names = described
        wanted = dict.fromkeys([*columns, audio] if has_paths else columns)
        with reading(file, "a readable parquet file"), fsspec.open(file, "rb") as content:
            table = parquet.read_table(content, columns=list(wanted))
        for name in wanted:
            cells.setdefault(name, []).extend(table.column(name).to_pylist())
    if not count:
        raise nothing_in(source)
    if has_paths:
        paths = cells[audio]
        if Path(files[0]).exists():
            rows = [{audio: path} for path in paths]
            paths = files_of_manifest(Path(files[0]), rows, audio, options.audio_dir)
        return table_of_cells(cells, names, source, options, files=paths)

    def load() -> Dataset:
        if options.labels_alone:
            return Dataset.from_dict({"path": [""] * count})
        return load_tables(files, source, options.audio_column)

    return table_of_cells(cells, names, source, options, load=load)


def of_hub(source: str, split: str, options: LabelOptions) -> LabelTable:
    dataset, audio = open_hub(source, split, options.config_name, options.audio_column)
    columns = columns_read(dataset.column_names, options, source)
    names = described_classes(dataset.features.arrow_schema, columns[0])
    cells = {name: list(dataset[name]) for name in columns}
    if is_text(dataset.features[audio]):
        return table_of_cells(cells, names, source, options, files=list(dataset[audio]))

    def load() -> Dataset:
        return called_audio(dataset.select_columns([audio]), audio)

    return table_of_cells(cells, names, source, options, load=load)


def is_text(kind: Audio | Value) -> bool:
    """Whether a column holds paths."""
    return isinstance(kind, Value) and kind.dtype in ("string", "large_string")


def table_of_cells(
    cells: dict[str, list], names: list[str] | None, source: str, options: LabelOptions, files=None, load=None
) -> LabelTable:
    """A table of what [`columns_read`] names, with the names that numbers of classes stand for, if there are any."""
    columns = list(cells)
    label = label_column(columns, options, source)
    others = {
        name: cells_of([{name: cell} for cell in cells[name]], name, source, option)
        for name, option in other_columns(columns, options, source).items()
    }
    times = {name: cells[name] for name in time_columns(columns, options, source)}
    keys = None
    if names is not None:
        keys = {name: name for name in names} | {str(i): name for i, name in enumerate(names)}
    if files is not None:
        if None in files:
            raise ValueError(f"{source}: row {files.index(None) + 1} has no path.")
        check_names(files, source)
    column = LabelColumn(cells[label], f"{source}, column {label!r}", names, keys, "its description")
    return LabelTable(source, with_names(column, options), others, times, files, load)


def with_names(column: LabelColumn, options: LabelOptions) -> LabelColumn:
    """A column with the names of the original's table of classes, if there is one."""
    if options.label_csv is None:
        return column
    names, keys = read_label_csv(options.label_csv)
    return replace(column, names=names, keys=keys, origin=str(options.label_csv))


def columns_read(columns: list[str], options: LabelOptions, source) -> list[str]:
    """All columns that are read but that of audio or paths; the first is that of labels."""
    label = label_column(columns, options, source)
    return [label, *time_columns(columns, options, source), *other_columns(columns, options, source)]


def label_column(columns: list[str], options: LabelOptions, source) -> str:
    usual = USUAL[options.kind]
    return find_column(columns, options.label_column, source, usual, "labels", "--label_column")


def time_columns(columns: list[str], options: LabelOptions, source) -> list[str]:
    """Of events, the columns of their begins and of their ends."""
    if options.kind != "events":
        return []
    return [
        find_column(columns, None, source, BEGINS, "the begin of events, in seconds", "onset"),
        find_column(columns, None, source, ENDS, "their end", "offset"),
    ]


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
