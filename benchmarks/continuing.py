"""
Whether continuing on recordings of one's own pays: a table and the figure of docs/evidence.md.

    python benchmarks/continuing.py --data /path/to/data --output_dir continuing
    python benchmarks/continuing.py --data /path/to/data --output_dir voices --only digits \
        --tested george jackson nicolas --continued_alone --seeds 0
    python benchmarks/continuing.py --data /path/to/data --output_dir choosing --only digits --tested theo \
        --left_out yweweler --continued_alone --seeds 0 --steps 2000 --rest --num_masked_patches 16

The README's command continues the bundled model on recordings whose labels it is not given: ESC-10's folds 1 to 4, or
digits of four speakers. With as many steps it trains the same network from random weights. Then the model as it was,
the continued one and the one from random weights are tested on the fold, or the speaker, that none of them heard: by
`ssast-hf evaluate`, and by `ssast-hf finetune` at 8 labels per class. Which weights are kept is decided by recordings
that the command holds out of its own data.

`--tested` takes other folds or speakers, one after the other. To choose options, test another one and leave out what
the table tests: nothing of `--left_out` is heard. `--continued_alone` leaves out the network from random weights, and
`--seeds 0` fine-tuning. `--pooling` is as of `evaluate`; the default here is `bands`. `--rest` passes options on to
`ssast-hf pretrain`; give each choice a folder of its own. `--data` is as in `evidence.py`. Pretraining that is
finished is not run again, and a folder of other options is refused. Writes `continuing.json` and `continuing.png`, of
what this command was asked for, and prints a table, and what the probe gains on average where several are tested.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from downstream import Study, few, write
from evidence import FEW, TASKS, clips_of, length_of
from matplotlib.figure import Figure

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.assets import nano_model
from ssast_hf.cli import main as ssast_hf
from ssast_hf.inference.evaluating.intervals import t_interval


# Of each set: what is tested, steps, and options of its own.
SETS = {
    "sounds": ("5", 3000, ["--window_seconds", "2.5", "--max_length", "256"]),
    "digits": ("yweweler", 6000, ["--max_length", "64"]),
}
# From random weights as many patches of 32 are hidden as continuing hides; else it would be the model's share.
HIDDEN = {"sounds": [], "digits": ["--num_masked_patches", "8"]}
BATCH = ["--per_device_train_batch_size", "32"]
BEFORE, AFTER, SCRATCH = "before", "continued", "from random weights"
COLOURS = {BEFORE: "#e69f00", AFTER: "#0072b2", SCRATCH: "0.5"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--tested", nargs="+", help="folds or speakers (default: that of each set)")
    parser.add_argument("--left_out", help="fold or speaker of which nothing is heard or tested")
    parser.add_argument("--continued_alone", action="store_true", help="nothing from random weights")
    parser.add_argument("--steps", type=int, help="of pretraining (default: those of each set)")
    parser.add_argument("--seeds", type=int, default=3, help="of fine-tuning, at least 2; 0 for none")
    parser.add_argument("--pooling", default="bands", choices=("mean", "bands", "statistics"), help="of embeddings")
    parser.add_argument("--rest", nargs=argparse.REMAINDER, default=[], help="further options of pretrain")
    arguments = parser.parse_args()
    data, output = arguments.data.resolve(), arguments.output_dir.resolve()
    if arguments.seeds not in (0, *range(2, 100)):
        parser.error(f"--seeds {arguments.seeds}: expected 0, or at least 2 to compare")
    asked = [(name, tested) for name in arguments.only for tested in arguments.tested or SETS[name][:1]]
    for name, tested in asked:
        known = {row[TASKS[name][1]] for row in clips_of(name, data)} - {arguments.left_out}
        if tested not in known or asked.count((name, tested)) > 1:
            parser.error(f"--tested {tested}: expected, of {name}, once each: {', '.join(sorted(known))}")
    found = [measure(name, tested, data, output / name / tested, arguments) for name, tested in asked]
    (output / "continuing.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(found, output / "continuing.png")
    print("\n".join([*table(found), *gains(found)]))


def measure(name: str, tested: str, data: Path, folder: Path, arguments: argparse.Namespace) -> dict:
    """Pretrain on one set, and test what comes of it on what was held out."""
    _, steps, options = SETS[name]
    label, group = TASKS[name]
    clips = [row for row in clips_of(name, data) if row[group] != arguments.left_out]
    heard = [row for row in clips if row[group] != tested]
    unlabelled = Path(write(folder / "unlabelled.csv", heard, ["path"]))
    options = ["--max_steps", str(arguments.steps or steps), *BATCH, *options, *arguments.rest]
    models = {BEFORE: str(nano_model())}
    minutes = {}
    starts = {AFTER: ["--model_name_or_path", "nano"]}
    if not arguments.continued_alone:
        starts[SCRATCH] = [*from_random_weights(), *HIDDEN[name]]
    for way, start in starts.items():
        models[way] = str(folder / way.replace(" ", "-"))
        minutes[way] = pretrain([*start, *options], unlabelled, Path(models[way]))
    labelled = write(folder / "labelled.csv", clips, ["path", label, group])
    probed = probe(labelled, name, tested, models, folder, arguments.pooling)
    tuned = finetune(clips, heard, name, tested, models, folder, arguments.seeds) if arguments.seeds else {}
    losses = {way: validated(Path(models[way])) for way in starts}
    losses = {BEFORE: losses[AFTER][0]} | {way: min(of_run) for way, of_run in losses.items()}
    found = {"set": name, "tested": tested, "left_out": arguments.left_out, "pooling": arguments.pooling}
    found |= {"options": options, "minutes": minutes, "losses": losses}
    return found | {"probed": probed, "finetuned": tuned}


def finetune(
    clips: list[dict], heard: list[dict], name: str, tested: str, models: dict[str, str], folder: Path, seeds: int
) -> dict[str, list[float]]:
    """Accuracies of `ssast-hf finetune` with few labels of what was heard, by model and seed."""
    label, group = TASKS[name]
    study = Study(folder / "finetuned", models[BEFORE], [])
    test = write(folder / "test.csv", [row for row in clips if row[group] == tested], ["path", label])
    for seed in range(seeds):
        train = write(folder / f"train-{seed}.csv", few(heard, label, FEW, seed), ["path", label])
        for way, model in models.items():
            given = ["--train_data", train, "--test_data", test, "--label_column", label, *length_of(clips)]
            study.ask(name, way, FEW, seed, "accuracy", given, model)
    study.run()
    return {way: [each["value"] for each in study.found if each["way"] == way] for way in models}


def from_random_weights() -> list[str]:
    """Options for the network of the bundled model, with the statistics of its features."""
    feature_extractor = SSASTFeatureExtractor.from_pretrained(nano_model())
    statistics = ["--mean", str(feature_extractor.mean), "--std", str(feature_extractor.std)]
    return ["--config_name", str(nano_model()), *statistics]


def pretrain(options: list[str], heard: Path, folder: Path) -> float:
    """The command, in a process of its own, unless it has ended before; the minutes that it took."""
    record = folder.with_suffix(".json")
    command = ["pretrain", *options, "--train_data", str(heard), "--output_dir", str(folder), "--report_to", "none"]
    asked = {"command": command, "heard": hashlib.sha256(heard.read_bytes()).hexdigest()}
    if not record.exists():
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "ssast_hf", *command], check=True)
        asked["minutes"] = (time.perf_counter() - begin) / 60
        record.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
    found = json.loads(record.read_text(encoding="utf-8"))
    if not asked.items() <= found.items():
        raise SystemExit(f"{folder} was made with other options or recordings; take another --output_dir.")
    return found["minutes"]


def validated(folder: Path) -> list[float]:
    """Every validation loss of a run, from step 0 on; the lowest is that of the weights it keeps."""
    history = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return [entry["eval_loss"] for entry in history if "eval_loss" in entry]


def probe(
    labelled: str, name: str, tested: str, models: dict[str, str], folder: Path, pooling: str
) -> dict[str, dict]:
    """What `ssast-hf evaluate` finds of each model, and of the statistics of log-mel features."""
    label, group = TASKS[name]
    output = folder / f"evaluated-{pooling}"
    options = ["--data", labelled, "--label_column", label, "--fold_column", group, "--folds", tested]
    options += ["--random_seeds", "0", "--pooling", pooling, "--output_dir", str(output)]
    if ssast_hf(["evaluate", *models.values(), *options]):
        raise SystemExit(f"{output} failed")
    results = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["results"]
    return dict(zip([*models, "log-mel statistics"], results, strict=True))


def table(found: list[dict]) -> list[str]:
    """Accuracies with all labels and with few, as Markdown; gains with few labels are over the same draws."""
    columns = "set, tested, model, minutes, loss, linear probe, 95 %".split(", ")
    columns += "8 labels, gain and 95 %, fine-tuned, gain and 95 %".split(", ")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for each in found:
        few_labels = {way: of["label_efficiency"][str(FEW)]["draws"] for way, of in each["probed"].items()}
        for way, result in each["probed"].items():
            low, high = result["probe"]["interval"]
            cells = [each["set"], each["tested"], way]
            cells.append(f"{each['minutes'][way]:.0f}" if way in each["minutes"] else "")
            cells.append(f"{each['losses'][way]:.2f}" if way in each["losses"] else "")
            cells += [f"{result['probe']['accuracy']:.3f}", f"{low:.3f} to {high:.3f}"]
            for values in (few_labels, each["finetuned"]):
                cells += compared(values, way) if way in values else ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def gains(found: list[dict]) -> list[str]:
    """What the linear probe gains over the model as it was, over the tests of each set that has several."""
    lines = []
    for name in SETS:
        probed = [each["probed"] for each in found if each["set"] == name]
        for way in (AFTER, SCRATCH) if len(probed) > 1 else ():
            if way in probed[0]:
                of_each = np.array([np.subtract(right(each[way]), right(each[BEFORE])) for each in probed])
                with_few, with_all = gain(of_each[:, 0]), gain(of_each[:, 1])
                lines.append(f"{name}, {way}, {len(probed)} tests: {FEW} labels {with_few}, all {with_all}")
    return lines


def right(result: dict) -> tuple[float, float]:
    """The accuracies of a linear probe with few labels and with all."""
    return result["label_efficiency"][str(FEW)]["accuracy"], result["probe"]["accuracy"]


def compared(values: dict[str, list[float]], way: str) -> list[str]:
    """A mean, and what it has more than that of the model as it was, with Student's interval over the pairs."""
    mean = f"{np.mean(values[way]):.3f}"
    if way == BEFORE:
        return [mean, ""]
    return [mean, gain(np.array(values[way]) - np.array(values[BEFORE]))]


def gain(differences: np.ndarray) -> str:
    """A mean of at least two, with Student's interval."""
    low, high = t_interval(differences, lowest=-1.0)
    return f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def draw(found: list[dict], path: Path):
    """The linear probe by the number of labels, of each test."""
    figure = Figure(figsize=(4.5 * len(found), 3.6), layout="constrained")
    for axis, each in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        for way in (way for way in COLOURS if way in each["probed"]):
            result, colour = each["probed"][way], COLOURS[way]
            few_labels = result["label_efficiency"]
            sizes = [*few_labels, "all"]
            measured = [*few_labels.values(), result["probe"]]
            values = 100 * np.array([of["accuracy"] for of in measured])
            low, high = 100 * np.array([of["interval"] for of in measured]).T
            style = dict(color=colour, marker="o", markersize=4, capsize=3, label=way)
            axis.errorbar(range(len(sizes)), values, [values - low, high - values], **style)
        axis.set_xticks(range(len(sizes)), sizes)
        axis.set(title=f"{each['set']}, {TASKS[each['set']][1]} {each['tested']}")
        axis.set(xlabel="labelled examples per class", ylabel=f"linear probe ({each['pooling']}), % right")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
