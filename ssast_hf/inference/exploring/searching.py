"""The search of `ssast-hf neighbours`."""

import csv
import os
from pathlib import Path

import numpy as np

from ...assets import named_model
from ...storage.writing import check_output, written_whole
from ..embedder import Embedder
from ..embedding.stored import StoredEmbeddings
from ..encoders import sha256_of_weights
from .nearest import Found, find_nearest


COLUMNS = ("path", "start", "end", "similarity")
# Of the settings of parts, those of an `Embedder`, and of its feature extractor.
OPTIONS = ("level", "pooling", "layer", "window", "hop", "dtype")
STATISTICS = ("mean", "std")


def find_neighbours(folder, query, k: int = 10, model=None, output=None, overwrite: bool = False) -> list[str]:
    """
    The rows in a folder of parts that are most like a recording: all are compared.

    Args:
        folder (`str` or `Path`): The output of `ssast-hf embed`.
        query (`str` or `Path`): A path that is in the parts, whose own rows are left out then; or else an audio file,
            which is embedded as they were. Of several rows, such as those of time steps, it is their mean.
        k (`int`, defaults to 10): How many.
        model (`str` or `Path`, *optional*): Where the model is, if it is not where it was.
        output (`str` or `Path`, *optional*): A CSV file to write.
        overwrite (`bool`, defaults to `False`): Whether it may replace another.

    Returns:
        `list[str]`: A table, line by line: path, from and to where in seconds, cosine similarity.

    Raises:
        ValueError: If the parts are not in order, if the model is not the one that made them, or if the query holds
            no audio.
        OSError: If there is no such folder or file.
    """
    if k < 1:
        raise ValueError(f"-k must be at least 1, got {k}.")
    if output is not None:
        check_output(output, overwrite, is_folder=False)
    stored = StoredEmbeddings(folder)
    names = {str(query), os.path.normpath(query), os.path.abspath(query), os.path.relpath(query)}
    known = stored.rows_of_paths(names)
    if known is not None:
        vector = known.vectors.mean(axis=0)
    elif Path(query).is_file():
        vector = embed_query(stored, query, model)
    else:
        raise FileNotFoundError(f"{query} is neither a file nor a path in the parts of {folder}.")
    others = (rows.take(~np.isin(rows.paths, list(names))) for rows in stored.rows())
    found = find_nearest(vector[None], (rows for rows in others if rows.num_rows), k)
    table = table_of(found)
    if not table:
        raise ValueError(f"{folder} holds nothing but {query}.")
    if output is not None:
        with written_whole(output) as place, place.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *table])
    return aligned(table) + ([] if output is None else [f"Written: {output}"])


def embed_query(stored: StoredEmbeddings, query, model=None) -> np.ndarray:
    """The vector (D,) of an audio file, made as those that are stored; ValueError if another model would make it."""
    name = named_model(str(stored.model if model is None else model))
    options = {key: stored.settings[key] for key in OPTIONS if stored.settings.get(key) is not None}
    try:
        embedder = Embedder(name, **options)  # which brings it from the Hub, if it is there
    except OSError as error:
        raise OSError(f"{error} If the model that made the parts is elsewhere now, name it: --model") from error
    if (sha256 := sha256_of_weights(name)) != stored.sha256:
        raise ValueError(
            f"{stored.folder} was embedded by {stored.model} with the SHA-256 {stored.sha256[:12]}, but {name} has "
            f"{sha256[:12]}. Name the model that made the parts: --model"
        )
    for key in STATISTICS:
        value = getattr(embedder.feature_extractor, key)
        if stored.settings.get(key, value) != value:
            raise ValueError(
                f"{stored.folder} was embedded with the {key} {stored.settings[key]:g} of features, {name} has "
                f"{value:g}. Name the model that made the parts: --model"
            )
    digest = embedder.configuration_sha256
    if stored.settings.get("configuration_sha256", digest) != digest:
        raise ValueError(
            f"{stored.folder} was embedded by {stored.model} with another config.json or preprocessor_config.json "
            f"than {name} has. Name the model that made the parts: --model"
        )
    return embedder(str(query)).reshape(-1, stored.size).mean(axis=0)


def table_of(found: Found) -> list[tuple[str, str, str, str]]:
    """The rows that were found for a single query, as text."""
    rows = zip(found.paths[0], found.starts[0], found.ends[0], found.similarities[0], found.numbers[0], strict=True)
    return [
        (path, f"{start:.2f}", f"{end:.2f}", f"{similarity:.4f}")
        for path, start, end, similarity, number in rows
        if number >= 0
    ]


def aligned(table: list[tuple[str, str, str, str]]) -> list[str]:
    """Lines of a table for people, with a head; numbers to the right."""
    lines = [COLUMNS, *table]
    widths = [max(len(row[i]) for row in lines) for i in range(len(COLUMNS))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, len(COLUMNS)))])
        for row in lines
    ]
