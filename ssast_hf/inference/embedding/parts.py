"""The parts of a result on disk: parquet files that are there whole or not at all, and say what they were made of."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
from pyarrow import parquet

from ...storage.guards import reading
from ...storage.writing import written_whole


# Keys of a part's metadata.
MODEL, SHA256, SETTINGS, RECORDINGS = (
    f"ssast_hf.{key}".encode() for key in ("model", "model_sha256", "settings", "recordings")
)
# Rows are kept until they make up so many bytes, and are then written together.
ROW_GROUP_BYTES = 1 << 24


class Origin(NamedTuple):
    """What parts are made of, the same for all of a folder: model as given, its SHA-256, and settings by name."""

    model: str
    sha256: str
    settings: dict

    def metadata(self) -> dict[bytes, bytes]:
        values = (self.model, self.sha256, json.dumps(self.settings))
        return {key: value.encode() for key, value in zip((MODEL, SHA256, SETTINGS), values, strict=True)}


class Extent(NamedTuple):
    """Which recordings of the sources a part is of: `begin` to before `end`, and what two of them are called."""

    begin: int
    end: int
    first: str
    last: str


def path_of(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.parquet"


def numbers_in(folder: Path) -> list[int]:
    """Which parts a folder has, in order."""
    stems = [path.stem.removeprefix("part-") for path in folder.glob("part-*.parquet")]
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def read_origin(path: Path) -> tuple[Origin, Extent]:
    """What a part was made of; UnreadableFile if it is none."""
    remedy = "Delete it, and what it held is embedded again."
    with reading(path, "a part of embeddings", remedy):
        found = parquet.read_metadata(path).metadata or {}
        origin = Origin(found[MODEL].decode(), found[SHA256].decode(), json.loads(found[SETTINGS]))
        return origin, Extent(*json.loads(found[RECORDINGS]))


def check_origin(path: Path, found: Origin, wanted: Origin):
    """ValueError that says in what a part that is there differs from those that are wanted."""
    remedy = f"Choose another --output, or delete {path.parent}."
    if found.sha256 != wanted.sha256:
        raise ValueError(
            f"{path} is of another model: {found.model} (SHA-256 {found.sha256[:12]}), not {wanted.model} "
            f"({wanted.sha256[:12]}). {remedy}"
        )
    names = [*wanted.settings, *(name for name in found.settings if name not in wanted.settings)]
    other = [name for name in names if found.settings.get(name) != wanted.settings.get(name)]
    if other:
        was, is_ = (
            ", ".join(f"{name} {json.dumps(each.settings.get(name))}" for name in other) for each in (found, wanted)
        )
        raise ValueError(f"{path} was made with {was}; now it would be {is_}. {remedy}")


def remove_unfinished(folder: Path):
    """Delete what a run that was killed has begun to write."""
    for path in (*folder.glob(".part-*"), *folder.glob(".decoded-*")):
        shutil.rmtree(path, ignore_errors=True)


def schema_of(width: int, level: str, origin: Origin) -> pyarrow.Schema:
    """The columns of a part: at the level `patch`, with which one of its step's patches it is, from low to high."""
    columns = [("path", pyarrow.string()), ("start", pyarrow.float64()), ("end", pyarrow.float64())]
    columns += [("frequency", pyarrow.int32())] if level == "patch" else []
    columns += [("embedding", pyarrow.list_(pyarrow.float32(), width))]
    return pyarrow.schema(columns, origin.metadata())


class PartWriter:
    """
    Writes the rows of a part.

    Args:
        file: An open file.
        schema (`pyarrow.Schema`): As from [`schema_of`].
    """

    def __init__(self, file, schema: pyarrow.Schema):
        self.schema = schema
        self.writer = parquet.ParquetWriter(file, schema, use_dictionary=["path"])
        self.waiting: list[pyarrow.Table] = []
        self.waiting_bytes = 0

    def add(self, path: str, starts: np.ndarray, ends: np.ndarray, embeddings: np.ndarray):
        """
        Add the rows of a recording, or of a piece of it.

        Args:
            path (`str`): Its name.
            starts, ends (`np.ndarray`): `(num_steps,)`, in seconds.
            embeddings (`np.ndarray`): `(num_steps, width)`; of patches `(grid_frequency, num_steps, width)`.
        """
        heights = 1
        columns = {}
        if embeddings.ndim == 3:
            heights = len(embeddings)
            columns["frequency"] = np.tile(np.arange(heights, dtype=np.int32), len(starts))
            embeddings = embeddings.swapaxes(0, 1)
        count = len(starts) * heights
        columns["path"] = pyarrow.repeat(pyarrow.scalar(path), count)
        columns["start"], columns["end"] = (np.repeat(times, heights) for times in (starts, ends))
        numbers = pyarrow.array(np.ascontiguousarray(embeddings, dtype=np.float32).reshape(-1))
        columns["embedding"] = pyarrow.FixedSizeListArray.from_arrays(numbers, embeddings.shape[-1])
        table = pyarrow.table({name: columns[name] for name in self.schema.names}, schema=self.schema)
        self.waiting.append(table)
        self.waiting_bytes += table.nbytes
        if self.waiting_bytes >= ROW_GROUP_BYTES:
            self.flush()

    def flush(self):
        if self.waiting:
            self.writer.write_table(pyarrow.concat_tables(self.waiting))
        self.waiting, self.waiting_bytes = [], 0

    def close(self, extent: Extent):
        self.flush()
        self.writer.add_key_value_metadata({RECORDINGS.decode(): json.dumps(extent)})
        self.writer.close()


@contextmanager
def new_part(path: Path, schema: pyarrow.Schema) -> Iterator[PartWriter]:
    """
    A part that appears, whole and on the disk, when it was closed; after an exception there is none.

    Raises:
        OSError: If the disk is full.
    """
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        part = PartWriter(file, schema)
        try:
            yield part
        except BaseException:
            with suppress(Exception):  # of a disk that is full, say: it was told already
                part.writer.close()
            raise
        file.flush()
        os.fsync(file.fileno())
