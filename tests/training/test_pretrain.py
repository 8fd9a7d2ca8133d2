"""The pretraining command: what it trains, logs, writes and refuses, and that it goes on where it was killed."""

import json
import shutil
import tarfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command import assert_same_run, finish, kill_after, options, run, script, weights
from fresh import FreshProcess
from packaging.version import Version
from torch.utils.data import DataLoader
from transformers import AutoModelForPreTraining, Trainer, TrainingArguments

from ssast_hf import SSASTFeatureExtractor, SSASTForPretraining
from ssast_hf.assets import bundled_clips
from ssast_hf.cli import main
from ssast_hf.training import run_pretraining
from ssast_hf.training.recipe import read_run
from ssast_hf.training.trainer import SSASTTrainer


HERE = Path(__file__).parent


@pytest.mark.compatibility
@pytest.mark.curves
def test_trains_every_parameter_logs_and_goes_on(model_dir, audio_folder, tmp_path, capsys):
    output = tmp_path / "out"
    changes = {"visualize_steps": 4, "report_to": "tensorboard", "load_best_model_at_end": True}
    assert main(options(model_dir, audio_folder, output, **changes)) == 0
    before, after = weights(model_dir), weights(output)
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    names = (
        "discriminative_loss generative_loss accuracy duplicate_fraction prediction_variance masked_fraction".split()
    )
    assert {"loss", "learning_rate", "clips_per_second", *names} <= history[1].keys()
    assert {"eval_loss", *(f"eval_{name}" for name in names)} <= history[-2].keys()
    assert history[1]["loss"] == pytest.approx(history[1]["discriminative_loss"] + 10 * history[1]["generative_loss"])
    drawn = {path.name[:12] for path in (output / "figures").iterdir()}
    assert drawn == {"step-0000000", "step-0000004", "step-0000006"}
    assert list((output / "runs").rglob("events.out.tfevents*"))
    report = (output / "report.md").read_text()
    assert "--max_steps 6" in report
    assert "20 of 32 masked" in report
    assert (output / "curves.png").stat().st_size > 10_000

    assert main(options(model_dir, audio_folder, output, max_steps=8)) == 0
    assert "Going on from" in capsys.readouterr().err
    assert json.loads((output / "trainer_state.json").read_text())["global_step"] == 8


@pytest.mark.parametrize(
    ("processes", "streaming"),
    [
        (1, False),
        pytest.param(2, False, marks=[pytest.mark.compatibility, pytest.mark.slow]),
        (1, True),
        pytest.param(2, True, marks=[pytest.mark.compatibility, pytest.mark.slow]),
    ],
)
def test_killed_run_goes_on_bit_for_bit(processes, streaming, model_dir, audio_folder, tmp_path):
    # 10 clips in batches of 3, so that step 6 lies within an epoch.
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    changes = {"dataloader_num_workers": 1, "per_device_train_batch_size": 3 if processes == 1 else 1}
    changes |= {"max_steps": 30, "save_steps": 6, "eval_steps": 15, "logging_steps": 15, "streaming": streaming}
    command = options(model_dir, audio_folder, straight, **changes)
    finish(run(command, tmp_path, processes))
    command = options(model_dir, audio_folder, killed, **changes)
    kill_after(run(command, tmp_path, processes), killed / "checkpoint-6")
    assert not (killed / "checkpoint-30").exists()
    finish(run([*command, "--resume_from_checkpoint", "True"], tmp_path, processes))
    assert_same_run(straight, killed)


