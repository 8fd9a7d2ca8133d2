"""Recordings in parquet files and in data sets on the Hub."""

import glob
from collections.abc import Iterator
from pathlib import Path

import datasets
import fsspec
from datasets import Audio, Dataset, Features, Value, load_dataset
from pyarrow import parquet

from ..storage.guards import reading, writing
from .columns import STREAMED, audio_column, find_column, from_cell
from .opening import is_path


# How many rows, which hold whole recordings, are copied or read at once, and how many bytes.
ROWS_COPIED, ROWS_READ, BUFFER_SIZE = 100, 16, 1 << 20


def load_tables(files: list[str], source: str, wanted: str | None) -> Dataset:
    """
    The column of audio or paths of parquet files, called `audio`. It is copied into the cache of `datasets`, to be
    read by index.

    Raises:
        UnreadableFile: If a file is damaged, or has no such column.
        OSError: If a file is missing, or the cache is full.
    """
    (name, kind), count = column_of_all(files, wanted)
    if not count:
        return Dataset.from_dict({"audio": []})
    cache = datasets.config.HF_DATASETS_CACHE
    with writing(cache), reading(source, "readable parquet data"):
        try:
            rows = load_dataset(
                "parquet",
                # It takes names for patterns.
                data_files=[glob.escape(file) if Path(file).exists() else file for file in files],
                split="train",
                columns=[name],
                features=Features({name: kind}),
                batch_size=ROWS_COPIED,
            )
        except datasets.exceptions.DatasetGenerationError as error:
            raise error.__cause__ or error from None  # the cause says what happened
    return called_audio(rows, name)


def column_of_all(files: list[str], wanted: str | None) -> tuple[tuple[str, Audio | Value], int]:
    """What [`table_of`] finds in several parquet files, the same in all; and how many rows they have together."""
    (name, kind), count = table_of(files[0], wanted)
    for file in files[1:]:
        other, more = table_of(file, wanted)
        if other != (name, kind):
            raise ValueError(
                f"{file} has {other[0]!r}, {other[1]}, for a column of audio; {files[0]} has {name!r}, {kind}. "
                "Pass them as data sets of their own, or stream them (pretrain --streaming)."
            )
        count += more
    return (name, kind), count


def table_of(file: str, wanted: str | None) -> tuple[tuple[str, Audio | Value], int]:
    """The column of a parquet file that holds audio or paths, as from [`audio_column`], and how many rows it has."""
    with (
        reading(file, "a readable parquet file"),
        fsspec.open(file, "rb") as content,
        parquet.ParquetFile(content) as table,
    ):
        return audio_column(table.schema_arrow, wanted, file), table.metadata.num_rows


def table_pieces(files: list[str]) -> dict[str, list]:
    """What processes and workers share, arguments of [`read_tables`]: files, or the row groups of a single one."""
    if len(files) > 1:
        return {"files": files, "groups": [None] * len(files)}
    with reading(files[0], "a readable parquet file"), fsspec.open(files[0], "rb") as content:
        count = parquet.read_metadata(content).num_row_groups
    return {"files": files * count, "groups": list(range(count))}


def read_tables(files: list[str], groups: list[int | None], wanted: str | None) -> Iterator[dict]:
    """
    The recordings in local or remote parquet files, rows of a stream.

    Args:
        files (`list[str]`): One after the other.
        groups (`list[int | None]`): Which row group of each; `None` for all.
        wanted (`str`, *optional*): The name of the column, if it is known.

    Raises:
        UnreadableFile: If a file is damaged, or has no column of audio.
    """
    for file, group in zip(files, groups, strict=True):
        with (
            reading(file, "a readable parquet file"),
            fsspec.open(file, "rb") as content,
            parquet.ParquetFile(content, buffer_size=BUFFER_SIZE) as table,
        ):
            name, _ = audio_column(table.schema_arrow, wanted, file)
            selected = range(table.num_row_groups) if group is None else [group]
            number = sum(table.metadata.row_group(i).num_rows for i in range(group or 0))
            # Without threads, since workers are forks of a process that may have some.
            for rows in table.iter_batches(ROWS_READ, selected, columns=[name], use_threads=False):
                for value in rows.column(name).to_pylist():
                    yield {"name": None, "path": None, "bytes": None} | named(from_cell(value), file, number)
                    number += 1


def named(recording: dict, source: str, number: int) -> dict:
    """A recording with its `name`, for messages: that of its file, or else its row in the source."""
    path = recording.get("path") if recording.get("bytes") is None else None
    return recording | {"name": path if path and is_path(path) else f"{source}, row {number}"}


def from_hub(name: str, split: str, config_name: str | None, wanted: str | None, streaming: bool):
    """The column of audio or paths of a data set on the Hub, called `audio`, or rows of a stream."""
    dataset, column = open_hub(name, split, config_name, wanted, streaming)
    dataset = called_audio(dataset.select_columns([column]), column)
    return dataset.map(streamed, remove_columns=["audio"], features=STREAMED) if streaming else dataset


def open_hub(name: str, split: str, config_name: str | None, wanted: str | None, streaming: bool = False):
    """
    A data set on the Hub, and which of its columns holds audio or paths. That is undecoded: decoding is done later, by
    soundfile and only as far as needed.
    """
    try:
        dataset = load_dataset(name, config_name, split=split, streaming=streaming)
        if dataset.features is None:  # of some streams
            column = find_column(list(next(iter(dataset), {})), wanted, name)
        else:
            column, _ = audio_column(dataset.features.arrow_schema, wanted, name)
            if isinstance(dataset.features[column], Audio):
                # A stream of audio would pass through an encoder, which needs FFmpeg.
                kind = {"bytes": Value("binary"), "path": Value("string")} if streaming else Audio(decode=False)
                dataset = (dataset.decode(False) if streaming else dataset).cast_column(column, kind)
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise OSError(f"{name} is no folder here, and could not be read from the Hub: {error}") from error
    return dataset, column


def streamed(row: dict) -> dict:
    """A row of a data set as a row of a stream; who reads it gives a name to audio without a path."""
    return {"name": None, "path": None, "bytes": None} | from_cell(row["audio"])


def called_audio(dataset, column: str):
    """A data set with its only column called `audio`."""
    return dataset if column == "audio" else dataset.rename_column(column, "audio")
