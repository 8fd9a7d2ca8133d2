"""Where the recordings of a data set are: folders, manifests, parquet files, tar archives and the Hub."""

import csv
import io
import json
import math
import os
from contextlib import closing
from pathlib import Path
from reprlib import repr as shortened

import fsspec
from datasets import Dataset, IterableDataset, concatenate_datasets

from ..storage.guards import UnreadableFile, reading, shortened_line
from ..storage.urls import check_url
from .archives import list_archives, read_archives
from .columns import STREAMED, find_column, first_content, from_cell
from .decoding import AUDIO_SUFFIXES
from .opening import is_path
from .tables import from_hub, load_tables, named, read_tables, table_pieces


# How many pieces a stream of files has at most, for workers to share.
STREAM_PIECES = 1024
# When so many files of a manifest are missing, its paths are wrong.
FEW = 20
# The cells of a row behind the last column.
REST = "cells behind the last column"


def load_recordings(
    source: str,
    split="train",
    config_name=None,
    audio_column=None,
    streaming: bool = False,
    group_column=None,
    weight_column=None,
):
    """
    List the recordings of a data set without decoding any.

    Args:
        source (`str`): A folder of audio files (searched recursively), or of parquet or tar files; a manifest (JSON as
            in the original code, `{"data": [{"wav": path}, ...]}`, CSV, TSV or JSONL) with paths relative to itself; a
            parquet or tar file; a pattern such as `shards/*.tar`, also as a URL; or the name of a data set on the Hub.
        split, config_name (`str`): Of a data set on the Hub.
        audio_column (`str`, *optional*): The column of paths or of audio; found by its usual names if not given.
        streaming (`bool`, defaults to `False`): Read from beginning to end instead of by index, for data that do not
            fit or lie elsewhere.
        group_column (`str`, *optional*): The column of a manifest that says which recordings belong together.
        weight_column (`str`, *optional*): The column of a manifest that says how often to draw windows of each.

    Returns:
        [`Recordings`], or a `datasets.IterableDataset` of whose rows [`as_recording`] makes the same.

    Raises:
        ValueError: If there is nothing to read there, or no column of audio.
        OSError: If a file or a data set on the Hub cannot be read.
    """
    groups = weights = None
    kind, files = locate(source, streaming)
    for option, column in (("--group_column", group_column), ("--weight_column", weight_column)):
        if column is not None and kind != "manifest":
            raise ValueError(f"{option} {column}: {source} is no manifest (.json, .jsonl, .csv, .tsv).")
    if kind == "hub":
        rows = from_hub(source, split, config_name, audio_column, streaming)
        return rows if streaming else Recordings(rows, source)
    if streaming:
        if kind == "parquet":
            return stream(source, read_tables, **table_pieces(files), wanted=audio_column)
        if kind == "tar":
            return stream(source, read_archives, archives=files)
    if kind == "parquet":
        rows = load_tables(files, source, audio_column)
    elif kind == "tar":
        rows = Dataset.from_list(list_archives(files))
    else:
        paths = files
        if kind == "manifest":
            lines = read_manifest(Path(source))
            paths = files_of_manifest(Path(source), lines, audio_column)
            if group_column is not None:
                groups = filled([line.get(group_column) for line in lines], group_column, source, "--group_column")
            weights = None if weight_column is None else weights_of(lines, weight_column, source)
        check_names(paths, source)
        if streaming:
            columns = {"name": paths, "path": paths, "bytes": [None] * len(paths)}
            return Dataset.from_dict(columns, STREAMED).to_iterable_dataset(min(len(paths), STREAM_PIECES))
        rows = Dataset.from_dict({"path": paths})
    if not len(rows):
        raise nothing_in(source)
    return Recordings(rows, source, groups, weights)


def locate(source: str, streaming: bool = False) -> tuple[str, list[str]]:
    """
    What a source of recordings is, and its files: `"audio"`, `"parquet"`, `"tar"`, `"manifest"`, or `"hub"` without.

    Raises:
        ValueError, OSError: As from [`load_recordings`].
    """
    path = Path(source)
    if path.is_dir():
        return files_of_folder(path)
    if path.is_file():
        return format_of(path.name), [str(path)]
    if "://" in source or any(character in source for character in "*?["):
        kind = format_of(source)
        if source.startswith(("http://", "https://")):
            check_url(source)
        filesystem, _, files = fsspec.get_fs_token_paths(source)
        if "://" in source:
            files = [filesystem.unstrip_protocol(file) for file in files]
            if not streaming and kind != "parquet":
                raise ValueError(
                    f"{source} is not on this machine: stream it (pretrain --streaming), or download it first."
                )
        if not files:
            raise FileNotFoundError(f"No file matches {source}.")
        return kind, sorted(files)
    if source.count("/") == 1 and not source.startswith((".", "/")):
        return "hub", []
    raise FileNotFoundError(f"{source} does not exist. Expected a folder, a manifest, or owner/name on the Hub.")


