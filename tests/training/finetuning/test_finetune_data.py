"""Where labels come from, who chooses the epoch, what starts and stops it: it is one command."""

import json
import os
import signal
from unittest import mock

import datasets
import pytest
import torch
from command import ACCELERATE, TORCHRUN, finish, kill_after, launch, run, wait_until, weights
from finetune_command import options, results_in, table
from transformers import AutoModelForAudioClassification

from ssast_hf.cli import main
from ssast_hf.inference.evaluating.data import load_parts
from ssast_hf.training.finetuning.data_options import LabelledArguments
from ssast_hf.training.finetuning.parts import make_splits
from ssast_hf.training.stopping import EXIT_STATUS


pytestmark = pytest.mark.usefixtures("short")


QUICK = {"max_steps": 2, "mean": -4, "std": 4}


def as_parquet(sounds, path, names=("low", "high")) -> str:
    files = sorted(sounds.rglob("*.wav"))
    audio = [{"bytes": file.read_bytes(), "path": None} for file in files]
    rows = datasets.Dataset.from_dict({"audio": audio, "label": [names.index(file.parent.name) for file in files]})
    rows = rows.cast_column("audio", datasets.Audio(decode=False))
    rows.cast_column("label", datasets.ClassLabel(names=list(names))).to_parquet(str(path))
    return str(path)


