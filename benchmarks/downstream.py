"""
What pretraining is worth downstream: the bundled model against the same network from random weights, fine-tuned by
`ssast-hf finetune`, at few and at all labels.

    python benchmarks/downstream.py --data /path/to/data --output_dir downstream --frame_model frames
    python benchmarks/downstream.py --data /path/to/data --output_dir downstream --only sounds --labels 1 4 --seeds 1
    python benchmarks/downstream.py --data /path/to/data --output_dir downstream --frame_model frames \
        --only speakers texts events --labels 1 4 16

`--data` is a folder with `esc10/esc10.csv` (category, fold), `digits/digits.csv` (digit, speaker, take) and
`libri251/libri251.csv` (speaker), each beside a folder `audio`. Two runs at a time, of a thread each. What is finished
is not run again. Writes `downstream.json`, of what this command was asked for, and prints rows for docs/finetuning.md.
The first command has few labels of sounds and digits alone; the last one adds those of the rest.
"""

import argparse
import csv
import hashlib
import json
import multiprocessing
import os
import shlex
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import soundfile
import torch
from open_audio_parts.folders import held_out_speakers, rows_of

from ssast_hf.assets import named_model
from ssast_hf.cli import main as ssast_hf
from ssast_hf.inference.evaluating.intervals import t_interval


# How the encoder is used.
WAYS = {
    "pretrained, fine-tuned": [],
    "pretrained, frozen": ["--freeze_encoder", "True"],
    "from scratch": ["--init_from_scratch", "True"],
}
ALL = 0
RATE, SHORTEST = 16000, 0.2
ASKING = threading.Lock()
FEW_AND_ALL = (1, 4, 16, ALL)
# Of each study: steps of training; draws of labels and of what is random in training (folds are draws, too); and
# labels per class.
PLANS = {
    "sounds": (80, 1, FEW_AND_ALL),
    "digits": (80, 2, FEW_AND_ALL),
    "speakers": (80, 2, (ALL,)),
    "texts": (1000, 1, (ALL,)),
    "events": (400, 1, (ALL,)),
    "heads": (80, 2, (ALL,)),
}
SOFTMAX = {
    "additive margin": ["--task", "speaker"],
    "the same without margin": ["--task", "speaker", "--am_softmax_margin", "0"],
    "plain softmax": ["--task", "classification"],
}
# Of the table about heads: each against the first.
HEADS = {
    "speakers, attentive": ["--pooling_mode", "attentive"],
    "speakers, mean": ["--pooling_mode", "mean"],
    "speakers, weighted sum of layers": ["--use_weighted_layer_sum", "True"],
}