def test_run_with_cached_features_weights_and_jitter_goes_on_bit_for_bit(model_dir, audio_folder, tmp_path):
    manifest = tmp_path / "clips.csv"
    weights_of_files = [2 * number % 3 for number in range(len(list(audio_folder.iterdir())))]
    files = zip(sorted(audio_folder.iterdir()), weights_of_files, strict=True)
    lines = [f"audio/{path.name},{weight}" for path, weight in files]
    manifest.write_text("\n".join(["path,weight", *lines]) + "\n")
    straight, stopped, plain = tmp_path / "straight", tmp_path / "stopped", tmp_path / "plain"
    changes = {"weight_column": "weight", "gain_jitter_db": 6, "max_steps": 8}  # more than an epoch
    cached = changes | {"cache_features": tmp_path / "features"}
    assert main(options(model_dir, manifest, straight, **cached)) == 0
    assert main(options(model_dir, manifest, stopped, **cached | {"max_steps": 4})) == 0
    assert main(options(model_dir, manifest, stopped, **cached)) == 0
    assert main(options(model_dir, manifest, plain, **changes)) == 0
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(stopped)[name]), name
    assert read_run(straight / "checkpoint-8")["recipe"]["recordings"] <= sum(map(bool, weights_of_files))
    losses = [json.loads((run / "trainer_state.json").read_text())["log_history"][0] for run in (straight, plain)]
    assert losses[0]["eval_loss"] == pytest.approx(losses[1]["eval_loss"], rel=0.02)  # half precision, and the grid


@pytest.mark.slow
@pytest.mark.skipif(Version(torch.__version__).release < (2, 7), reason="FSDP of PyTorch 2.6 needs a GPU's streams")
def test_fsdp_trains_like_ddp_also_when_killed(model_dir, audio_folder, tmp_path):
    changes = {"per_device_train_batch_size": 1, "max_steps": 10, "eval_steps": 10, "logging_steps": 5}
    changes |= {"decoder_num_hidden_layers": 1, "visualize_steps": 10, "save_steps": 5}
    expected, sharded = tmp_path / "ddp", tmp_path / "fsdp"
    command = options(model_dir, audio_folder, sharded, **changes)
    fsdp = {"processes": 2, "code": script(HERE / "fsdp_on_cpu.py")}
    finish(run(options(model_dir, audio_folder, expected, **changes), tmp_path, processes=2))
    kill_after(run(command, tmp_path, **fsdp), sharded / "checkpoint-5")
    assert "Going on from" in finish(run(command, tmp_path, **fsdp))
    checkpoint = sharded / "checkpoint-10"
    assert (checkpoint / "pytorch_model_fsdp.bin").exists()  # of FSDP alone
    model = AutoModelForPreTraining.from_pretrained(checkpoint)
    for name, tensor in weights(expected).items():
        # No key bias ever gets a gradient beyond rounding, which Adam makes a step of all the same.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=1e-5)
    for folder in ("", "figures"):  # nothing of PyTorch's code among it
        names = [{path.name for path in (output / folder).iterdir()} for output in (sharded, expected)]
        assert names[0] == names[1]


@pytest.mark.slow
def test_a_step_is_the_same_however_its_batch_is_divided(model_dir, tmp_path):
    whole = make_steps(model_dir, tmp_path / "whole.pt", batch_size=8)
    processes = make_steps(model_dir, tmp_path / "processes.pt", batch_size=4, processes=2)
    pieces = make_steps(model_dir, tmp_path / "pieces.pt", batch_size=2, accumulation=4)
    for case, expected in whole.items():
        for divided in (processes[case], pieces[case]):
            for name, gradient in expected["gradient"].items():
                torch.testing.assert_close(divided["gradient"][name], gradient, rtol=0, atol=1e-6)
            for name in ("loss", "accuracy", "masked_fraction", "eval_loss", "eval_accuracy"):
                assert divided["logged"][name] == pytest.approx(expected["logged"][name], rel=1e-6)
        # The two processes draw masks of their own.
        drawn = processes[case]["drawn"]
        assert not torch.equal(drawn[:4], drawn[4:])


def make_steps(model_dir, result: Path, batch_size: int, accumulation: int = 1, processes: int = 1) -> dict:
    """What `distributed_step.py` saves."""
    arguments = [model_dir, result, batch_size, accumulation]
    finish(run(arguments, result.parent, processes, script(HERE / "distributed_step.py")))
    return torch.load(result, weights_only=True)


