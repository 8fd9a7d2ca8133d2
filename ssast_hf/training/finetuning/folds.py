"""The runs on several folds together: mean and deviation, classes and mistakes."""

import re
from pathlib import Path

import numpy as np

from ...audio.intervals import intervals, span, units_of
from ...storage.json_numbers import as_json
from ..plots import plot_confusion
from .report import (
    CLASSES,
    CONFUSION,
    FIGURES,
    REPORT,
    class_table,
    mistakes,
    said,
    table,
    worst_table,
    write,
)
from .testing import Tested


def write_folds(folder: Path, results: dict[str, dict], tests: list[Tested], job, runs: list) -> list[str]:
    """
    Write mean and deviation over folds into `metrics.json` and `report.md`, and what the models say of all tests;
    returns what the command prints.

    Args:
        folder (`Path`): The output folder.
        results (`dict[str, dict]`): What each fold's `metrics.json` holds, by its name.
        tests (`list[Tested]`): What the model of each fold says of its test.
        job ([`Job`]): The options of the runs.
        runs (`list[Run]`): Of the folds.
    """
    run = runs[0]
    arguments, is_average = run.arguments, bool(run.arguments.average_last_epochs)
    is_of_tests = run.split.validation is run.split.test and not is_average
    if is_of_tests:
        metric = arguments.metric_for_best_model.removeprefix("eval_")
        epoch, values = best_epoch(results, metric, arguments.greater_is_better)
        how = (
            f"As the recipe does, epoch {epoch:g} (in the mean over the folds) was chosen because the mean "
            f"{said(metric)} over the folds that are tested on is best there. So the figure flatters: no data were "
            "left to choose by. Each fold's folder has "
            "the weights that are best on that fold."
        )
    else:
        names = list(next(iter(results.values()))["test"])
        values = {name: [result["test"][name]["value"] for result in results.values()] for name in names}
        chosen = "chosen by a part of what was trained on"
        if is_average:
            chosen = "the mean of those after the last epochs"
        how = f"In each fold the weights were {chosen}; each fold was tested once."
        epoch = None
    means = {
        name: {"mean": float(np.mean(each)), "deviation": float(np.std(each, ddof=1)) if len(each) > 1 else 0.0}
        for name, each in values.items()
    }
    rows = [["", *map(said, values)]]
    for i, fold in enumerate(results):
        link = f"[{fold}]({folder_of(fold)}/{REPORT})"
        rows.append([link, *(f"{each[i]:.4g}" for each in values.values())])
    rows += [[name, *(f"{each[name]:.4g}" for each in means.values())] for name in ("mean", "deviation")]
    between = {} if is_of_tests else intervals_of_mean(runs, tests)
    if between:
        rows.append(["95 % interval of the mean", *(span(between[name], ".4g") for name in means)])
    page = ["# Fine-tuning report", "", "```", job.command, "```", "", *table(rows), "", how]
    if between:
        line = "The interval is of tests with recordings, or groups, drawn from these, not of other runs."
        if not np.isfinite([*between.values()]).all():
            line += " It is not known where more than a fifth of the draws have no such figure in some fold."
        page += ["", line]
    whose = "the models of all folds say of their tests"
    if is_of_tests:
        whose = "each fold's own weights say of its test, for which they are the best, so better than the mean above"
    page += ["", f"Below is what {whose}.", *together(folder, runs, tests)]
    write(folder / REPORT, "\n".join(page) + "\n")
    known = {name: {"interval_95": interval} for name, interval in between.items()}
    figures = {name: each | known.get(name, {}) for name, each in means.items()}
    summary: dict = {"task": job.task.task, "test": figures, "chosen": how, "folds": results}
    write(folder / FIGURES, as_json(summary | ({"epoch": epoch} if is_of_tests else {})))
    over = f"over {len(results)} folds"
    lines = [
        f"test {said(name)} {each['mean']:.4g}, deviation {each['deviation']:.4g} {over}"
        + (f" (95 %: {span(between[name], '.4g')})" if between else "")
        for name, each in means.items()
    ]
    return [*lines, f"Written: {folder} ({REPORT}, {FIGURES}, and a folder per fold)"]


def intervals_of_mean(runs: list, tests: list[Tested]) -> dict[str, list[float]]:
    """
    Of the mean over folds of each figure, with the recordings or groups of all tests drawn again and again. A fold
    counts as often as its recordings are drawn, since a group may be all that it has.
    """
    measures = [run.task.measure_test(*tested) for run, tested in zip(runs, tests, strict=True)]
    ends = np.cumsum([len(tested.data) for tested in tests])

    def measure(clips: np.ndarray) -> dict[str, float]:
        parts = np.split(clips, np.searchsorted(clips, ends[:-1]))  # they are in order
        drawn = [
            (len(part) / len(tested.data), of_fold(part - begin))
            for of_fold, part, tested, begin in zip(measures, parts, tests, [0, *ends[:-1]], strict=True)
            if len(part)
        ]
        weights = [weight for weight, _ in drawn]
        return {name: float(np.average([each[name] for _, each in drawn], weights=weights)) for name in drawn[0][1]}

    groups = [group for tested in tests for group in tested.data.groups or ()] or None
    return intervals(measure, units_of(int(ends[-1]), groups), runs[0].arguments.seed)


def together(folder: Path, runs: list, tests: list[Tested]) -> list[str]:
    """Lines about the tests of all folds: confusion matrix, classes if recordings have them as a whole, mistakes."""
    task, lines = runs[0].task, []
    if task.names and isinstance(tests[0].targets, np.ndarray):
        scores = np.concatenate([tested.scores for tested in tests])
        targets = np.concatenate([tested.targets for tested in tests])
        if (confusion := task.confusion(scores, targets)) is not None:
            plot_confusion(confusion, task.names, folder / CONFUSION)
            lines += ["", f"![confusion matrix]({CONFUSION})"]
        lines += ["", "## Classes", "", *class_table(task.by_class(scores, targets), folder / CLASSES)]
    found = [each for run, tested in zip(runs, tests, strict=True) for each in mistakes(run.task, tested)]
    return [*lines, "", "## The worst mistakes", "", *worst_table(found)]


def folder_of(fold: str) -> str:
    """The name of the folder of a fold's run."""
    return re.sub(r"[^\w.-]+", "-", fold)


def check_folders(folds: list[str]):
    """ValueError if two folds would have one folder."""
    first: dict[str, str] = {}
    for fold in folds:
        name = folder_of(fold)
        if (other := first.setdefault(name, fold)) != fold:
            raise ValueError(f"{other!r} and {fold!r} would be written into one folder, {name}. Rename one of them.")


def best_epoch(results: dict[str, dict], metric: str, greater: bool) -> tuple[float, dict[str, list[float]]]:
    """
    The epoch at which the mean of a metric over folds is best, and the figures of all folds there. Where folds differ
    in their steps per epoch and are validated by steps, it is the mean of their epochs.
    """
    validations = list(zip(*(result["validation"] for result in results.values()), strict=False))  # that all have
    # Those of an earlier version may lack a figure.
    tested = next(iter(results.values()))["test"]
    names = [name for name in tested if all(name in entry for entries in validations for entry in entries)]

    def worth(entries: tuple[dict, ...]) -> float:
        mean = float(np.mean([entry[metric] for entry in entries]))
        return -np.inf if np.isnan(mean) else mean if greater else -mean  # one that has diverged is the worst

    best = max(validations, key=worth)
    epoch = round(float(np.mean([entry["epoch"] for entry in best])), 6)
    return epoch, {name: [entry[name] for entry in best] for name in names}
