"""What an evaluation leaves: figures for programs, tables and pictures for people."""

import platform
from pathlib import Path

import sklearn
import torch
import transformers

from ...audio.intervals import span
from ...storage.json_numbers import as_json
from ...storage.writing import written_whole
from . import report_of_labels
from .report_of_few import PICTURE, few_labels_section, plot_label_efficiency
from .report_parts import how_pooled, is_model, layers_table


METRICS, REPORT = "metrics.json", "report.md"


def write_report(folder: Path, command: str, facts: dict, results: list[dict]) -> list[str]:
    """
    Write `metrics.json`, `report.md` and pictures.

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
    pictures = [folder / PICTURE]
    chance = facts["chance"] if is_multilabel else 1 / len(facts["classes"])
    with written_whole(pictures[0]) as path:
        plot_label_efficiency(results, "mean_average_precision" if is_multilabel else "accuracy", chance, path)
    if is_multilabel:
        pictures.append(folder / report_of_labels.PICTURE)
        with written_whole(pictures[1]) as path:
            report_of_labels.plot_labels(results, facts["classes"], path)
    body = report_of_labels.body(facts, results) if is_multilabel else body_of(facts["settings"], results)
    lines = [*head(command, facts, versions), *body, *foot(facts["settings"], results)]
    with written_whole(folder / REPORT) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with written_whole(folder / METRICS) as path:  # the last one, so that it says that all is there
        path.write_text(as_json(metrics), encoding="utf-8")
    return [f"Written: {', '.join(map(str, [folder / REPORT, *pictures, folder / METRICS]))}"]


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
        *few_labels_section(
            results,
            "accuracy",
            "Accuracy of the linear probe with so many examples of each class: the mean of "
            f"{settings['draws']} draws, and 95 % of that mean.",
        ),
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
