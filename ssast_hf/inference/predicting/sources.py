"""Which recordings to predict on: files, folders, tables, and paths from standard input."""

import os
import sys
from pathlib import Path

from torch.utils.data import Dataset

from ...audio.decoding import AUDIO_SUFFIXES
from ...audio.recordings import concatenate, load_recordings


STANDARD_INPUT = "-"
# Files that list or hold recordings and are none.
LISTS = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".tar")


class Files(Dataset):
    """Recordings as from [`as_recording`] by the paths of their files, which may be called anything."""

    def __init__(self, paths: list[str]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        return {"name": self.paths[index], "path": self.paths[index]}


def load_sources(sources: list[str], split: str, config_name: str | None, audio_column: str | None):
    """
    The recordings of all sources, in their order; none is opened, so a file may be missing or none of audio.

    Args:
        sources (`list[str]`): Files of audio; `-` for their paths, one per line of standard input; and what
            [`load_recordings`] takes.
        split, config_name, audio_column: As of [`load_recordings`].

    Raises:
        ValueError: If there is nothing to read.
        OSError: If a folder, a table or a data set cannot be read.
    """
    parts: list = []
    files: list[str] = []
    for source in sources:
        if source == STANDARD_INPUT:
            files += paths_from(sys.stdin.buffer)
        elif is_recording(source):
            files.append(source)
        else:
            parts += [Files(files)] if files else []
            files = []
            parts.append(load_recordings(source, split, config_name, audio_column))
    parts += [Files(files)] if files else []
    return concatenate(parts)


def is_recording(source: str) -> bool:
    """Whether a source is a file of audio by its name, there or not; or a file of no known kind."""
    suffix = Path(source).suffix.lower()
    if suffix in LISTS or Path(source).is_dir():
        return False
    is_pattern = "://" in source or any(character in source for character in "*?[")
    return Path(source).is_file() or (suffix in AUDIO_SUFFIXES and not is_pattern)


def paths_from(lines) -> list[str]:
    """The paths in lines of bytes; ValueError if there are none."""
    paths = [os.fsdecode(line.rstrip(b"\r\n")) for line in lines]
    if not any(paths):
        raise ValueError("Standard input names no files; expected a path per line, as find prints them.")
    return [path for path in paths if path]
