"""A long recording over time: its spectrogram, and how alike its moments are."""

from pathlib import Path

import numpy as np

from ...audio.decoding import load_window, read_header
from ...audio.opening import open_file
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ..embedding.stored import Rows
from .nearest import normalised
from .plots import draw_recording


# Columns of the spectrogram and moments, at most: more than a picture shows.
MOST_COLUMNS, MOST_MOMENTS = 1500, 800
# What is read of the recording at once.
BLOCK_SECONDS = 60


def draw_over_time(path: str, rows: Rows, picture: Path):
    """
    Write a PNG of a recording.

    Args:
        path (`str`): The audio file.
        rows (`Rows`): Of its time steps.
        picture (`Path`): Where to.

    Raises:
        ValueError: If it has fewer than two steps, or if the file is no audio.
        OSError: If there is no such file.
    """
    starts, places = np.unique(rows.starts, return_inverse=True)
    if len(starts) < 2:
        raise ValueError(f"{path} has a single time step; similarity over time takes two or more.")
    sums = np.zeros((len(starts), rows.vectors.shape[1] + 2))
    np.add.at(sums, places, np.column_stack([rows.vectors, (rows.starts + rows.ends) / 2, np.ones(rows.num_rows)]))
    steps = sums[:, :-1] / sums[:, -1:]  # of several patches, the mean
    # Several steps are one moment, if there are many.
    pieces = np.array_split(steps, min(len(steps), MOST_MOMENTS))
    moments = np.stack([piece.mean(axis=0) for piece in pieces])
    vectors, times = normalised(moments[:, :-1]), moments[:, -1]
    spectrogram, seconds = read_spectrogram(path)
    title = f"{Path(path).name}: {seconds:.1f} s, {len(starts)} time steps"
    draw_recording(spectrogram, times, vectors, seconds, title, picture)


def read_spectrogram(path: str) -> tuple[np.ndarray, float]:
    """
    Log-mel energies of an audio file, (num_mel_bins, num_columns) with at most [`MOST_COLUMNS`], averaged over time,
    and its length in seconds. It is read in blocks, and never whole in memory.
    """
    extractor = SSASTFeatureExtractor(do_normalize=False, return_attention_mask=False)
    rate = extractor.sampling_rate
    with open_file(path) as file:
        num_samples, _ = read_header(file, path, rate)
    step = max(-(-num_samples // (rate // 100 * MOST_COLUMNS)), 1)  # frames of 10 ms per column
    block = max(BLOCK_SECONDS * 100 // step, 1) * step * rate // 100  # of whole columns
    recording, shortest = {"name": path, "path": path}, extractor.num_samples(1)
    columns: list[np.ndarray] = []
    for begin in range(0, max(num_samples, 1), block):
        if num_samples - begin < shortest and columns:
            break
        audio = load_window(recording, rate, begin, min(begin + block, num_samples), shortest)
        options = dict(padding=False, truncation=False, return_tensors="np")
        frames = extractor(audio, sampling_rate=rate, **options)["input_values"][0]
        columns += [frames[i : i + step].mean(axis=0) for i in range(0, len(frames), step)]
    return np.stack(columns, axis=1), num_samples / rate
