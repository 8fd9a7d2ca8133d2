"""What is trained on, validated on and tested on, checked before anything else begins."""

from dataclasses import dataclass, replace

import numpy as np

from ...audio.events import load_events
from ...audio.labelled import LabelledData, LabelOptions, load_labelled
from ...audio.lengths import measure
from ...audio.splits import Split, by_fold, check_apart, check_split, hold_out_share, make_split, unusable
from ..messages import say
from .options import LabelledArguments
from .trials import Trials, load_trials


# Recordings that cannot be used are named up to so many.
NAMED = 5
# Of a single split.
WHOLE = "this run"


@dataclass(frozen=True)
class Limits:
    """
    What a recording has to be to be used.

    Args:
        sampling_rate (`int`): The model's, in Hz.
        min_samples (`int`): Samples of one patch.
        max_samples (`int`, *optional*): The most that can be used as a whole; of longer ones a part is used if not
            given.
    """

    sampling_rate: int
    min_samples: int
    max_samples: int | None = None


def label_options(arguments: LabelledArguments, kind: str) -> LabelOptions:
    names = "audio_column label_column group_column fold_column audio_dir label_csv label_separator".split()
    given = {name: getattr(arguments, name) for name in names}
    return LabelOptions(kind=kind, config_name=arguments.dataset_config_name, **given)


def make_splits(
    arguments: LabelledArguments, kind: str, seed: int, chosen_by: str = "validation"
) -> tuple[list[Split], Trials | None]:
    """
    One split, or one per fold, each with a part to train on, one to validate on and one to test on; and the pairs of
    recordings that speakers are tested on instead, if there are any. The part to validate on is that to test on if the
    epoch is `chosen_by` the test.
    """
    options = label_options(arguments, kind)
    load = load_events if kind == "events" else load_labelled
    train = load(arguments.train_data, options, arguments.dataset_split)
    share = arguments.validation_fraction
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
        return [make_split(WHOLE, train, validation)], trials  # what is validated on tests the speakers known by name
    if arguments.test_data is not None:
        test = load(arguments.test_data, options, arguments.test_split)
    else:
        train, test = hold_out_share(train, arguments.test_fraction, seed)
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


def checked(split: Split, trials: Trials | None, limits: Limits, arguments: LabelledArguments) -> Split:
    """
    A split without recordings that cannot be used, which are told.

    Raises:
        ValueError: If it is not fit to be trained and tested on, or too much of it cannot be used.
    """
    shares_test = split.validation is split.test
    check_split(without_shared(split), arguments.min_per_class)
    parts = {name: without_unusable(part, limits, arguments) for name, part in without_shared(split).parts.items()}
    if shares_test:
        parts["validation"] = parts["test"]
    split = Split(split.name, parts["train"], parts["test"], parts.get("validation"))
    check_split(without_shared(split), arguments.min_per_class)
    check_apart(without_shared(split).parts | ({} if trials is None else {"trials": trials.recordings}))
    return split


def without_shared(split: Split) -> Split:
    """The parts that have to be apart: without the validation if that is the test."""
    return replace(split, validation=None) if split.validation is split.test else split


def without_unusable(part: LabelledData, limits: Limits, arguments: LabelledArguments) -> LabelledData:
    """A part without recordings that cannot be used; ValueError if these are too many."""
    reasons = unusable(part, limits.sampling_rate, limits.min_samples)
    if limits.max_samples is not None:
        reasons |= too_long(part, limits)
    if not reasons:
        return part
    told = list(reasons.values())
    if arguments.on_bad_file == "raise" or len(reasons) > arguments.max_bad_fraction * len(part):
        raise ValueError(
            f"{told[0].rstrip('.')}. {len(told)} of {len(part)} recordings cannot be used; repair or remove them, or "
            "raise --max_bad_fraction."
        )
    for reason in told[:NAMED]:
        say(f"Left out: {reason}")
    if told[NAMED:]:
        say(f"Left out: {len(told) - NAMED} more.")
    return part.select(np.setdiff1d(np.arange(len(part)), list(reasons)))


def too_long(part: LabelledData, limits: Limits) -> dict[int, str]:
    """Recordings that would have to be cut, by index, and why they cannot be."""
    samples = measure(part.recordings, limits.sampling_rate).samples
    longest = limits.max_samples or 0
    seconds = longest / limits.sampling_rate
    return {
        i: f"{part.place(i)} has {samples[i] / limits.sampling_rate:.4g} s, and its text cannot be cut to the "
        f"{seconds:.4g} s that the model takes (see --max_length)"
        for i in np.flatnonzero(samples > longest).tolist()
    }
