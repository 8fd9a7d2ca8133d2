"""
What pretraining is worth, on recordings that were not in it: the tables of docs/evidence.md.

    python benchmarks/evidence.py --models out --data /path/to/data --output_dir evidence
    python benchmarks/evidence.py --models nano out --data /path/to/data --output_dir evidence --only digits --seeds 2

Each model, the same network from random weights, and the statistics of log-mel features are asked by `ssast-hf
evaluate`: linear probe, nearest neighbours and few labels, with its intervals. Then `ssast-hf finetune` trains each
model at 8 labels per class against the same network from scratch. `--data` is a folder with `esc10/esc10.csv`
(category, fold), `digits/digits.csv` (digit, speaker) and `libri251/libri251.csv` (speaker, sex).

How the sets are kept apart from what `open_audio.py` makes, without ESC-10, to pretrain on:

- sounds: ESC-10, by its own folds. The two clips under Sampling+ and the bundled clips are left out.
- digits: by speaker; there are none of them in it. A few are shorter than a patch, and left out.
- readers: male or female voice, of those readers of libri251 that `open_audio.py` holds out, and no others; their
  folds are by speaker.

A model whose `training_data.csv`, beside its weights, says that it has heard what a task tests is refused. What other
models have heard is not known here.

What is fine-tuned is not run again, and nothing is embedded twice. Writes what `evaluate` found of each task
(`sounds.json`, ...) and what fine-tuning reached (`finetuned-*/downstream.json`), and prints a table.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import soundfile
from downstream import Study, few, weights_of, write
from open_audio_parts.folders import LEFT_OUT, held_out_speakers, is_bundled, rows_of

from ssast_hf.assets import named_model
from ssast_hf.cli import main as ssast_hf


TRAINING_DATA = "training_data.csv"
# Columns of labels and of folds.
TASKS = {"sounds": ("category", "fold"), "digits": ("digit", "speaker"), "readers": ("sex", "fold")}
WAYS = {"fine-tuned": [], "from scratch": ["--init_from_scratch", "True"]}
FEW = 8
READER_FOLDS = 5
LONGEST = 512  # frames
SHORTEST = 0.2  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True, help="names or folders")
    parser.add_argument("--only", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", type=int, default=3, help="of fine-tuning")
    parser.add_argument("--processes", type=int, default=2, help="runs of fine-tuning at a time")
    arguments = parser.parse_args()
    arguments.data, arguments.output_dir = arguments.data.resolve(), arguments.output_dir.resolve()
    held_out = held_out_speakers(arguments.data) if "readers" in arguments.only else []
    for model in arguments.models:
        if known := heard(model, held_out) & set(arguments.only):
            parser.error(
                f"--models {model}: its {TRAINING_DATA} names recordings that {', '.join(sorted(known))} would test; "
                "leave that out of --only."
            )
    studies = {
        model: Study(arguments.output_dir / f"finetuned-{Path(model).name}-{weights_of(model)[:8]}", model, [])
        for model in arguments.models
    }
    for task in arguments.only:
        clips = clips_of(task, arguments.data)
        found = probe(task, clips, arguments.models, arguments.output_dir)
        (arguments.output_dir / f"{task}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        for study in studies.values():
            finetune(task, clips, study, arguments.output_dir / "lists", arguments.seeds)
            study.run(arguments.processes)
    for model, study in studies.items():
        print("\n".join([model, *study.table()]))
    return 0


def clips_of(task: str, data: Path) -> list[dict]:
    """The recordings of a task that no model has heard, each with `path`, its label and its fold."""
    if task == "digits":
        return [row for row in rows_of(data, "digits") if soundfile.info(row["path"]).duration >= SHORTEST]
    if task == "sounds":
        rows = [row for row in rows_of(data, "esc10") if not row["filename"].startswith(LEFT_OUT)]
        return [row for row in rows if not is_bundled(row)]
    held_out = held_out_speakers(data)
    rows = [row for row in rows_of(data, "libri251") if row["speaker"] in held_out]
    return [row | {"fold": str(held_out.index(row["speaker"]) % READER_FOLDS + 1)} for row in rows]


def heard(model: str, held_out: list[str]) -> set[str]:
    """
    The tasks of which a model has heard recordings, by the list beside its weights: of recordings, by their path, or
    of sources, of which `open_audio.py` leaves the held-out readers of libri251 out.
    """
    table = Path(named_model(model), TRAINING_DATA)
    if not table.exists():
        return set()
    tasks = set()
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path = Path(row.get("path") or "")
            names = {*path.parts, row.get("source")}
            if "esc10" in names:
                tasks.add("sounds")
            if "digits" in names:
                tasks.add("digits")
            if "libri251" in names and path.name.split("-")[0] in held_out:
                tasks.add("readers")
    return tasks


def probe(task: str, clips: list[dict], models: list[str], folder: Path) -> dict:
    """What `ssast-hf evaluate` finds of the models, of random weights and of log-mel statistics."""
    label, fold = TASKS[task]
    output = folder / f"evaluated-{task}"
    table = write(folder / "lists" / f"{task}.csv", clips, ["path", label, fold])
    options = ["--data", table, "--label_column", label, "--fold_column", fold, "--output_dir", str(output)]
    # Always: it keeps embeddings itself, and checks that they are of these weights.
    if ssast_hf(["evaluate", *models, *options]):
        raise SystemExit(f"{output} failed")
    return json.loads((output / "metrics.json").read_text(encoding="utf-8"))


def length_of(clips: list[dict]) -> list[str]:
    """The option of fine-tuning for an input that takes the longest of them, if nano's does."""
    seconds = max(soundfile.info(row["path"]).duration for row in clips)
    return ["--max_length", str(min(16 * (int(100 * seconds) // 16 + 1), LONGEST))]


def finetune(task: str, clips: list[dict], study: Study, folder: Path, seeds: int):
    """Accuracy at few labels per class, fine-tuned and from scratch; each fold in turn is the test."""
    label, fold = TASKS[task]
    length = length_of(clips)
    for value in sorted({row[fold] for row in clips}):
        test = write(
            folder / f"{task}-{value}-test.csv", [row for row in clips if row[fold] == value], ["path", label]
        )
        rest = [row for row in clips if row[fold] != value]
        for seed in range(seeds):
            chosen = few(rest, label, FEW, seed)
            train = write(folder / f"{task}-{value}-{seed}.csv", chosen, ["path", label])
            options = ["--train_data", train, "--test_data", test, "--label_column", label, *length]
            for way, others in WAYS.items():
                study.ask(f"{task}, fold {value}", way, FEW, seed, "accuracy", [*options, *others])


if __name__ == "__main__":
    sys.exit(main())
