"""The fine-tuning command, from labelled files to a tested model."""

import re
import subprocess
import sys

import numpy as np
import pyarrow
import pytest
import soundfile
import torch
from command import weights
from datasets import Dataset
from finetune_command import options, results_in, table
from pyarrow import parquet
from safetensors.torch import load_file
from transformers import (
    ASTForAudioClassification,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForAudioFrameClassification,
    AutoModelForAudioXVector,
    AutoModelForCTC,
    AutoTokenizer,
    HfArgumentParser,
    TrainingArguments,
)

from ssast_hf.cli import main
from ssast_hf.conversion import convert_hf_to_ast
from ssast_hf.inference.predicting.predictor import Predictor
from ssast_hf.training.finetuning import one_split
from ssast_hf.training.finetuning.data_options import LabelledArguments
from ssast_hf.training.finetuning.early import check_labels, read_options
from ssast_hf.training.finetuning.options import TaskArguments
from ssast_hf.training.finetuning.trainer import FinetuningTrainer


pytestmark = pytest.mark.usefixtures("short")


@pytest.mark.curves
def test_from_a_folder_of_sounds_to_a_tested_classifier(model_dir, sounds, tmp_path, capsys):
    out = tmp_path / "out"
    command = options(model_dir, sounds, out, num_train_epochs=8, learning_rate=5e-3)
    assert main(command) == 0
    said = capsys.readouterr()
    assert "has no such head, so it is new" in said.err
    assert "test accuracy 1 " in said.out
    result = results_in(out)
    assert result["test"]["accuracy"] == {"value": 1.0, "interval_95": [1.0, 1.0]}
    assert (result["count"], len(result["validation"])) == (6, 8)
    report = (out / "report.md").read_text()
    for words in ("chosen by validation on 4 other recordings: accuracy", "| low | 1.000 | 1.000 | 1.000 | 3 |"):
        assert words in report
    for name in ("confusion.png", "curves.png"):
        assert f"]({name})" in report
        assert (out / name).stat().st_size > 5000
    model = AutoModelForAudioClassification.from_pretrained(out)
    assert model.config.id2label == {0: "high", 1: "low"}
    assert model.config.problem_type == "single_label_classification"
    extractor = AutoFeatureExtractor.from_pretrained(out)
    assert extractor.return_attention_mask
    assert extractor.mean != AutoFeatureExtractor.from_pretrained(model_dir).mean  # that of these sounds
    # The same command has nothing left to do, and finds the same.
    assert main(command) == 0
    assert "No step is left to make." in capsys.readouterr().err
    assert results_in(out) == result


def die_after(step: int, monkeypatch):
    """Let a run end as if it was killed, when the checkpoint of a step is written."""
    save = FinetuningTrainer._save_checkpoint

    def save_and_die(self, *args, **kwargs):
        save(self, *args, **kwargs)
        if self.state.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(FinetuningTrainer, "_save_checkpoint", save_and_die)


