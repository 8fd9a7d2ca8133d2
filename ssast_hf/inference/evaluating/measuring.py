"""All figures of one kind of features: of all labels, and of few."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from .intervals import t_interval
from .probing import Fold


@dataclass(frozen=True)
class Yardstick:
    """
    By what features are measured: for recordings of one class each, or of several labels.

    Args:
        metric (`str`): What the figure is called.
        probe (`Callable`): As [`probing.probe`]: fits a probe, or neighbours, to a fold and tests it.
        summary (`Callable`): As [`measuring_classes.summary`]: figures of what `probe` found, by seed and fold.
        least (`Callable`): Of targets and folds, how many examples every class has to train on.
        draw (`Callable`): As [`probing.draw`]: which clips make up few labels.
        few_labels (`Callable`): As [`probing.few_labels`]: what a probe reaches that is fitted to these.
    """

    metric: str
    probe: Callable
    summary: Callable[..., dict]
    least: Callable[[np.ndarray, list[Fold]], int]
    draw: Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
    few_labels: Callable[..., float]


def measure_features(
    name: str,
    seeds: list[np.ndarray],
    targets: np.ndarray,
    folds: list[Fold],
    groups: list[str] | None,
    settings: dict,
    yardstick: Yardstick,
) -> dict:
    """
    Args:
        name (`str`): What the features are called.
        seeds (`list[np.ndarray]`): Of all clips, (num_clips, num_layers, D); of random models several.
        targets (`np.ndarray`): Classes, int64 `(num_clips,)`, or labels, float32 `(num_clips, num_labels)`.
        folds (`list[Fold]`): What is tested.
        groups (`list[str]`, *optional*): Which group each clip belongs to.
        settings (`dict`): As from [`check_options`].
        yardstick ([`Yardstick`]): By what.

    Returns:
        `dict`: What `metrics.json` says of them.
    """
    kind, count = settings["probe"], len(seeds) * len(folds)
    found = {}
    with tqdm(total=2 * count, desc=f"{name}, probes", disable=None, leave=False) as bar:
        for what in (kind, "neighbours"):
            found[what] = [
                [yardstick.probe(each, targets, fold, what) for fold in counted(folds, bar)] for each in seeds
            ]
    return {
        "name": name,
        "num_layers": seeds[0].shape[1],
        "width": seeds[0].shape[2],
        "probe": yardstick.summary(found[kind], targets, folds, groups, settings["seed"]),
        "neighbours": yardstick.summary(found["neighbours"], targets, folds, groups, settings["seed"]),
        "label_efficiency": label_efficiency(name, seeds, targets, folds, found[kind], settings, yardstick),
    }


def label_efficiency(
    name: str,
    seeds: list[np.ndarray],
    targets: np.ndarray,
    folds: list[Fold],
    chosen: list[list],
    settings: dict,
    yardstick: Yardstick,
) -> dict[str, dict]:
    """
    Figures of a linear probe with few examples, by their number: the mean over draws, 95 % of it, and how many clips
    were drawn on average.

    Args:
        name, seeds, targets, folds, settings, yardstick: As of [`measure_features`]. Numbers of examples above what
            every class has are left out.
        chosen (`list[list]`): The layer and the strength of the probe, by seed of the features and fold.
    """
    least = yardstick.least(targets, folds)
    sizes = [size for size in settings["sizes"] if size <= least]
    results: dict[str, dict] = {}
    with tqdm(total=len(sizes) * settings["draws"], desc=f"{name}, few labels", disable=None, leave=False) as bar:
        for size in sizes:
            figures, counts = [], []
            for number in counted(range(settings["draws"]), bar):
                # Drawn alike for all features that are compared.
                randoms = [np.random.default_rng((settings["seed"], size, number, i)) for i in range(len(folds))]
                drawn = [
                    fold.train[yardstick.draw(targets[fold.train], size, random)]
                    for fold, random in zip(folds, randoms, strict=True)
                ]
                of_tests = [
                    yardstick.few_labels(each, targets, fold, of_fold, settings["probe"], clips)
                    for each, of_folds in zip(seeds, chosen, strict=True)
                    for fold, of_fold, clips in zip(folds, of_folds, drawn, strict=True)
                ]
                figures.append(float(np.mean(of_tests)))
                counts.append(float(np.mean([len(clips) for clips in drawn])))
            results[str(size)] = {
                yardstick.metric: float(np.mean(figures)),
                "interval": t_interval(np.array(figures)),
                "draws": figures,
                "clips": float(np.mean(counts)),
            }
    return results


def counted(items, bar):
    for item in items:
        yield item
        bar.update()
