"""What a fine-tuning run leaves for people and for programs: figures, pictures, the worst mistakes, one page."""

import csv
import os
import platform
import shlex
from pathlib import Path

import numpy as np
import torch
import transformers

from ... import __version__
from ...audio.intervals import intervals, span, units_of
from ...audio.splits import Split
from ...storage.json_numbers import as_json
from ..outcome import Outcome
from ..plots import plot_confusion, plot_curves
from ..report import used_defaults
from .figures import speakers_of
from .recipes import asked_in, options_beside
from .testing import Tested
from .trials import verification


FIGURES, REPORT, CURVES, CONFUSION = "metrics.json", "report.md", "curves.png", "confusion.png"
CLASSES = "classes.csv"
# How many mistakes are shown, and classes.
WORST, MOST_CLASSES = 10, 200


def write_results(
    trainer, job, split: Split, outcome: Outcome, tested: Tested | None, pairs: np.ndarray | None, defaults: list[str]
) -> dict:
    """
    Write `metrics.json`, `report.md` and pictures into the output folder.

    Args:
        trainer ([`FinetuningTrainer`]): Of a run that has ended.
        job ([`Job`]): Its options.
        split ([`Split`]): What it was trained on.
        outcome ([`Outcome`]): Which weights were chosen.
        tested ([`Tested`], *optional*): What the model says of the test.
        pairs (`np.ndarray` of shape `(num_pairs,)`, *optional*): How alike recordings are, if speakers are tested so.
        defaults (`list[str]`): Names of the options that were left open.

    Returns:
        `dict`: What `metrics.json` holds.
    """
    folder, state, task = Path(trainer.args.output_dir), trainer.state, trainer.task
    pages: list[str] = []
    if tested is not None:
        scores, targets, data = tested
        measure, count, unit = task.measure_test(*tested), len(data), "recordings"
        drawn = unit if data.groups is None else "groups"
        between = intervals(measure, units_of(count, data.groups), trainer.args.seed)
        if (confusion := task.confusion(scores, targets)) is not None:
            plot_confusion(confusion, task.names, folder / CONFUSION)
            pages += ["", f"![confusion matrix]({CONFUSION})"]
        if task.names:
            pages += ["", "## Classes", "", *class_table(task.by_class(*tested), folder / CLASSES)]
        pages += ["", "## The worst mistakes", "", *worst_table(mistakes(task, tested))]
    else:
        is_same = job.trials.is_same
        assert pairs is not None

        def measure(chosen: np.ndarray) -> dict[str, float]:
            return verification(pairs[chosen], is_same[chosen])

        count, unit, drawn = len(pairs), "pairs", "speakers"
        between = intervals(measure, speakers_of(job.trials), trainer.args.seed)
        pages += ["", "## The worst mistakes", "", *wrong_pairs(pairs, job.trials)]
    figures = measure(np.arange(count))
    results = {
        "task": job.task.task,
        "test": {name: {"value": value, "interval_95": between[name]} for name, value in figures.items()},
        "unit": unit,
        "drawn": drawn,
        "count": count,
        "chosen": how_chosen(trainer, job, outcome, split),
        "step": state.global_step if outcome.result is None else outcome.result["step"],
        "steps": state.global_step,
        "validation": validations(state.log_history),
        "seed": trainer.args.seed,
    }
    shown = [name for name in figures if any(f"eval_{name}" in entry for entry in state.log_history)]
    panels = {"loss": ("loss",), "learning rate": ("learning_rate",)} | {said(name): (name,) for name in shown}
    plot_curves(state.log_history, folder / CURVES, panels)
    page = [
        *beginning(trainer, job, split, results, defaults),
        *figure_table(results),
        "",
        f"![curves]({CURVES})",
        *pages,
    ]
    write(folder / REPORT, "\n".join(page) + "\n")
    write(folder / FIGURES, as_json(results))
    return results


def how_chosen(trainer, job, outcome: Outcome, split: Split) -> str:
    """Which weights were tested, and why these."""
    average, what = trainer.average, said(outcome.metric.removeprefix("eval_"))
    on = f"by validation on {len(split.parts['validation'])} other recordings"
    if split.validation is split.test:
        on = "on the data that they are tested on, as the recipe does, so the figure flatters"
        if job.num_runs > 1:
            on += "; the folds' report has the mean of one epoch"
    if average is not None:
        epochs = f"{average.added[0]} to {average.added[-1]}" if average.added else "none"
        return f"The mean of the weights after epochs {epochs} was tested once; no epoch was chosen."
    if outcome.result is None:
        return "The last weights were tested once."
    return (
        f"The weights after step {outcome.result['step']} were chosen {on}: {what} "
        f"{outcome.result[outcome.metric]:.4g}. They were tested once."
    )


