"""The runs on several folds together: mean and deviation."""

import re
from pathlib import Path

import numpy as np

from ...storage.json_numbers import as_json
from .report import FIGURES, REPORT, said, table, write


def write_folds(folder: Path, results: dict[str, dict], job, run) -> list[str]:
    """
    Write mean and deviation over folds into `metrics.json` and `report.md`; returns what the command prints.

    Args:
        folder (`Path`): The output folder.
        results (`dict[str, dict]`): What each fold's `metrics.json` holds, by its name.
        job ([`Job`]): The options of the runs.
        run ([`Run`]): One of them.
    """
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
    write(
        folder / REPORT,
        "\n".join(["# Fine-tuning report", "", "```", job.command, "```", "", *table(rows), "", how]) + "\n",
    )
    summary: dict = {"task": job.task.task, "test": means, "chosen": how, "folds": results}
    write(folder / FIGURES, as_json(summary | ({"epoch": epoch} if is_of_tests else {})))
    over = f"over {len(results)} folds"
    lines = [
        f"test {said(name)} {each['mean']:.4g}, deviation {each['deviation']:.4g} {over}"
        for name, each in means.items()
    ]
    return [*lines, f"Written: {folder} ({REPORT}, {FIGURES}, and a folder per fold)"]


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
    names = list(next(iter(results.values()))["test"])
    validations = list(zip(*(result["validation"] for result in results.values()), strict=False))  # that all have

    def worth(entries: tuple[dict, ...]) -> float:
        mean = float(np.mean([entry[metric] for entry in entries]))
        return -np.inf if np.isnan(mean) else mean if greater else -mean  # one that has diverged is the worst

    best = max(validations, key=worth)
    epoch = round(float(np.mean([entry["epoch"] for entry in best])), 6)
    return epoch, {name: [entry[name] for entry in best] for name in names}
