"""What is trained on and what is tested on: by folds or by a share, and whether the two are fit for it."""

import hashlib
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from .decoding import decode_audio
from .held_out import by_unit
from .labelled import LabelledData
from .labels import in_order
from .lengths import measure
from .opening import open_recording
from .spreading import spread


# Bytes of a file that are compared before all of it is.
BLOCK = 1 << 14
# Of a share that is no n-th part, how many folds are made at most, of which some are held out.
FOLDS = 10


@dataclass(frozen=True)
class Split:
    """
    Args:
        name (`str`): Such as `"fold 1"`.
        train, test ([`LabelledData`]): With the same names of classes.
        validation ([`LabelledData`], *optional*): To choose by.
        chooses_by_test (`bool`, defaults to `False`): Whether the test is for choosing alone, since something else is
            tested.
    """

    name: str
    train: LabelledData
    test: LabelledData
    validation: LabelledData | None = None
    chooses_by_test: bool = False

    @property
    def parts(self) -> dict[str, LabelledData]:
        """Those that there are, by their names."""
        if self.chooses_by_test:
            return {"train": self.train, "validation": self.test}
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


def make_split(name: str, train: LabelledData, test: LabelledData, validation: LabelledData | None = None) -> Split:
    """
    Parts that come from files of their own, with the classes of what is trained on.

    Raises:
        ValueError: If a part has another class.
    """
    for part in (test, validation):
        if part is not None:
            check_known(part, train)
    validation = None if validation is None else replace(validation, names=train.names)
    return Split(name, train, replace(test, names=train.names), validation)


def by_fold(data: LabelledData, folds: str | list[str] = "all") -> list[Split]:
    """
    One split per fold: that fold is the test, the others are trained on.

    Raises:
        ValueError: If there is no such fold, or only one.
    """
    if data.folds is None:
        raise ValueError(f"{data.source}: folds need --fold_column.")
    known = in_order(set(data.folds))
    if len(known) < 2:
        raise ValueError(f"{data.source} has one fold, {known[0]!r}; expected at least two to train and test on.")
    wanted = known if folds == "all" or folds == ["all"] else list(folds)
    if unknown := [fold for fold in wanted if fold not in known]:
        raise ValueError(f"{data.source} has no fold {unknown[0]!r}; its folds are {', '.join(known)}.")
    of_clip = np.array(data.folds)
    return [Split(f"fold {fold}", data.select(of_clip != fold), data.select(of_clip == fold)) for fold in wanted]


