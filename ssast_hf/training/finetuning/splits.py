"""Whether what is trained on, validated on and tested on can be used, before anything else begins."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from ...audio.cropping import Cropper
from ...audio.labelled import LabelledData
from ...audio.lengths import SLOW, measure
from ...audio.splits import Split, check_apart, check_split, unusable
from ..messages import say
from .clips import LabelledClips, WholeLabels
from .data_options import LabelledArguments
from .parts import without_shared
from .trials import Trials, check_kinds


# Recordings that cannot be used are named up to so many.
NAMED = 5
# Threads that decode what is validated and tested on.
THREADS = 4


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


def checked(
    split: Split, trials: Trials | None, limits: Limits, arguments: LabelledArguments
) -> tuple[Split, Trials | None]:
    """
    A split and trials without recordings that cannot be used, which are told.

    Raises:
        ValueError: If it is not fit to be trained and tested on, or too much of it cannot be used.
    """
    parts: dict = without_shared(split).parts | ({} if trials is None else {"trials": trials})
    recordings = {name: data.recordings if isinstance(data, Trials) else data for name, data in parts.items()}
    bad = {name: unusable_in(part, limits) for name, part in recordings.items()}
    # Before anything is decoded, which may take long.
    check_apart({name: without(part, bad[name]) for name, part in recordings.items()})
    for name, part in recordings.items():
        if name != "train":  # where another one takes the place of what cannot be read
            bad[name] = unreadable(part, limits) | bad[name]
        tell(part, bad[name], arguments)
        parts[name] = without(parts[name], bad[name])
    test = parts["validation" if split.chooses_by_test else "test"]
    validation = split.validation
    if validation is not None:
        validation = test if validation is split.test else parts["validation"]
    split = replace(split, train=parts["train"], test=test, validation=validation)
    check_split(without_shared(split), arguments.min_per_class)
    if trials is not None:
        check_kinds(parts["trials"])
    return split, parts.get("trials")


def unusable_in(part: LabelledData, limits: Limits) -> dict[int, str]:
    """Recordings that cannot be used by what their headers say, by index, and why."""
    reasons = unusable(part, limits.cropper.sampling_rate, limits.cropper.min_samples)
    return reasons if limits.max_samples is None else reasons | too_long(part, limits)


def without(data, bad: dict[int, str]):
    """[`LabelledData`] or [`Trials`] without some of its recordings."""
    count = len(data.recordings if isinstance(data, Trials) else data)
    return data.select(np.setdiff1d(np.arange(count), list(bad))) if bad else data


def tell(part: LabelledData, bad: dict[int, str], arguments: LabelledArguments):
    """Say what is left out; ValueError if that is too much."""
    told = [bad[i] for i in sorted(bad)]
    if told and (arguments.on_bad_file == "raise" or len(told) > arguments.max_bad_fraction * len(part)):
        raise ValueError(
            f"{told[0].rstrip('.')}. {len(told)} of {len(part)} recordings cannot be used; repair or remove them, or "
            "raise --max_bad_fraction."
        )
    for reason in told[:NAMED]:
        say(f"Left out: {reason}")
    if told[NAMED:]:
        say(f"Left out: {len(told) - NAMED} more.")


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
