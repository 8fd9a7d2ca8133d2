"""What encoders are compared on: recordings, labels and folds that are fit for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.label_tables import LabelOptions
from ...audio.labelled import LabelledData, load_labelled
from ...audio.splits import by_fold, check_split, count_labels, make_split, stratified_folds, unusable
from ...storage.writing import written_whole
from .probing import Fold


# In the output folder.
SKIPPED = "skipped_files.txt"


def load_parts(data: str, options: dict, settings: dict, labels_alone: bool = False) -> list[LabelledData]:
    """What is trained on, with folds, and what is tested on if that is data of its own."""
    names = "audio_column label_column group_column fold_column audio_dir label_csv label_separator".split()
    given: dict[str, Any] = {name: options.get(name) for name in names}
    kind = "classes" if settings["task"] == "multilabel" else "class"
    config_name = options.get("dataset_config_name")
    label_options = LabelOptions(kind, **given, config_name=config_name, labels_alone=labels_alone)
    train = load_labelled(data, label_options, options.get("dataset_split", "train"))
    parts = []
    if (source := options.get("test_data")) is not None:
        separator = label_options.label_separator or train.separator  # the cells of the test may not show it
        test_options = replace(label_options, fold_column=None, label_separator=separator)
        test = load_labelled(source, test_options, options.get("test_split", "test"))
        parts = [make_split("the test", train, test).test]
    if train.folds is None:
        fewest = min(count_labels(train).values(), default=0)
        count = max(min(settings["num_folds"], fewest // settings["min_per_class"]), 2)
        made = stratified_folds(train, count, settings["seed"])
        train = replace(train, folds=[str(1 + fold) for fold in made])
    return [train, *parts]


def make_folds(parts: list[LabelledData], options: dict, settings: dict) -> list[Fold]:
    """What is tested and how choices are made, by indices into all parts; ValueError if that would be worthless."""
    data, fewest, inner = parts[0], settings["min_per_class"], np.array(parts[0].folds)
    if len(parts) > 1:
        check_split(make_split("the test", *parts), fewest)
        return [Fold("the test", np.arange(len(data)), len(data) + np.arange(len(parts[1])), inner)]
    folds = []
    for split in by_fold(data, options.get("folds") or "all"):
        check_split(split, fewest)
        train, test = (np.searchsorted(data.rows, part.rows) for part in (split.train, split.test))
        folds.append(Fold(split.name, train, test, inner[train]))
    return folds


def named_parts(parts: list[LabelledData]) -> dict[str, LabelledData]:
    """What must not share a recording, by the words for it."""
    if len(parts) > 1:
        return {"what to train on": parts[0], "what to test on": parts[1]}
    folds = np.array(parts[0].folds)
    return {f"fold {fold}": parts[0].select(folds == fold) for fold in np.unique(folds)}


def unusable_in(parts: list[LabelledData], contenders: list) -> dict[int, str]:
    """Recordings that some contender cannot use, by their index in all parts, and why."""
    shortest: dict[int, int] = {}
    for contender in contenders:
        rate = contender.sampling_rate
        shortest[rate] = max(shortest.get(rate, 0), contender.min_samples)
    reasons: dict[int, str] = {}
    first = 0
    for part in parts:
        for rate, min_samples in shortest.items():
            reasons |= {first + i: reason for i, reason in unusable(part, rate, min_samples).items()}
        first += len(part)
    return reasons


def without(parts: list[LabelledData], reasons: dict[int, str], settings: dict) -> list[LabelledData]:
    """The data without unusable recordings; a ValueError if that is not asked for."""
    if not reasons:
        return parts
    if settings["on_bad_file"] == "error":
        first, total = reasons[min(reasons)].rstrip("."), sum(map(len, parts))
        raise ValueError(
            f"{first}. {len(reasons)} of {total} recordings cannot be used; --on_bad_file skip goes on without them."
        )
    kept, start = [], 0
    for part in parts:
        kept.append(part.select(np.array([start + i not in reasons for i in range(len(part))], dtype=bool)))
        start += len(part)
    return kept


def list_skipped(reasons: list[str], folder: Path):
    """Say in the folder what this run left out, and nothing about earlier ones."""
    if not reasons:
        (folder / SKIPPED).unlink(missing_ok=True)
        return
    with written_whole(folder / SKIPPED) as path:
        path.write_text("".join(f"{reason}\n" for reason in reasons), encoding="utf-8")


def describe(parts: list[LabelledData], folds: list[Fold], options: dict, settings: dict) -> dict:
    """What was compared on, and how, for the report."""
    if len(parts) > 1:
        how = "trained on --data, tested on --test_data"
    elif options.get("fold_column"):
        how = f"folds of the column {options['fold_column']!r}, each tested once"
    else:
        grouped = f", no {options['group_column']} divided" if options.get("group_column") else ""
        how = f"{len(folds)} folds of all classes alike{grouped}, each tested once"
    targets = np.concatenate([part.targets() for part in parts])
    more: dict[str, Any] = {}
    if settings["task"] == "multilabel":
        more["shares"] = [float(share) for share in targets.mean(axis=0)]
        # What a ranking by chance comes to: in each test, over the labels that it has, as the precisions are.
        shares = [targets[fold.test].mean(axis=0) for fold in folds]
        more["chance"] = float(np.mean([each[each > 0].mean() for each in shares]))
    else:
        tested = targets[np.concatenate([fold.test for fold in folds])]
        more["most_frequent"] = float(np.bincount(tested).max() / len(tested))
    return more | {
        "task": settings["task"],
        "sources": [part.source for part in parts],
        "recordings": [len(part) for part in parts],
        "classes": parts[0].names,
        "split": how,
        "folds": [fold.name for fold in folds],
        "settings": settings,
    }
