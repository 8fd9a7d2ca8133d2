"""What the report says of recordings that may have several labels."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...audio.intervals import span
from .report_of_few import few_labels_section
from .report_parts import COLOURS, how_pooled, is_model, layers_table


PICTURE = "average_precision.png"
# Of more, names could not be read.
MOST_LABELS = 50


def body(facts: dict, results: list[dict]) -> list[str]:
    """What was found, and how."""
    settings, names = facts["settings"], facts["classes"]
    chosen = "by leaving out one example" if settings["probe"] == "ridge" else "by cross-validation (at most 3 parts)"
    return [
        "## All labels",
        "",
        "Mean average precision (mAP): of each label, then the mean of the labels.",
        "",
        "| features | linear probe | 95 % | ROC area | nearest neighbours | 95 % | layers of the probe | per fold |",
        "|---|---|---|---|---|---|---|---|",
        *map(row_of, results),
        "",
        f"![average precision]({PICTURE})",
        "",
        *layers_table(results, "mAP"),
        *few_labels_section(
            results,
            "mean_average_precision",
            "mAP of the linear probe that is fitted to at least so many clips with each label, and as many without it "
            f"(or all, if there are fewer): the mean of {settings['draws']} draws, and 95 % of that mean. Where "
            "nearly all clips are drawn, draws are alike, and their 95 % say little.",
        ),
        "## Each label",
        "",
        "Average precision of the linear probe. By chance it is about the share of the clips that have the label.",
        "",
        f"| label | share | {' | '.join(each['name'] for each in results)} |",
        "|---" * (len(results) + 2) + "|",
        *(
            row_of_label(name, facts["shares"][i], [each["probe"]["per_label"][i] for each in results])
            for i, name in enumerate(names)
        ),
        "",
        "## How it was done",
        "",
        how_pooled(settings),
        f"- Linear probe: one {settings['probe']} classifier per label on standardised features; how strongly each is "
        f"regularised is chosen {chosen} within what is trained on. The layer, one for all labels, is the one with "
        "the best mAP in cross-validation within the training folds. Test folds play no part in either.",
        "- Nearest neighbours: the share of them that has the label, by the angle between standardised vectors; the "
        "layer and their number (1, 5 or 10) are chosen in the same way. Few neighbours make few different scores, "
        "so this mAP is coarse.",
        "- mAP and area under the ROC curve: scikit-learn's. Each fold is ranked for itself, since scores of probes "
        "that were trained on other folds do not compare, and the figures are means over folds.",
        "- A clip that is drawn twice stands beside itself in the ranking, which makes mAP look better: intervals are "
        "moved by the mean of that difference.",
        "- Few labels: clips are drawn label by label, in random order, until there are enough with it and without "
        "it; those that are drawn for others count. Layer and strengths are those that were chosen with all clips of "
        "the training folds, so they know more than the few examples do. All features get the same draws. Intervals "
        "are of Student's distribution over the draws; the test clips are the same in all of them.",
    ]


def row_of(result: dict) -> str:
    linear, neighbours = result["probe"], result["neighbours"]
    area = linear["area_under_curve"]
    cells = [
        result["name"],
        f"{linear['mean_average_precision']:.3f}",
        span(linear["interval"]),
        "-" if area is None else f"{area:.3f}",
        f"{neighbours['mean_average_precision']:.3f}",
        span(neighbours["interval"]),
        "-" if result["num_layers"] == 1 else " ".join(map(str, linear["layers"])),
        " ".join(f"{value:.3f}" for value in linear["per_fold"]),
    ]
    return f"| {' | '.join(cells)} |"


def row_of_label(name: str, share: float, values: list[float | None]) -> str:
    cells = [name.replace("|", "/"), f"{share:.3f}", *("-" if value is None else f"{value:.3f}" for value in values)]
    return f"| {' | '.join(cells)} |"


def plot_labels(results: list[dict], names: list[str], path: Path):
    """The average precision of each label, the best of the first features at the top; of many labels those alone."""
    best = np.array(results[0]["probe"]["per_label"], dtype=float)
    order = np.argsort(np.where(np.isnan(best), -1, best), kind="stable")[-MOST_LABELS:]
    figure = Figure(figsize=(8, 2 + 0.22 * len(order)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for number, result in enumerate(results):
        values = np.array(result["probe"]["per_label"], dtype=float)[order]
        marker, colour = "o" if is_model(result) else "x", COLOURS[number % len(COLOURS)]
        axis.scatter(values, np.arange(len(order)), s=25, marker=marker, color=colour, label=result["name"])
    axis.set_yticks(np.arange(len(order)), [names[i] for i in order])
    for label in axis.get_yticklabels():
        label.set_parse_math(False)  # dollars in names are no formulas
    axis.set(xlabel="average precision of a linear probe", xlim=(0, 1.02))
    axis.set_title("Frozen encoders", fontsize="medium")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    figure.savefig(path, dpi=110, format="png")
