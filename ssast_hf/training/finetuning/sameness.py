"""Whether a run that goes on has the data and the classes that it began with: else a test has what was trained on."""

import hashlib

from ...audio.labelled import LabelledData
from ...audio.splits import Split
from ..recipe import read_run
from .tasks import Task


def data_of(split: Split, task: Task) -> dict:
    """What a checkpoint keeps of its data: of each part the number of rows and a digest of them; and the classes."""
    names = {part: names_in(data) for part, data in split.parts.items()}
    # Without how all begin, since the data may have moved to another folder.
    every = [name for each in names.values() for name in each]
    shared = next((i for i, pair in enumerate(zip(min(every), max(every), strict=False)) if len(set(pair)) > 1), 0)
    parts = {}
    for part, data in split.parts.items():
        digest = hashlib.sha256()
        for row in zip(names[part], data.labels, data.events or data.labels, strict=True):
            digest.update(f"{row[0][shared:]}\t{row[1:]}\n".encode())
        parts[part] = f"{len(data)} recordings, {digest.hexdigest()[:12]}"
    return {"parts": parts, "classes": list(task.classes())}


def names_in(data: LabelledData) -> list[str]:
    """What recordings are called: by their files, or by their rows if these hold the audio."""
    return [
        recording["name"] if recording.get("bytes") is None else f"row {row}"
        for recording, row in zip(data.recordings, data.rows.tolist(), strict=True)
    ]


def check_same_data(checkpoint: str, data: dict):
    """ValueError if a checkpoint is of other data or classes than [`data_of`] says; with what has changed."""
    before = read_run(checkpoint).get("recipe", {})
    if "parts" not in before:
        return  # of an older version
    remedy = "Give the command of that run (and its --seed, which draws what is held out), or another --output_dir."
    if before["classes"] != data["classes"]:
        pairs = zip([*before["classes"], None], [*data["classes"], None], strict=False)
        was, now = next(pair for pair in pairs if pair[0] != pair[1])
        raise ValueError(
            f"{checkpoint} is of a run with other classes or characters, or in another order: {said(was)}, now "
            f"{said(now)}. {remedy}"
        )
    names = dict.fromkeys([*before["parts"], *data["parts"]])
    changed = [name for name in names if before["parts"].get(name) != data["parts"].get(name)]
    if changed:
        both = before["parts"], data["parts"]
        told = [f"{name} {both[0].get(name, 'none')}, now {both[1].get(name, 'none')}" for name in changed]
        raise ValueError(f"{checkpoint} is of a run on other recordings or labels: {'; '.join(told)}. {remedy}")


def said(name: str | None) -> str:
    return "none" if name is None else repr(name)
