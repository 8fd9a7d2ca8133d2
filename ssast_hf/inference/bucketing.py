"""Which clips are padded together."""

from collections.abc import Iterator


# The share of padding from which on a batch is closed early, and how large it is then, compared with a full one.
MOST_PADDING, SMALLEST_SHARE = 0.1, 1 / 8


def batches_of(lengths: list[int], size: int) -> Iterator[list[int]]:
    """
    Batches of clips that are about equally long, as their numbers.

    Args:
        lengths (`list[int]`): Of the clips, in samples.
        size (`int`): How many clips are a batch, at most.
    """
    batch: list[int] = []
    total = 0
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        padded = lengths[number] * (len(batch) + 1)
        is_padded = total + lengths[number] < (1 - MOST_PADDING) * padded
        if len(batch) == size or (is_padded and len(batch) >= max(size * SMALLEST_SHARE, 1)):
            yield batch
            batch, total = [], 0
        batch.append(number)
        total += lengths[number]
    if batch:
        yield batch