def write(path: Path, rows: list[dict], columns: list[str]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def digits_of(data: Path) -> list[dict]:
    """Those that are long enough for a patch."""
    return [row for row in rows_of(data, "digits") if soundfile.info(row["path"]).duration >= SHORTEST]


def few(rows: list[dict], label: str, count: int, seed: int) -> list[dict]:
    """So many rows of each class, or all."""
    order = np.random.default_rng(seed).permutation(len(rows))
    taken: dict[str, int] = {}
    chosen = []
    for i in order:
        name = rows[i][label]
        if count == ALL or taken.get(name, 0) < count:
            taken[name] = taken.get(name, 0) + 1
            chosen.append(rows[i])
    return chosen


def parts_by(rows: list[dict], column: str, test: str, validation: str) -> tuple[list[dict], list[dict], list[dict]]:
    kept = [row for row in rows if row[column] not in (test, validation)]
    return kept, *([row for row in rows if row[column] == value] for value in (validation, test))


def digit_strings(rows: list[dict], folder: Path, count: int, seed: int) -> list[dict]:
    """Recordings of three digits each by one speaker, with what was said: 274."""
    random = np.random.default_rng(seed)
    by_speaker: dict[str, list[dict]] = {}
    for row in rows:
        by_speaker.setdefault(row["speaker"], []).append(row)
    made = []
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        speaker = sorted(by_speaker)[i % len(by_speaker)]
        chosen = [by_speaker[speaker][j] for j in random.integers(len(by_speaker[speaker]), size=3)]
        audio = [soundfile.read(row["path"], dtype="float32")[0] for row in chosen]
        path = folder / f"{i}.wav"
        soundfile.write(path, np.concatenate(audio), RATE)
        text = "".join(row["digit"] for row in chosen)
        made.append({"path": str(path), "text": text, "speaker": speaker})
    return made


def scenes(rows: list[dict], folder: Path, count: int, seed: int) -> list[dict]:
    """Events of a second at random times in noise of five seconds, a row each."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for i in range(count):
        scene = 0.003 * random.standard_normal(5 * RATE).astype(np.float32)
        path = folder / f"{i}.wav"
        for row in (rows[j] for j in random.integers(len(rows), size=2)):
            sound = soundfile.read(row["path"], dtype="float32")[0]
            energy = np.cumsum(np.square(sound, dtype=np.float64))
            loudest = int(np.argmax(energy[RATE:] - energy[:-RATE]))
            begin = int(random.integers(4 * RATE))
            scene[begin : begin + RATE] += sound[loudest : loudest + RATE]
            onset = begin / RATE
            made.append({"path": str(path), "onset": onset, "offset": onset + 1, "event_label": row["category"]})
        soundfile.write(path, scene.clip(-1, 1), RATE)
    return made


def few_recordings(rows: list[dict], column: str, count: int, seed: int) -> list[dict]:
    """
    Of recordings of several things each, drawn one after the other until each thing that a column names is heard at
    least so often: their rows; or all. What a recording has enough of already comes with it.
    """
    if count == ALL:
        return rows
    by_path: dict[str, list[dict]] = {}
    for row in rows:
        by_path.setdefault(row["path"], []).append(row)
    found: Counter = Counter()
    chosen = []
    for i in np.random.default_rng(seed).permutation(len(by_path)):
        recording = list(by_path.values())[i]
        heard = [name for row in recording for name in (row[column] if column == "text" else [row[column]])]
        if any(found[name] < count for name in heard):
            found.update(heard)
            chosen += recording
    return chosen


def pairs(rows: list[dict], count: int, seed: int) -> list[dict]:
    """As many pairs of one speaker as of two."""
    random = np.random.default_rng(seed)
    by_speaker: dict[str, list[dict]] = {}
    for row in rows:
        by_speaker.setdefault(row["speaker"], []).append(row)
    names, made = sorted(by_speaker), []
    for i in range(count):
        first, second = (names[j] for j in random.choice(len(names), size=2, replace=False))
        one = by_speaker[first]
        a, b = random.choice(len(one), size=2, replace=False)
        other = one[b] if i % 2 else by_speaker[second][int(random.integers(len(by_speaker[second])))]
        made.append({"first": one[a]["path"], "second": other["path"], "label": i % 2})
    return made


def halves(rows: list[dict], folder: Path) -> list[dict]:
    """Each recording in pieces of two seconds, so that a speaker with one recording has several."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for row in rows:
        audio, rate = soundfile.read(row["path"], dtype="float32")
        for i in range(len(audio) // (2 * rate)):
            path = folder / f"{Path(row['path']).stem}-{i}.wav"
            soundfile.write(path, audio[2 * rate * i : 2 * rate * (i + 1)], rate)
            made.append(row | {"path": str(path)})
    return made


def weights_of(model: str) -> str:
    """A digest of a model's weights and configuration; of one on the Hub, of its name."""
    folder = Path(named_model(model))
    digest = hashlib.sha256(b"" if folder.is_dir() else model.encode())
    for path in [*sorted(folder.glob("*.safetensors")), *folder.glob("config.json")]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Study:
    """
    Runs the command once per setting, several at a time, and keeps what it measured. The folder of a run is named by
    the weights and the command line, too, so that what is found there is of the same run.
    """

    def __init__(self, folder: Path, model: str, options: list[str]):
        self.folder, self.model, self.options = folder, model, options
        self.asked: list[dict] = []
        self.found: list[dict] = []

    def ask(
        self, study: str, way: str, labels: int, seed: int, metric: str, arguments: list[str], model: str | None = None
    ):
        """Have the study's model, or another one, fine-tuned by the next `run`."""
        model = model or self.model
        command = ["finetune", "--model_name_or_path", model, "--seed", str(seed), *arguments, *self.options]
        digest = hashlib.sha256(f"{weights_of(model)} {shlex.join(command)}".encode()).hexdigest()
        words = [study, way, str(labels), str(seed), digest[:8]]
        out = self.folder / "runs" / "-".join("".join(c if c.isalnum() else "_" for c in word) for word in words)
        setting = {"study": study, "way": way, "labels": labels, "seed": seed, "metric": metric}
        self.asked.append({"setting": setting, "command": [*command, "--output_dir", str(out)], "folder": out})

    def run(self, processes: int = 2):
        """Fine-tune what was asked for and is not there yet; each run has a thread, and its console in a file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        asked = {each["folder"]: each for each in self.asked}.values()
        missing = [each for each in asked if not is_finished(each)]
        with ThreadPoolExecutor(processes) as pool:
            for number, each in enumerate(pool.map(fine_tune, missing), start=1):
                print(f"{number} of {len(missing)}: {each.name}", file=sys.stderr, flush=True)
        for each in self.asked:
            figure = json.loads((each["folder"] / "metrics.json").read_text(encoding="utf-8"))["test"]
            figure = figure[each["setting"]["metric"]]
            value, interval = figure.get("value", figure.get("mean")), figure.get("interval_95")
            self.found.append(each["setting"] | {"value": value, "interval": interval})
        self.asked = []
        (self.folder / "downstream.json").write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")

    def table(self) -> list[str]:
        """
        Means over folds and seeds. Intervals are Student's over seeds or over folds, whichever are more; of a single
        run, its own. Folds share most of what they are trained on, though their tests have nothing in common; seeds
        share their tests.
        """
        cells: dict[tuple, dict[int, list[dict]]] = {}
        for each in self.found:
            name = each["study"].partition(", fold")[0]
            cell = cells.setdefault((name, each["metric"], each["way"], each["labels"]), {})
            cell.setdefault(each["seed"], []).append(each)
        lines = [
            "| what | figure | how | labels per class | mean | 95 % interval | over |",
            "|---|---|---|---|---|---|---|",
        ]
        for (study, metric, way, labels), of_seeds in cells.items():
            values = np.array([[each["value"] for each in folds] for folds in of_seeds.values()])
            over = "seeds" if len(values) >= values.shape[1] else "folds"
            runs = values.mean(axis=1 if over == "seeds" else 0)
            if len(runs) > 1:
                interval = t_interval(runs, np.inf if metric == "character_error_rate" else 1.0)
                over = f"{len(runs)} {over}"
            else:
                interval, over = next(iter(of_seeds.values()))[0]["interval"], "its test"
            figure, between = metric.replace("_", " "), " to ".join(f"{end:.3f}" for end in interval)
            lines.append(
                f"| {study} | {figure} | {way} | {labels or 'all'} | {np.mean(runs):.3f} | {between} | {over} |"
            )
        return lines


def is_finished(asked: dict) -> bool:
    """Whether a run is there, with the figure that is asked for."""
    path = asked["folder"] / "metrics.json"
    return path.exists() and asked["setting"]["metric"] in json.loads(path.read_text(encoding="utf-8"))["test"]


def fine_tune(asked: dict) -> Path:
    """
    One run, in a process of its own; returns its folder. The process begins as a copy of one that has imported PyTorch
    and transformers, which takes a third of a short run.
    """
    folder = asked["folder"]
    log = folder.parents[1] / "logs" / f"{folder.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ssast_hf.training.finetuning.run"])
    process = context.Process(target=run_command, args=(asked["command"], log))
    # To start one asks all others whether they have ended, which only one thread at a time may.
    with ASKING:
        process.start()
    wait([process.sentinel])
    with ASKING:
        process.join()
    if process.exitcode:
        raise SystemExit(f"{folder} failed: see {log}")
    return folder


def run_command(command: list[str], log: Path):
    """
    `ssast-hf` with one thread, and its console in a file. Processes that read for it would import this script, and
    have no core of their own.
    """
    torch.set_num_threads(1)
    with log.open("w", encoding="utf-8") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.exit(ssast_hf([*command, "--dataloader_num_workers", "0"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--output_dir", required=True, type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--frame_model", help="a small pretrained model of patches of 128 x 2, for texts")
    parser.add_argument("--only", nargs="+", default=list(STUDIES), choices=STUDIES)
    parser.add_argument("--labels", nargs="+", type=int, help="per class; 0 for all (default: those of each study)")
    parser.add_argument("--folds", nargs="+", help="of sounds (default: all)")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--seeds", type=int, help="draws (default: those of each study)")
    parser.add_argument("--steps", type=int, help="of training (default: those of each study)")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time")
    parser.add_argument("--divide", type=int, default=1, help="how many recordings are made by this, to try it out")
    parser.add_argument("--rest", nargs=argparse.REMAINDER, default=[], help="further options of finetune")
    options = parser.parse_args()
    options.output_dir = options.output_dir.resolve()
    study = Study(options.output_dir, options.model, options.rest)
    data, tables = options.data.resolve(), options.output_dir / "tables"
    for name in options.only:
        STUDIES[name](study, data, tables, with_plan(options, name))
    study.run(options.processes)
    print("\n".join(study.table()))
    print(shlex.join(["python", *sys.argv]))


def with_plan(options: argparse.Namespace, name: str) -> argparse.Namespace:
    """The options with the length, the draws and the labels of a study's runs, unless the command line has them."""
    steps, seeds, labels = PLANS[name]
    steps = options.steps or steps
    length = ["--max_steps", str(steps), "--eval_strategy", "steps", "--eval_steps", str(max(steps // 4, 1))]
    length += ["--save_strategy", "steps", "--save_steps", str(steps), "--report_to", "none"]
    planned = {"length": length, "seeds": options.seeds or seeds, "labels": options.labels or labels}
    return argparse.Namespace(**vars(options) | planned)


def classes(study: Study, name: str, parts, label: str, tables: Path, options):
    """Fine-tuned on few and on all labels, each way, with several draws."""
    train, validation, test = parts
    columns = ["path", label]
    fixed = ["--validation_data", write(tables / f"{name}-validation.csv", validation, columns)]
    fixed += ["--test_data", write(tables / f"{name}-test.csv", test, columns), "--label_column", label]
    fixed += ["--min_per_class", "1"]
    for labels in options.labels:
        for seed in range(options.seeds):
            few_rows = few(train, label, labels, seed)
            source = write(tables / f"{name}-{labels}-{seed}.csv", few_rows, columns)
            for way in options.ways:
                arguments = ["--train_data", source, *fixed, *WAYS[way], *options.length]
                study.ask(name, way, labels, seed, "accuracy", arguments)


def sounds(study, data, tables, options):
    rows = rows_of(data, "esc10")
    for fold in options.folds or sorted({row["fold"] for row in rows}):
        validation = str(int(fold) % 5 + 1)
        classes(study, f"ESC-10, fold {fold}", parts_by(rows, "fold", fold, validation), "category", tables, options)


def digits(study, data, tables, options):
    rows = digits_of(data)
    speakers = sorted({row["speaker"] for row in rows})
    parts = parts_by(rows, "speaker", speakers[0], speakers[1])
    options.length += ["--max_length", "64"]  # of the input: they last for half a second
    classes(study, "digits of unknown speakers", parts, "digit", tables, options)


def speakers(study, data, tables, options):
    for way in options.ways:
        for of in ("libri251", "digits"):
            verify(study, f"unknown speakers of {of}", way, WAYS[way], data, tables, options, of)


def heads(study, data, tables, options):
    options.labels = [ALL]
    for way, arguments in HEADS.items():
        verify(study, "heads", way, arguments, data, tables, options)
    # Of the digits, whose speakers have many recordings each. Readers have one, whose pieces would be in training and
    # in the test.
    source = write(tables / "softmax.csv", digits_of(data), ["path", "speaker", "take"])
    for way, loss in SOFTMAX.items():
        for seed in range(options.seeds):
            arguments = ["--train_data", source, *loss, "--label_column", "speaker", "--min_per_class", "0"]
            arguments += ["--pooling_mode", "attentive", "--group_column", "take", *options.length]
            study.ask("speakers by name", way, ALL, seed, "accuracy", arguments)


def verify(study, name: str, way: str, arguments: list[str], data, tables, options, of: str = "libri251"):
    """
    Trained on readers of libri251 that pretraining may hear, tested on pairs of speakers that it may not: the other
    readers, of whom there is one recording each, in pieces, or those of the digits.
    """
    rows = halves(rows_of(data, "libri251"), tables / "pieces")
    held_out = set(held_out_speakers(data))
    train = [row for row in rows if row["speaker"] not in held_out]
    others = digits_of(data) if of == "digits" else [row for row in rows if row["speaker"] in held_out]
    counts = Counter(row["speaker"] for row in others)
    usable = [row for row in others if counts[row["speaker"]] > 1]
    trials = write(tables / f"trials-{of}.csv", pairs(usable, 1000, 0), ["first", "second", "label"])
    for labels in options.labels:
        for seed in range(options.seeds):
            fixed = ["--task", "speaker", *speaker_data(train, labels, seed, tables), "--trials", trials]
            fixed += ["--min_per_class", "0"]
            study.ask(name, way, labels, seed, "equal_error_rate", [*fixed, *arguments, *options.length])


def speaker_data(rows: list[dict], labels: int, seed: int, tables: Path) -> list[str]:
    """Pieces of readers to train on: all, or a few of each, with another piece of each for validation."""
    if labels == ALL:
        return ["--train_data", write(tables / "speakers.csv", rows, ["path", "speaker"])]
    counts = Counter(row["speaker"] for row in rows)
    several = [row for row in rows if counts[row["speaker"]] > 1]
    validation = few(several, "speaker", 1, 0)
    rest = [row for row in several if row not in validation]
    train = write(tables / f"speakers-{labels}-{seed}.csv", few(rest, "speaker", labels, seed), ["path", "speaker"])
    of_validation = write(tables / "speakers-validation.csv", validation, ["path", "speaker"])
    return ["--train_data", train, "--validation_data", of_validation]


def texts(study, data, tables, options):
    if options.frame_model is None:
        print(
            "texts are left out: they need --frame_model, a pretrained model of patches of 128 x 2; of random weights "
            "alone there is nothing to compare.",
            file=sys.stderr,
        )
        return
    rows = rows_of(data, "digits")
    takes = sorted({row["take"] for row in rows}, key=int)
    of_test, of_validation = takes[:8], takes[8:12]
    of_parts = (("train", takes[12:], 600), ("validation", of_validation, 60), ("test", of_test, 120))
    parts = [(part, [row for row in rows if row["take"] in of_part], count) for part, of_part, count in of_parts]
    for labels, seed, data_options in drawn("digits", parts, digit_strings, ["path", "text"], tables, options):
        for way in options.ways:
            given = ["--task", "ctc", "--metric_for_best_model", "character_error_rate", *data_options]
            given += [*WAYS[way], *options.length]
            study.ask("digit strings", way, labels, seed, "character_error_rate", given, options.frame_model)


def events(study, data, tables, options):
    train, validation, test = parts_by(rows_of(data, "esc10"), "fold", "1", "2")
    parts = (("train", train, 300), ("validation", validation, 60), ("test", test, 100))
    columns = ["path", "onset", "offset", "event_label"]
    for labels, seed, data_options in drawn("scenes", parts, scenes, columns, tables, options):
        for way in options.ways:
            given = ["--task", "frames", "--min_per_class", "0", *data_options, *WAYS[way], *options.length]
            for metric in ("segment_f1", "frame_f1"):  # of one run
                study.ask("events", way, labels, seed, metric, given)


def drawn(name: str, parts, make, columns: list[str], tables: Path, options):
    """
    Recordings that are made of those of each part, so many, and tables of them. Yields a number of labels, a draw, and
    the options of the data with as many labels; the last column has these.
    """
    made = {
        part: make(chosen, tables / f"{name}-{part}", count // options.divide, seed)
        for seed, (part, chosen, count) in enumerate(parts)
    }
    held_out = []
    for part in ("validation", "test"):
        held_out += [f"--{part}_data", write(tables / f"{name}-{part}.csv", made[part], columns)]
    for labels in options.labels:
        for seed in range(options.seeds):
            of_draw = "" if labels == ALL else f"-{labels}-{seed}"
            rows = few_recordings(made["train"], columns[-1], labels, seed)
            source = write(tables / f"{name}-train{of_draw}.csv", rows, columns)
            yield labels, seed, ["--train_data", source, *held_out]


STUDIES = {"sounds": sounds, "digits": digits, "speakers": speakers, "texts": texts, "events": events, "heads": heads}

if __name__ == "__main__":
    main()
