"""Which released checkpoint a folder was converted from: a note that is valid as long as the weights are the same."""

import json
from pathlib import Path

from ..storage.guards import UnreadableFile
from ..storage.reading import WEIGHTS, find_file, read_json, sha256_of


ORIGIN_FILE = "original_checkpoint.json"


def write_origin(folder: Path, record: dict, sha256: str):
    """Note in a converted `folder` which checkpoint it is, with the checksums of the original and of the new file."""
    origin = {
        "name": record["name"],
        "sha256": sha256,
        "converted_sha256": sha256_of(folder / WEIGHTS),
    }
    (folder / ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n")


def read_origin(folder: Path) -> dict | None:
    """What [`write_origin`] noted in a folder, or `None` if its weights are not those that were converted."""
    note, weights = find_file(folder, ORIGIN_FILE), find_file(folder, WEIGHTS)
    if note is None or weights is None:
        return None
    try:
        fields = read_json(note, "a note of where weights come from")
        origin = {key: str(fields[key]) for key in ("name", "sha256", "converted_sha256")}
        return origin if origin["converted_sha256"] == sha256_of(weights) else None
    except (UnreadableFile, KeyError):  # edited by hand: it proves nothing
        return None
