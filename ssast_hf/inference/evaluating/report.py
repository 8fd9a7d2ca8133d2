"""What an evaluation leaves: figures for programs, a table and a picture for people."""

import platform
from pathlib import Path

import numpy as np
import sklearn
import torch
import transformers
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...audio.intervals import span
from ...storage.json_numbers import as_json
from ...storage.writing import written_whole
from . import report_of_labels
from .report_parts import COLOURS, how_pooled, is_model, layers_table


METRICS, REPORT, PICTURE = "metrics.json", "report.md", "label_efficiency.png"


def write_report(folder: Path, command: str, facts: dict, results: list[dict]) -> list[str]:
    """
    Write `metrics.json`, `report.md` and a picture.

    Args:
        folder (`Path`): Where.
        command (`str`): The command line.
        facts (`dict`): What was compared on, and how.
        results (`list[dict]`): Figures of each contender, as from [`measure_features`].

    Returns:
        `list[str]`: What the command prints.
    """
    versions = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "python": platform.python_version(),
    }
    metrics = {"command": command} | facts | {"versions": versions, "results": results}
    is_multilabel = facts["task"] == "multilabel"
    picture = report_of_labels.PICTURE if is_multilabel else PICTURE
    with written_whole(folder / picture) as path:
        if is_multilabel:
            report_of_labels.plot_labels(results, facts["classes"], path)
        else:
            plot_label_efficiency(results, len(facts["classes"]), path)
    body = report_of_labels.body(facts, results) if is_multilabel else body_of(facts["settings"], results)
    lines = [*head(command, facts, versions), *body, *foot(facts["settings"], results)]
    with written_whole(folder / REPORT) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with written_whole(folder / METRICS) as path:  # the last one, so that it says that all is there
        path.write_text(as_json(metrics), encoding="utf-8")
    return [f"Written: {folder / REPORT}, {folder / picture}, {folder / METRICS}"]


def head(command: str, facts: dict, versions: dict[str, str]) -> list[str]:
    """The first lines of the report: what was compared on."""
    count = len(facts["classes"])
    if "chance" in facts:
        chance = f"mean average precision {facts['chance']:.3f}"
    else:
        chance = f"{1 / count:.3f}; who always says the most frequent class is right in {facts['most_frequent']:.3f}"
    return [
        "# Evaluation of frozen encoders",
        "",
        "```",
        command,
        "```",
        "",
        f"- data: {' and '.join(facts['sources'])}; {' and '.join(map(str, facts['recordings']))} recordings, "
        f"{count} classes" + (f"; {facts['skipped']} left out, see skipped_files.txt" if facts["skipped"] else ""),
        f"- tests: {facts['split']} ({', '.join(facts['folds'])})",
        f"- by chance: {chance}",
        f"- {', '.join(f'{name} {version}' for name, version in versions.items())}",
        "",
    ]


def body_of(settings: dict, results: list[dict]) -> list[str]:
    """What was found with one class per recording, and how."""
    strength = "the weight of the squares" if settings["probe"] == "ridge" else "the inverse of that weight"
    chosen = (
        "by leaving out one example after the other"
        if settings["probe"] == "ridge"
        else "by three-fold cross-validation"
    )
    return [
        "## All labels",
        "",
        "| features | linear probe | 95 % | macro F1 | nearest neighbours | 95 % | layers of the probe | per fold |",
        "|---|---|---|---|---|---|---|---|",
        *map(row_of, results),
        "",
        *layers_table(results, "accuracy"),
        "## Few labels",
        "",
        "Accuracy of the linear probe with so many examples of each class: the mean of "
        f"{settings['draws']} draws, and 95 % of that mean.",
        "",
        *few_labels_table(results),
        "",
        f"![label efficiency]({PICTURE})",
        "",
        "## How it was done",
        "",
        how_pooled(settings),
        f"- Linear probe: {settings['probe']} classifier on standardised features. For each test the layer is the "
        "one with the best accuracy in cross-validation within the training folds, one left out after the other. "
        f"The strength of regularisation ({strength}) is chosen {chosen} of what is trained on. Test folds play no "
        "part in either.",
        "- Nearest neighbours: by the angle between standardised vectors; the layer and their number (1, 5 or 10) "
        "are chosen in the same way.",
        "- Few labels: layer and strength are those that were chosen with all labels of the training folds, so they "
        "know more than the few examples do. All features get the same draws. Intervals are of Student's "
        "distribution over the draws; the test clips are the same in all of them.",
    ]


def foot(settings: dict, results: list[dict]) -> list[str]:
    """The last lines of the report."""
    return [
        "- Intervals with all labels: test clips, or groups of them if there are, drawn again 1000 times.",
        f"- Random weights: the same network before any training (seeds: {settings['random_seeds']}). Log-mel "
        "statistics: mean and standard deviation of each mel bin over time.",
        *(
            f"- {each['name']}: SHA-256 of the weights as loaded {each['sha256']}"
            for each in results
            if is_model(each)
        ),
    ]


def row_of(result: dict) -> str:
    linear, neighbours = result["probe"], result["neighbours"]
    cells = [
        result["name"],
        f"{linear['accuracy']:.3f}",
        span(linear["interval"]),
        f"{linear['macro_f1']:.3f}",
        f"{neighbours['accuracy']:.3f}",
        span(neighbours["interval"]),
        "-" if result["num_layers"] == 1 else " ".join(map(str, linear["layers"])),
        " ".join(f"{value:.3f}" for value in linear["per_fold"]),
    ]
    return f"| {' | '.join(cells)} |"


def few_labels_table(results: list[dict]) -> list[str]:
    sizes = list(results[0]["label_efficiency"])
    if not sizes:
        return ["No class has that many examples to train on."]
    lines = [f"| features | {' | '.join(sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    for result in results:
        cells = [f"{each['accuracy']:.3f} ({span(each['interval'])})" for each in result["label_efficiency"].values()]
        lines.append(f"| {result['name']} | {' | '.join(cells)} |")
    return lines


def plot_label_efficiency(results: list[dict], num_classes: int, path: Path):
    """Accuracy over examples per class, with intervals; of all labels at the right."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    sizes = [int(size) for size in results[0]["label_efficiency"]]
    everything = 2 * max(sizes, default=1)
    for number, result in enumerate(results):
        places = [*sizes, everything]
        measured = [*result["label_efficiency"].values(), result["probe"]]
        values = np.array([each["accuracy"] for each in measured])
        low, high = np.array([each["interval"] for each in measured]).T
        # Beside each other, so that intervals can be told apart.
        places = np.array(places) * 1.02 ** (number - (len(results) - 1) / 2)
        colour = COLOURS[number % len(COLOURS)]
        style = dict(color=colour, marker="o", markersize=4, capsize=3, label=result["name"])
        line = "-" if is_model(result) else "--"
        axis.errorbar(places, values, np.clip([values - low, high - values], 0, None), linestyle=line, **style)
    axis.axhline(1 / num_classes, color="0.6", linewidth=1, linestyle=":", label="chance")
    axis.set_xscale("log", base=2)
    axis.set_xticks([*sizes, everything], [*map(str, sizes), "all"])
    axis.minorticks_off()
    axis.set(xlabel="labelled examples per class", ylabel="accuracy of a linear probe", ylim=(0, 1))
    axis.set_title(
        "Frozen encoders; bars: 95 %, of the draws of labels; at 'all', of the test clips", fontsize="medium"
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    figure.savefig(path, dpi=110, format="png")
