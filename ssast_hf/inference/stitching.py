"""How a long recording is divided into windows that overlap, and which part of each one is kept."""

from itertools import pairwise
from typing import NamedTuple


class Window(NamedTuple):
    """
    Steps `start` to `stop` of a recording, encoded together, of which `first` to `last` are kept. A step is a column
    of patches; all are counted from the recording's beginning, and the second of each pair is not included.
    """

    start: int
    stop: int
    first: int
    last: int


def plan_windows(num_steps: int, size: int, hop: int) -> list[Window]:
    """
    Windows of `size` steps, every `hop` steps, that cover a recording; all of it if it is no longer than one.

    Every step is kept once. Of what two windows share, each keeps its half, where it sees more to both sides. The last
    window ends with the recording, and so shares more with the one before.
    """
    if num_steps <= size:
        return [Window(0, num_steps, 0, num_steps)]
    starts = [*range(0, num_steps - size, hop), num_steps - size]
    seams = [(later + earlier + size) // 2 for earlier, later in pairwise(starts)]
    kept = pairwise([0, *seams, num_steps])
    return [Window(start, start + size, *pair) for start, pair in zip(starts, kept, strict=True)]