def hold_out_share(data: LabelledData, fraction: float, seed: int) -> tuple[LabelledData, LabelledData]:
    """
    Most of the data, and a share of them that is held out: of each class alike, and no group divided.

    Args:
        data ([`LabelledData`]): All of it.
        fraction (`float`): How much to hold out, above 0 and below 1.
        seed (`int`): Source of randomness.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"The share to hold out is to be above 0 and below 1, got {fraction:g}.")
    is_class = bool(data.names) and not data.is_multilabel
    held_out = np.zeros(len(data), dtype=bool)
    if data.is_multilabel or (is_class and data.groups is not None):
        held_out[grouped_share(data, fraction, seed)] = True
    elif is_class:
        random, targets = np.random.default_rng(seed), data.targets()
        for target in np.unique(targets):
            members = random.permutation(np.flatnonzero(targets == target))
            # Two of each, where there are as many left, so that each class can be told from chance.
            held_out[members[: max(math.ceil(fraction * len(members)), min(2, len(members) - 2))]] = True
    else:
        units = np.arange(len(data)) if data.groups is None else np.unique(data.groups, return_inverse=True)[1]
        held_out = by_unit(units, np.ones(len(data)), fraction, seed)
    return data.select(~held_out), data.select(held_out)


def grouped_share(data: LabelledData, fraction: float, seed: int) -> np.ndarray:
    """Indices of whole groups, or recordings without any, about the given share of every class: some folds of many."""
    # As few as make up the share, since large folds have the classes more alike: one of five, or three of ten.
    most = max(round(1 / min(fraction, 1 - fraction)), FOLDS)
    folds = stratified_folds(data, Fraction(fraction).limit_denominator(most).denominator, seed)
    count = folds.max() + 1  # fewer if there are fewer groups
    return np.flatnonzero(folds < np.clip(round(fraction * count), 1, max(count - 1, 1)))


def stratified_folds(data: LabelledData, count: int, seed: int) -> np.ndarray:
    """
    A fold for each recording, from 0, int64 `(n,)`: of each class alike, and no group divided.

    Raises:
        ValueError: If there are too few recordings or groups for two.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    groups = np.arange(len(data)) if data.groups is None else np.unique(data.groups, return_inverse=True)[1]
    count = min(count, len(np.unique(groups)))
    if count < 2:
        what = "recording" if data.groups is None else "group"
        raise ValueError(f"{data.source} has one {what}; expected at least two, so that one can be held out.")
    if data.is_multilabel:
        return spread(data.targets(), groups, count, seed)
    if (most := int(np.bincount(data.targets()).max())) < 2:
        raise ValueError(f"{data.source} has one recording of each class; expected two of some, to hold out one.")
    count = min(count, most)
    folds = np.zeros(len(data), dtype=np.int64)
    # With a group for each recording the first of these takes a minute for 100,000.
    kind = StratifiedKFold if data.groups is None else StratifiedGroupKFold
    splitter = kind(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes, which `check_split` tells
        for fold, (_, test) in enumerate(splitter.split(groups, data.targets(), groups)):
            folds[test] = fold
    return folds


def check_split(split: Split, fewest: int = 2):
    """
    What would make a test worthless, before it begins.

    Args:
        split ([`Split`]): What is trained and tested on.
        fewest (`int`, defaults to 2): How many examples of each class that there is every part has to have.

    Raises:
        ValueError: If a part is empty, has too few examples of a class, or shares a group with another one.
    """
    for name, part in split.parts.items():
        if not len(part):
            raise ValueError(f"{part.source}: {split.name} has no recordings to {verb(name)}.")
    if len(split.train.names) == 1 and not split.train.is_multilabel:
        raise ValueError(f"{split.train.source} has one class, {split.train.names[0]!r}; expected at least two.")
    counted = {name: count_labels(part) for name, part in split.parts.items()}
    for name, part in split.parts.items():
        counts = counted[name]
        for label in split.train.names:
            if counts[label] < fewest and any(label in others for others in counted.values()):
                examples = f"{counts[label] or 'no'} example{'s' * (counts[label] != 1)} to {verb(name)}"
                raise ValueError(
                    f"{part.source}: the class {label!r} has {examples} in {split.name}; expected at least {fewest}. "
                    "Add some or leave the class out, or lower --min_per_class."
                )
    owners: dict[str, str] = {}
    for name, part in split.parts.items():
        for group in dict.fromkeys(part.groups or ()):
            if owners.setdefault(group, name) != name:
                raise ValueError(
                    f"{part.source}: the group {group!r} is both in what to {verb(owners[group])} and in what to "
                    f"{verb(name)}, in {split.name}."
                )


def verb(part: str) -> str:
    return {"train": "train on", "validation": "validate on", "test": "test on"}[part]


def count_labels(data: LabelledData) -> Counter:
    """How many examples each class has."""
    return Counter(label for labels in data.labels for label in (labels if data.is_multilabel else [labels]))


def check_known(part: LabelledData, train: LabelledData):
    """ValueError if a label is none of those that are trained on."""
    if not train.names:
        return
    known = set(train.names)
    for i, labels in enumerate(part.labels):
        for label in labels if part.is_multilabel else [labels]:
            if label not in known:
                raise ValueError(f"{part.place(i)}: the label {label!r} is unknown; {train.source} has no such class.")


def check_apart(parts: dict[str, LabelledData]):
    """
    ValueError if the same recording, by the content of its file, is in two parts. Only files of one size are read, and
    only those wholly that have the same beginning, middle and end.
    """
    groups = [[(name, data, i) for name, data in parts.items() for i in range(len(data))]]
    fingerprints: tuple[Callable, ...] = (size_of, digest_of_parts, digest_of)
    for fingerprint in fingerprints:
        found: list[list] = []
        for group in groups:
            alike: dict = defaultdict(list)
            for entry in group:
                with suppress(ValueError, OSError), open_recording(entry[1].recordings[entry[2]]) as file:
                    alike[fingerprint(file)].append(entry)  # what cannot be read is told by `unusable`
            found += [same for same in alike.values() if len({name for name, *_ in same}) > 1]
        groups = found
    if groups:
        first, data, i = groups[0][0]
        second, other, j = next(entry for entry in groups[0] if entry[0] != first)
        raise ValueError(
            f"The same recording is in {first} and in {second}: {data.place(i)} and {other.place(j)}. Leave out one."
        )


def contents(data: LabelledData) -> list[str]:
    """The SHA-256 of each recording's file, in hexadecimal; of one that cannot be read, nothing."""
    digests = []
    for i in range(len(data)):
        digest = b""
        with suppress(ValueError, OSError), open_recording(data.recordings[i]) as file:
            digest = digest_of(file)
        digests.append(digest.hex())
    return digests


def size_of(file) -> int:
    return file.seek(0, 2)


def digest_of_parts(file) -> bytes:
    size = size_of(file)
    digest = hashlib.sha256(str(size).encode())
    for place in (0, size // 2, max(size - BLOCK, 0)):
        file.seek(place)
        digest.update(file.read(BLOCK))
    return digest.digest()


def digest_of(file) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.digest()


def unusable(data: LabelledData, sampling_rate: int, min_samples: int) -> dict[int, str]:
    """
    Recordings that cannot be used, by index, and why: their headers cannot be read, or they are shorter than a patch.

    Args:
        data ([`LabelledData`]): All of it.
        sampling_rate (`int`): The model's, in Hz.
        min_samples (`int`): Samples of one patch, at that rate.
    """
    reasons = {}
    for i in np.flatnonzero(measure(data.recordings, sampling_rate).samples < min_samples).tolist():
        place = data.place(i)
        try:
            recording = data.recordings[i]
            with open_recording(recording) as file:
                length = len(decode_audio(file, recording["name"], sampling_rate, 0, min_samples))
        except (ValueError, OSError) as error:
            reasons[i] = f"{place} cannot be read: {error}"
            continue
        if length < min_samples:
            # In samples: in seconds, what is just too short looks long enough.
            reasons[i] = f"{place} is shorter than a patch: {length} samples at {sampling_rate} Hz, of {min_samples}"
    return reasons
