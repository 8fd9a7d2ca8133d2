"""What is trained on, validated on and tested on, checked before anything else begins."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from ...audio.cropping import Cropper
from ...audio.events import load_events
from ...audio.labelled import LabelledData, LabelOptions, load_labelled
from ...audio.lengths import SLOW, measure
from ...audio.splits import Split, by_fold, check_apart, check_split, hold_out_share, make_split, unusable
from ..messages import say
from .clips import LabelledClips, WholeLabels
from .options import LabelledArguments
from .trials import Trials, load_trials


# Recordings that cannot be used are named up to so many.
NAMED = 5
# Threads that decode what is validated and tested on.
THREADS = 4
# Of a single split.
WHOLE = "this run"


@dataclass(frozen=True)
class Limits:
    """
    What a recording has to be to be used.

    Args:
        cropper ([`Cropper`]): Decodes as the model takes it.
        hop (`int`, *optional*): As in [`LabelledClips`].
        max_samples (`int`, *optional*): The most that can be used as a whole; of longer ones a part is used if not
            given.
    """

    cropper: Cropper
    hop: int | None = None
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
        return [replace(make_split(WHOLE, train, validation), chooses_by_test=True)], trials
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


def checked(
    split: Split, trials: Trials | None, limits: Limits, arguments: LabelledArguments
) -> tuple[Split, Trials | None]:
    """
    A split and trials without recordings that cannot be used, which are told.

    Raises:
        ValueError: If it is not fit to be trained and tested on, or too much of it cannot be used.
    """
    check_split(without_shared(split), arguments.min_per_class)
    train = without_unusable(split.train, limits, arguments, is_training=True)
    test = without_unusable(split.test, limits, arguments)
    validation = split.validation
    if validation is split.test:
        validation = test
    elif validation is not None:
        validation = without_unusable(validation, limits, arguments)
    split = replace(split, train=train, test=test, validation=validation)
    check_split(without_shared(split), arguments.min_per_class)
    if trials is None:
        check_apart(without_shared(split).parts)
        return split, None
    trials = without_unusable(trials, limits, arguments)
    check_apart(without_shared(split).parts | {"trials": trials.recordings})
    return split, trials


def without_shared(split: Split) -> Split:
    """The parts that have to be apart: without the validation if that is the test."""
    return replace(split, validation=None) if split.validation is split.test else split


def without_unusable(data, limits: Limits, arguments: LabelledArguments, is_training: bool = False):
    """[`LabelledData`] or [`Trials`] without recordings that cannot be used; ValueError if these are too many."""
    part: LabelledData = data.recordings if isinstance(data, Trials) else data
    reasons = unusable(part, limits.cropper.sampling_rate, limits.cropper.min_samples)
    if limits.max_samples is not None:
        reasons |= too_long(part, limits)
    if not is_training:  # where another one takes the place of what cannot be read
        reasons = unreadable(part, limits) | reasons
    if not reasons:
        return data
    reasons = dict(sorted(reasons.items()))
    told = list(reasons.values())
    if arguments.on_bad_file == "raise" or len(told) > arguments.max_bad_fraction * len(part):
        raise ValueError(
            f"{told[0].rstrip('.')}. {len(told)} of {len(part)} recordings cannot be used; repair or remove them, or "
            "raise --max_bad_fraction."
        )
    for reason in told[:NAMED]:
        say(f"Left out: {reason}")
    if told[NAMED:]:
        say(f"Left out: {len(told) - NAMED} more.")
    return data.select(np.setdiff1d(np.arange(len(part)), list(reasons)))


def unreadable(part: LabelledData, limits: Limits) -> dict[int, str]:
    """Recordings of a validation or a test that cannot be decoded, by index, and why: all is read once."""
    clips = LabelledClips(part, limits.cropper, WholeLabels(np.zeros(len(part))), False, limits.hop)
    with ThreadPoolExecutor(THREADS) as pool:
        read = pool.map(lambda i: clips[i]["skipped"], range(len(clips)))
        found = list(tqdm(read, desc="reading what is tested on", unit="clip", total=len(clips), delay=SLOW))
    return {
        place: f"{part.place(place)} cannot be read: {skipped[0][1]}"
        for (place, _), skipped in zip(clips.places, found, strict=True)
        if skipped
    }


def too_long(part: LabelledData, limits: Limits) -> dict[int, str]:
    """Recordings that would have to be cut, by index, and why they cannot be."""
    rate = limits.cropper.sampling_rate
    samples = measure(part.recordings, rate).samples
    longest = limits.max_samples or 0
    seconds = longest / rate
    return {
        i: f"{part.place(i)} has {samples[i] / rate:.4g} s, and its text cannot be cut to the "
        f"{seconds:.4g} s that the model takes (see --max_length)"
        for i in np.flatnonzero(samples > longest).tolist()
    }
