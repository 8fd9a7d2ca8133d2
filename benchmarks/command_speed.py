"""
What `ssast-hf pretrain` costs beside the training step itself: clips per second of the command, with features from the
audio and from a cache, against a bare loop over features in memory. They take turns.

    python benchmarks/command_speed.py --train_data corpus/manifest.csv

The model is that of `--model_size` in clips of 5 s, with a decoder of two layers, so that visible patches alone are
encoded. The speeds of the command are the medians of its log entries. Without `--train_data`, files are made.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from pipeline import make_files
from timing import report
from tqdm import tqdm

from ssast_hf import SSASTForPretraining
from ssast_hf.cli import main as ssast_hf
from ssast_hf.training.models import SIZES, ModelArguments, make_config


FRAMES = 512
LOGGING_STEPS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--train_data", help="data set to read (default: files made for the purpose)")
    parser.add_argument("--model_size", choices=SIZES, default="nano")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="on processors that have it")
    arguments = parser.parse_args()
    if arguments.steps < 3 * LOGGING_STEPS:
        parser.error(f"--steps must be at least {3 * LOGGING_STEPS}, got {arguments.steps}")
    speeds: dict[str, list[float]] = {"bare loop": [], "command, cached features": [], "command": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "audio").mkdir()
        data = arguments.train_data or make_files(folder / "audio", 64)
        for number in tqdm(range(arguments.repeats), desc="rounds"):
            speeds["bare loop"].append(bare_loop(arguments))
            cache = ["--cache_features", str(folder / "features")]
            speeds["command, cached features"].append(command(arguments, data, folder / f"cached-{number}", cache))
            speeds["command"].append(command(arguments, data, folder / f"plain-{number}", []))
    bare = statistics.median(speeds["bare loop"])
    rows = [
        {"what": name, "clips/s": statistics.median(values), "of the bare loop": statistics.median(values) / bare}
        for name, values in speeds.items()
    ]
    report(rows)


def bare_loop(arguments) -> float:
    """Clips per second of steps on one batch that is there already."""
    named = ModelArguments(model_size=arguments.model_size, max_length=FRAMES)
    config = make_config(named, {"decoder_num_hidden_layers": 2})
    model = SSASTForPretraining(config).train()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    batch = torch.randn(arguments.batch_size, FRAMES, config.num_mel_bins)
    seconds = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            loss = model(batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return arguments.batch_size / statistics.median(seconds[LOGGING_STEPS:])


def command(arguments, data: str, output: Path, options: list[str]) -> float:
    """Clips per second of the command, by its log."""
    values = {
        "model_size": arguments.model_size,
        "decoder_num_hidden_layers": 2,
        "max_length": FRAMES,
        "train_data": data,
        "output_dir": output,
        "max_steps": arguments.steps,
        "per_device_train_batch_size": arguments.batch_size,
        "validation_fraction": 0,
        "save_strategy": "no",
        "logging_steps": LOGGING_STEPS,
        "dataloader_num_workers": arguments.workers,
        "bf16": arguments.bf16,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }
    line = ["pretrain", *(text for name, value in values.items() for text in (f"--{name}", str(value))), *options]
    with contextlib.redirect_stdout(sys.stderr):
        if status := ssast_hf(line):
            raise RuntimeError(f"the command ended with {status}")
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    found = [entry["clips_per_second"] for entry in history if "clips_per_second" in entry]
    return statistics.median(found[2:])


if __name__ == "__main__":
    main()
