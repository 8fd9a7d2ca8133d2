"""Recordings of any length, window by window, with progress."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..audio.decoded import BYTES_PER_SAMPLE, DecodedFiles, room_in
from ..audio.decoding import read_header
from ..audio.opening import open_recording
from ..inference.clips import AudioFile
from ..inference.windowed import Piece, WindowedModel
from ..storage.guards import NoRoom


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
    with reader_of(clip, len(plan)) as read:
        for begin in range(0, len(plan), AT_ONCE):
            some = plan[begin : begin + AT_ONCE]
            pieces = [Piece((first, last), window, clip.read(first, last, read)) for window, first, last in some]
            yield from zip(pieces, model.encode_all(pieces), strict=True)
            progress(min(begin + AT_ONCE, len(plan)) / len(plan))


@contextmanager
def reader_of(clip: AudioFile, num_windows: int) -> Iterator[Callable | None]:
    """
    What reads parts of a recording, as [`AudioFile.read`] takes it: `None` if that can begin anywhere. Of others, such
    as MP3, each window would read all that is before; so they are decoded once, if there are several and room for it.
    """
    with open_recording(clip.recording) as file:
        _, is_entered = read_header(file, clip.name, clip.sampling_rate)
    is_large = BYTES_PER_SAMPLE * clip.num_samples > room_in(Path(tempfile.gettempdir()))
    if is_entered or num_windows < 2 or is_large:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ssast_hf-") as folder:
        decoded = DecodedFiles(folder, clip.sampling_rate)
        decoded.samples[clip.name] = clip.num_samples
        read: Callable | None = decoded.read
        try:
            decoded.read(clip.recording, 0, 0)
        except NoRoom:
            read = None  # slow, but possible
        yield read
