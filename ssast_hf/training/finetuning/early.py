"""Tables of labels, checked before PyTorch and transformers are imported, which takes many seconds."""

import argparse
from dataclasses import fields
from pathlib import Path

from ...audio.splits import check_split
from .data_options import LABEL_KINDS, LabelledArguments
from .parts import make_splits, without_shared


TABLES = (".csv", ".tsv", ".jsonl", ".json")
# To read larger ones takes longer than to import PyTorch, so they are read once, later.
MOST_BYTES = 10_000_000


def check_labels(argv: list[str]):
    """
    The labels of the parts that a command line names, if all of them are small tables.

    Raises:
        ValueError: If a label, a column or a class is missing or makes no sense, with the row or the column.
        OSError: If a table cannot be read.
    """
    options = read_options(argv)
    if options is None or options.recipe is not None:  # a recipe may be of another task
        return
    data = LabelledArguments(**{field.name: getattr(options, field.name) for field in fields(LabelledArguments)})
    given = (data.train_data, data.validation_data, data.test_data, data.trials)
    tables = [Path(source) for source in given if source is not None]
    if not all(path.suffix.lower() in TABLES and path.is_file() for path in tables):
        return
    if sum(path.stat().st_size for path in tables) > MOST_BYTES:
        return
    splits, _ = make_splits(data, LABEL_KINDS[options.task], options.seed)
    for split in splits:
        check_split(without_shared(split), data.min_per_class)


def read_options(argv: list[str]) -> argparse.Namespace | None:
    """
    The options of [`LabelledArguments`], `task`, `recipe` and `seed` on a command line; `None` if it is wrong or asks
    for help, of which the command's own parser speaks.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for field in fields(LabelledArguments):
        several = "list" in str(field.type)
        numbers = {"int": int, "float": float}
        parser.add_argument(
            f"--{field.name}",
            default=field.default,
            nargs="+" if several else None,
            type=numbers.get(getattr(field.type, "__name__", ""), str),
        )
    parser.add_argument("--task", default="classification", choices=LABEL_KINDS)
    parser.add_argument("--recipe")
    parser.add_argument("--seed", type=int, default=42)
    try:
        options, _ = parser.parse_known_args(argv)
    except argparse.ArgumentError:
        return None
    return None if options.train_data is None or {"-h", "--help", "--help-all"} & {*argv} else options
