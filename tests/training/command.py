"""The pretraining command in the tests: a short run, in one process or several, and what comes of it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch
from fresh import COMMAND, FreshProcess
from safetensors.torch import load_file


# What people start several processes with, as modules of Python.
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ACCELERATE = ["accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "2"]


def options(model_dir, audio_folder, output_dir, **changes) -> list[str]:
    """Command line of a short run."""
    values = {
        "model_name_or_path": model_dir,
        "train_data": audio_folder,
        "output_dir": output_dir,
        "max_steps": 6,
        "per_device_train_batch_size": 3,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant_with_warmup",  # a run of another length then begins with the same steps
        "warmup_steps": 2,
        "validation_fraction": 0.15,
        "eval_steps": 3,
        "save_steps": 2,
        "logging_steps": 2,
        "load_best_model_at_end": False,  # which saves besides, at validations
        "visualize_steps": 0,
        "dataloader_num_workers": 0,
        "report_to": "none",
        "use_cpu": True,
    } | changes
    return as_line("pretrain", values)


def as_line(command: str, values: dict) -> list[str]:
    """A command with these options."""
    return [command, *(text for name, value in values.items() for text in (f"--{name}", str(value)))]


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def assert_same_run(one: Path, other: Path):
    """Weights, optimizer and schedule of two finished runs are equal, bit for bit."""
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, weights(other)[name]), name
    states = [torch.load(path / "checkpoint-30" / "optimizer.pt", weights_only=True)["state"] for path in (one, other)]
    assert states[0].keys() == states[1].keys()
    for key, state in states[0].items():
        for name, value in state.items():
            assert torch.equal(value, states[1][key][name])
    schedules = [(path / "checkpoint-30" / "scheduler.pt").read_bytes() for path in (one, other)]
    assert schedules[0] == schedules[1]


def run(arguments, folder: Path, processes: int = 1, code: str = COMMAND) -> list[FreshProcess]:
    """Start the command, or other code, in one process or several that work together, as `torchrun` starts them."""
    if processes == 1:
        return [FreshProcess(code, arguments, folder, has_package=True)]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    group |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [
        FreshProcess(code, arguments, folder, has_package=True, **group, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(processes)
    ]


def finish(processes: list[FreshProcess]) -> str:
    """Wait for the end of processes that started together; returns what they print and say."""
    return "".join(process.finish() + process.errors() for process in processes)


def wait_until(processes: list[FreshProcess], path: Path):
    """Wait until `path` exists, or has if it is a checkpoint that later ones replaced, while all processes run."""
    while not path.exists() and not is_passed(path):
        assert all(process.is_running() for process in processes), [process.errors() for process in processes]
        time.sleep(0.005)


def is_passed(path: Path) -> bool:
    """Whether it is a checkpoint, and there are later ones."""
    others = path.parent.glob("checkpoint-*")
    return path.name.startswith("checkpoint-") and any(step_of(other) > step_of(path) for other in others)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def kill_after(processes: list[FreshProcess], path: Path):
    """SIGKILL for all processes as soon as `path` exists."""
    wait_until(processes, path)
    for process in processes:
        process.kill()


def script(path: Path) -> str:
    """Code that runs a file as a script."""
    return f"import runpy, sys; sys.argv[0] = {str(path)!r}; runpy.run_path({str(path)!r}, run_name='__main__')"


def launch(launcher: list[str], arguments: list[str]) -> str:
    """The command, started by a module of Python's; returns what it says."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", *launcher, "-m", "ssast_hf", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stderr
