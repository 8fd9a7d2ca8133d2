"""Whose a README.md is, and how the metadata of one that a person wrote are completed. All of it on strings."""

import hashlib
import re
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import RepoCard
from huggingface_hub.repocard_data import CardData

from ..storage.writing import written_whole


REQUIRED = ("license", "library_name", "pipeline_tag", "tags")
# The last line of a card that nobody has edited yet, with a checksum of everything before it.
SIGNATURE = "<!-- Written by ssast_hf, which replaces this card as long as nobody has edited it. sha256:{} -->\n"
SIGNED = re.compile(re.escape(SIGNATURE).replace(r"\{\}", "([0-9a-f]{64})") + r"\Z")
# What the empty form says that `push_to_hub` of transformers leaves.
FORM_DESCRIPTION = (
    "This is the model card of a 🤗 transformers model that has been pushed on the Hub. This model card has been "
    "automatically generated."
)
# What the Hub itself writes into a new Space, behind the metadata.
NEW_SPACE_KEYS = frozenset("title emoji colorFrom colorTo sdk sdk_version python_version app_file pinned".split())
SPACE_TEXT = "Check out the configuration reference at https://huggingface.co/docs/hub/spaces-config-reference"


def read_card(path: Path) -> str:
    """The text of a README.md with its line ends as they are; a ValueError if it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not encoded in UTF-8 ({error}). Save it again as UTF-8.") from error


def write_card(path: Path, card: str):
    """Write a new card where nobody's words are lost: a README.md that a person wrote or edited is completed."""
    completed = complete(path, card)
    with written_whole(path) as new:
        new.write_bytes(completed)


def complete(path: Path, card: str) -> bytes:
    """What a README.md at `path` says after a new card was rendered for it, as in [`combine`]."""
    existing = read_card(path) if path.exists() else None
    return combine(existing, card, str(path)).encode("utf-8")


def sign(card: str) -> str:
    """The card with a last line by which [`is_untouched`] knows it."""
    return card + SIGNATURE.format(hashlib.sha256(card.encode()).hexdigest())


def is_untouched(text: str) -> bool:
    """
    Whether a program wrote it and nobody has edited it: this one, transformers, which leaves an empty form, or the
    Hub, of a new Space.
    """
    match = SIGNED.search(text)
    if match is not None:
        return hashlib.sha256(text[: match.start()].encode()).hexdigest() == match[1]
    try:
        metadata, body = split(text, "README.md")
    except ValueError:
        return False
    if body.strip() == SPACE_TEXT:
        return metadata.keys() <= NEW_SPACE_KEYS
    form = ModelCard.from_template(ModelCardData(), model_description=FORM_DESCRIPTION)
    return (
        body.strip() == form.text.strip() and metadata.keys() <= {"library_name", "tags"} and not metadata.get("tags")
    )


def combine(existing: str | None, card: str, name: str, license: str | None = None) -> str:
    """
    What a README.md says after a new card was rendered for it: the new card, or, where a person wrote the existing
    one, that with its metadata completed.

    Args:
        existing (`str` or `None`): The README.md so far.
        card (`str`): The new card.
        name (`str`): What to call the README.md in messages.
        license (`str`, *optional*): The licence that it has to state.

    Raises:
        ValueError: If the metadata cannot be read, or state another licence.
    """
    if existing is None or is_untouched(existing):
        return card
    theirs, body = split(existing, name)
    if license and theirs.get("license") not in (None, license):
        raise ValueError(f"{name} states the license {theirs['license']}, expected {license}. Change one of them.")
    merged = merge_metadata(theirs, split(card, "the new card")[0], name)
    return existing if merged == theirs else with_metadata(merged, body, existing)


def with_metadata(metadata: dict, body: str, existing: str) -> str:
    """A card of new metadata and a text that is kept, with the ends of line of the existing one."""
    line_break = "\r\n" if "\r\n" in existing else "\n"
    head = CardData(**metadata).to_yaml(line_break=line_break)
    return f"---{line_break}{head}{line_break}---{line_break}{body}"


def with_keys_of(existing: str, card: str, keys: tuple[str, ...], name: str) -> str:
    """A card that a person wrote, with some of the metadata of a new one in place of its own."""
    theirs, body = split(existing, name)
    ours = split(card, "the new card")[0]
    return with_metadata(theirs | {key: ours[key] for key in keys}, body, existing)


def merge_metadata(theirs: dict, ours: dict, name: str) -> dict:
    """What a person wrote, with what it lacks: keys, and entries of the lists of tags and data sets."""
    merged = theirs | {key: value for key, value in ours.items() if not theirs.get(key)}
    for key in ("tags", "datasets"):
        if theirs.get(key) and key in ours:
            if not isinstance(theirs[key], (str, list)):
                raise ValueError(f"{key} in the metadata of {name} is {theirs[key]!r}, expected a list.")
            listed = [theirs[key]] if isinstance(theirs[key], str) else theirs[key]
            merged[key] = listed + [value for value in ours[key] if value not in listed]
    return merged


def split(text: str, name: str) -> tuple[dict, str]:
    """Metadata and body of a card; a ValueError that names it if the metadata cannot be read."""
    if not text.lstrip().startswith("---"):
        return {}, text
    try:
        card = RepoCard(text)
    except Exception as error:  # YAML has many ways to be wrong
        raise ValueError(f"The metadata at the head of {name} cannot be read: {error}") from error
    return card.data.to_dict(), card.text


def license_of(card: str) -> str | None:
    """The licence that the metadata of a card state."""
    return split(card, "README.md")[0].get("license")


def check_metadata(text: str, name: str):
    """Raise a ValueError unless a card says all that the Hub needs to know."""
    metadata, _ = split(text, name)
    for key in REQUIRED:
        if not metadata.get(key):
            advice = "Pass --license, for example cc-by-4.0, or add" if key == "license" else "Add"
            raise ValueError(f"The model card has no {key}. {advice} it to the metadata at the head of {name}.")
    try:
        ModelCardData(**metadata)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The metadata at the head of {name} are not valid: {error}") from error
