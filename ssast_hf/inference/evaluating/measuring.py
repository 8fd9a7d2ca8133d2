"""All figures of one kind of features: of all labels, and of few."""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import f1_score
from tqdm import tqdm

from ...audio.intervals import intervals, units_of
from .intervals import t_interval
from .probing import Fold, Probed, draw, few_labels, probe


def measure_features(
    name: str,
    seeds: list[np.ndarray],
    targets: np.ndarray,
    folds: list[Fold],
    groups: list[str] | None,
    settings: dict,
) -> dict:
    """
    Args:
        name (`str`): What the features are called.
        seeds (`list[np.ndarray]`): Of all clips, (num_clips, num_layers, D); of random models several.
        targets (`np.ndarray`): Classes, int64 `(num_clips,)`.
        folds (`list[Fold]`): What is tested.
        groups (`list[str]`, *optional*): Which group each clip belongs to.
        settings (`dict`): As from [`check_options`].

    Returns:
        `dict`: What `metrics.json` says of them.
    """
    kind, count = settings["probe"], len(seeds) * len(folds)
    probed = {}
    with tqdm(total=2 * count, desc=f"{name}, probes", disable=None, leave=False) as bar:
        for what in (kind, "neighbours"):
            probed[what] = [[probe(each, targets, fold, what) for fold in counted(folds, bar)] for each in seeds]
    least = min(np.unique(targets[fold.train], return_counts=True)[1].min() for fold in folds)
    return {
        "name": name,
        "num_layers": seeds[0].shape[1],
        "width": seeds[0].shape[2],
        "probe": summary(probed[kind], targets, folds, groups, settings["seed"]),
        "neighbours": summary(probed["neighbours"], targets, folds, groups, settings["seed"]),
        "label_efficiency": label_efficiency(
            name,
            seeds,
            targets,
            folds,
            probed[kind],
            settings,
            metric="accuracy",
            least=least,
            draw_clips=draw,
            figure_of=few_labels,
        ),
    }


def summary(probed: list[list[Probed]], targets: np.ndarray, folds: list[Fold], groups: list[str] | None, seed: int):
    """Figures of a classifier, by seed of the features and fold."""
    tested = np.concatenate([fold.test for fold in folds])
    predictions = [np.concatenate([each.predictions for each in of_folds]) for of_folds in probed]
    correct = np.mean([each == targets[tested] for each in predictions], axis=0)
    ends = np.cumsum([len(fold.test) for fold in folds])[:-1]
    choices = [each for of_folds in probed for each in of_folds]
    units = units_of(len(tested), None if groups is None else [groups[i] for i in tested])
    return {
        "accuracy": float(correct.mean()),
        "interval": intervals(lambda clips: {"accuracy": float(correct[clips].mean())}, units, seed)["accuracy"],
        "macro_f1": float(np.mean([f1_score(targets[tested], each, average="macro") for each in predictions])),
        "per_fold": [float(part.mean()) for part in np.split(correct, ends)],
        "layers": [each.layer for each in choices],
        "by_layer": np.mean([each.layer_scores for each in choices], axis=0).tolist(),
        "strengths": [each.strength for each in choices],
    }


def label_efficiency(
    name: str,
    seeds: list[np.ndarray],
    targets: np.ndarray,
    folds: list[Fold],
    chosen: list[list],
    settings: dict,
    *,
    metric: str,
    least: int,
    draw_clips: Callable[[np.ndarray, int, np.random.Generator], np.ndarray],
    figure_of: Callable[..., float],
) -> dict[str, dict]:
    """
    Figures of a linear probe with few examples, by their number: the mean over draws, 95 % of it, and how many clips
    were drawn on average.

    Args:
        name, seeds, targets, folds, settings: As of [`measure_features`].
        chosen (`list[list]`): The layer and the strength of the probe, by seed of the features and fold.
        metric (`str`): What the figure is called.
        least (`int`): So many examples every class has to train on; larger numbers are left out.
        draw_clips: Of targets, a number and a source of randomness, which clips are drawn.
        figure_of: As [`few_labels`]: what a probe reaches in a test that is fitted to these.
    """
    sizes = [size for size in settings["sizes"] if size <= least]
    results: dict[str, dict] = {}
    with tqdm(total=len(sizes) * settings["draws"], desc=f"{name}, few labels", disable=None, leave=False) as bar:
        for size in sizes:
            figures, counts = [], []
            for number in counted(range(settings["draws"]), bar):
                # Drawn alike for all features that are compared.
                randoms = [np.random.default_rng((settings["seed"], size, number, i)) for i in range(len(folds))]
                drawn = [
                    fold.train[draw_clips(targets[fold.train], size, random)]
                    for fold, random in zip(folds, randoms, strict=True)
                ]
                of_tests = [
                    figure_of(each, targets, fold, of_fold, settings["probe"], clips)
                    for each, of_folds in zip(seeds, chosen, strict=True)
                    for fold, of_fold, clips in zip(folds, of_folds, drawn, strict=True)
                ]
                figures.append(float(np.mean(of_tests)))
                counts.append(float(np.mean([len(clips) for clips in drawn])))
            results[str(size)] = {
                metric: float(np.mean(figures)),
                "interval": t_interval(np.array(figures)),
                "draws": figures,
                "clips": float(np.mean(counts)),
            }
    return results


def counted(items, bar):
    for item in items:
        yield item
        bar.update()
