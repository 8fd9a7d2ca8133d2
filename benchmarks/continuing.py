"""
Whether continuing on recordings of one's own helps: validation loss and a linear probe before and after.

    python benchmarks/continuing.py --data esc10/audio --labels esc10/esc10.csv --output_dir measured
    python benchmarks/continuing.py --data digits/audio --labels digits/digits.csv --label_column digit \
        --fold_column speaker --max_length 64 --output_dir measured

`ssast-hf pretrain` trains on the clips of all folds but one, without their labels: the bundled model, and with
`--starts scratch` the same network from random weights. The fold that is held out is the validation data, and what a
linear classifier is tested on, as `ssast-hf evaluate` does it. Each of `--held_out` is in turn; the figures are the
means. Column `--fold_column` of the CSV, modulo 5, is the fold; names are counted in their order. Every combination of
`--starts`, `--steps`, `--learning_rates`, `--warmups` (shares of the run) and `--schedules` is a run; `default` is
what the command does by itself. Results are added to `continuing.jsonl` in the output folder; what is there already is
not run again, and all of it that has these defaults is drawn in `continuing.png`.
"""

import argparse
import csv
import itertools
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure
from timing import report
from transformers import set_seed

from ssast_hf import Embedder, SSASTFeatureExtractor
from ssast_hf.assets import nano_model
from ssast_hf.audio import load_audio
from ssast_hf.cli import main as run_command
from ssast_hf.inference.evaluating.intervals import t_interval
from ssast_hf.inference.evaluating.probing import Fold, probe
from ssast_hf.training.models import ModelArguments, make_model


FOLDS = 5
SHORTEST = 0.2  # seconds; a shorter clip has no whole patch
FIGURES = "loss_before loss_after probe_before probe_after".split()
# What the probe gains, and Student's 95 % interval over the folds.
GAIN = "gain low high".split()
STARTS = ("nano", "scratch")
DEFAULTS = {"learning_rate": "default", "warmup": "default", "schedule": "default", "num_masked_patches": None}
PANELS = ("validation loss, held out", "linear probe, held out, % right")
COLUMNS = ["data", "start", "steps", "learning_rate", "warmup", "schedule", *FIGURES, *GAIN]


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of the audio files")
    parser.add_argument("--labels", required=True, type=Path, help="CSV with filename, a fold and a label")
    parser.add_argument("--label_column", default="category")
    parser.add_argument("--fold_column", default="fold")
    parser.add_argument("--held_out", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="folds")
    parser.add_argument("--max_length", type=int, default=512, help="frames per clip")
    parser.add_argument("--starts", nargs="+", default=["nano"], choices=STARTS)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--learning_rates", nargs="+", default=["default"])
    parser.add_argument("--warmups", nargs="+", default=["default"])
    parser.add_argument("--schedules", nargs="+", default=["default"])
    parser.add_argument("--num_masked_patches", type=int, help="of a clip (default: the command's)")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output_dir", required=True, type=Path)
    arguments = parser.parse_args()
    with arguments.labels.open(newline="") as file:
        table = list(csv.DictReader(file))
    table = [row for row in table if soundfile.info(arguments.data / row["filename"]).duration >= SHORTEST]
    folds = numbers([row[arguments.fold_column] for row in table]) % FOLDS
    paths = [(arguments.data / row["filename"]).resolve() for row in table]
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    prober = Prober(paths, np.array([row[arguments.label_column] for row in table]), folds, arguments.max_length)
    results = arguments.output_dir / "continuing.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    rows = []
    random_weights = random_model(arguments.output_dir / "random", arguments.max_length, arguments.seed)
    grid = itertools.product(
        arguments.starts, arguments.steps, arguments.learning_rates, arguments.warmups, arguments.schedules
    )
    for start, steps, rate, warmup, schedule in grid:
        setting = {"data": arguments.labels.stem, "start": start, "steps": steps}
        setting |= {"fold_column": arguments.fold_column, "learning_rate": rate, "warmup": warmup}
        setting |= {"schedule": schedule, "seed": arguments.seed, "max_length": arguments.max_length}
        setting |= {"num_masked_patches": arguments.num_masked_patches}
        runs = []
        for fold in arguments.held_out:
            run = next((row for row in done if (setting | {"held_out": fold}).items() <= row.items()), None)
            if run is None:
                output = arguments.output_dir / "run"
                shutil.rmtree(output, ignore_errors=True)
                run = setting | {"held_out": fold} | continue_pretraining(paths, folds == fold, setting, output)
                untouched = nano_model() if start == "nano" else random_weights
                run |= {
                    "probe_before": prober.accuracy(untouched, fold),
                    "probe_after": prober.accuracy(output, fold),
                }
                with results.open("a") as file:
                    file.write(json.dumps(run) + "\n")
            runs.append(run)
        means = {name: float(np.mean([run[name] for run in runs])) for name in FIGURES}
        gains = np.array([run["probe_after"] - run["probe_before"] for run in runs])
        between = t_interval(gains, lowest=-1.0) if len(runs) > 1 else (np.nan, np.nan)
        gain = dict(zip(GAIN, (float(gains.mean()), *between), strict=True))
        rows.append({name: (setting | means | gain)[name] for name in COLUMNS})
    report(rows)
    draw([json.loads(line) for line in results.read_text().splitlines()], arguments.output_dir / "continuing.png")


