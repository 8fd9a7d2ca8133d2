"""
A run of the command that was interrupted ends with the weights of one that was not, bit for bit, with deterministic
algorithms.

    python -m gpu_parts.resuming cuda    # in `benchmarks`
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from ssast_hf.assets import bundled_clips
from ssast_hf.cli import main

from .setting import Setting


STEPS = 4


def check_resuming(setting: Setting):
    """On a GPU in a process of its own: what makes cuBLAS deterministic is read before its first product."""
    if not setting.is_cuda:
        yield from differences(setting.device)
        return
    folder = Path(__file__).parents[1]
    path = os.pathsep.join([str(folder), *sys.path])
    environment = os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONPATH": path}
    command = [sys.executable, "-m", "gpu_parts.resuming", setting.device]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode:
        raise RuntimeError((result.stderr.strip().splitlines() or ["no output"])[-1])
    yield from json.loads(result.stdout.splitlines()[-1])


def differences(device: str):
    """How many tensors differ, of the model and of its optimizer."""
    with tempfile.TemporaryDirectory() as scratch:
        straight, interrupted = Path(scratch, "straight"), Path(scratch, "interrupted")
        train(straight, device, STEPS)
        train(interrupted, device, STEPS // 2)
        train(interrupted, device, STEPS)
        files = "model.safetensors", f"checkpoint-{STEPS}/optimizer.pt"
        weights = [load_file(folder / files[0]) for folder in (straight, interrupted)]
        # A checkpoint of the device, read on the CPU.
        states = [
            torch.load(folder / files[1], map_location="cpu", weights_only=True) for folder in (straight, interrupted)
        ]
    yield "tensors of the model that differ", count(*weights), 0
    moments = [
        {f"{key} {name}": value for key, state in each["state"].items() for name, value in state.items()}
        for each in states
    ]
    yield "tensors of the optimizer that differ", count(*moments), 0


def train(output: Path, device: str, steps: int):
    options = {
        "model_name_or_path": "nano",
        "train_data": bundled_clips()[0].parent,
        "output_dir": output,
        "max_steps": steps,
        "save_steps": STEPS // 2,
        "lr_scheduler_type": "constant_with_warmup",  # which does not depend on where the run ends
        "per_device_train_batch_size": 2,
        "max_length": 64,
        "window_seconds": 0.6,
        "validation_fraction": 0,
        "visualize_steps": 0,
        "dataloader_num_workers": 0,
        "disable_tqdm": True,
        "report_to": "none",
        "use_cpu": device == "cpu",
    }
    # On a CPU all is deterministic already, and nothing has to stay as it is set there.
    options |= {"full_determinism": True} if device != "cpu" else {}
    with contextlib.redirect_stdout(sys.stderr):
        status = main(["pretrain", *(text for name, value in options.items() for text in (f"--{name}", str(value)))])
    if status:
        raise RuntimeError(f"the command ended with {status}")


def count(one: dict, other: dict) -> int:
    if one.keys() != other.keys():
        raise RuntimeError("the tensors have other names")
    return sum(not torch.equal(tensor, other[name]) for name, tensor in one.items())


if __name__ == "__main__":
    print(json.dumps(list(differences(sys.argv[1]))))