def stream(source: str, read, **pieces) -> IterableDataset:
    """What a generator of rows reads, of pieces that processes and workers share; ValueError if it is nothing."""
    with closing(read(**pieces)) as rows:
        if next(rows, None) is None:
            raise nothing_in(source)
    return IterableDataset.from_generator(read, features=STREAMED, gen_kwargs=pieces)


def concatenate(parts: list):
    """Several sources as one, all of them streams or none."""
    from torch.utils.data import ConcatDataset  # here, since whoever checks labels alone does not wait for PyTorch

    if len(parts) == 1:
        return parts[0]
    return concatenate_datasets(parts) if isinstance(parts[0], IterableDataset) else ConcatDataset(parts)


def nothing_in(source: str) -> ValueError:
    return ValueError(
        f"{source} holds no recordings: parquet files have no rows, or tar archives no audio file "
        f"({', '.join(AUDIO_SUFFIXES)})."
    )


def check_names(paths: list[str], source: str):
    """UnreadableFile if a path cannot be written down as text, as tables of paths have to."""
    for path in paths:
        try:
            path.encode()
            is_text = is_path(path)
        except UnicodeEncodeError:
            is_text = False
        if not is_text:
            raise UnreadableFile(f"{source} names {shortened(path)}, no path in UTF-8. Correct or rename it.")


class Recordings:
    """
    Where the recordings of a `datasets.Dataset` are: items as [`as_recording`] makes them. Audio files in a table are
    views of it, not copies.

    Args:
        rows (`datasets.Dataset`): Says where.
        source (`str`): For messages.
        groups (`list[str]`, *optional*): Which group each recording belongs to.
        weights (`list[float]`, *optional*): How often to draw windows of each, relative to the others.
        numbers (`list[int]`, *optional*): What each is called that has no file (default: its index).
    """

    def __init__(
        self,
        rows: Dataset,
        source: str,
        groups: list[str] | None = None,
        weights: list[float] | None = None,
        numbers: list[int] | None = None,
    ):
        self.rows = rows
        self.tables = rows.with_format("arrow") if "audio" in rows.column_names else None
        self.source = source
        self.groups = groups
        self.weights = weights
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        number = index if self.numbers is None else self.numbers[index]
        if self.tables is not None and (content := first_content(self.tables[index].column("audio").chunk(0))):
            return named(content, self.source, number)
        return as_recording(self.rows[index], self.source, number)

    def __iter__(self):
        return (self[i] for i in range(len(self)))


def as_recording(row: dict, source: str, number: int) -> dict:
    """
    Where a recording is, from a row of a data set: `name`, for messages, and the audio file itself in `bytes` or its
    `path` or, inside an `archive`, its `offset` and `size` in bytes.
    """
    recording = from_cell(row["audio"]) if "audio" in row else row
    return recording if recording.get("name") else named(recording, source, number)


def format_of(name: str) -> str:
    """What a file is, by its name."""
    suffix = Path(name).suffix.lower()
    kinds = {".parquet": "parquet", ".tar": "tar"} | dict.fromkeys((".json", ".jsonl", ".csv", ".tsv"), "manifest")
    if suffix in AUDIO_SUFFIXES:
        return "audio"
    if suffix not in kinds:
        raise ValueError(
            f"{name} is no data set: expected a folder, a manifest (.json, .jsonl, .csv, .tsv), .parquet or .tar."
        )
    return kinds[suffix]


