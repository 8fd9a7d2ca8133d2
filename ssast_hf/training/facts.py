"""What a run says of itself beside the model that it leaves, for the model's card: `training.json`."""

import json
import os
from pathlib import Path

from .. import __version__
from ..storage.reading import sha256_of, weight_files
from .outcome import Outcome


# In the folder of the result; `publish` reads it.
FILE = "training.json"
VALIDATED = "loss discriminative_loss generative_loss accuracy".split()


def write_facts(folder: Path, outcome: Outcome, start: str | None, command: str, data: dict, steps: int):
    """
    Write what is known about the model in `folder`.

    Args:
        folder (`Path`): The folder of the result; its weights are there already.
        outcome ([`Outcome`]): Validation before and after.
        start (`str`, *optional*): The model that the run began from.
        command (`str`): The command line.
        data (`dict`): `sources`, `recordings`, `hours` and `validation_recordings`, as far as they are known.
        steps (`int`): How many the result has behind it.
    """
    facts = {
        "ssast_hf": __version__,
        "base_model": start,
        "is_on_hub": start is not None and not Path(start).exists(),
        "command": " ".join(command.split()),  # on one line
        "data": data,
        "steps": steps,
        "validation": {
            name: None if entry is None else {key: entry[f"eval_{key}"] for key in VALIDATED if f"eval_{key}" in entry}
            for name, entry in (("before", outcome.before), ("after", outcome.result))
        },
        # Facts about other weights are none about those that replace them.
        "sha256": {path.name: sha256_of(path) for path in weight_files(folder)},
    }
    new = folder / f".{FILE}"
    new.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    os.replace(new, folder / FILE)