def draw(runs: list[dict], path: Path):
    """Validation loss and probe by steps, of each data, continued and from random weights."""
    runs = [run for run in runs if DEFAULTS.items() <= run.items()]
    names = sorted({(run["data"], run["fold_column"]) for run in runs})
    if not names:
        return
    figure = Figure(figsize=(9, 3.4 * len(names)), layout="constrained")
    for row, name in zip(figure.subplots(len(names), 2, squeeze=False), names, strict=True):
        for axis, measure, label, unit in zip(row, ("loss", "probe"), PANELS, (1, 100), strict=True):
            for start, words in zip(STARTS, ("nano, continued", "the same network from random weights"), strict=True):
                chosen = [run for run in runs if (run["data"], run["fold_column"], run["start"]) == (*name, start)]
                by_steps = {0: [run[f"{measure}_before"] for run in chosen]}
                for run in chosen:
                    by_steps.setdefault(run["steps"], []).append(run[f"{measure}_after"])
                if chosen:
                    points = sorted((steps, unit * float(np.mean(found))) for steps, found in by_steps.items())
                    folds = len({run["held_out"] for run in chosen})
                    axis.plot(*zip(*points, strict=True), marker="o", label=f"{words} ({folds} folds)")
            axis.set_xscale("symlog", linthresh=10)
            axis.set_xticks(ticks := sorted({0} | {run["steps"] for run in runs}), labels=map(str, ticks))
            axis.set(title=f"{name[0]}: {label}", xlabel="steps of pretraining on the rest, without labels")
            axis.grid(alpha=0.3)
        row[1].legend(loc="center left", fontsize="small")
    figure.savefig(path, dpi=110)


def numbers(values: list[str]) -> np.ndarray:
    if all(value.isdecimal() for value in values):
        return np.array(values, dtype=int)
    return np.unique(values, return_inverse=True)[1]


def random_model(folder: Path, max_length: int, seed: int) -> Path:
    """A folder of the bundled network with the random weights that the command begins from."""
    set_seed(seed)
    model, feature_extractor = make_model(ModelArguments(config_name=str(nano_model()), max_length=max_length))
    model.save_pretrained(folder)
    of_nano = SSASTFeatureExtractor.from_pretrained(nano_model())
    feature_extractor.mean, feature_extractor.std = of_nano.mean, of_nano.std
    feature_extractor.save_pretrained(folder)
    return folder


def continue_pretraining(paths: list[Path], held_out, setting: dict, output: Path) -> dict[str, float]:
    """Run the command; returns the validation losses of the untouched weights and at the end."""
    options = {"output_dir": output, "max_steps": setting["steps"]}
    if setting["start"] == "nano":
        options["model_name_or_path"] = nano_model()
    else:
        extractor = SSASTFeatureExtractor.from_pretrained(nano_model())
        options |= {"config_name": nano_model(), "mean": extractor.mean, "std": extractor.std}
    for name, chosen in (("train_data", ~held_out), ("validation_data", held_out)):
        manifest = output.with_name(f"{name}.csv")
        manifest.write_text("\n".join(["path", *(str(paths[i]) for i in np.flatnonzero(chosen))]) + "\n")
        options[name] = manifest
    options |= {"max_length": setting["max_length"], "seed": setting["seed"]}
    options |= {"use_cpu": True, "visualize_steps": 0, "dataloader_num_workers": 0, "report_to": "none"}
    if setting["num_masked_patches"] is not None:
        options["num_masked_patches"] = setting["num_masked_patches"]
    if setting["learning_rate"] != "default":
        options["learning_rate"] = setting["learning_rate"]
    if setting["warmup"] != "default":
        options["warmup_steps"] = round(float(setting["warmup"]) * setting["steps"])
    if setting["schedule"] != "default":
        options["lr_scheduler_type"] = setting["schedule"]
    if "default" not in setting.values():  # of a grid, the last weights are compared
        options |= {"load_best_model_at_end": False, "save_strategy": "no"}
    argv = ["pretrain", *(text for name, value in options.items() for text in (f"--{name}", str(value)))]
    if status := run_command(argv):
        sys.exit(status)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    return {"loss_before": losses[0], "loss_after": losses[-1]}


class Prober:
    """A linear classifier on the embeddings of a model, tested on the clips of one fold."""

    def __init__(self, paths, labels, folds, max_length):
        self.folds, self.max_length = folds, max_length
        longest = SSASTFeatureExtractor().num_samples(max_length)
        self.clips = [load_audio(path)[:longest] for path in paths]
        self.targets = np.unique(labels, return_inverse=True)[1]
        self.kept = {}

    def accuracy(self, folder, held_out: int) -> float:
        train, test = np.flatnonzero(self.folds != held_out), np.flatnonzero(self.folds == held_out)
        fold = Fold(f"fold {held_out}", train, test, self.folds[train])
        return float((probe(self.embed(folder), self.targets, fold, "ridge").predictions == self.targets[test]).mean())

    def embed(self, folder) -> np.ndarray:
        """Of all layers, (clips, layers + 1, dimensions); those of the untouched weights are computed once."""
        if folder in self.kept:
            return self.kept[folder]
        embedder = Embedder(folder, pooling="mean", layer="all")
        embedder.encoder.set_input_geometry(max_length=self.max_length)
        embeddings = embedder(self.clips)
        if folder.name != "run":
            self.kept[folder] = embeddings
        return embeddings


if __name__ == "__main__":
    main()