def files_of_folder(folder: Path) -> tuple[str, list[str]]:
    """
    The audio files below a folder, or else its parquet or tar files, in an order that is always the same. Links are
    followed, but no folder is searched twice.
    """
    found: dict[str, list[str]] = {"audio": [], "parquet": [], "tar": []}
    searched = set()
    denied: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=denied.append, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in searched:
            folders.clear()
            continue
        searched.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            kind = "audio" if suffix in AUDIO_SUFFIXES else suffix[1:]
            if kind in found and not name.startswith("."):
                found[kind].append(os.path.join(parent, name))
    for kind, files in found.items():
        if files:
            return kind, files
    if denied:  # with the name of the folder
        raise denied[0]
    raise ValueError(f"{folder} holds no audio ({', '.join(AUDIO_SUFFIXES)}), parquet or tar file.")


def read_manifest(path: Path) -> list[dict]:
    """The rows of a manifest; UnreadableFile if it is none, ValueError if it is empty."""
    expected = "rows with a path each"
    with reading(path, "a manifest", f"Expected {expected}, as JSON, JSONL, CSV or TSV."):
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            rows = json.loads(text)
            rows = rows["data"] if isinstance(rows, dict) else rows
        elif path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            rows = rows_of_table(text, path.suffix.lower() == ".tsv")
    if not isinstance(rows, list):
        raise UnreadableFile(f"{path} is no manifest: it is of type {type(rows).__name__}; expected {expected}.")
    if not rows:
        raise ValueError(f"{path} lists no files.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, (dict, str)):
            raise UnreadableFile(f"{path}: row {number} is of type {type(row).__name__}; expected {expected}.")
    named = [row if isinstance(row, dict) else {"path": row} for row in rows]
    for number, row in enumerate(named, start=1):
        if any(map(str.strip, row.pop(REST, []))):
            raise UnreadableFile(
                f"{path}: row {number} has more cells than there are columns. Put a cell that has commas in it in "
                "quotation marks."
            )
    columns = dict.fromkeys(name for row in named for name in row)
    # The first row tells which columns there are.
    return named if len(columns) == len(named[0]) else [dict.fromkeys(columns) | row for row in named]


def rows_of_table(text: str, is_tsv: bool) -> list[dict]:
    """The rows of CSV or TSV. In TSV quotation marks may be part of a text, if they make no sense otherwise."""

    def read(**options) -> list[dict]:
        delimiter = "\t" if is_tsv else ","
        return list(csv.DictReader(io.StringIO(text), delimiter=delimiter, restkey=REST, **options))

    try:
        return read(strict=True)  # or a quotation mark that is not closed would swallow rows
    except csv.Error:
        if not is_tsv:
            raise
        return read(quoting=csv.QUOTE_NONE)


def files_of_manifest(path: Path, rows: list[dict], column: str | None, folder=None) -> list[str]:
    """
    The paths in the rows of a manifest. Relative ones are relative to its folder, or to one called `audio` in it if
    none of them is found otherwise; or else to the `folder` that is given.
    """
    column = find_column(list(rows[0]), column, path)
    if unnamed := [number for number, row in enumerate(rows, start=1) if not isinstance(row.get(column), str)]:
        raise ValueError(f"{path}: row {unnamed[0]} has no {column!r}.")
    folders = [path.parent, path.parent / "audio"] if folder is None else [Path(folder)]
    for each in folders:
        files = [os.path.join(each, row[column]) for row in rows]
        if any(map(os.path.exists, files[:FEW])):
            return files
    first, base = os.path.join(folders[0], rows[0][column]), "the manifest's folder" if folder is None else folder
    raise FileNotFoundError(
        f"None of the first files that {path} names exists, such as {shortened_line(first)}; relative paths are taken "
        f"to be relative to {base}."
    )


def filled(cells: list, column: str, source, option: str) -> list[str]:
    """The cells of a column as text; ValueError if one is empty."""
    texts = ["" if cell is None else str(cell) for cell in cells]
    if without := [number for number, text in enumerate(texts, start=1) if not text.strip()]:
        raise ValueError(f"{source}: row {without[0]} has no {column!r}, as {option} says.")
    return texts


def weights_of(rows: list[dict], column: str, source) -> list[float]:
    """What a column of a manifest says, as numbers; ValueError if a cell is none, or none that can be a weight."""
    weights = []
    cells = filled([row.get(column) for row in rows], column, source, "--weight_column")
    for number, cell in enumerate(cells, start=1):
        try:
            weight = float(cell)
        except ValueError:
            weight = math.nan
        if not 0 <= weight < math.inf:
            raise ValueError(f"{source}: row {number} has the {column} {cell!r}; expected a number of 0 or more.")
        weights.append(weight)
    return weights
