"""Tables of labels, checked before PyTorch and transformers are imported, which takes many seconds."""

import argparse
import difflib
from dataclasses import fields
from pathlib import Path
from typing import Any

from ...assets import named_model
from ...audio.small_tables import PARQUET, size_of, small_tables
from ...audio.splits import check_split
from .characters import GAP, characters_of, check_characters
from .data_options import LABEL_KINDS, LabelledArguments, contradiction
from .parts import make_splits, without_shared
from .recipes import RECIPES, chosen_by, with_recipe


# Up to here the recordings of events are measured, too; those in parquet files are copied first.
MOST_BYTES_OF_EVENTS, MOST_BYTES_COPIED = 100_000, 100_000_000
TYPES: dict[Any, type] = {int: int, float: float, float | None: float}


def check_labels(argv: list[str]):
    """
    The labels of the parts that a command line names, if all of them are small tables, or folders beside one. Options
    that contradict each other, or that may be misspelt, are left to the command.

    Raises:
        ValueError: If a label, a column or a class is missing or makes no sense, with the row or the column.
        OSError: If a table cannot be read.
    """
    options = read_options(with_recipe(argv))
    if options is None:
        return
    data = LabelledArguments(**{field.name: getattr(options, field.name) for field in fields(LabelledArguments)})
    if contradiction(data, options.task):
        return
    given = (data.train_data, data.validation_data, data.test_data, data.trials)
    kind = LABEL_KINDS[options.task]
    is_slow = kind in ("classes", "events") or data.group_column is not None
    tables = small_tables([source for source in given if source is not None], is_slow)
    if not tables:
        return
    size = sum(map(size_of, tables))
    copied = sum(path.stat().st_size for path in tables if path.suffix.lower() == PARQUET)
    measures = kind == "events" and size <= MOST_BYTES_OF_EVENTS and copied <= MOST_BYTES_COPIED
    splits, _ = make_splits(data, kind, options.seed, chosen_by(options.recipe), labels_alone=not measures)
    model = Path(named_model(options.model_name_or_path))
    for split in splits:
        check_split(without_shared(split), data.min_per_class)
        # What a model that comes with a tokenizer can write, the command finds out.
        if kind == "text" and model.is_dir() and not (model / "vocab.json").exists():
            known = characters_of(split.train.labels) | {" ", GAP}
            for part in split.parts.values():
                check_characters(part, known)


def read_options(argv: list[str]) -> argparse.Namespace | None:
    """
    The options of [`LabelledArguments`], the model, `task`, `recipe` and `seed` on a command line; `None` if it may be
    wrong or asks for help, of which the command's own parser speaks.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for field in fields(LabelledArguments):
        several = "list" in str(field.type)
        kind = TYPES.get(field.type, str)
        parser.add_argument(*spellings(field.name), default=field.default, nargs="+" if several else None, type=kind)
    parser.add_argument(*spellings("model_name_or_path"))
    parser.add_argument("--task", default="classification", choices=LABEL_KINDS)
    parser.add_argument("--recipe", choices=RECIPES)
    parser.add_argument("--seed", type=int, default=42)
    try:
        options, others = parser.parse_known_args(argv)
    except argparse.ArgumentError:
        return None
    known = [name for action in parser._actions for name in action.option_strings]
    words = [word.partition("=")[0] for word in others if word.startswith("-")]
    is_misspelt = any(difflib.get_close_matches(word, known, cutoff=0.85) for word in words)
    is_help = bool({"-h", "--help", "--help-all"}.intersection(words))
    is_whole = options.train_data is not None and options.model_name_or_path is not None
    return options if is_whole and not is_help and not is_misspelt else None


def spellings(name: str) -> list[str]:
    """Of an option, as `HfArgumentParser` takes it."""
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))
