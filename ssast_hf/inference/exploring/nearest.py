"""Which embeddings are most like others: every one is compared, some at a time."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..embedding.stored import Rows


class Found(NamedTuple):
    """
    What is nearest to each query, the most alike first, (num_queries, k) each: cosine similarity float32, number of
    the row (-1 where there are fewer than k rows), path, and from and to where in it in seconds.
    """

    similarities: np.ndarray
    numbers: np.ndarray
    paths: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) of length 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def find_nearest(queries: np.ndarray, batches: Iterable[Rows], k: int, own: np.ndarray | None = None) -> Found:
    """
    The k rows with the greatest cosine to each query. The memory that it takes does not depend on how many rows there
    are.

    Args:
        queries (`np.ndarray` of shape `(num_queries, D)`): Vectors.
        batches (`Iterable[Rows]`): All rows, some at a time.
        k (`int`): How many at most.
        own (`np.ndarray` of shape `(num_queries,)`, *optional*): Numbers of the rows that the queries are themselves,
            which are left out.
    """
    queries = normalised(queries)
    count = len(queries)
    found = Found(
        np.full((count, 0), 0, np.float32),
        np.full((count, 0), 0, np.int64),
        *(np.full((count, 0), 0, kind) for kind in (object, float, float)),
    )
    begin = 0
    for rows in batches:
        similarities = np.clip(queries @ normalised(rows.vectors).T, -1, 1)
        if own is not None:
            here = np.flatnonzero((begin <= own) & (own < begin + rows.num_rows))
            similarities[here, own[here] - begin] = -np.inf
        best = np.argpartition(-similarities, min(k, rows.num_rows) - 1, axis=1)[:, :k]
        values = np.take_along_axis(similarities, best, axis=1)
        numbers = np.where(np.isfinite(values), best + begin, -1)
        new = Found(values, numbers, rows.paths[best], rows.starts[best], rows.ends[best])
        both = [np.concatenate(columns, axis=1) for columns in zip(found, new, strict=True)]
        order = np.argsort(-both[0], axis=1, kind="stable")[:, :k]
        found = Found(*(np.take_along_axis(column, order, axis=1) for column in both))
        begin += rows.num_rows
    return found
