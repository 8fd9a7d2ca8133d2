"""
Recordings of the data sets that a folder holds: ESC-10, without its two clips of other terms, and libri251; of both
without what the package's bundled clips are cut from, which people try models on.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from ssast_hf.assets import clip_records

from .recordings import Piece


# Under Sampling+, which is no free licence.
LEFT_OUT = ("1-40730-A-1", "2-96460-A-1")
# Readers of libri251 are evaluated on: the last ones by name, a fifth of them.
HELD_OUT = 0.2
LIBRISPEECH = "V. Panayotov, G. Chen, D. Povey, S. Khudanpur: LibriSpeech; read by volunteers of LibriVox"


def rows_of(data: Path, name: str) -> list[dict]:
    path = data / name / f"{name}.csv"
    with path.open(encoding="utf-8") as file:
        return [row | {"path": path.parent / "audio" / row["filename"]} for row in csv.DictReader(file)]


def held_out_speakers(data: Path) -> list[str]:
    """The readers of libri251 that no model here hears: the last fifth, sorted by name as text."""
    speakers = sorted({row["speaker"] for row in rows_of(data, "libri251")})
    return speakers[len(speakers) - round(HELD_OUT * len(speakers)) :]


def is_bundled(row: dict) -> bool:
    """Whether a bundled clip is cut from a recording, by its number on Freesound or its name in LibriSpeech."""
    bundled = {name for record in clip_records() for name in (record["title"], Path(record["source"]).name)}
    return row.get("src_file", Path(row["filename"]).stem) in bundled


def libri251(data: Path) -> Iterator[Piece]:
    held_out = set(held_out_speakers(data))
    for row in rows_of(data, "libri251"):
        if row["speaker"] not in held_out and not is_bundled(row):
            name = f"libri251/{row['filename']}"
            yield Piece(row["path"].read_bytes(), name, "CC-BY-4.0", LIBRISPEECH, "speech")


def esc10(data: Path) -> Iterator[Piece]:
    for row in rows_of(data, "esc10"):
        if not row["filename"].startswith(LEFT_OUT) and not is_bundled(row):
            licence = {"CC0": "CC0", "CC-BY": "CC-BY-3.0"}[row["licence"]]
            yield Piece(row["path"].read_bytes(), f"esc10/{row['filename']}", licence, row["author"], "sounds")
