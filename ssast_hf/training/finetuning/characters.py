"""Characters of texts, and which of them a model can write. Does without PyTorch and transformers."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from ...audio.labelled import LabelledData
from ...storage.guards import reading


VOCABULARY = "vocab.json"


def spaced(text: str) -> str:
    """A text with single spaces."""
    return " ".join(text.split())


def characters_of(texts: Iterable[str]) -> set[str]:
    """All characters but the space."""
    return {character for text in texts for character in text} - {" "}


def vocabulary_beside(folder: Path) -> set[str] | None:
    """What a model in a folder can write, with its signs for the gap and for nothing; `None` if it writes no text."""
    path = folder / VOCABULARY
    if not path.exists():
        return None
    with reading(path, "the vocabulary of a tokenizer"):
        return set(json.loads(path.read_bytes()))


def check_characters(data: LabelledData, known: Collection[str]):
    """ValueError if a text has a character that is not `known`, with its row."""
    for i, text in enumerate(data.labels):
        if unknown := [character for character in spaced(text) if character not in known]:
            raise ValueError(
                f"{data.place(i)}: the text has {unknown[0]!r}, which is not in the vocabulary of what is trained on."
            )
