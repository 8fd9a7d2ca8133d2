"""What the report says of few labels: a table, and a picture."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...audio.intervals import span
from .report_parts import COLOURS, is_model


PICTURE = "label_efficiency.png"


def few_labels_section(results: list[dict], metric: str, sentence: str) -> list[str]:
    """A table of a metric by the number of examples, under a sentence that says what it is of."""
    return ["## Few labels", "", sentence, "", *table_of(results, metric), "", f"![label efficiency]({PICTURE})", ""]


def table_of(results: list[dict], metric: str) -> list[str]:
    sizes = list(results[0]["label_efficiency"])
    if not sizes:
        return ["None of --sizes: some class has fewer examples to train on."]
    lines = [f"| features | {' | '.join(sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    clips = [f"{each['clips']:.0f}" for each in results[0]["label_efficiency"].values()]
    lines.append(f"| (clips drawn) | {' | '.join(clips)} |")
    for result in results:
        cells = [f"{each[metric]:.3f} ({span(each['interval'])})" for each in result["label_efficiency"].values()]
        lines.append(f"| {result['name']} | {' | '.join(cells)} |")
    return lines


def plot_label_efficiency(results: list[dict], metric: str, chance: float, path: Path):
    """A metric over examples per class, with intervals; of all labels at the right."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    sizes = [int(size) for size in results[0]["label_efficiency"]]
    everything = 2 * max(sizes, default=1)
    for number, result in enumerate(results):
        places = [*sizes, everything]
        measured = [*result["label_efficiency"].values(), result["probe"]]
        values = np.array([each[metric] for each in measured])
        low, high = np.array([each["interval"] for each in measured]).T
        # Beside each other, so that intervals can be told apart.
        places = np.array(places) * 1.02 ** (number - (len(results) - 1) / 2)
        colour = COLOURS[number % len(COLOURS)]
        style = dict(color=colour, marker="o", markersize=4, capsize=3, label=result["name"])
        line = "-" if is_model(result) else "--"
        axis.errorbar(places, values, np.clip([values - low, high - values], 0, None), linestyle=line, **style)
    axis.axhline(chance, color="0.6", linewidth=1, linestyle=":", label="chance")
    axis.set_xscale("log", base=2)
    axis.set_xticks([*sizes, everything], [*map(str, sizes), "all"])
    axis.minorticks_off()
    axis.set(xlabel="labelled examples per class" + ("" if metric == "accuracy" else ", at least"), ylim=(0, 1))
    axis.set_ylabel(f"{metric.replace('_', ' ')} of a linear probe")
    axis.set_title(
        "Frozen encoders; bars: 95 %, of the draws of labels; at 'all', of the test clips", fontsize="medium"
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    figure.savefig(path, dpi=110, format="png")
