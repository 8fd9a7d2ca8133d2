"""Which released checkpoint a folder was converted from: a note that is valid as long as the weights are the same."""

import json
from pathlib import Path

from ..storage.reading import sha256_of


ORIGIN_FILE = "original_checkpoint.json"


def write_origin(folder: Path, record: dict, sha256: str):
    """Note in a converted `folder` which checkpoint it is, with the checksums of the original and of the new file."""
    origin = {
        "name": record["name"],
        "sha256": sha256,
        "converted_sha256": sha256_of(folder / "model.safetensors"),
    }
    (folder / ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n")


def read_origin(folder: Path) -> dict | None:
    """What [`write_origin`] noted in a folder, or `None` if its weights are not those that were converted."""
    note, weights = folder / ORIGIN_FILE, folder / "model.safetensors"
    if not note.exists() or not weights.exists():
        return None
    try:
        origin = {key: str(json.loads(note.read_text())[key]) for key in ("name", "sha256", "converted_sha256")}
        return origin if origin["converted_sha256"] == sha256_of(weights) else None
    except (ValueError, KeyError, TypeError):  # edited by hand: it proves nothing
        return None
