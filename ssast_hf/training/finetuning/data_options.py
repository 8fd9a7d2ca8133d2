"""Options about labelled data, which need neither PyTorch nor transformers."""

from dataclasses import dataclass

from ..option import option


# What is trained -> what its labels are, as in `LabelOptions`.
LABEL_KINDS = {
    "classification": "class",
    "multilabel": "classes",
    "regression": "number",
    "speaker": "speaker",
    "ctc": "text",
    "frames": "events",
}

# How much is held out for validation, or for the test, where nothing else says what they are.
FRACTION = 0.2
# What says so -> what then has no share to hold out.
INSTEAD = {"validation_data": "validation", "test_data": "test", "trials": "test", "fold_column": "test"}
# Those whose labels have names.
NAMED = ("classification", "multilabel", "speaker")


@dataclass
class LabelledArguments:
    """What it is trained and tested on."""

    _argument_group_name = "labelled data"

    train_data: str = option(
        "a folder with a sub-folder per class; a manifest (.csv, .tsv, .jsonl, .json) or .parquet files with a column "
        "of labels; or a data set on the Hub"
    )
    validation_data: str | None = option("the same, to choose the best weights by (default: a part of that)")
    test_data: str | None = option("the same, to test the result on once (default: a part likewise)")
    trials: str | None = option(
        "table of pairs to test speakers on: two columns of paths, and a label, 1 for the same speaker and 0 else"
    )
    validation_fraction: float | None = option(
        f"how much to hold out for validation, of each class alike (default: {FRACTION})"
    )
    test_fraction: float | None = option(
        f"how much to hold out for the test before that, if there are no folds (default: {FRACTION})"
    )
    fold_column: str | None = option("column of folds: each is tested on after training on the others")
    folds: list[str] | None = option("which of them (default: all)")
    group_column: str | None = option("column such as speaker; no group is in two parts")
    label_column: str | None = option("column of labels (default: found by its usual names)")
    audio_column: str | None = option("column of audio or paths (default: found by its usual names)")
    audio_dir: str | None = option("folder that paths are relative to (default: the manifest's, or its audio/)")
    label_csv: str | None = option("the original's table of classes: index, mid, display_name")
    label_separator: str | None = option(
        "between several labels in one cell (default: ; | or ,); none if names may have these"
    )
    min_per_class: int = option("the fewest examples that a class may have in each part", 2)
    dataset_config_name: str | None = option("configuration of a data set on the Hub")
    dataset_split: str = option("its split to train on", "train")
    validation_split: str = option("the split of --validation_data", "validation")
    test_split: str = option("the split of --test_data", "test")
    max_bad_fraction: float = option("stop when more of the recordings than this cannot be used", 0.01)
    on_bad_file: str = option("what to do about one that cannot be used", "skip", choices=["skip", "raise"])


def contradiction(data: LabelledArguments, task: str) -> str | None:
    """What is wrong about these options, as an error of the command line; `None` if nothing is."""
    for part in ("validation", "test"):
        share = getattr(data, f"{part}_fraction")
        if share is not None and not 0 < share < 1:
            return f"--{part}_fraction is a share above 0 and below 1, got {share:g}"
        for name, other in INSTEAD.items():
            if share is not None and other == part and getattr(data, name) is not None:
                return f"--{part}_fraction holds out a part that --{name} already names; leave one of them out"
    if data.fold_column is not None and (data.validation_data or data.test_data or data.trials):
        return "--fold_column says what is tested on; leave out --validation_data, --test_data and --trials"
    if data.folds is not None and data.fold_column is None:
        return "--folds needs --fold_column"
    if data.label_csv is not None and task not in NAMED:
        return f"--label_csv names classes, of --task {', '.join(NAMED)}"
    if data.label_separator is not None and task not in NAMED:
        return f"--label_separator stands between classes in one cell, of --task {', '.join(NAMED)}"
    if data.trials is not None and (task != "speaker" or data.test_data):
        return "--trials is for --task speaker, and takes the place of --test_data"
    return None
