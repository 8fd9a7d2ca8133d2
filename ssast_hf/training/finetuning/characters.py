"""Characters of texts, and which of them a model can write. Does without PyTorch and transformers."""

from collections.abc import Collection, Iterable

from ...audio.labelled import LabelledData


# Between words.
GAP = "|"


def spaced(text: str) -> str:
    """A text with single spaces."""
    return " ".join(text.split())


def characters_of(texts: Iterable[str]) -> set[str]:
    """All characters but the space."""
    return {character for text in texts for character in text} - {" "}


def check_characters(data: LabelledData, known: Collection[str]):
    """ValueError if a text has a character that is not `known`, with its row."""
    for i, text in enumerate(data.labels):
        if unknown := [character for character in spaced(text) if character not in known]:
            raise ValueError(
                f"{data.place(i)}: the text has {unknown[0]!r}, which is not in the vocabulary of what is trained on."
            )
