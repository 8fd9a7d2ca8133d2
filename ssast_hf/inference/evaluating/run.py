"""The comparison of frozen encoders, from labels to the report."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ...audio.intervals import span
from ...audio.splits import check_apart, contents
from ...storage.guards import reading
from ..encoders import default_device, sha256_of_settings
from .contenders import MelStatistics, load_contender, sha256_of_model
from .data import describe, list_skipped, load_parts, make_folds, named_parts, unusable_in, without
from .kept_embeddings import check_identity, embed_all
from .measuring import measure_features
from .measuring_classes import CLASSES
from .measuring_labels import LABELS
from .report import write_report
from .settings import check_options


MEL_STATISTICS = "log-mel statistics"
# In the output folder.
EMBEDDINGS = "embeddings"


def evaluate(models: list[str], data: str, output_dir: str, **options) -> Iterator[str]:
    """
    Compare frozen encoders on labelled recordings and write `metrics.json`, `report.md` and pictures.

    Args:
        models (`list[str]`): Folders or names on the Hub.
        data (`str`): As the source of [`load_labelled`].
        output_dir (`str`): Where to write; embeddings that are there already are used.
        options: Those of the command line that were given, see `evaluate.py`.

    Yields:
        `str`: What is found, line by line.

    Raises:
        ValueError: If labels, recordings or a model cannot be used, before the work begins.
        OSError: If something cannot be read or written.
    """
    command = command_line(models, data, output_dir, options)
    settings, names = check_options(options), names_of(models)
    folder = Path(output_dir)
    parts = load_parts(data, options, settings)
    folds = make_folds(parts, options, settings)
    with reading("--device", "a device of PyTorch", "Expected cpu, cuda:0 or the like."):
        device = torch.device(options["device"]) if "device" in options else default_device()
    contenders = dict(zip(names, [load_contender(name, device, settings["pooling"]) for name in models], strict=True))
    baseline = MelStatistics()
    unusable = unusable_in(parts, [baseline, *contenders.values()])
    parts = without(parts, unusable, settings)
    skipped = list(unusable.values())
    check_apart(named_parts(parts))
    tests = f"{len(folds)} test{'s' * (len(folds) != 1)}"
    yield f"{sum(map(len, parts))} recordings, {len(parts[0].names)} classes, {tests}."

    def identity_of(contender, name: str, weights: str) -> dict[str, str]:
        described = contender.settings()
        # In plain, and before the digest of all, so that a refusal names what differs.
        told = {key: str(value) for key, value in described.get("embedder", {}).items()}
        digest = sha256_of_settings(described)
        return {"model": name, "weights_sha256": weights} | told | {"settings_sha256": digest}

    def kept_in(name: str) -> Path:
        return folder / EMBEDDINGS / slug_of(name)

    def embed(contender, name: str, weights: str):
        return embed_all(contender, name, identity_of(contender, name, weights), parts, digests, kept_in(name))

    weights_of = {name: sha256_of_model(contender) for name, contender in contenders.items()}
    random_of = {
        name: {f"{name}, random weights {seed}": f"random, seed {seed}" for seed in range(settings["random_seeds"])}
        for name in contenders
    }
    for name, contender in contenders.items():  # told now, and not after hours
        for each, weights in {name: weights_of[name], **random_of[name]}.items():
            check_identity(kept_in(each), identity_of(contender, each, weights))
    # The baseline first: it decodes everything, and so finds what is damaged before the models begin.
    digests = [digest for part in parts for digest in contents(part)]
    features, bad = embed(baseline, MEL_STATISTICS, "none")
    if bad:
        parts = without(parts, bad, settings)
        skipped += [bad[number] for number in sorted(bad)]
        digests = [digest for part in parts for digest in contents(part)]
        features, bad = embed(baseline, MEL_STATISTICS, "none")
    list_skipped(skipped, folder)
    if skipped:
        folds = make_folds(parts, options, settings)
    targets = np.concatenate([part.targets() for part in parts])
    groups = [group for part in parts for group in part.groups or ()] or None

    def measure(name: str, features: list[np.ndarray]) -> dict:
        yardstick = LABELS if settings["task"] == "multilabel" else CLASSES
        return measure_features(name, features, targets, folds, groups, settings, yardstick)

    of_baseline = measure(MEL_STATISTICS, [features])
    results = []
    for name, contender in contenders.items():
        features, bad = embed(contender, name, weights_of[name])
        results.append(measure(name, [whole(features, bad)]) | {"sha256": weights_of[name]})
        yield line_of(results[-1])
        random = []
        for seed, (each, weights) in enumerate(random_of[name].items()):
            contender.randomise(seed)
            random.append(whole(*embed(contender, each, weights)))
        if random:
            results.append(measure(f"{name}, random weights", random))
            yield line_of(results[-1])
    results.append(of_baseline)
    yield line_of(of_baseline)
    facts = describe(parts, folds, options, settings) | {"skipped": len(skipped)}
    yield from write_report(folder, command, facts, results)


def whole(features: np.ndarray | None, bad: dict[int, str]) -> np.ndarray:
    """Features of all recordings; ValueError if one that could be read before cannot be now."""
    if features is None:
        raise ValueError(f"{next(iter(bad.values())).rstrip('.')}. It could be read before.")
    return features


def line_of(result: dict) -> str:
    """What was found, for people who wait."""
    linear, neighbours = result["probe"], result["neighbours"]
    metric, name = ("accuracy", "") if "accuracy" in linear else ("mean_average_precision", "mAP ")
    return (
        f"{result['name']}: linear probe {name}{linear[metric]:.3f} ({span(linear['interval'])}), nearest neighbours "
        f"{neighbours[metric]:.3f}"
    )


def names_of(models: list[str]) -> list[str]:
    """What models are called in the report: the last part of their names, if that is enough to tell them apart."""
    if len(set(models)) < len(models):
        raise ValueError("A model is named twice.")
    short = [Path(name).name or name for name in models]
    return short if len(set(short)) == len(short) else models


def slug_of(name: str) -> str:
    """A name for a folder."""
    return "".join(character if character.isalnum() or character in "._" else "-" for character in name)


def command_line(models: list[str], data: str, output_dir: str, options: dict) -> str:
    """The command, as it can be given again."""
    words = ["ssast-hf", "evaluate", *models, "--data", data, "--output_dir", output_dir]
    for name, value in options.items():
        words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)
