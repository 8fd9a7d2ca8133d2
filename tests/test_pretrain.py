"""The pretraining command: what it trains, logs, writes and refuses, and that it goes on where it was killed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.cli import main


SCRIPTS = Path(__file__).parent


@pytest.fixture
def audio_folder(tmp_path):
    """Twelve clips of 0.3 to 0.9 seconds; the model takes 0.65."""
    folder = tmp_path / "audio"
    folder.mkdir()
    random = np.random.RandomState(0)
    for i in range(12):
        soundfile.write(folder / f"{i:02d}.wav", 0.1 * random.randn(4800 + 800 * i), 16000)
    return folder


@pytest.fixture
def model_dir(model, tmp_path):
    """A saved model that never saw data."""
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return folder


def options(model_dir, audio_folder, output_dir, **changes) -> list[str]:
    """Command line of a short run."""
    values = {
        "model_name_or_path": model_dir,
        "train_data": audio_folder,
        "output_dir": output_dir,
        "max_steps": 6,
        "per_device_train_batch_size": 3,
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "validation_fraction": 0.15,
        "eval_steps": 3,
        "save_steps": 2,
        "logging_steps": 2,
        "visualize_steps": 0,
        "dataloader_num_workers": 0,
        "report_to": "none",
        "use_cpu": True,
    } | changes
    return ["pretrain", *(text for name, value in values.items() for text in (f"--{name}", str(value)))]


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def assert_same_run(one: Path, other: Path):
    """Weights, optimizer, schedule and logged values of two finished runs are equal, bit for bit."""
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, weights(other)[name]), name
    states = [torch.load(path / "checkpoint-40" / "optimizer.pt", weights_only=True)["state"] for path in (one, other)]
    assert states[0].keys() == states[1].keys()
    for key, state in states[0].items():
        for name, value in state.items():
            assert torch.equal(value, states[1][key][name])
    schedules = [(path / "checkpoint-40" / "scheduler.pt").read_bytes() for path in (one, other)]
    assert schedules[0] == schedules[1]


def run(arguments: list[str], processes: int = 1):
    """Start the command in processes of its own."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [*launcher, "-m", "ssast_hf", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def finish(process):
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    return printed


def kill_after(process, path: Path):
    """SIGKILL for all processes as soon as `path` exists."""
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    launcher = psutil.Process(process.pid)
    for each in [launcher, *launcher.children(recursive=True)]:
        each.kill()
    process.communicate()


def test_trains_every_parameter_logs_and_goes_on(model_dir, audio_folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(options(model_dir, audio_folder, output, visualize_steps=4, report_to="tensorboard")) == 0
    before, after = weights(model_dir), weights(output)
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    names = (
        "discriminative_loss generative_loss accuracy duplicate_fraction prediction_variance masked_fraction".split()
    )
    assert {"loss", "learning_rate", "clips_per_second", *names} <= history[0].keys()
    assert {"eval_loss", *(f"eval_{name}" for name in names)} <= history[-2].keys()
    assert history[0]["loss"] == pytest.approx(history[0]["discriminative_loss"] + 10 * history[0]["generative_loss"])
    assert {path.name[:12] for path in (output / "figures").iterdir()} == {"step-0000004", "step-0000006"}
    assert list((output / "runs").rglob("events.out.tfevents*"))
    report = (output / "report.md").read_text()
    assert "--max_steps 6" in report
    assert "20 of 32 masked" in report
    assert (output / "curves.png").stat().st_size > 10_000

    assert main(options(model_dir, audio_folder, output, max_steps=8)) == 0
    assert "Going on from" in capsys.readouterr().err
    assert json.loads((output / "trainer_state.json").read_text())["global_step"] == 8


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_run_goes_on_bit_for_bit(processes, model_dir, audio_folder, tmp_path):
    # 10 clips in batches of 3, so that step 6 lies within an epoch.
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    changes = {"dataloader_num_workers": 1, "per_device_train_batch_size": 3 if processes == 1 else 1}
    changes |= {"max_steps": 40, "save_steps": 6, "eval_steps": 20, "logging_steps": 20}
    finish(run(options(model_dir, audio_folder, straight, **changes), processes))
    kill_after(run(options(model_dir, audio_folder, killed, **changes), processes), killed / "checkpoint-6")
    assert not (killed / "checkpoint-40").exists()
    finish(run(options(model_dir, audio_folder, killed, resume_from_checkpoint=True, **changes), processes))
    assert_same_run(straight, killed)
