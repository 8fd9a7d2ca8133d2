"""How long recordings are, from their headers, kept for the next time if reading these took long."""

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
from tqdm import tqdm

from ..storage.guards import reading
from ..storage.writing import written_whole
from .decoding import read_header
from .opening import open_recording


# Seconds after which progress is shown, and from which on the result is kept.
SLOW = 5


@dataclass(frozen=True)
class Lengths:
    """
    Args:
        samples (`np.ndarray`): Length of each recording at the model's rate; 0 if it cannot be read.
        is_entered (`np.ndarray`): Whether reading can begin anywhere in it, at no cost.
    """

    samples: np.ndarray
    is_entered: np.ndarray


def measure(recordings, sampling_rate: int) -> Lengths:
    """
    The lengths of recordings; each file is opened, and none is decoded.

    Args:
        recordings ([`Recordings`]): Or several, as a `ConcatDataset`.
        sampling_rate (`int`): The model's, in Hz.
    """
    if (several := getattr(recordings, "datasets", None)) is not None:
        parts = [measure(part, sampling_rate) for part in several]
        return Lengths(
            np.concatenate([part.samples for part in parts]), np.concatenate([part.is_entered for part in parts])
        )
    kept = kept_lengths(recordings, sampling_rate)
    if kept is not None and kept.exists():
        with reading(kept, "a table of lengths", "Delete it."):
            table = np.load(kept, allow_pickle=False)
            return Lengths(table[0], table[1].astype(bool))
    start = time.monotonic()
    indices = tqdm(range(len(recordings)), desc="reading headers", unit="file", delay=SLOW)
    table = np.array([measure_one(recordings[i], sampling_rate) for i in indices], dtype=np.int64).reshape(-1, 2).T
    if kept is not None and time.monotonic() - start > SLOW:
        with suppress(OSError):  # nothing is lost but time
            kept.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(kept) as path, path.open("wb") as file:
                np.save(file, table)
    return Lengths(table[0], table[1].astype(bool))


def measure_one(recording: dict, sampling_rate: int) -> tuple[int, bool]:
    """Length of a recording in samples at a rate in Hz, 0 if it is unusable, and whether one can begin anywhere."""
    try:
        with open_recording(recording) as file:
            return read_header(file, recording["name"], sampling_rate)
    except (ValueError, OSError):
        return 0, True  # whoever reads it says what is wrong


def kept_lengths(recordings, sampling_rate: int) -> Path | None:
    """The file that has the lengths if they were measured before and no recording has changed since."""
    rows = getattr(recordings, "rows", None)
    if rows is None:
        return None
    digest = hashlib.sha256(json.dumps([sampling_rate, len(rows)]).encode())
    if "audio" in rows.column_names:  # of a table
        files = [file["filename"] for file in rows.cache_files]
        digest.update(rows._fingerprint.encode())  # which part of it
    elif "archive" in rows.column_names:
        files = rows.unique("archive")
        digest.update(np.array(rows["offset"]).tobytes())
    else:
        files = rows["path"]
    if not files:
        return None  # in memory
    for file in files:
        digest.update(f"{os.path.abspath(file)} {version_of(file)}\n".encode())
    return Path(datasets.config.HF_DATASETS_CACHE) / "ssast_hf" / f"lengths-{digest.hexdigest()[:32]}.npy"


def version_of(file: str) -> str:
    """Changes whenever a file does."""
    try:
        status = os.stat(file)
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"