def test_parquet_files_with_the_audio_in_them(model_dir, sounds, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = as_parquet(sounds, tmp_path / "sounds.parquet")
    assert main(options(model_dir, data, tmp_path / "out", **QUICK)) == 0
    config = AutoModelForAudioClassification.from_pretrained(tmp_path / "out").config
    assert config.id2label == {0: "low", 1: "high"}  # in the order that the file says


def test_a_data_set_on_the_hub(model_dir, sounds, tmp_path, monkeypatch):
    """Of which there is a local copy here; what is asked for is checked."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = datasets.Dataset.from_parquet(as_parquet(sounds, tmp_path / "sounds.parquet"))
    parts = rows.train_test_split(8, stratify_by_column="label", seed=0)
    asked = []

    def load_dataset(name, config_name, split, streaming):
        asked.append((name, config_name, split, streaming))
        return parts[{"train": "train", "eval": "test"}[split]]

    monkeypatch.setattr("ssast_hf.audio.tables.load_dataset", load_dataset)
    changes = {"test_data": "org/sounds", "test_split": "eval", "dataset_config_name": "small"}
    assert main(options(model_dir, "org/sounds", tmp_path / "out", **QUICK, **changes)) == 0
    assert asked == [("org/sounds", "small", split, False) for split in ("train", "eval")]
    assert results_in(tmp_path / "out")["count"] == 8


def test_the_originals_json_and_classes_with_parts_of_their_own(model_dir, sounds, tmp_path):
    for name, numbers in {"train": range(8), "validation": (8, 9), "test": (10, 11)}.items():
        rows = [
            {"wav": str(sounds / kind / f"{kind}-{i}.wav"), "labels": f"/m/{kind}"}
            for kind in ("low", "high")
            for i in numbers
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps({"data": rows}))
    (tmp_path / "classes.csv").write_text("index,mid,display_name\n0,/m/low,Low tone\n1,/m/high,High tone\n")
    parts = {f"{name}_data": tmp_path / f"{name}.json" for name in ("validation", "test")}
    changes = QUICK | parts | {"label_csv": tmp_path / "classes.csv"}
    assert main(options(model_dir, tmp_path / "train.json", tmp_path / "out", **changes)) == 0
    assert "recordings: 16 train; 4 validation; 4 test" in (tmp_path / "out" / "report.md").read_text()
    config = AutoModelForAudioClassification.from_pretrained(tmp_path / "out").config
    assert config.id2label == {0: "Low tone", 1: "High tone"}


def test_no_speaker_is_in_two_parts_and_one_fold_is_asked_for(model_dir, sounds, tmp_path):
    data = table(sounds, "label,speaker,fold", lambda i: f"{'ab'[i // 12]},{i % 6},{i % 3}")
    assert main(options(model_dir, data, tmp_path / "groups", **QUICK, group_column="speaker")) == 0
    report = (tmp_path / "groups" / "report.md").read_text()
    assert "recordings: 12 train; 4 validation; 8 test" in report  # whole groups of four
    assert main(options(model_dir, data, tmp_path / "fold", **QUICK, fold_column="fold", folds="1")) == 0
    assert results_in(tmp_path / "fold")["count"] == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_smoothing_factor": 1.5}, "--label_smoothing_factor is a share from 0 to 1, got 1.5"),
        ({"classifier_proj_size": 0}, "--classifier_proj_size must be at least 1, got 0"),
        ({"task": "ctc", "noise_and_roll": True}, "leave it out with --task ctc"),
        ({"fsdp": "full_shard"}, "--fsdp is for pretrain"),
        ({"task": "frames", "pooling_mode": "mean"}, "that of --task frames hears every time step"),
        ({"freeze_encoder": True, "layer_decay": 0.5}, "which --freeze_encoder leaves as they are"),
        ({"task": "regression", "label_csv": "labels.csv"}, "--label_csv names classes"),
        ({"task": "frames", "label_separator": ";"}, "--label_separator stands between classes in one cell"),
        ({"average_last_epochs": 1, "num_train_epochs": 0.5}, "--average_last_epochs needs whole epochs"),
        ({"average_last_epochs": 1, "num_train_epochs": 2.5}, "--average_last_epochs needs whole epochs"),
        ({"fold_column": "fold", "test_fraction": 0.1}, "that --fold_column already names"),
        ({"validation_data": "a.csv", "validation_fraction": 0.1}, "that --validation_data already names"),
        ({"recipe": "esc50", "validation_fraction": 0.1}, "--recipe esc50 validates on what it tests"),
        ({"lr_step_from": 2}, "pass --lr_step_decay, too"),
    ],
    ids=str,
)
def test_options_that_do_nothing_are_refused(model_dir, sounds, tmp_path, capsys, changes, message):
    # For --fsdp, transformers 4 sets variables.
    with pytest.raises(SystemExit), mock.patch.dict(os.environ):
        main(options(model_dir, sounds, tmp_path / "out", **changes))
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "changes", "rate", "chosen"),
    [
        ("esc50", {"fold_column": "fold"}, "0.0001", "the mean accuracy over the folds that are tested on is best"),
        ("speechcommands", {}, "0.00025", "chosen by validation on"),
        (
            "audioset",
            {"num_train_epochs": 3, "average_last_epochs": 2},
            "5e-05",
            "The mean of the weights after epochs 2 to 3 was tested once; no epoch was chosen",
        ),
        ("superb", {"max_steps": 4, "eval_steps": 2, "save_steps": 2}, "0.0001", "chosen by validation on"),
    ],
)
def test_recipes_of_the_original(model_dir, sounds, tmp_path, recipe, changes, rate, chosen):
    data = table(sounds, "label,fold", lambda i: f"{'ab'[i // 12]},{i % 2}")
    changes = {
        "max_length": 64,
        "num_train_epochs": 2,
        "mask_frequency": 4,
        "mask_time": 8,
        "min_per_class": 1,
    } | changes
    if recipe == "superb":
        del changes["num_train_epochs"]
    command = options(model_dir, data, tmp_path / "out", recipe=recipe, **changes)
    left_open = ["--learning_rate", "--num_train_epochs"] if recipe == "superb" else ["--learning_rate"]
    for name in left_open:  # that of the recipe
        at = command.index(name)
        del command[at : at + 2]
    assert main(command) == 0
    report = (tmp_path / "out" / "report.md").read_text()
    assert chosen in report
    one = tmp_path / "out" / "fold-0" if "fold_column" in changes else tmp_path / "out"
    report = (one / "report.md").read_text()
    assert f"; learning rate {rate}; seed 42" in report
    assert f"learning_rate {float(rate)}," in report  # among the values of the recipe


@pytest.fixture
def documented(model_dir, sounds, tmp_path):
    """Options without one that says that there is no GPU."""
    command = options(model_dir, sounds, tmp_path / "out", num_train_epochs=12, learning_rate=5e-3)
    at = command.index("--use_cpu")
    return command[:at] + command[at + 2 :]


@pytest.mark.slow
def test_torchrun_trains_one_model_and_tests_it_once(documented, tmp_path):
    launch(TORCHRUN, documented)
    result = results_in(tmp_path / "out")
    assert result["count"] == 6
    assert result["test"]["accuracy"]["value"] == 1.0
    assert "x 2 processes" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.slow
def test_accelerate_trains_and_tests(documented, tmp_path):
    launch(ACCELERATE, documented)
    result = results_in(tmp_path / "out")
    assert result["count"] == 6
    assert result["test"]["accuracy"]["value"] > 0.5
    assert "x 1 processes" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.slow
def test_a_signal_saves_a_checkpoint_from_which_the_same_command_goes_on(model_dir, sounds, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    often = {"eval_strategy": "steps", "eval_steps": 20, "save_strategy": "steps", "save_steps": 20}
    changes = often | {"max_steps": 200, "mean": -4, "std": 4}
    (process,) = run(options(model_dir, sounds, stopped, **changes), tmp_path)
    wait_until([process], stopped / "checkpoint-20")
    os.kill(process.process.pid, signal.SIGTERM)
    process.process.join(300)
    assert process.process.exitcode == EXIT_STATUS
    assert "Stopped by a signal. The same command goes on" in process.errors()
    assert not (stopped / "metrics.json").exists()
    for output in (straight, stopped):
        finish(run(options(model_dir, sounds, output, **changes), tmp_path))
    assert results_in(straight)["test"] == results_in(stopped)["test"]
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(stopped)[name]), name


@pytest.mark.slow
def test_a_signal_to_all_processes_in_the_final_test(model_dir, sounds, tmp_path):
    code = """
import os, subprocess, sys, time, psutil
from ssast_hf.cli import main
from ssast_hf.training.finetuning.trainer import FinetuningTrainer
predict, prediction_step = FinetuningTrainer.predict, FinetuningTrainer.prediction_step
def watched(self, *args, **kwargs):
    FinetuningTrainer.prediction_step = told
    return predict(self, *args, **kwargs)
def told(self, *args, **kwargs):
    own = psutil.Process()
    workers = own.children()
    assert workers
    kill = f"import os; [os.kill(pid, 15) for pid in {[each.pid for each in (*workers, own)]}]"
    subprocess.run([sys.executable, "-c", kill])
    time.sleep(1)
    return prediction_step(self, *args, **kwargs)
FinetuningTrainer.predict = watched
sys.exit(main(sys.argv[1:]))
"""
    output = tmp_path / "out"
    command = options(model_dir, sounds, output, **QUICK, dataloader_num_workers=1, per_device_eval_batch_size=1)
    (process,) = run(command, tmp_path, code=code)
    process.process.join(300)
    assert process.process.exitcode == EXIT_STATUS, process.errors()
    assert not (output / "metrics.json").exists()
    assert main(command) == 0
    assert results_in(output)["count"] == 6


@pytest.mark.slow
def test_killed_twice_and_given_again_it_ends_in_the_same_weights(model_dir, sounds, tmp_path):
    """Wherever it is, with workers that decode, and what draws random numbers."""
    changes = {"eval_strategy": "steps", "eval_steps": 20, "save_strategy": "steps", "save_steps": 20}
    changes |= {"max_steps": 100, "dataloader_num_workers": 2, "mixup": 0.5, "mask_time": 8, "noise_and_roll": True}
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for step in (20, 60):
        processes = run(options(model_dir, sounds, killed, **changes), tmp_path)
        kill_after(processes, killed / f"checkpoint-{step}")
    assert not (killed / "metrics.json").exists()
    for output in (straight, killed):
        finish(run(options(model_dir, sounds, output, **changes), tmp_path))
    assert results_in(straight)["test"] == results_in(killed)["test"]
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(killed)[name]), name


def test_one_separator_for_all_parts(sounds, tmp_path):
    """The test has names with commas alone, and what is trained on shows that these do not separate."""
    files = sorted(sounds.rglob("*.wav"))
    write = {
        "train.csv": (files[:8], ['"Speech, male;Rain"', '"Speech, male"']),
        "test.csv": (files[8:], ['"Speech, male"']),
    }
    for name, (paths, labels) in write.items():
        rows = [f"{path},{labels[i % len(labels)]}" for i, path in enumerate(paths)]
        (tmp_path / name).write_text("\n".join(["path,label", *rows]) + "\n")
    names = {"train_data": str(tmp_path / "train.csv"), "test_data": str(tmp_path / "test.csv")}
    (split,), _ = make_splits(LabelledArguments(**names), "classes", 0)
    assert split.test.labels == [["Speech, male"]] * 16
    settings = {"task": "multilabel", "num_folds": 2, "min_per_class": 1, "seed": 0}
    _, test = load_parts(names["train_data"], names, settings)
    assert test.labels == [["Speech, male"]] * 16
