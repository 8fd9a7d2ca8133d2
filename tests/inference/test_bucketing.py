"""Clips that are padded together are about equally long."""

import numpy as np
import pytest

from ssast_hf.inference.bucketing import batches_of


@pytest.mark.parametrize("size", [1, 8, 64])
def test_little_is_padded(size):
    lengths = np.random.default_rng(0).integers(8000, 160000, 16 * size).tolist()
    batches = list(batches_of(lengths, size))
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    assert max(map(len, batches)) <= size
    padded = sum(len(batch) * max(lengths[number] for number in batch) for batch in batches)
    assert sum(lengths) > 0.9 * padded
    assert [len(batch) for batch in batches_of([5] * 20, 8)] == [8, 8, 4]
