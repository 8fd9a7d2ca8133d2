"""Windows that are encoded together: all of them, of like lengths, and never of two that are stretched differently."""

import numpy as np
import pytest

from ssast_hf.inference.bucketing import MOST_PADDING, batches_of


@pytest.mark.parametrize("seed", range(5))
def test_every_window_is_in_one_batch_with_little_padding(seed):
    lengths = np.random.default_rng(seed).integers(1, 90, 200).tolist()
    batches = list(batches_of(lengths, size=16, trained=64))
    assert sorted(number for batch in batches for number in batch) == list(range(200))
    for batch in batches:
        in_batch = [lengths[number] for number in batch]
        padded = max(in_batch) * len(batch)
        assert len(batch) <= 16
        assert padded - sum(in_batch) <= MOST_PADDING * padded
        if max(in_batch) > 64:
            assert len(set(in_batch)) == 1


def test_no_more_steps_than_wanted_are_in_a_batch_but_for_a_window_alone():
    lengths = [4] * 5 + [9, 20]
    batches = batches_of(lengths, size=8, trained=64, most_steps=12)
    assert [[lengths[number] for number in batch] for batch in batches] == [[4, 4, 4], [4, 4], [9], [20]]


def test_equal_windows_fill_batches():
    assert [len(batch) for batch in batches_of([8] * 10, size=4, trained=8)] == [4, 4, 2]
    assert list(batches_of([], size=4, trained=8)) == []
