"""Embeddings in parquet parts, as `ssast-hf embed` writes them, read back piece by piece."""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
from pyarrow import parquet

from ...storage.guards import UnreadableFile, reading
from .parts import MODEL, SETTINGS, SHA256


PARTS = "part-*.parquet"
COLUMNS = ("path", "start", "end", "embedding")
# Rows that are in memory at once: 12 MB of means of a base model.
ROWS_READ = 4096
REMEDY = "Remove it, and run embed again."


class Rows(NamedTuple):
    """Some rows: paths, from and to where in them in seconds, (num_rows,) each; vectors (num_rows, D), float32."""

    paths: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray

    def take(self, which: np.ndarray) -> "Rows":
        """Those of some numbers, or where a mask is true."""
        return Rows(*(column[which] for column in self))

    @property
    def num_rows(self) -> int:
        return len(self.paths)


def joined(several: list[Rows]) -> Rows:
    """Rows after rows, of at least one piece."""
    return Rows(*(np.concatenate(columns) for columns in zip(*several, strict=True)))


class StoredEmbeddings:
    """
    The parts in a folder. None of them is read before it is asked for, except for what it says of itself.

    Args:
        folder (`str` or `Path`): The output of `ssast-hf embed`.

    Attributes:
        model (`str`), sha256 (`str`): The model that made them, as it was named, and the SHA-256 of its weights.
        settings (`dict`): How: `level`, `pooling`, `layer`, `window`, `hop`.
        level (`str`): `"clip"`, `"frame"` or `"patch"`.
        size (`int`): Numbers in an embedding.
        num_rows (`int`): In all parts.

    Raises:
        OSError: If there is no such folder.
        ValueError: If there are no parts in it, if one is damaged or of something else, or if they do not belong
            together.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder} is no folder; name the one that embed wrote its parts into.")
        self.files = sorted(self.folder.glob(PARTS))
        if not self.files:
            raise ValueError(
                f"{folder} holds no {PARTS}. Embed into it first: "
                f"ssast-hf embed SOURCES --model MODEL --output {folder}"
            )
        self.num_rows = 0
        facts = None
        for file in self.files:
            with reading(file, "a whole parquet file", REMEDY), parquet.ParquetFile(file) as part:
                schema, count = part.schema_arrow, part.metadata.num_rows
            own = self.facts_of(file, schema)
            facts = facts or own
            if own[1:] != facts[1:]:
                raise ValueError(
                    f"{file} was embedded by {own[0]} (SHA-256 {own[1][:12]}, {own[2]}, {own[3]} numbers), "
                    f"{self.files[0]} by {facts[0]} (SHA-256 {facts[1][:12]}, {facts[2]}, {facts[3]} numbers). "
                    "Keep them in folders of their own."
                )
            self.num_rows += count
        assert facts is not None
        self.model, self.sha256, settings, self.size = facts
        self.settings = json.loads(settings)
        self.level = self.settings["level"]
        if not self.num_rows:
            raise ValueError(f"The parts in {folder} have no rows. Embed recordings into it first.")

    @staticmethod
    def facts_of(file: Path, schema: pyarrow.Schema) -> tuple[str, str, str, int]:
        """Model, SHA-256, settings (JSON) and size of a part; UnreadableFile if it is none."""
        metadata = schema.metadata or {}
        kinds = {name: schema.field(name).type for name in COLUMNS if schema.names.count(name) == 1}
        is_part = kinds.keys() == set(COLUMNS) and {MODEL, SHA256, SETTINGS} <= metadata.keys()
        is_part = is_part and pyarrow.types.is_fixed_size_list(kinds["embedding"])
        if not is_part or str(kinds["embedding"].value_type) != "float":
            raise UnreadableFile(
                f"{file} was not written by embed: that has the columns {', '.join(COLUMNS)} and says which model "
                "made them. Move it elsewhere."
            )
        with reading(file, "a part that embed wrote", REMEDY):
            model, sha256, settings = (metadata[key].decode() for key in (MODEL, SHA256, SETTINGS))
            canonical = json.dumps(json.loads(settings) | {"level": json.loads(settings)["level"]}, sort_keys=True)
        return model, sha256, canonical, kinds["embedding"].list_size

    def rows(self) -> Iterator[Rows]:
        """
        All rows, some at a time, in the order of the parts.

        Raises:
            ValueError: If a part is damaged inside, or holds an embedding that is missing or not finite.
        """
        for file in self.files:
            with reading(file, "a whole parquet file", REMEDY):
                part = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
                batches = part.iter_batches(ROWS_READ, columns=list(COLUMNS), use_threads=False)
            with part:
                while True:
                    with reading(file, "a whole parquet file", REMEDY):
                        batch = next(batches, None)
                    if batch is None:
                        break
                    if batch.num_rows:
                        yield self.rows_of(batch, file)

    def rows_of(self, batch: pyarrow.RecordBatch, file: Path) -> Rows:
        columns = [batch.column(batch.schema.get_field_index(name)) for name in COLUMNS]
        if any(column.null_count for column in columns):
            raise UnreadableFile(f"{file} has rows without path, time or embedding. {REMEDY}")
        paths, starts, ends = (column.to_numpy(zero_copy_only=False) for column in columns[:3])
        vectors = columns[3].flatten().to_numpy(zero_copy_only=False).reshape(-1, self.size)
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"{file} has an embedding with NaN or infinity, that of {paths[finite.argmin()]}. "
                "Correct the model or the recording, remove that part and run embed again."
            )
        return Rows(paths.astype(object), starts.astype(float), ends.astype(float), vectors)

    def rows_of_paths(self, paths) -> Rows | None:
        """The rows of some paths, in their order; `None` if there are none."""
        kept = [rows.take(mask) for rows in self.rows() if (mask := np.isin(rows.paths, list(paths))).any()]
        return joined(kept) if kept else None

    def clips(self) -> Iterator[Rows]:
        """
        One row per clip, some at a time: at the level `"clip"` as they are stored, else means over each path, for
        which all of them are in memory.
        """
        if self.level == "clip":
            yield from self.rows()
        else:
            yield self.means

    @cached_property
    def means(self) -> Rows:
        """One row per path, as they come: the mean of its rows, and from and to where they reach."""
        places: dict[str, int] = {}
        sums: list[np.ndarray] = []  # (D + 1,) each, the last one counts
        spans: list[tuple[float, float]] = []
        for rows in self.rows():
            # Rows of a path come one after the other, so that these are few.
            changes = np.flatnonzero(rows.paths[1:] != rows.paths[:-1]) + 1
            for part in np.split(np.arange(rows.num_rows), changes):
                path, start, end = rows.paths[part[0]], rows.starts[part].min(), rows.ends[part].max()
                total = np.append(rows.vectors[part].sum(axis=0, dtype=np.float64), len(part))
                if path not in places:
                    places[path] = len(sums)
                    sums.append(total)
                    spans.append((start, end))
                else:
                    place = places[path]
                    sums[place] += total
                    spans[place] = min(start, spans[place][0]), max(end, spans[place][1])
        totals = np.stack(sums)
        starts, ends = np.array(spans).T
        return Rows(np.array(list(places), object), starts, ends, (totals[:, :-1] / totals[:, -1:]).astype(np.float32))
