"""The tokenizer in the folder of a model for text: which of its files are published, and that they are data alone."""

from pathlib import Path

from ..storage.guards import UnreadableFile
from ..storage.reading import find_file, read_json


TOKENIZER = "Wav2Vec2CTCTokenizer"
VOCABULARY, SETTINGS = "vocab.json", "tokenizer_config.json"
# What versions of transformers write of such a tokenizer besides.
OTHERS = ("special_tokens_map.json", "added_tokens.json")


def tokenizer_files(model_dir) -> list[Path]:
    """
    The files of the tokenizer in a folder.

    Raises:
        ValueError: If it has none, it is of another class, one of them is no JSON of fields, or names code to run.
    """
    found = [find_file(model_dir, name) for name in (VOCABULARY, SETTINGS, *OTHERS)]
    if missing := [name for name, path in zip((VOCABULARY, SETTINGS), found, strict=False) if path is None]:
        raise ValueError(
            f"{model_dir} holds a model for text, but no {missing[0]}. Save its tokenizer beside it: "
            "tokenizer.save_pretrained(folder)."
        )
    files = [path for path in found if path is not None]
    for path in files:
        fields = read_json(path, "a file of a tokenizer")
        if path.name != SETTINGS:
            continue
        if fields.get("auto_map"):
            raise UnreadableFile(f"{path} has auto_map, which names code to run. Remove it.")
        if (found_class := fields.get("tokenizer_class") or TOKENIZER) != TOKENIZER:
            raise UnreadableFile(f"{path} is of a {found_class!r}; expected a {TOKENIZER}.")
    return files