@pytest.mark.parametrize("max_steps", [5, 8])  # within an epoch of 4 steps, and at the end of one
def test_finished_run_stays_as_it_is(max_steps, model_dir, audio_folder, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = options(model_dir, audio_folder, output, max_steps=max_steps)
    assert main(arguments) == 0
    before = weights(output)
    (output / "model.safetensors").unlink()  # as if killed before it was written
    assert main(arguments) == 0
    assert "No step is left" in capsys.readouterr().err
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(output).items())
    assert sorted(path.name for path in output.glob("checkpoint-*"))[-1] == f"checkpoint-{max_steps}"


def test_folders_of_others_are_left_alone(model_dir, audio_folder, tmp_path):
    output = tmp_path / "out"
    for name in ("checkpoint-1-mine", "checkpoint-best"):
        (output / name).mkdir(parents=True)
    assert main(options(model_dir, audio_folder, output, save_total_limit=1)) == 0
    names = {path.name for path in output.glob("checkpoint-*")}
    assert names >= {"checkpoint-1-mine", "checkpoint-best", "checkpoint-6"}


def test_run_does_not_go_on_with_another_model(model_dir, audio_folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(options(model_dir, audio_folder, output)) == 0
    assert main(options(model_dir, audio_folder, output, objective="generative", max_steps=8)) == 1
    assert "of a run of another model (objective joint, now generative)" in capsys.readouterr().err
    assert main(options(model_dir, audio_folder, output, learning_rate=1.0, max_steps=8)) == 0
    assert "learning rate of this run, 0.001, is kept" in capsys.readouterr().err


def test_interrupted_save_leaves_no_checkpoint(model_dir, audio_folder, tmp_path, monkeypatch):
    output = tmp_path / "out"

    def die(self, folder):
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(SSASTTrainer, "_save_rng_state", die)
        with pytest.raises(SystemExit, match="killed"):
            main(options(model_dir, audio_folder, output))
    assert (output / ".saving" / "checkpoint-2" / "optimizer.pt").exists()  # it was in the middle of it
    assert list(output.glob("checkpoint-*")) == []
    assert main(options(model_dir, audio_folder, output, resume_from_checkpoint=True)) == 0
    assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]
    assert not (output / ".saving").exists()


def test_checkpoint_that_is_saved_besides_is_whole_as_well(model_dir, audio_folder, tmp_path, monkeypatch):
    """As `--enable_jit_checkpoint` does it, without the callbacks of a save."""
    output = tmp_path / "out"
    steps = []

    def save_after_three(self, model, *arguments):
        loss = Trainer.training_step(self, model, *arguments)
        steps.append(self.state.global_step)
        if len(steps) == 4:
            self._save_checkpoint(model)
            assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-3"]
        return loss

    monkeypatch.setattr(SSASTTrainer, "training_step", save_after_three)
    assert main(options(model_dir, audio_folder, output, save_strategy="no")) == 0
    assert steps == list(range(6))
    assert (output / "checkpoint-3" / "optimizer.pt").exists()
    assert not (output / ".saving").exists()


def test_what_is_uploaded_on_the_way_is_a_checkpoint(model_dir, audio_folder, tmp_path, monkeypatch):
    output, uploaded = tmp_path / "out", []

    def upload(self, folder):
        uploaded.append(Path(folder).name)
        assert (Path(folder) / "model.safetensors").exists()
        assert self.args.output_dir == str(output)  # from where transformers uploads

    monkeypatch.setattr(Trainer, "init_hf_repo", lambda self, **options: None)
    monkeypatch.setattr(Trainer, "_push_from_checkpoint", upload)
    assert main(options(model_dir, audio_folder, output, push_to_hub=True)) == 0
    assert uploaded == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]


def test_options_of_loading_reach_the_loader(model_dir, audio_folder, tmp_path, monkeypatch):
    given = {}

    class Watched(DataLoader):
        def __init__(self, *arguments, **options):
            given.update(options)
            super().__init__(*arguments, **options)

    monkeypatch.setattr("ssast_hf.training.run_trainer.DataLoader", Watched)
    changes = {"dataloader_num_workers": 1, "dataloader_drop_last": True, "dataloader_persistent_workers": True}
    changes |= {"dataloader_prefetch_factor": 3, "max_steps": 1, "validation_fraction": 0}
    assert main(options(model_dir, audio_folder, tmp_path / "out", **changes)) == 0
    assert (given["num_workers"], given["prefetch_factor"], given["batch_size"]) == (1, 3, 3)
    assert given["drop_last"]
    assert given["persistent_workers"]
    known = {each.name for each in fields(TrainingArguments) if each.name.startswith("dataloader_")}
    assert {name.removeprefix("dataloader_") for name in known} <= given.keys()


