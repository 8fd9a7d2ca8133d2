"""Signals that ask a run to end: it saves a checkpoint first, in all processes alike."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
import torch
from command import assert_same_run, finish, options, run, step_of, wait_until, weights
from fresh import FreshProcess

from ssast_hf.cli import main
from ssast_hf.training.stopping import EXIT_STATUS
from ssast_hf.training.trainer import SSASTTrainer


LONG = {"max_steps": 30, "save_steps": 10, "eval_steps": 15, "logging_steps": 15}


def end(processes: list[FreshProcess]) -> list[int]:
    """Exit statuses of processes that end by themselves."""
    for process in processes:
        process.process.join(300)
    return [process.process.exitcode for process in processes]


def last_checkpoint(output: Path) -> int:
    return max(map(step_of, output.glob("checkpoint-*")))


@pytest.mark.slow
@pytest.mark.compatibility
def test_run_saves_and_ends_though_its_workers_get_the_signal_too(model_dir, audio_folder, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    changes = LONG | {"dataloader_num_workers": 2, "max_steps": 300, "save_steps": 30}
    changes["dataloader_persistent_workers"] = True  # none is just being started when the signal comes
    processes = run(options(model_dir, audio_folder, stopped, **changes), tmp_path)
    wait_until(processes, stopped / "checkpoint-30")
    own = psutil.Process(processes[0].process.pid)
    for process in (*own.children(), own):
        process.send_signal(signal.SIGTERM)
    assert end(processes) == [EXIT_STATUS], processes[0].errors()
    said = processes[0].errors()
    assert f"Stopped by a signal. The same command goes on from {stopped}/checkpoint-" in said
    assert "Traceback" not in said
    step = last_checkpoint(stopped)
    assert 30 < step < 300
    assert f"checkpoint-{step}" in {path.name for path in stopped.iterdir()}
    assert not (stopped / "model.safetensors").exists()
    changes["max_steps"] = step + 5
    for output in (straight, stopped):
        finish(run(options(model_dir, audio_folder, output, **changes), tmp_path))
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(stopped)[name]), name


@pytest.mark.slow
@pytest.mark.compatibility
def test_signal_to_one_process_stops_all_at_the_same_step(model_dir, audio_folder, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    changes = LONG | {"per_device_train_batch_size": 1}
    finish(run(options(model_dir, audio_folder, straight, **changes), tmp_path, processes=2))
    command = options(model_dir, audio_folder, stopped, **changes)
    processes = run(command, tmp_path, processes=2)
    wait_until(processes, stopped / "checkpoint-10")
    os.kill(processes[1].process.pid, signal.SIGUSR1)
    assert end(processes) == [EXIT_STATUS, EXIT_STATUS]
    assert (stopped / f"checkpoint-{last_checkpoint(stopped)}" / "rng_state_1.pth").exists()
    finish(run(command, tmp_path, processes=2))
    assert_same_run(straight, stopped)


@pytest.mark.compatibility
@pytest.mark.parametrize("step", [6, 12])
def test_validation_that_was_stopped_is_made_up_for(model_dir, audio_folder, tmp_path, monkeypatch, step):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    changes = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_steps": 3, "save_steps": 4, "max_steps": 12}
    assert main(options(model_dir, audio_folder, straight, **changes)) == 0
    command = options(model_dir, audio_folder, stopped, **changes)

    def stop(self, *args, **kwargs):
        if self.state.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return prediction_step(self, *args, **kwargs)

    prediction_step = SSASTTrainer.prediction_step
    with monkeypatch.context() as patch:
        patch.setattr(SSASTTrainer, "prediction_step", stop)
        with pytest.raises(SystemExit) as exited:
            main(command)
    assert exited.value.code == EXIT_STATUS
    assert last_checkpoint(stopped) == step
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert main(command) == 0
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(stopped)[name]), name
    states = [json.loads((output / "trainer_state.json").read_text()) for output in (straight, stopped)]
    losses = [[entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry] for state in states]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 5  # and one of the untouched model
    assert states[0]["best_global_step"] == states[1]["best_global_step"]


def test_second_signal_ends_at_once(tmp_path):
    code = """
import os, signal, time
from ssast_hf.training.stopping import SAME_SIGNAL, StopRequest
with StopRequest() as stop:
    for _ in range(2):  # of the launcher and of the cluster above it
        os.kill(os.getpid(), signal.SIGTERM)
    print(stop.agreed(), flush=True)
    time.sleep(SAME_SIGNAL + 0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still there", flush=True)
"""
    process = FreshProcess(code, [], tmp_path, has_package=True)
    assert end([process]) == [-signal.SIGTERM]
    assert (process.scratch / "stdout").read_text() == "True\n"


def test_worker_ends_with_its_process_alone(tmp_path):
    code = """
import os, signal, subprocess, sys, time
from ssast_hf.training.stopping import shield_worker
reading, writing = os.pipe()
worker = os.fork()
if worker == 0:
    shield_worker()
    os.write(writing, b"ready")
    time.sleep(600)
print(os.read(reading, 5).decode(), flush=True)
subprocess.run([sys.executable, "-c", f"import os; os.kill({worker}, 15)"])
time.sleep(0.5)
print(os.waitpid(worker, os.WNOHANG)[0], flush=True)
os.kill(worker, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
"""
    assert FreshProcess(code, [], tmp_path, has_package=True).finish() == "ready\n0\n0\n"