@pytest.mark.compatibility
def test_killed_and_resumed_is_as_unbroken(model_dir, sounds, tmp_path, monkeypatch, capsys):
    """With all that draws random numbers, rates that differ, and a mean of weights that is kept in checkpoints."""
    changes = {
        "mask_frequency": 8,
        "mask_time": 8,
        "mixup": 0.5,
        "noise_and_roll": True,
        "balance_classes": True,
        "layer_decay": 0.5,
        "head_lr_factor": 3,
        "lr_step_decay": 0.5,
        "lr_step_from": 1,
        "average_last_epochs": 2,
        "label_smoothing_factor": 0.1,
    }
    straight, killed = (options(model_dir, sounds, tmp_path / name, **changes) for name in ("straight", "killed"))
    assert main(straight) == 0
    with monkeypatch.context() as patch:
        die_after(8, patch)
        assert main(killed) == 130
    assert not (tmp_path / "killed" / "metrics.json").exists()
    capsys.readouterr()
    assert main(killed) == 0
    assert "Going on from" in capsys.readouterr().err
    one, other = (weights(tmp_path / name) for name in ("straight", "killed"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert results_in(tmp_path / "straight") == results_in(tmp_path / "killed")
    # The result is the mean after the last two epochs.
    last = [weights(tmp_path / "straight" / f"checkpoint-{step}") for step in (8, 12)]
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, (last[0][name] + last[1][name]) / 2)


@pytest.mark.compatibility
@pytest.mark.parametrize(
    ("columns", "labels", "changes"),
    [
        ("speaker", ["a", "b"], {"task": "speaker", "am_softmax_warmup_steps": 6}),
        ("text", ["low tone", "high tone"], {"task": "ctc"}),
        ("onset,offset,label", ["0,0.2,a", "0.1,0.3,b"], {"task": "frames"}),
        ("label", ["a", "a;b"], {"task": "multilabel"}),
        ("label", ["0.5", "-2"], {"task": "regression"}),
        ("label", ["a", "b"], {"lora_rank": 2}),
    ],
    ids=["speaker", "ctc", "frames", "multilabel", "regression", "low rank"],
)
def test_killed_and_resumed_whatever_the_task(
    model_dir, frame_model_dir, sounds, tmp_path, monkeypatch, columns, labels, changes
):
    data = table(sounds, columns, lambda i: labels[i // 12])
    start = frame_model_dir if changes.get("task") == "ctc" else model_dir
    changes = {"num_train_epochs": 2, "min_per_class": 1, "mean": -4, "std": 4} | changes
    straight, killed = (options(start, data, tmp_path / name, **changes) for name in ("straight", "killed"))
    assert main(straight) == 0
    with monkeypatch.context() as patch:
        die_after(4, patch)
        assert main(killed) == 130
    assert main(killed) == 0
    one, other = (weights(tmp_path / name) for name in ("straight", "killed"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert results_in(tmp_path / "straight") == results_in(tmp_path / "killed")


@pytest.mark.compatibility
def test_folds_and_stock_pooling(model_dir, sounds, tmp_path, capsys):
    data = table(sounds, "label,fold", lambda i: f"{'ab'[i // 12]},{i % 2}")
    changes = {"fold_column": "fold", "num_train_epochs": 1, "pooling_mode": "cls"}
    assert main(options(model_dir, data, tmp_path / "out", **changes)) == 0
    assert "over 2 folds" in capsys.readouterr().out
    result = results_in(tmp_path / "out")
    values = [fold["test"]["accuracy"]["value"] for fold in result["folds"].values()]
    accuracy = result["test"]["accuracy"]
    assert accuracy["mean"] == pytest.approx(np.mean(values))
    assert accuracy["interval_95"][0] <= accuracy["mean"] <= accuracy["interval_95"][1]
    # The tests of all folds together are all recordings, in the matrix, the classes and the mistakes.
    report = (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "confusion.png").exists()
    assert [line.split(" | ")[-1] for line in report.splitlines() if line.startswith(("| a ", "| b "))] == ["12 |"] * 2
    wrong = 24 - round(12 * sum(values))
    assert report.partition("The worst mistakes")[2].count(".wav") == min(wrong, 10)
    config = AutoModelForAudioClassification.from_pretrained(tmp_path / "out" / "fold-0").config
    # So that it leaves as stock AST without a change.
    assert config.classifier_layer_norm_eps == config.layer_norm_eps
    assert not AutoFeatureExtractor.from_pretrained(tmp_path / "out" / "fold-1").return_attention_mask


@pytest.mark.compatibility
@pytest.mark.parametrize(
    ("columns", "labels", "changes", "names"),
    [
        (
            "label",
            ["a", "a;b", "b"],
            {"task": "multilabel", "use_weighted_layer_sum": True, "classifier_proj_size": 16, "mixup": 0.5},
            {"mean_average_precision", "roc_auc"},
        ),
        (
            "label",
            ["0.5", "1.5", "-2"],
            {"task": "regression", "init_from_scratch": True, "time_stride": 4},
            {"mean_absolute_error", "mean_squared_error", "r2"},
        ),
        (
            "onset,offset,event_label",
            ["0,0.2,a", "0.1,0.3,b", ",,"],
            {"task": "frames", "freeze_encoder": True, "min_per_class": 0},
            {"segment_f1", "event_f1", "frame_f1"},
        ),
    ],
    ids=["multilabel", "regression", "frames"],
)
def test_other_labels(model_dir, sounds, tmp_path, columns, labels, changes, names):
    data = table(sounds, columns, lambda i: labels[i % 3])
    changes = {"num_train_epochs": 1, "min_per_class": 1} | changes
    assert main(options(model_dir, data, tmp_path / "out", **changes)) == 0
    assert results_in(tmp_path / "out")["test"].keys() == names
    report = (tmp_path / "out" / "report.md").read_text()
    assert "## The worst mistakes\n\n| recording |" in report
    assert ("## Classes" in report) == (changes["task"] != "regression")
    encoder, trained = (
        {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if ".layer." in name}
        for folder in (model_dir, tmp_path / "out")
    )
    stays = [torch.equal(tensor, trained[name]) for name, tensor in encoder.items() if "key.bias" not in name]
    assert all(stays) if "freeze_encoder" in changes else not any(stays)


@pytest.mark.parametrize(
    ("task", "columns", "labels", "figure", "reached"),
    [
        ("multilabel", "label", ["a", "b"], "mean_average_precision", (0.95, 1.0)),
        ("regression", "label", ["1", "-1"], "mean_absolute_error", (0.0, 0.4)),
        ("frames", "onset,offset,label", ["0,0.3,a", "0,0.3,b"], "segment_f1", (0.9, 1.0)),
        ("speaker", "speaker", ["a", "b"], "accuracy", (0.95, 1.0)),
    ],
    ids=["multilabel", "regression", "frames", "speaker"],
)
def test_what_is_easy_to_tell_is_learned(model_dir, sounds, tmp_path, task, columns, labels, figure, reached):
    """With labels that belong to other recordings, the figures would be those of chance."""
    data = table(sounds, columns, lambda i: labels[i // 12])
    changes = {"task": task, "num_train_epochs": 10, "learning_rate": 5e-3, "eval_strategy": "steps", "eval_steps": 20}
    changes |= {"save_strategy": "steps", "save_steps": 20, "min_per_class": 1}
    assert main(options(model_dir, data, tmp_path / "out", **changes)) == 0
    value = results_in(tmp_path / "out")["test"][figure]["value"]
    assert reached[0] <= value <= reached[1]


@pytest.mark.parametrize(
    "changes", [{}, {"lora_rank": 2}, {"average_last_epochs": 1}], ids=["best", "low rank", "mean"]
)
def test_the_threshold_of_events_is_that_of_the_chosen_weights(model_dir, sounds, tmp_path, changes):
    data = table(sounds, "onset,offset,label", lambda i: ["0,0.3,a", "0,0.3,b"][i // 12])
    start = tmp_path / "start"
    assert main(options(model_dir, data, start, task="frames", num_train_epochs=1, min_per_class=1)) == 0
    out = tmp_path / "out"
    changes = {"task": "frames", "num_train_epochs": 3, "min_per_class": 1} | changes
    assert main(options(start, data, out, **changes)) == 0
    result = results_in(out)
    (chosen,) = (entry for entry in result["validation"] if entry["step"] == result["step"])
    model = AutoModelForAudioFrameClassification.from_pretrained(out)
    assert model.config.event_threshold == chosen["event_threshold"]
    assert Predictor(out).threshold == chosen["event_threshold"]
    assert f"above a probability of {chosen['event_threshold']:g} " in (out / "report.md").read_text()


def test_no_test_is_drawn_from_what_was_trained_on(model_dir, sounds, tmp_path, capsys):
    changes = {"max_steps": 1, "mean": -4, "std": 4}
    assert main(options(model_dir, sounds, tmp_path / "out", **changes)) == 0
    assert main(options(model_dir, sounds, tmp_path / "out", **changes, seed=7)) == 1
    assert "is of a run on other recordings or labels: train 14 recordings" in capsys.readouterr().err
    with (sounds / "low" / "low-3.wav").open("r+b") as file:  # its header says more than there is
        file.truncate(100)
    assert main(options(model_dir, sounds, tmp_path / "other", **changes)) == 1
    assert "low-3.wav) " in capsys.readouterr().err


def test_what_cannot_be_used_is_left_out_if_it_is_little(model_dir, sounds, tmp_path, capsys):
    soundfile.write(sounds / "low" / "low-0.wav", np.zeros(100), 16000)  # shorter than a patch
    (sounds / "high" / "high-0.wav").write_bytes(b"nothing")
    assert main(options(model_dir, sounds, tmp_path / "out")) == 1
    assert re.search(
        r"error: .*low-0\.wav.* is shorter than a patch.* recordings cannot be used", capsys.readouterr().err
    )
    assert main(options(model_dir, sounds, tmp_path / "out", max_bad_fraction=0.2)) == 0
    assert capsys.readouterr().err.count("Left out: ") == 2
    parts = (tmp_path / "out" / "report.md").read_text().partition("this run: recordings: ")[2].splitlines()[0]
    assert sum(map(int, re.findall("[0-9]+", parts))) == 22


@pytest.mark.compatibility
def test_speakers_are_verified_by_trials(model_dir, sounds, tmp_path, capsys):
    files = sorted(path.relative_to(tmp_path) for path in sounds.rglob("*-1?.wav"))  # two of each
    rows = [f"{a},{b},{int(a.parent == b.parent)}" for i, a in enumerate(files) for b in files[i + 1 :]]
    (tmp_path / "trials.csv").write_text("\n".join(["first,second,label", *rows]) + "\n")
    lines = sorted(sounds.rglob("*-?.wav"))
    (tmp_path / "train.csv").write_text("path,speaker\n" + "\n".join(f"{path},{path.parent.name}" for path in lines))
    changes = {"task": "speaker", "trials": tmp_path / "trials.csv"}
    assert main(options(model_dir, tmp_path / "train.csv", tmp_path / "out", **changes)) == 0
    result = results_in(tmp_path / "out")
    assert result["test"].keys() == {"equal_error_rate", "min_dcf"}
    assert "recordings: 16 train; 4 validation\n" in (tmp_path / "out" / "report.md").read_text()
    assert result["count"] == len(rows)
    assert AutoModelForAudioXVector.from_pretrained(tmp_path / "out").config.num_labels == 2
    (tmp_path / "trials.csv").write_text("\n".join(["first,second,label", *rows, f"{files[0]},gone.wav,0"]) + "\n")
    assert main(options(model_dir, tmp_path / "train.csv", tmp_path / "none", **changes)) == 1
    assert f"trials.csv, row {len(rows) + 1} (" in capsys.readouterr().err
    # Of each pair of one speaker a recording is damaged.
    (tmp_path / "trials.csv").write_text("\n".join(["first,second,label", *rows]) + "\n")
    for file in (files[0], files[2]):
        (tmp_path / file).write_bytes(b"nothing")
    changes |= {"max_bad_fraction": 1}
    assert main(options(model_dir, tmp_path / "train.csv", tmp_path / "none", **changes)) == 1
    assert "trials.csv has pairs of two speakers alone of recordings that can be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (["low/low-0.wav,dog", "high/high-0.wav,"], {}, "row 2: no label"),
        (["low/low-0.wav,dog"] * 2, {"label_column": "species"}, "none of them species"),
        ([f"low/low-{i}.wav,{'ab'[i == 3]}" for i in range(10)], {}, "the class 'b' has no example"),
        ([f"low/low-{i % 6}.wav,{'ab'[i % 2]}" for i in range(12)], {}, "The same recording is in "),
        ([f"low/low-{i}.wav,a;b" for i in range(9)], {}, "row 1: 2 labels, 'a', 'b', where one is expected"),
        (["low/low-0.wav,a"] * 2, {"test_data": "other.csv"}, "other.csv, row 1"),
        (["low/low-0.wav,a"] * 2, {"task": "ctc"}, "Tokens too coarse for CTC"),
    ],
    ids=["no label", "no column", "one example", "twice", "several", "unknown", "coarse"],
)
def test_what_is_wrong_is_told_in_a_line_before_training(
    model_dir, sounds, tmp_path, monkeypatch, capsys, rows, changes, message
):
    monkeypatch.chdir(sounds)
    (sounds / "table.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    (sounds / "other.csv").write_text("path,label\nhigh/high-1.wav,c\nhigh/high-2.wav,c\n")
    assert main(options(model_dir, "table.csv", tmp_path / "out", **changes)) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not list((tmp_path / "out").glob("checkpoint-*"))
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("suffix", "columns", "good", "wrong", "changes", "message"),
    [
        ("csv", "label", "a", "c", {}, "the label 'c' is unknown"),
        ("parquet", "label", "a", "c", {}, "the label 'c' is unknown"),
        ("csv", "label", "a", "c", {"recipe": "esc50"}, "the label 'c' is unknown"),
        ("csv", "onset,offset,label", "0,0.1,a", "9,9.1,a", {"task": "frames"}, "an event begins at 9 s"),
        ("csv", "text", "a b", "a c", {"task": "ctc"}, "the text has 'c', which is not in the vocabulary"),
    ],
    ids=["class", "parquet", "recipe", "events", "text"],
)
def test_wrong_labels_are_told_before_pytorch_is_imported(
    model_dir, sounds, tmp_path, suffix, columns, good, wrong, changes, message
):
    train = table(sounds, columns, lambda i: good.replace("a", "ab"[i % 2]))
    (tmp_path / "test.csv").write_text(f"path,{columns}\nsounds/low/low-0.wav,{good}\nsounds/low/low-1.wav,{wrong}\n")
    if suffix == "parquet":
        Dataset.from_csv(str(tmp_path / "test.csv")).to_parquet(tmp_path / "test.parquet")
    arguments = options(model_dir, train, tmp_path / "out", test_data=tmp_path / f"test.{suffix}", **changes)
    code = f"""
import atexit, sys
atexit.register(lambda: print("imported", *{{"torch", "transformers"}} & {{*sys.modules}}))
sys.argv = {["ssast-hf", *map(str, arguments)]!r}
import ssast_hf
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "imported\n")
    assert f"test.{suffix}, row 2" in result.stderr
    assert message in result.stderr


def test_characters_of_a_model_that_writes_are_left_to_the_command(sounds, tmp_path):
    (tmp_path / "test.csv").write_text("path,text\nsounds/low/low-0.wav,ab\n")
    data = table(sounds, "text", lambda i: "aa")
    command = options(tmp_path, data, tmp_path / "out", task="ctc", test_data=tmp_path / "test.csv")
    with pytest.raises(ValueError, match="the text has 'b', which is not in the vocabulary"):
        check_labels(command)
    (tmp_path / "vocab.json").write_text("{}")
    check_labels(command)


@pytest.mark.parametrize("source", ["parts/train.parquet", "parts", "parts/*.parquet"])
def test_early_check_leaves_audio_in_parquet_where_it_is(sounds, tmp_path, monkeypatch, source):
    (tmp_path / "parts").mkdir()
    files = sorted(sounds.rglob("*.wav"))
    audio = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    labels = [file.parent.name for file in files]
    parquet.write_table(pyarrow.table({"audio": audio, "label": labels}), tmp_path / "parts" / "train.parquet")
    (tmp_path / "test.csv").write_text(f"path,label\n{files[0]},dog\n")
    command = options(tmp_path, tmp_path / source, tmp_path / "out", test_data=tmp_path / "test.csv")
    monkeypatch.setattr("ssast_hf.audio.label_tables.load_tables", None)
    monkeypatch.setattr("ssast_hf.audio.small_tables.MOST_BYTES", 5000)  # fewer than the file has
    with pytest.raises(ValueError, match="'dog'"):
        check_labels(command)


def test_early_check_lists_a_folder_beside_a_table(sounds, tmp_path):
    (tmp_path / "test.csv").write_text("path,label\nsounds/low/low-0.wav,dog\n")
    with pytest.raises(ValueError, match=r"test\.csv, row 1 .*'dog' is unknown; .*sounds has no such class"):
        check_labels(options(tmp_path, sounds, tmp_path / "out", test_data=tmp_path / "test.csv"))


def test_early_check_measures_few_recordings_of_events(sounds, tmp_path, monkeypatch):
    train = table(sounds, "onset,offset,event_label", lambda i: f"0,0.1,{'ab'[i % 2]}")
    (tmp_path / "test.csv").write_text("path,onset,offset,event_label\nsounds/low/low-0.wav,99,100,a\n")
    command = options(tmp_path, train, tmp_path / "out", task="frames", test_data=tmp_path / "test.csv")
    with pytest.raises(ValueError, match="an event begins at 99 s"):
        check_labels(command)
    lists = {"onset": [[99.0]], "offset": [[100.0]], "event_label": [["a"]]}
    audio = [{"bytes": (sounds / "low" / "low-0.wav").read_bytes(), "path": "low-0.wav"}]
    parquet.write_table(pyarrow.table({"audio": audio} | lists), tmp_path / "test.parquet")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    other = options(tmp_path, train, tmp_path / "out", task="frames", test_data=tmp_path / "test.parquet")
    with pytest.raises(ValueError, match=r"test\.parquet, row 1: an event begins at 99 s"):
        check_labels(other)
    with monkeypatch.context() as patched:
        patched.setattr("ssast_hf.training.finetuning.early.MOST_BYTES_COPIED", 1000)
        with pytest.raises(ValueError, match="1 example to test on"):  # lengths are told later
            check_labels(other)
    monkeypatch.setattr("ssast_hf.training.finetuning.early.MOST_BYTES_OF_EVENTS", 10)
    monkeypatch.setattr("ssast_hf.audio.events.measure", None)
    (tmp_path / "test.csv").write_text("path,onset,offset,event_label\nsounds/low/low-0.wav,99,100,c\n")
    with pytest.raises(ValueError, match="'c'"):
        check_labels(command)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "ctx"},
        {"recipe": "esc5"},
        {"seed": "one"},
        {"train_data": "sounds"},
        {"help": ""},
        {"lable_column": "label"},
        {"test_fraction": 1.5},
        {"trials": "sounds.csv"},
    ],
    ids=str,
)
def test_early_check_leaves_to_the_command_what_it_cannot_know(model_dir, sounds, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    wrong = table(sounds, "label", lambda i: "a;b")
    check_labels(options(model_dir, wrong, tmp_path / "out", **changes))
    with pytest.raises(ValueError, match="row 1: 2 labels"):
        check_labels(options(model_dir, wrong, tmp_path / "out"))


def test_early_check_knows_who_chooses_the_epoch(model_dir, sounds, tmp_path):
    """Of six examples, too few would be left to validate with; that recipe validates on what it tests."""
    data = table(sounds, "label,fold", lambda i: f"{'ab'[i // 12]},{i % 2}")
    changes = {"fold_column": "fold", "min_per_class": 5}
    check_labels(options(model_dir, data, tmp_path / "out", **changes, recipe="esc50"))
    with pytest.raises(ValueError, match="expected at least 5"):
        check_labels(options(model_dir, data, tmp_path / "out", **changes))


def test_early_check_reads_options_as_the_command_does():
    line = "--train_data=a.csv --model-name-or-path m --test-data b.csv --min-per-class 1 --label-column x"
    line += " --fold_column fold --folds 1 2"
    line += " --validation_fraction 0.3 --on_bad_file raise --task speaker --seed 7 --lr_step_decay -1 --mean -4.2"
    parser = HfArgumentParser((TaskArguments, LabelledArguments), allow_abbrev=False)
    task, data, _ = parser.parse_args_into_dataclasses(line.split(), return_remaining_strings=True)
    found = vars(read_options(line.split()))
    assert found.pop("model_name_or_path") == task.model_name_or_path
    assert (found.pop("task"), found.pop("recipe"), found.pop("seed")) == (task.task, None, 7)
    assert found == vars(data)
    defaults = read_options(["--train_data", "a.csv", "--model_name_or_path", "m"])
    assert (defaults.task, defaults.seed) == (TaskArguments.task, TrainingArguments.seed)


def test_a_head_for_other_labels_is_replaced(model_dir, sounds, tmp_path, capsys):
    """By its size, and by its names alone; one for the same labels is kept."""
    for data, out in (("a", "one"), ("b", "two"), ("a", "three")):
        names = {"a": "dog cat", "b": "cow dog"}[data].split()
        table(sounds, "label", lambda i, names=names: names[i // 12])
        start = model_dir if out == "one" else tmp_path / "one"
        changes = {"max_steps": 1, "learning_rate": 1e-9, "mean": -4, "std": 4}
        assert main(options(start, tmp_path / "sounds.csv", tmp_path / out, **changes)) == 0
    said = capsys.readouterr().err
    assert said.count("has a head for other labels, such as 'cat'") == 1
    table(sounds, "label", lambda i: "cat dog cow".split()[i % 3])
    changes = {"max_steps": 1, "mean": -4, "std": 4, "min_per_class": 1}
    assert main(options(tmp_path / "one", tmp_path / "sounds.csv", tmp_path / "four", **changes)) == 0
    assert "has a head of another size, for other labels or another num_labels, so this is new: " in (
        capsys.readouterr().err
    )
    first, second, third = (weights(tmp_path / out)["classifier.dense.weight"] for out in ("one", "two", "three"))
    torch.testing.assert_close(first, third, atol=1e-6, rtol=0)
    assert not torch.allclose(first, second, atol=1e-4)


def test_folds_go_on_in_the_fold_where_they_were_killed(model_dir, sounds, tmp_path, monkeypatch, capsys):
    data = table(sounds, "label,fold", lambda i: f"{'ab'[i // 12]},{i % 2}")
    changes = {"fold_column": "fold", "num_train_epochs": 2, "min_per_class": 1}
    straight, killed = (options(model_dir, data, tmp_path / name, **changes) for name in ("straight", "killed"))
    assert main(straight) == 0
    save = FinetuningTrainer._save_checkpoint

    def save_and_die(self, *args, **kwargs):
        save(self, *args, **kwargs)
        if "fold-1" in self.args.output_dir:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FinetuningTrainer, "_save_checkpoint", save_and_die)
        assert main(killed) == 130
    assert main(killed) == 0
    assert "No step is left to make." in capsys.readouterr().err  # of the first fold
    for fold in ("fold-0", "fold-1"):
        one, other = (weights(tmp_path / name / fold) for name in ("straight", "killed"))
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    results = [results_in(tmp_path / name) for name in ("straight", "killed")]
    assert results[0]["test"] == results[1]["test"]
    # One fold alone would replace what is said of all.
    assert main([*straight, "--folds", "1"]) == 1
    assert "straight holds runs on several folds" in capsys.readouterr().err
    assert results_in(tmp_path / "straight") == results[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_encoder": True}, "of a run of another model (freeze_encoder False, now True)"),
        ({"head_lr_factor": 2}, "of a run of another model (head_lr_factor 1.0, now 2.0)"),
        ({"pooling_mode": "attentive"}, "If it is of a run with another model or other options, choose another"),
    ],
    ids=str,
)
def test_a_run_with_other_options_needs_another_folder(model_dir, sounds, tmp_path, capsys, changes, message):
    first = {"max_steps": 1, "mean": -4, "std": 4}
    assert main(options(model_dir, sounds, tmp_path / "out", **first)) == 0
    assert main(options(model_dir, sounds, tmp_path / "out", **first | {"max_steps": 2} | changes)) == 1
    assert message in capsys.readouterr().err


def test_rates_that_differ_stay_apart_while_a_plateau_warms_up(model_dir, sounds, tmp_path):
    changes = {"lr_scheduler_type": "reduce_lr_on_plateau", "warmup_steps": 2, "head_lr_factor": 10, "max_steps": 4}
    assert main(options(model_dir, sounds, tmp_path / "out", **changes, mean=-4, std=4)) == 0
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-4")
    groups = torch.load(checkpoint / "optimizer.pt", weights_only=True)["param_groups"]
    rates = sorted({group["lr"] for group in groups})
    assert rates == pytest.approx([1e-3, 1e-2])


def test_class_with_too_few_examples_in_the_last_fold_is_told_before_any_is_decoded(
    model_dir, sounds, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("ssast_hf.training.finetuning.splits.unreadable", lambda *args: pytest.fail("decodes"))
    data = table(sounds, "label,fold", lambda i: f"{'ab'[i // 12]},{2 if i in (0, 1, 12) else i % 2}")
    assert main(options(model_dir, data, tmp_path / "out", fold_column="fold")) == 1
    assert "fold 2" in (said := capsys.readouterr().err)
    assert "'b'" in said


@pytest.mark.parametrize(
    ("columns", "labels", "task", "auto_class"),
    [
        ("label", ["a", "b"], "classification", AutoModelForAudioClassification),
        ("speaker", ["a", "b"], "speaker", AutoModelForAudioXVector),
        ("onset,offset,label", ["0,0.2,a", "0.1,0.3,b"], "frames", AutoModelForAudioFrameClassification),
    ],
    ids=["classification", "speaker", "frames"],
)
def test_low_rank_additions_are_saved_by_themselves_and_merged(
    model_dir, sounds, tmp_path, columns, labels, task, auto_class
):
    import peft  # here, as it takes seconds

    data = table(sounds, columns, lambda i: labels[i // 12])
    changes = {"task": task, "lora_rank": 2, "num_train_epochs": 1, "mean": -4, "std": 4, "min_per_class": 1}
    assert main(options(model_dir, data, tmp_path / "out", **changes)) == 0
    merged = auto_class.from_pretrained(tmp_path / "out").eval()
    assert not any("lora" in name for name, _ in merged.named_parameters())
    fields = {name: getattr(merged.config, name) for name in ("id2label", "pooling_mode", "problem_type")}
    plain = auto_class.from_pretrained(model_dir, **fields)
    adapted = peft.PeftModel.from_pretrained(plain, tmp_path / "out" / "adapter").eval()
    inputs = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(merged(inputs).logits, adapted(inputs).logits, atol=1e-5, rtol=0)
    # Nothing of the encoder but the additions has been trained.
    before, after = weights(model_dir), weights(tmp_path / "out")
    changed = {name for name in before if name in after and not torch.equal(before[name], after[name])}
    assert all(".attention.attention." in name for name in changed)


@pytest.mark.compatibility
@pytest.mark.parametrize("changes", [{}, {"lora_rank": 2}], ids=["all weights", "low rank"])
def test_what_was_trained_with_tokens_leaves_as_stock(model_dir, sounds, tmp_path, changes):
    changes = {"pooling_mode": "cls", "num_train_epochs": 1} | changes
    assert main(options(model_dir, sounds, tmp_path / "out", **changes)) == 0
    convert_hf_to_ast(tmp_path / "out", tmp_path / "stock")
    stock = ASTForAudioClassification.from_pretrained(tmp_path / "stock").eval()
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "out").eval()
    inputs = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stock(inputs).logits, model(inputs).logits, atol=1e-5, rtol=0)
    assert stock.config.id2label == model.config.id2label == {0: "high", 1: "low"}
    assert stock.config.problem_type == model.config.problem_type == "single_label_classification"


def test_recordings_are_cut_and_padded_as_in_training_whatever_the_first_model_did(model_dir, sounds, tmp_path):
    extractor = AutoFeatureExtractor.from_pretrained(model_dir, padding="longest", truncation=False)
    extractor.save_pretrained(model_dir)
    for pooling in ("cls", "mean"):
        assert main(options(model_dir, sounds, tmp_path / pooling, max_steps=1, pooling_mode=pooling)) == 0
        extractor = AutoFeatureExtractor.from_pretrained(tmp_path / pooling)
        assert extractor.truncation
        assert extractor.return_attention_mask or extractor.padding == "max_length"


def test_one_class_is_answered_whatever_the_loss(model_dir, sounds, tmp_path):
    assert main(options(model_dir, sounds, tmp_path / "out", max_steps=1, loss="binary_cross_entropy")) == 0
    predict = Predictor(tmp_path / "out")
    answers = [predict(path) for path in sounds.rglob("*.wav")]
    assert all(len(each) == 1 and each[0]["score"] >= 0.5 for each in answers)  # the surer one of two


@pytest.mark.compatibility
def test_texts(frame_model_dir, sounds, tmp_path, capsys):
    start = frame_model_dir
    data = table(sounds, "text", lambda i: ["low tone", "high tone"][i // 12])
    changes = {"task": "ctc", "num_train_epochs": 1}
    assert main(options(start, data, tmp_path / "out", **changes)) == 0
    # Without which the first gradients would hold Adam back.
    assert "max_grad_norm: 1, as the command did not say" in (tmp_path / "out" / "report.md").read_text()
    assert results_in(tmp_path / "out")["test"].keys() == {"word_error_rate", "character_error_rate"}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForCTC.from_pretrained(tmp_path / "out")
    assert (model.config.vocab_size, model.config.pad_token_id) == (len(tokenizer), tokenizer.pad_token_id)
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path / "out")
    assert (extractor.padding, extractor.truncation) == ("longest", False)  # as the pipeline needs them
    rows = [f"sounds/low/low-{i}.wav,quiet" for i in range(2)]
    (tmp_path / "other.csv").write_text("\n".join(["path,text", *rows]) + "\n")
    rest = [f"sounds/high/high-{i}.wav,high" for i in range(10)]
    (tmp_path / "train.csv").write_text("\n".join(["path,text", *rest]) + "\n")
    changes["test_data"] = tmp_path / "other.csv"
    for i in range(2):
        (sounds / "low" / f"low-{i}.wav").write_text("damaged")  # which is not even looked at
    assert main(options(start, tmp_path / "train.csv", tmp_path / "none", **changes)) == 1
    assert "the text has 'q', which is not in the vocabulary" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text", "message"),
    [
        (0.3, "ab" * 40, "the text needs 80 time steps and the recording has "),
        (1.5, "ab", "its text cannot be cut to the 0.655 s that the model takes (see --max_length)"),
    ],
    ids=["text", "recording"],
)
def test_texts_and_recordings_that_are_too_long_are_counted_and_named(
    frame_model_dir, sounds, tmp_path, monkeypatch, capsys, seconds, text, message
):
    """And texts before anything is decoded."""
    if text != "ab":
        monkeypatch.setattr("ssast_hf.training.finetuning.splits.unreadable", lambda *args: pytest.fail("decodes"))
    soundfile.write(
        sounds / "low" / "low-0.wav", 0.1 * np.random.default_rng(0).standard_normal(int(16000 * seconds)), 16000
    )
    data = table(sounds, "text", lambda i: text if i == 12 else "ab")  # the twelfth is the first of the low ones
    assert main(options(frame_model_dir, data, tmp_path / "out", task="ctc")) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "low-0.wav" in said
    assert not list((tmp_path / "out").glob("checkpoint-*"))


def test_features_made_on_the_device_train_the_same_classifier(model_dir, sounds, tmp_path, monkeypatch):
    changes = {"max_steps": 3, "mean": -4, "std": 4, "mask_time": 4}
    assert main(options(model_dir, sounds, tmp_path / "workers", **changes)) == 0
    monkeypatch.setattr(one_split, "features_on_device", lambda arguments: True)
    assert main(options(model_dir, sounds, tmp_path / "device", **changes)) == 0
    for name, tensor in weights(tmp_path / "workers").items():
        # No key bias ever gets a gradient beyond rounding, which Adam makes a step of all the same.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(weights(tmp_path / "device")[name], tensor, rtol=0, atol=1e-4, msg=name)