def test_best_checkpoint_is_kept(model_dir, audio_folder, tmp_path):
    output = tmp_path / "out"
    changes = {"save_total_limit": 1, "eval_steps": 2, "learning_rate": 0.0, "load_best_model_at_end": True}
    assert main(options(model_dir, audio_folder, output, **changes)) == 0  # no later one is better
    state = json.loads((output / "checkpoint-6" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(output / "checkpoint-2")
    assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-6"]


@pytest.mark.compatibility
def test_checkpoint_loads_without_the_package(model_dir, audio_folder, tmp_path, run_without_package):
    output = tmp_path / "out"
    changes = {"decoder_num_hidden_layers": 1, "max_steps": 4}
    assert main(options(model_dir, audio_folder, output, **changes)) == 0
    assert main(options(model_dir, audio_folder, output, **changes | {"max_steps": 6})) == 0
    code = """
import sys, torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, AutoModelForPreTraining
folder = sys.argv[1]
features = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
inputs = features(torch.ones(16000).cumsum(0).cos().numpy(), sampling_rate=16000, return_tensors="pt")
for kind in (AutoModel, AutoModelForAudioClassification, AutoModelForPreTraining):
    kind.from_pretrained(folder, trust_remote_code=True)(**inputs)
model, info = AutoModelForPreTraining.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
print([*info["missing_keys"], *info["unexpected_keys"]], model.num_parameters())
"""
    printed = run_without_package(code, output / "checkpoint-6")
    assert printed.split() == ["[]", str(sum(tensor.numel() for tensor in weights(output).values()))]


def test_validation_repeats_itself_and_leaves_training_alone(model_dir, audio_folder, tmp_path):
    never, often = tmp_path / "never", tmp_path / "often"
    assert main(options(model_dir, audio_folder, never, eval_steps=100)) == 0
    assert main(options(model_dir, audio_folder, often, eval_steps=1, visualize_steps=4)) == 0
    for name, tensor in weights(never).items():
        assert torch.equal(tensor, weights(often)[name]), name
    still = tmp_path / "still"
    assert main(options(model_dir, audio_folder, still, eval_steps=1, learning_rate=0.0, max_steps=2)) == 0
    history = json.loads((still / "trainer_state.json").read_text())["log_history"]
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert len(losses) == 3  # the first is of the untouched model
    assert len(set(losses)) == 1


def test_unusable_files_are_skipped_and_listed(model_dir, audio_folder, tmp_path, capsys):
    (audio_folder / "corrupt.wav").write_bytes(b"no audio at all")
    (audio_folder / "empty.flac").touch()
    soundfile.write(audio_folder / "short.wav", np.ones(400, dtype=np.float32), 16000)
    soundfile.write(audio_folder / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    manifest = tmp_path / "clips.csv"
    names = [f"audio/{path.name}" for path in sorted(audio_folder.iterdir())]
    manifest.write_text("\n".join(["wav", *names, "audio/missing.wav"]))
    output = tmp_path / "out"
    changes = {"max_steps": 12, "validation_fraction": 0, "dataloader_num_workers": 1}
    assert main(options(model_dir, manifest, output, max_bad_fraction=0.5, **changes)) == 0
    listed = dict(line.split("\t") for line in (output / "skipped_files.txt").read_text().splitlines())
    assert {Path(name).name for name in listed} == {"corrupt.wav", "empty.flac", "missing.wav", "nan.wav", "short.wav"}
    assert "NaN" in listed[str(tmp_path / "audio/nan.wav")]
    assert "could not be used: 5" in (output / "report.md").read_text()

    capsys.readouterr()
    assert main(options(model_dir, manifest, tmp_path / "strict", **changes)) == 1
    error = capsys.readouterr().err
    assert "of 17 recordings cannot be used, more than --max_bad_fraction 0.01" in error
    assert "skipped_files.txt" in error
    assert main(options(model_dir, manifest, tmp_path / "stop", on_bad_file="raise", **changes)) == 1
    assert "A recording cannot be used" in capsys.readouterr().err


def test_features_made_on_the_device_train_the_same_model(model_dir, audio_folder, tmp_path, monkeypatch):
    outputs = tmp_path / "by-workers", tmp_path / "on-device"
    for output, on_device in zip(outputs, (False, True), strict=True):
        monkeypatch.setattr(run_pretraining, "features_on_device", lambda arguments, on_device=on_device: on_device)
        assert main(options(model_dir, audio_folder, output, visualize_steps=6)) == 0
    histories = [json.loads((output / "trainer_state.json").read_text())["log_history"] for output in outputs]
    for one, other in zip(*histories, strict=True):
        for name in one.keys() & {"loss", "accuracy", "masked_fraction", "eval_loss", "eval_accuracy"}:
            assert other[name] == pytest.approx(one[name], rel=1e-5), name
    assert len(list((outputs[1] / "figures").iterdir())) == len(list((outputs[0] / "figures").iterdir())) > 0


def test_features_on_a_gpu_that_is_not_there_are_refused(model_dir, audio_folder, tmp_path, capsys):
    assert main(options(model_dir, audio_folder, tmp_path / "out", feature_device="cuda")) == 1
    assert "--feature_device cuda: this run trains on cpu" in capsys.readouterr().err


def test_error_in_a_worker_is_one_line(model_dir, tmp_path, capsys):
    archive = tmp_path / "broken.tar"
    with tarfile.open(archive, "w") as members:
        members.add(bundled_clips()[0], "clip.wav")
    archive.write_bytes(archive.read_bytes().rstrip(b"\0") + b"x" * 2000)  # the first recording is as it should be
    changes = {"streaming": True, "dataloader_num_workers": 1}
    assert main(options(model_dir, archive, tmp_path / "out", **changes)) == 1
    printed = capsys.readouterr().err
    assert f"error: {archive} is not a whole tar archive" in printed
    assert "Traceback" not in printed


def test_nothing_usable_is_an_error(model_dir, audio_folder, tmp_path, capsys):
    for path in audio_folder.iterdir():
        path.write_bytes(b"")
    arguments = options(model_dir, audio_folder, tmp_path / "out", max_bad_fraction=1.0)
    assert main(arguments) == 1
    assert "None of the 12 recordings can be used" in capsys.readouterr().err


def test_plateau_of_validation_accuracy_lowers_the_rate(model_dir, audio_folder, tmp_path):
    output = tmp_path / "out"
    changes = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_steps": 1, "logging_steps": 1, "max_steps": 10}
    assert main(options(model_dir, audio_folder, output, learning_rate=1e-12, **changes)) == 0
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    rates = [entry["learning_rate"] for entry in history if "learning_rate" in entry]
    assert rates[:3] == pytest.approx([0.5e-12, 1e-12, 1e-12])  # warm-up
    assert rates[-1] == pytest.approx(rates[2] / 4)  # halved after three validations without progress, twice


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_size": "tiny"}, "exactly one of"),
        ({"streaming": True, "max_steps": -1}, "--streaming needs --max_steps"),
        ({"max_bad_fraction": 2}, "between 0 and 1"),
        ({"learning_rat": 1}, "did you mean --learning_rate?"),
        ({"per_device_train_batch_size": 0}, "--per_device_train_batch_size must be at least 1, got 0"),
        ({"per_device_eval_batch_size": 0}, "--per_device_eval_batch_size must be at least 1, got 0"),
        ({"patch": "128x2"}, "--patch goes with --model_size"),
        ({"decoder_hidden_size": 16}, "needs --decoder_num_hidden_layers"),
        ({"streaming": True, "weight_column": "weight"}, "--weight_column is about data that are not streamed"),
        ({"streaming": True, "cache_features": "cache"}, "--cache_features is about data that are not streamed"),
        ({"min_level": -60, "cache_features": "cache"}, "--cache_features keeps no levels for --min_level"),
        ({"gain_jitter_db": -1}, "--gain_jitter_db must be 0 or more, got -1"),
        ({"gain_jitter_db": "inf"}, "--gain_jitter_db must be a finite number"),
    ],
)
def test_contradictions_are_errors_of_the_command_line(changes, message, model_dir, audio_folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(options(model_dir, audio_folder, tmp_path / "out", **changes))
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [("original.pth", "original.pth is a file, expected a folder"), ("SSAST-Tiny-Patch-400", "is converted first")],
)
def test_checkpoint_that_is_not_converted_is_named_before_anything_is_fetched(
    name, message, original_file, audio_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(options(name, audio_folder, tmp_path / "out")) == 1
    error = capsys.readouterr().err
    assert message in error
    assert f"ssast-hf convert {name} FOLDER" in error


def test_output_that_would_be_lost_is_refused(model_dir, audio_folder, capsys):
    assert main(options(model_dir, audio_folder, model_dir)) == 1
    assert "is the model to continue from" in capsys.readouterr().err
    other = model_dir.with_name("other")
    shutil.copytree(model_dir, other)
    assert main(options(model_dir, audio_folder, other)) == 1
    assert "holds a model, but no checkpoint" in capsys.readouterr().err


def test_from_scratch_by_configuration(config, model_dir, audio_folder, tmp_path):
    output = tmp_path / "out"
    arguments = options("", audio_folder, output, config_name=model_dir, max_steps=1, mean=-7.0, std=5.0)
    arguments += ["--validation_data", str(audio_folder)]
    assert main([*arguments[:1], *arguments[3:]]) == 0
    assert SSASTForPretraining.from_pretrained(output).config.num_patches == config.num_patches
    assert SSASTFeatureExtractor.from_pretrained(output).mean == -7.0


@pytest.mark.compatibility
@pytest.mark.parametrize(
    ("option", "shown", "count"),
    [
        ("--help", ("--train_data", "--max_minutes", "--learning_rate"), range(20, 31)),
        ("--help-all", ("--decoder_hidden_size", "--train_data", "--adam_beta2", "--gradient_acc"), range(80, 300)),
    ],
)
def test_help_shows_what_matters_and_all_on_demand(option, shown, count, capsys):
    with pytest.raises(SystemExit) as exited:
        main(["pretrain", option])
    assert exited.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in shown)
    assert sum(line.startswith("  --") for line in printed.splitlines()) in count


@pytest.mark.parametrize("command", ["pretrain", "stats"])
def test_what_is_not_installed_is_named(command, tmp_path):
    code = """
import sys
import tarfile
sys.modules["datasets"] = None
from ssast_hf.assets import bundled_clips
from ssast_hf.cli import main
print(main(sys.argv[1:]))
"""
    process = FreshProcess(code, [command, "--train_data", "audio"], tmp_path, has_package=True)
    assert process.finish() == "1\n"
    assert 'datasets is not installed: pip install "ssast_hf[train]"' in process.errors()


def test_from_scratch_by_size(audio_folder, tmp_path):
    output = tmp_path / "out"
    arguments = options("", audio_folder, output, model_size="nano", patch="128x2", max_length=64, max_steps=1)
    assert main([*arguments[:1], *arguments[3:]]) == 0
    config = SSASTForPretraining.from_pretrained(output).config
    assert (config.hidden_size, config.patch_size, config.num_patches) == (160, [128, 2], 32)
    assert config.num_masked_patches == 25  # 400 of 512


def test_clips_that_training_drops_are_validated(model_dir, audio_folder, tmp_path):
    """Also if they are fewer than a batch."""
    changes = {"dataloader_drop_last": True, "per_device_eval_batch_size": 8, "max_steps": 3}
    assert main(options(model_dir, audio_folder, tmp_path / "out", **changes)) == 0
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    assert [entry["step"] for entry in state["log_history"] if "eval_loss" in entry] == [0, 3]
