"""What a folder says of how its model was trained or tested, for its card: `training.json`, and figures of Trainer."""

import math
import re
from pathlib import Path
from reprlib import repr as shortened

from ..storage.guards import UnreadableFile
from ..storage.reading import find_file, read_json, sha256_of, weight_files


TRAINING = "training.json"
# Where Trainer and its examples write what they measured, in the order of preference.
FIGURES = ("all_results.json", "eval_results.json", "trainer_state.json")
LONGEST = 4000
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def read_training(model_dir) -> dict | None:
    """
    What `ssast-hf pretrain` wrote about the weights in a folder; `None` if there is nothing, or about other weights.

    Paths of this machine are shortened to their last parts: a card is for everybody.

    Raises:
        UnreadableFile: If it is not what `ssast-hf pretrain` writes.
        ValueError: If it is a link out of the folder.
    """
    path = find_file(model_dir, TRAINING)
    if path is None:
        return None
    facts = read_json(path, "what `ssast-hf pretrain` writes")
    checked(path, facts, "sha256", dict)
    if facts["sha256"] != {weights.name: sha256_of(weights) for weights in weight_files(model_dir)}:
        return None
    data, validation = checked(path, facts, "data", dict), checked(path, facts, "validation", dict)
    command = checked(path, facts, "command", str)
    words = [without_folders(word) for word in command.split(" ")]
    sources = checked(path, data, "sources", list)
    for source in sources:
        checked(path, {"sources": source}, "sources", str)
    base_model = checked(path, facts, "base_model", str, type(None))
    is_on_hub = checked(path, facts, "is_on_hub", bool)
    if is_on_hub and not REPOSITORY.fullmatch(str(base_model)):
        raise unreadable(path, "base_model", base_model)
    return {
        "command": " ".join(words),
        "base_model": None if base_model is None else without_folders(base_model),
        "is_on_hub": is_on_hub,
        "steps": checked(path, facts, "steps", int),
        "sources": [without_folders(source) for source in sources],
        "recordings": checked(path, data, "recordings", int, type(None)),
        "hours": checked(path, data, "hours", int, float, type(None)),
        "validation_recordings": checked(path, data, "validation_recordings", int, type(None)),
        "validation": {
            when: {name: checked(path, figures, name, int, float) for name in ("loss", "accuracy") if name in figures}
            for when in ("before", "after")
            if (figures := checked(path, validation, when, dict, type(None)))
        },
    }


def checked(path: Path, fields: dict, name: str, *types: type):
    """A field of one of these types that a card can show; an [`UnreadableFile`] otherwise."""
    value = fields.get(name)
    if type(value) not in types or (isinstance(value, float) and not math.isfinite(value)):
        raise unreadable(path, name, value)
    if isinstance(value, str) and (len(value) > LONGEST or not value.isprintable() or "`" in value):
        raise unreadable(path, name, value)
    return value


def unreadable(path: Path, name: str, value) -> UnreadableFile:
    return UnreadableFile(
        f"{path}: {name} is {shortened(value)}, which is nothing that `ssast-hf pretrain` writes. Delete the file; "
        "the card will then say nothing of the training."
    )


def without_folders(text: str) -> str:
    """The last part of an absolute path, anything else as it is."""
    return Path(text).name if text.startswith(("/", "~")) or text[1:3] in (":\\", ":/") else text


def read_accuracy(model_dir) -> float | None:
    """The accuracy of a classifier as Trainer left it in a folder, from 0 to 1; `None` if it says none."""
    for name in FIGURES:
        path = find_file(model_dir, name)
        if path is None:
            continue
        fields = read_json(path, "figures of transformers' Trainer")
        history = fields.get("log_history") if name == "trainer_state.json" else [fields]
        entries = [entry for entry in history or [] if isinstance(entry, dict) and "eval_accuracy" in entry]
        if not entries:
            continue
        value = entries[-1]["eval_accuracy"]
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise UnreadableFile(f"{path}: eval_accuracy must be from 0 to 1, got {shortened(value)}. Correct it.")
        return float(value)
    return None
