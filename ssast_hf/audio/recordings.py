"""Where the recordings of a data set are: folders, manifests, parquet files, tar archives and the Hub."""

import csv
import io
import json
import os
import tarfile
from pathlib import Path

import datasets
import fsspec
import pyarrow
import torch
from datasets import Audio, Dataset, IterableDataset, Value, load_dataset

from ..storage.urls import check_url


AUDIO_SUFFIXES = tuple(".aif .aiff .au .caf .flac .m4a .mp3 .oga .ogg .opus .w64 .wav".split())
# What a column of paths or of audio is called, in the order of preference.
COLUMNS = tuple("audio wav path file file_path filepath audio_path audio_filepath filename file_name flac mp3".split())
# How many pieces a stream of files has at most, for workers to share.
STREAM_PIECES = 1024
# When so many files of a manifest are missing, its paths are wrong.
FEW = 20


def load_recordings(source: str, split="train", config_name=None, audio_column=None, streaming: bool = False):
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

    Returns:
        [`Recordings`], or a `datasets.IterableDataset` of whose rows [`as_recording`] makes the same.

    Raises:
        ValueError: If there is nothing to read there, or no column of audio.
        OSError: If a file or a data set on the Hub cannot be read.
    """
    path = Path(source)
    if path.is_dir():
        kind, files = files_of_folder(path)
    elif path.is_file():
        kind, files = format_of(path.name), [str(path)]
    elif "://" in source or any(character in source for character in "*?["):
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
        files.sort()
        if not files:
            raise FileNotFoundError(f"No file matches {source}.")
    elif source.count("/") == 1 and not source.startswith((".", "/")):
        rows = from_hub(source, split, config_name, audio_column, streaming)
        return rows if streaming else Recordings(rows, source)
    else:
        raise FileNotFoundError(f"{source} does not exist. Expected a folder, a manifest, or owner/name on the Hub.")

    if kind == "parquet":
        try:
            dataset = load_dataset("parquet", data_files=files, split="train", streaming=streaming)
        except (pyarrow.ArrowException, datasets.exceptions.DatasetsError) as error:
            raise ValueError(f"{source} holds no readable parquet data ({error.__cause__ or error}).") from error
        rows = audio_of(dataset, audio_column)
    elif kind == "tar":
        if streaming:
            rows = IterableDataset.from_generator(read_archives, gen_kwargs={"archives": files})
        else:
            rows = Dataset.from_list(list_archives(files))
    else:
        rows = Dataset.from_dict({"path": files_of_manifest(path, audio_column) if kind == "manifest" else files})
        if streaming:
            rows = rows.to_iterable_dataset(min(len(rows), STREAM_PIECES))
    return rows if streaming else Recordings(rows, source)


class Recordings(torch.utils.data.Dataset):
    """Where the recordings of a `datasets.Dataset` are: items as [`as_recording`] makes them."""

    def __init__(self, rows: Dataset, source: str):
        self.rows = rows
        self.source = source

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return as_recording(self.rows[index], self.source, index)


def as_recording(row: dict, source: str, number: int) -> dict:
    """
    Where a recording is, from a row of a data set: `name`, for messages, and the audio file itself in `bytes` or its
    `path` or, inside an `archive`, its `offset` and `size` in bytes.
    """
    recording = dict(row.get("audio", row) or {})
    is_file = recording.get("bytes") is None and recording.get("path") is not None
    return recording | {"name": str(recording["path"]) if is_file else f"{source}, row {number}"}


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
    """The audio files below a folder, or else its parquet or tar files, in an order that is always the same."""
    found: dict[str, list[str]] = {"audio": [], "parquet": [], "tar": []}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            kind = "audio" if suffix in AUDIO_SUFFIXES else suffix[1:]
            if kind in found and not name.startswith("."):
                found[kind].append(os.path.join(parent, name))
    for kind, files in found.items():
        if files:
            return kind, files
    raise ValueError(f"{folder} holds no audio ({', '.join(AUDIO_SUFFIXES)}), parquet or tar file.")


def files_of_manifest(path: Path, column: str | None) -> list[str]:
    """The paths in a manifest, relative ones relative to its folder."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            rows = json.loads(text)
            rows = rows["data"] if isinstance(rows, dict) else rows
        elif path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
        rows = [row if isinstance(row, dict) else {"path": row} for row in rows]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(f"{path} is no manifest ({error!r}); expected rows with a path each.") from error
    if not rows:
        raise ValueError(f"{path} lists no files.")
    column = find_column(list(rows[0]), column, path)
    if unnamed := [number for number, row in enumerate(rows, start=1) if not isinstance(row.get(column), str)]:
        raise ValueError(f"{path}: row {unnamed[0]} has no {column!r}.")
    files = [os.path.join(path.parent, row[column]) for row in rows]
    if not any(map(os.path.exists, files[:FEW])):
        raise FileNotFoundError(
            f"None of the first files that {path} names exists, such as {files[0]}; relative paths are taken to be "
            "relative to the manifest's folder."
        )
    return files


