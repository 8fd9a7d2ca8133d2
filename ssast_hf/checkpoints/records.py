"""The released checkpoints as data: what `checkpoints.json` says about each."""

import difflib
import json
from importlib.resources import files
from pathlib import Path

from ..storage.guards import reading


# What the conversion and the card of a checkpoint cannot do without.
RECORD_KEYS = (
    "name url parameters hidden_size num_hidden_layers num_attention_heads patch_size max_length num_mel_bins "
    "num_masked_patches objective pretraining_data published"
).split()


def released_checkpoints(path=None) -> dict[str, dict]:
    """
    Records of checkpoints by name.

    Args:
        path (`str` or `Path`, *optional*): A file like the package's `checkpoints.json`, the default. A record may
            have a `sha256`, which its file must have then.

    Raises:
        ValueError: If it is no such file; the message names what is missing.
    """
    path = files(__package__).joinpath("checkpoints.json") if path is None else Path(path)
    with reading(path, "a JSON file", "Correct it."):
        records = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f"{path} must hold a list of records, as the package's checkpoints.json does.")
    for number, record in enumerate(records):
        if missing := [key for key in RECORD_KEYS if key not in record]:
            raise ValueError(f"{path}: record {record.get('name', number)!r} lacks {', '.join(missing)}.")
        for key, kind in {"name": str, "url": str, "pretraining_data": list, "published": dict}.items():
            if not isinstance(record[key], kind):
                raise ValueError(f"{path}: {key} of record {number} is {record[key]!r}, expected a {kind.__name__}.")
    names = [record["name"].lower() for record in records]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path}: two records are called {twice[0]}.")
    return {record["name"]: record for record in records}


def released_name(text: str, records: dict[str, dict] | None = None) -> str | None:
    """The checkpoint whose name is most like a text, in whatever case; `None` if none is like it."""
    names = {name.lower(): name for name in (released_checkpoints() if records is None else records)}
    similar = difflib.get_close_matches(text.lower().replace("_", "-"), names, n=1, cutoff=0.75)
    return names[similar[0]] if similar else None
