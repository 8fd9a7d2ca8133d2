"""Recordings of any length, window by window, with progress."""

from collections.abc import Callable, Iterator

import numpy as np

from ..inference.clips import AudioFile
from ..inference.windowed import Piece, WindowedModel


# Windows between two reports of progress; more would be faster only beside an accelerator.
AT_ONCE = 4
# Told how much of the work is done, from 0 to 1.
Progress = Callable[[float], object]


def encoded(model: WindowedModel, clip: AudioFile, progress: Progress) -> Iterator[tuple[Piece, np.ndarray]]:
    """
    The windows of a recording in their order, each with what the model keeps of it. The `clip` of each piece is from
    and to which sample it goes. Errors as of [`WindowedModel.windows_of`] and [`load_window`].
    """
    plan = model.windows_of(clip.num_samples, clip.name)
    progress(0.0)
    for begin in range(0, len(plan), AT_ONCE):
        some = plan[begin : begin + AT_ONCE]
        pieces = [Piece((first, last), window, clip.read(first, last)) for window, first, last in some]
        yield from zip(pieces, model.encode_all(pieces), strict=True)
        progress(min(begin + AT_ONCE, len(plan)) / len(plan))