def find_column(columns: list[str], wanted: str | None, source) -> str:
    """The name of the column that holds paths or audio."""
    candidates = COLUMNS if wanted is None else (wanted,)
    for name in candidates:
        if name in columns:
            return name
    raise ValueError(
        f"{source} has the columns {', '.join(map(repr, columns))}, none of them "
        f"{' or '.join(candidates)}. Name the one that holds audio or paths with --audio_column."
    )


def list_archives(archives: list[str]) -> list[dict]:
    """Where in tar archives the audio files lie."""
    rows = []
    for archive in archives:
        try:
            with tarfile.open(archive, "r:") as members:
                for member in members:
                    if member.isfile() and member.name.lower().endswith(AUDIO_SUFFIXES):
                        place = {"archive": archive, "offset": member.offset_data, "size": member.size}
                        rows.append({"path": f"{archive}/{member.name}"} | place)
        except tarfile.TarError as error:
            raise ValueError(f"{archive} is damaged or no plain tar archive ({error}).") from error
    if not rows:
        raise ValueError(f"{archives[0]} and {len(archives) - 1} more hold no audio file.")
    return rows


def read_archives(archives: list[str]):
    """Read the audio files of local or remote tar archives from beginning to end."""
    for archive in archives:
        try:
            with fsspec.open(archive, "rb") as file, tarfile.open(fileobj=file, mode="r|*") as members:
                for member in members:
                    file_in_archive = members.extractfile(member) if member.isfile() else None
                    if file_in_archive is not None and member.name.lower().endswith(AUDIO_SUFFIXES):
                        yield {"path": f"{archive}/{member.name}", "bytes": file_in_archive.read()}
        except tarfile.TarError as error:
            raise ValueError(f"{archive} is damaged or no tar archive ({error}).") from error


def from_hub(name: str, split: str, config_name: str | None, audio_column: str | None, streaming: bool):
    """A data set on the Hub."""
    try:
        return audio_of(load_dataset(name, config_name, split=split, streaming=streaming), audio_column)
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise OSError(f"{name} is no folder here, and could not be read from the Hub: {error}") from error


def audio_of(dataset, audio_column: str | None):
    """The audio column alone, undecoded: decoding is done later, by soundfile and only as far as needed."""
    if audio_column is None and dataset.features is not None:
        audio_column = next((name for name, kind in dataset.features.items() if isinstance(kind, Audio)), None)
    if isinstance(dataset, IterableDataset) and dataset.features is not None:
        dataset = dataset.decode(False)
    columns = list(dataset.features) if dataset.features is not None else list(next(iter(dataset)))
    audio_column = find_column(columns, audio_column, "The data set")
    dataset = dataset.select_columns([audio_column])
    if audio_column != "audio":
        dataset = dataset.rename_column(audio_column, "audio")
    if isinstance(dataset, Dataset):
        return dataset.cast_column("audio", Audio(decode=False))
    # A stream would pass through the encoder of `Audio`, which needs FFmpeg.
    return dataset.cast_column("audio", {"bytes": Value("binary"), "path": Value("string")})
