"""A corpus on disk: made source by source, so that a killed build goes on, then weighed and listed."""

import csv
import hashlib
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from ssast_hf.storage.writing import written_whole

from .recordings import RATE, Piece, cleaned, joined


# Kinds of sound -> which share of what a model hears is of that kind. Sources of a kind share it by the square root
# of their hours.
GROUPS = {"speech": 0.25, "synthetic speech": 0.15, "sounds": 0.35, "music": 0.12, "instruments": 0.13}
# No window is drawn more often than this in an epoch, on average: small sources are not heard over and over.
MOST = 6.0
MANIFEST, SUMMARY = "manifest.csv", "training_data.csv"
COLUMNS = ("path", "source", "kind", "weight", "seconds", "licence", "authors", "recording")


@dataclass(frozen=True)
class Source:
    """
    Args:
        definition (`str`): Whatever decides which recordings it gives; if that changes, it is made anew.
        pieces (`Callable`): Finds its recordings.
    """

    definition: str
    pieces: Callable[[], Iterator[Piece]]


def make_source(name: str, source: Source, folder: Path, seen: set[str]) -> list[dict]:
    """
    Write the recordings of a source below `folder`, unless that was done by the same definition of it.

    Args:
        name (`str`): Of the source.
        source ([`Source`]): What it is.
        folder (`Path`): Of the corpus.
        seen (`set[str]`): Digests of what earlier sources had; those of this one are added.

    Returns:
        A row per recording, without its weight.
    """
    record = folder / "sources" / f"{name}.json"
    definition = hashlib.sha256(source.definition.encode()).hexdigest()
    if record.exists():
        made = json.loads(record.read_text(encoding="utf-8"))
        if made.get("definition") == definition:
            seen.update(made["digests"])
            return made["rows"]
        record.unlink()  # first, so that a build that is killed now begins it again
    target = folder / "audio" / name
    shutil.rmtree(target, ignore_errors=True)  # of another definition, or of a build that was killed
    target.mkdir(parents=True)
    digests: list[str] = []
    rows = []
    for number, piece in enumerate(joined(clean_ones(source.pieces(), seen, digests, name))):
        path = target / f"{number:05d}.flac"
        soundfile.write(path, np.clip(piece.content, -1, 1), RATE, "PCM_16")
        rows.append(
            {
                "path": str(path.relative_to(folder)),
                "source": name,
                "kind": piece.kind,
                "seconds": len(piece.content) / RATE,
                "licence": piece.licence,
                "authors": piece.authors,
                "recording": piece.name,
            }
        )
    with written_whole(record) as path:
        path.write_text(json.dumps({"definition": definition, "digests": digests, "rows": rows}), encoding="utf-8")
    return rows


def clean_ones(pieces: Iterator[Piece], seen: set[str], digests: list[str], name: str) -> Iterator[Piece]:
    """Pieces as [`cleaned`] leaves them, without those that were there before and those of which nothing is left."""
    unusable = 0
    for piece in tqdm(pieces, desc=name, unit="file", mininterval=1):
        digest = hashlib.sha256(piece.content).hexdigest()[:32]
        if digest in seen:
            continue
        seen.add(digest)
        digests.append(digest)
        try:
            yield cleaned(piece)
        except ValueError:  # silence, or a file that libsndfile does not read
            unusable += 1
    if unusable:
        print(f"{name}: {unusable} files hold no sound that can be read.")


def weigh(rows: list[dict]):
    """Give each row the weight of its source and kind; the mean over the seconds of all is about 1."""
    hours: dict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        hours[row["kind"], row["source"]] += row["seconds"] / 3600
    roots: dict[str, float] = defaultdict(float)
    for (kind, _), amount in hours.items():
        roots[kind] += math.sqrt(amount)
    shares = sum(GROUPS[kind] for kind in roots)
    total = sum(hours.values())
    for row in rows:
        amount = hours[row["kind"], row["source"]]
        share = GROUPS[row["kind"]] / shares * math.sqrt(amount) / roots[row["kind"]]
        row["weight"] = min(round(share * total / amount, 4), MOST)


def write_lists(rows: list[dict], folder: Path):
    """The manifest, and what the recordings are under which terms."""
    write_table(folder / MANIFEST, rows, COLUMNS)
    terms: dict[tuple, list[dict]] = defaultdict(list)
    for row in rows:
        terms[row["source"], row["kind"], row["licence"], row["authors"]].append(row)
    lines = [
        {
            "source": source,
            "kind": kind,
            "hours": f"{sum(row['seconds'] for row in those) / 3600:.4f}",
            "recordings": len(those),
            "licence": licence,
            "authors": authors,
        }
        for (source, kind, licence, authors), those in terms.items()
    ]
    write_table(folder / SUMMARY, lines, tuple(lines[0]))


def write_table(path: Path, rows: list[dict], columns: tuple[str, ...]):
    with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
