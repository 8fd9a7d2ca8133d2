"""All parts as one file for NumPy."""

import csv
import os
from pathlib import Path

import numpy as np
from pyarrow import parquet

from ...storage.writing import written_whole
from .parts import numbers_in, path_of


SUFFIXES = (".npy", ".npz")


def files_of(target: Path) -> list[Path]:
    """What is written: an `.npz` alone, or an `.npy` and a table that says what its rows are."""
    return [target] if target.suffix == ".npz" else [target, target.with_name(f"{target.name}.rows.csv")]


def write_arrays(folder: Path, target: Path):
    """
    Join parts, in their order.

    Args:
        folder (`Path`): The parts.
        target (`Path`): An `.npz`, which has the columns as arrays and is made in memory; or an `.npy`, which has the
            embeddings alone, `(num_rows, width)` float32, and is made piece by piece.

    Raises:
        OSError: If the disk is full.
    """
    paths = [path_of(folder, number) for number in numbers_in(folder)]
    if target.suffix == ".npz":
        tables = [parquet.read_table(path) for path in paths]
        names = [name for name in tables[0].column_names if name != "embedding"]
        columns = {name: np.concatenate([table[name].to_numpy() for table in tables]) for name in names}
        columns["path"] = columns["path"].astype(str)
        columns["embedding"] = np.concatenate([embeddings_of(table) for table in tables])
        with written_whole(target) as unfinished, unfinished.open("wb") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]  # mypy thinks of its options
            file.flush()
            os.fsync(file.fileno())
        return
    files = [parquet.ParquetFile(path) for path in paths]
    width = files[0].schema_arrow.field("embedding").type.list_size
    names = [name for name in files[0].schema_arrow.names if name != "embedding"]
    _, rows_path = files_of(target)
    with (
        written_whole(rows_path) as unfinished_rows,
        unfinished_rows.open("w", encoding="utf-8", newline="") as rows,
        written_whole(target) as unfinished,
        unfinished.open("wb") as array,
    ):
        shape = (sum(file.metadata.num_rows for file in files), width)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(array, header)
        table = csv.writer(rows)
        table.writerow(names)
        for file in files:
            for batch in file.iter_batches():
                table.writerows(zip(*(batch.column(name).to_pylist() for name in names), strict=True))
                array.write(embeddings_of(batch).astype("<f4").tobytes())
        for each in (rows, array):
            each.flush()
            os.fsync(each.fileno())


def embeddings_of(table) -> np.ndarray:
    """The column of embeddings of a table or a batch, (num_rows, width)."""
    column = table.column("embedding")
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    return column.flatten().to_numpy().reshape(len(table), column.type.list_size)
