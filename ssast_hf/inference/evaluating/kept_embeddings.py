"""Embeddings of recordings, kept in a folder so that a run that was interrupted does not begin again."""

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...audio.decoding import load_window
from ...audio.labelled import LabelledData
from ...storage.guards import reading
from ...storage.reading import read_json
from ...storage.writing import written_whole


# Clips that are read, embedded and written together.
PIECE = 64
# Says whose they are.
IDENTITY = "identity.json"
# These decide. Others are parts of the settings, and there so that a refusal can name them.
DECIDING = ("model", "weights_sha256", "settings_sha256")
# Samples that no recording has.
ENDLESS = 1 << 40


class KeptEmbeddings:
    """
    Args:
        folder (`Path`): Where they are kept, by the content of the recordings.
        identity (`dict`): Whose they are: weights and settings.

    Raises:
        ValueError: If those in the folder are of something else.
    """

    def __init__(self, folder: Path, identity: dict[str, str]):
        self.folder = folder
        self.rows: dict[str, np.ndarray] = {}
        self.parts = sorted(folder.glob("part-*.npz"))
        check_identity(folder, identity)
        for part in self.parts:
            with reading(part, "a part of embeddings", "Delete it."), np.load(part, allow_pickle=False) as content:
                self.rows |= zip(content["recordings"].tolist(), content["embeddings"], strict=True)
        if not (described := folder / IDENTITY).exists():
            folder.mkdir(parents=True, exist_ok=True)
            with written_whole(described) as path:
                path.write_text(json.dumps(identity, indent=2) + "\n")

    def add(self, recordings: list[str], embeddings: np.ndarray):
        number = int(self.parts[-1].stem.rpartition("-")[2]) + 1 if self.parts else 0
        part = self.folder / f"part-{number:05d}.npz"
        with written_whole(part) as path, path.open("wb") as file:
            np.savez(file, recordings=np.array(recordings), embeddings=embeddings)
        self.parts.append(part)
        self.rows |= zip(recordings, embeddings, strict=True)


def check_identity(folder: Path, identity: dict[str, str]):
    """ValueError if a folder has embeddings of something else."""
    if not (described := folder / IDENTITY).exists():
        return
    found = read_json(described, "a description of embeddings")
    if any(found.get(name) != identity[name] for name in DECIDING):
        other = next((name for name in found if found[name] != identity.get(name)), "settings_sha256")
        raise ValueError(
            f"{folder} has embeddings of another {other.replace('_', ' ')} ({found.get(other)}, now "
            f"{identity.get(other)}). Choose another --output_dir, or delete that folder."
        )


def embed_all(
    contender, name: str, identity: dict[str, str], parts: list[LabelledData], contents: list[str], folder: Path
) -> tuple[np.ndarray | None, dict[int, str]]:
    """
    The embeddings of all recordings, (num_clips, num_layers, D) float32; those that are kept are not made again.

    Args:
        contender: What makes them; see `contenders.py`.
        name (`str`): For the progress bar.
        identity (`dict`): Whose they are.
        parts (`list[LabelledData]`): The recordings, one part after the other.
        contents (`list[str]`): A digest of the file of each.
        folder (`Path`): Where to keep them.

    Returns:
        The embeddings, and by index why recordings cannot be decoded; `None` if there are such.

    Raises:
        ValueError: If the folder holds something else's.
    """
    kept = KeptEmbeddings(folder, identity)
    places = [(part, i) for part in parts for i in range(len(part))]
    missing = list({contents[i] or i: i for i in range(len(places)) if contents[i] not in kept.rows}.values())
    bad: dict[int, str] = {}
    with tqdm(total=len(places), initial=len(places) - len(missing), desc=name, unit="clip", disable=None) as bar:
        for start in range(0, len(missing), PIECE):
            waves, used = [], []
            for number in missing[start : start + PIECE]:
                part, i = places[number]
                try:
                    recording = part.recordings[i]
                    waves.append(load_window(recording, contender.sampling_rate, 0, ENDLESS, contender.min_samples))
                    used.append(number)
                except (ValueError, OSError) as error:
                    bad[number] = f"{part.place(i)} cannot be read: {error}"
            if waves:
                kept.add([contents[number] for number in used], contender.embed(waves))
            bar.update(min(PIECE, len(missing) - start))
    if bad:
        tried = {contents[number]: reason for number, reason in bad.items()}
        for number, (part, i) in enumerate(places):
            if number not in bad and contents[number] in tried:
                bad[number] = f"{part.place(i)} has the same content as another: {tried[contents[number]]}"
        return None, bad
    return np.stack([kept.rows[content] for content in contents]), bad
