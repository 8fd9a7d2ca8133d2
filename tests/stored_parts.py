"""Parquet parts as `ssast-hf embed` writes them, for the tests of what reads them."""

import json
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet


def write_part(folder: Path, number: int, rows: list[tuple], model="model", sha256="0" * 64, **settings) -> Path:
    """A part of rows (path, start, end, vector); settings beside the level are those of an `Embedder`."""
    paths, starts, ends, vectors = zip(*rows, strict=True)
    matrix = np.stack(vectors).astype(np.float32)
    columns = {
        "path": pyarrow.array(paths, pyarrow.string()),
        "start": pyarrow.array(starts, pyarrow.float64()),
        "end": pyarrow.array(ends, pyarrow.float64()),
        "embedding": pyarrow.FixedSizeListArray.from_arrays(matrix.ravel(), matrix.shape[1]),
    }
    metadata = {
        "ssast_hf.model": str(model),
        "ssast_hf.model_sha256": sha256,
        "ssast_hf.settings": json.dumps({"level": "clip"} | settings),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"part-{number:05d}.parquet"
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), path)
    return path
