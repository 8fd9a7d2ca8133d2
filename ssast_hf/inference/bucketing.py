"""Which windows are encoded together: of like lengths, so that little is padded, and none changes another."""

from collections.abc import Iterator


# The largest share of a batch that may be padding.
MOST_PADDING = 0.1


def batches_of(lengths: list[int], size: int, trained: int, most_steps: int | None = None) -> Iterator[list[int]]:
    """
    Which windows go into a batch, by their indices, shorter ones first.

    Args:
        lengths (`list[int]`): Of the windows, in steps.
        size (`int`): Most windows in a batch.
        trained (`int`): Steps of the model's position embeddings. They are stretched to a longer batch, so windows
            beyond that are together only if they are equally long.
        most_steps (`int`, *optional*): Steps of a batch in all, with padding; a longer window is alone.
    """
    batch: list[int] = []
    total = 0
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[number]
        padded = length * (len(batch) + 1)
        is_full = len(batch) == size or padded - total - length > MOST_PADDING * padded
        is_long = most_steps is not None and padded > most_steps
        is_stretched = length > trained and total < padded - length  # other than those before
        if batch and (is_full or is_long or is_stretched):
            yield batch
            batch, total = [], 0
        batch.append(number)
        total += length
    if batch:
        yield batch