def beginning(trainer, job, split: Split, results: dict, defaults: list[str]) -> list[str]:
    """The first lines of the page."""
    args, task = trainer.args, job.task
    model = trainer.accelerator.unwrap_model(trainer.model)
    config = model.config
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    total = sum(parameter.numel() for parameter in model.parameters())
    source = "random weights" if task.init_from_scratch else "its weights"
    notes = [
        f"{name}: {value}, as the command did not say" for name, value in used_defaults(trainer, defaults).items()
    ]
    if task.recipe is not None:
        argv = shlex.split(job.command)
        options = options_beside(task.recipe, argv)
        if "learning_rate" not in asked_in(argv):  # that of models of frames may be another one
            options["learning_rate"] = args.learning_rate
        values = ", ".join(f"{name} {value}" for name, value in options.items())
        notes.insert(0, f"recipe {task.recipe}, where the command said nothing else: {values}")
    parts = "; ".join(f"{len(part)} {name}" for name, part in split.parts.items())
    return [
        "# Fine-tuning report",
        "",
        "```",
        job.command,
        "```",
        "",
        results["chosen"],
        "",
        f"- model: {job.task.model_name_or_path}, {source}; {total:,} parameters, {trained:,} of them trained",
        f"- patches every {config.frequency_stride} mel bins and {config.time_stride} frames, of {config.max_length}",
        f"- data: {split.train.source}, {split.name}: recordings: {parts}",
        f"- steps: {trainer.state.global_step}, of {args.train_batch_size} clips x {args.gradient_accumulation_steps} "
        f"accumulated x {max(args.world_size, 1)} processes; learning rate {args.learning_rate:g}; seed {args.seed}",
        f"- features: mean {trainer.processing_class.mean:.6g}, standard deviation {trainer.processing_class.std:.6g}",
        *(f"- {note}" for note in [*notes, *trainer.notes, *trainer.task.notes()]),
        f"- computed with ssast_hf {__version__}, transformers {transformers.__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}, on {args.device.type}",
        "",
        "## Test",
        "",
    ]


def validations(history: list[dict]) -> list[dict]:
    """What was found in each validation, by its step."""
    hidden = ("runtime", "per_second")
    return [
        {"step": entry["step"], "epoch": entry.get("epoch")}
        | {
            name.removeprefix("eval_"): value
            for name, value in entry.items()
            if name.startswith("eval_") and not name.endswith(hidden)
        }
        for entry in history
        if "eval_loss" in entry
    ]


def figure_table(results: dict) -> list[str]:
    """The figures of a test in a table."""
    rows = [[f"of {results['count']} {results['unit']}", "", "95 % interval"]]
    for name, figure in results["test"].items():
        rows.append([said(name), f"{figure['value']:.4g}", span(figure["interval_95"], ".4g")])
    how = f"The interval is of tests with {results['drawn']} drawn from these, not of other runs."
    known = [figure for figure in results["test"].values() if np.isfinite(figure["value"])]
    if any(not np.isfinite(figure["interval_95"]).all() for figure in known):
        how += (
            f" It is not known where there is but one way to draw {results['drawn']}, or where more than a fifth of "
            "the draws have no such figure."
        )
    return [*table(rows), "", how]


def class_table(rows: list[list[str]], path: Path) -> list[str]:
    """A table of the classes, its head first; of many the first ones, and all in a file."""
    lines = table(rows[: MOST_CLASSES + 1])
    if (count := len(rows) - 1) > MOST_CLASSES:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        lines += ["", f"The first {MOST_CLASSES} of {count} classes; all are in [{path.name}]({path.name})."]
    return lines


def mistakes(task, tested: Tested) -> list[tuple[float, list[str]]]:
    """The worst in a test: how bad each is, and the cells of its row in the table."""
    found = [(i, each) for i, each in enumerate(task.mistakes(*tested)) if each is not None]
    worst = sorted(found, key=lambda pair: -pair[1][0])[:WORST]
    return [(each[0], [f"`{tested.data.name(i)}`", *each[1:]]) for i, each in worst]


def worst_table(found: list[tuple[float, list[str]]]) -> list[str]:
    """The worst of what [`mistakes`] found in one test or several."""
    rows = [cells for _, cells in sorted(found, key=lambda each: -each[0])[:WORST]]
    return table([["recording", "label", "the model says"], *rows]) if rows else ["None."]


def wrong_pairs(scores: np.ndarray, trials) -> list[str]:
    """The pairs that the model is most wrong about: the least alike of one speaker, and the most alike of two."""
    names = [trials.recordings.recordings[i]["name"] for i in range(len(trials.recordings))]
    order = np.argsort(np.where(trials.is_same, scores, -scores), kind="stable")[:WORST]
    rows = [
        [f"`{names[trials.first[i]]}`", f"`{names[trials.second[i]]}`", "one" if trials.is_same[i] else "two",
         f"{scores[i]:.3f}"]
        for i in order
    ]  # fmt: skip
    return table([["first", "second", "speakers", "cosine"], *rows])


def table(rows: list[list[str]]) -> list[str]:
    """Lines of a table, its head first."""
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def lines_of(results: dict) -> list[str]:
    """The figures of a test, for the console."""
    return [
        f"test {said(name)} {figure['value']:.4g} (95 %: {span(figure['interval_95'], '.4g')}, "
        f"{results['count']} {results['unit']})"
        for name, figure in results["test"].items()
    ]


def said(name: str) -> str:
    return name.replace("_", " ")


def write(path: Path, text: str):
    """A file that is whole or not there."""
    new = path.with_name(f".{path.name}")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
