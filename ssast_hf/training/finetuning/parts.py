"""What is trained on, validated on and tested on, by its labels; needs neither PyTorch nor transformers."""

from dataclasses import replace

from ...audio.events import load_events
from ...audio.label_tables import LabelOptions
from ...audio.labelled import load_labelled
from ...audio.splits import Split, by_fold, hold_out_share, make_split
from .data_options import FRACTION, LabelledArguments
from .trials import Trials, load_trials


# Of a single split.
WHOLE = "this run"


def label_options(arguments: LabelledArguments, kind: str) -> LabelOptions:
    names = "audio_column label_column group_column fold_column audio_dir label_csv label_separator".split()
    given = {name: getattr(arguments, name) for name in names}
    return LabelOptions(kind=kind, config_name=arguments.dataset_config_name, **given)


def make_splits(
    arguments: LabelledArguments, kind: str, seed: int, chosen_by: str = "validation", labels_alone: bool = False
) -> tuple[list[Split], Trials | None]:
    """
    One split, or one per fold, each with a part to train on, one to validate on and one to test on; and the pairs of
    recordings that speakers are tested on instead, if there are any. The part to validate on is that to test on if the
    epoch is `chosen_by` the test.
    """
    options = replace(label_options(arguments, kind), labels_alone=labels_alone)
    load = load_events if kind == "events" else load_labelled
    train = load(arguments.train_data, options, arguments.dataset_split)
    if train.separator is not None:  # for all parts the same, though the cells of one may not show it
        options = replace(options, label_separator=train.separator)
    share = arguments.validation_fraction or FRACTION
    if arguments.fold_column is not None:
        splits = by_fold(train, arguments.folds or "all")
        return [with_validation(split, share, seed, chosen_by) for split in splits], None
    trials = None if arguments.trials is None else load_trials(arguments.trials, arguments.audio_dir)
    validation = None
    if arguments.validation_data is not None:
        validation = load(arguments.validation_data, options, arguments.validation_split)
    if trials is not None:
        if validation is None:
            train, validation = hold_out_share(train, share, seed)
        return [replace(make_split(WHOLE, train, validation), chooses_by_test=True)], trials
    if arguments.test_data is not None:
        test = load(arguments.test_data, options, arguments.test_split)
    else:
        train, test = hold_out_share(train, arguments.test_fraction or FRACTION, seed)
    return [with_validation(make_split(WHOLE, train, test, validation), share, seed, chosen_by)], None


def with_validation(split: Split, fraction: float, seed: int, chosen_by: str) -> Split:
    """A split with something to validate on: what there is, the test itself, or a share of what is trained on."""
    if split.validation is not None:
        return split
    if chosen_by != "validation":
        return replace(split, validation=split.test)
    if len(split.train) < 2:
        raise ValueError(f"{split.train.source}: {split.name} has {len(split.train)} recordings to train on; too few.")
    train, validation = hold_out_share(split.train, fraction, seed)
    return replace(split, train=train, validation=validation)


def without_shared(split: Split) -> Split:
    """The parts that have to be apart: without the validation if that is the test."""
    return replace(split, validation=None) if split.validation is split.test else split
