"""
Kill a run at random moments, go on by the same command each time, and compare the end with that of an unbroken run.

    python benchmarks/kill_storm.py --kills 50 --terms 10 --seed 0

Every start is a fresh `python -m ssast_hf pretrain` of a very small model on noise: with 2 workers, on a list of
files (`plain`) and on a stream (`stream`), and as 2 processes of one group, of which one is killed (`group`). A run
that ends before it was killed often enough is compared and begun again. The moments lie between that at which a run
takes hold of its folder and its end. Exits with 1 if anything differs.
"""

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file
from timing import report

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPretraining
from ssast_hf.storage.locks import LOCK
from ssast_hf.training.stopping import EXIT_STATUS


# How long the other process of a group may take to notice.
PATIENCE = 60
STEPS = 30
# In place of the exit status of a process that had to be killed.
UNENDED = -1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument(
        "--modes", nargs="+", choices=["plain", "stream", "group"], default=["plain", "stream", "group"]
    )
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs, shared out over the modes")
    parser.add_argument("--terms", type=int, default=10, help="SIGTERMs, shared out over the modes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        make_inputs(Path(scratch))
        for index, mode in enumerate(arguments.modes):
            expected = Path(scratch, f"{mode}-unbroken")
            processes = start(mode, expected)
            wait_for_lock(processes, expected)
            began = time.monotonic()
            statuses = wait_for(processes, 600)
            assert statuses == [0] * len(statuses), (mode, statuses)
            longest = time.monotonic() - began
            for number, total in ((signal.SIGKILL, arguments.kills), (signal.SIGTERM, arguments.terms)):
                count = len(range(index, total, len(arguments.modes)))
                moments = random.Random(f"{arguments.seed} {mode} {number}")
                rows.append(storm(mode, number, count, moments, longest, expected))
                print({"mode": mode} | rows[-1], flush=True)
    report(rows)
    return int(any(row["wrong"] for row in rows))


def make_inputs(scratch: Path):
    """A model that never saw data, and noise to train it on."""
    torch.manual_seed(0)
    config = SSASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        patch_size=8,
        num_mel_bins=32,
        max_length=64,
        num_masked_patches=20,
    )
    SSASTForPretraining(config).save_pretrained(scratch / "model")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(scratch / "model")
    (scratch / "audio").mkdir()
    noise = np.random.RandomState(0)
    for i in range(14):
        soundfile.write(scratch / "audio" / f"{i:02d}.wav", 0.1 * noise.randn(4800 + 800 * i), 16000)


def start(mode: str, output: Path) -> list[subprocess.Popen]:
    """The command, in one process or in two."""
    scratch = output.parent
    options = {
        "model_name_or_path": scratch / "model",
        "train_data": scratch / "audio",
        "output_dir": output,
        "max_steps": STEPS,
        "per_device_train_batch_size": 3,
        "learning_rate": 1e-3,
        "warmup_steps": 5,
        "eval_steps": 7,
        "save_steps": 3,
        "logging_steps": 5,
        "visualize_steps": 0,
        "dataloader_num_workers": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "ddp_timeout": 20,  # of a process that waits for one that was killed before it came
    }
    if mode == "stream":
        options |= {"streaming": True, "shuffle_buffer": 5}
    else:
        options["validation_fraction"] = 0.15
    command = [sys.executable, "-m", "ssast_hf", "pretrain", *(f"--{name}={value}" for name, value in options.items())]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    groups = [{}]
    if mode == "group":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        groups = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    processes = []
    for rank, group in enumerate(groups):
        with Path(f"{output}-{rank}.log").open("a") as log:
            processes.append(subprocess.Popen(command, env=environment | group, stdout=log, stderr=log))
    return processes


def wait_for_lock(processes: list[subprocess.Popen], output: Path):
    """Wait until a run holds its folder: most of the time before, Python imports PyTorch."""
    lock = output / LOCK
    while processes[0].poll() is None:
        with contextlib.suppress(OSError):
            if lock.read_text().startswith(f"process {processes[0].pid} "):
                return
        time.sleep(0.002)


def wait_for(processes: list[subprocess.Popen], seconds: float) -> list[int]:
    """Exit statuses; processes that have not ended by then are killed."""
    deadline = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print(f"process {process.pid} did not end by itself", flush=True)
            return [UNENDED]
    return [process.returncode for process in processes]


def storm(
    mode: str, number: signal.Signals, count: int, moments: random.Random, longest: float, expected: Path
) -> dict:
    """Kill `count` times with one signal; a row of the table."""
    ends, finished, wrong, slowest = Counter(), 0, 0, 0.0
    run, asked = 0, 0
    while sum(ends.values()) < count or run > finished:
        output = expected.with_name(f"{mode}-{number.name}-{finished}")
        run = finished + 1
        processes = start(mode, output)
        statuses = None
        if sum(ends.values()) < count:
            wait_for_lock(processes, output)
            moment = time.monotonic() + moments.uniform(0, longest)
            victim = moments.choice(processes)
            while time.monotonic() < moment and any(process.poll() is None for process in processes):
                time.sleep(0.002)
            if victim.poll() is None:
                before = reached(output)
                victim.send_signal(number)
                sent = time.monotonic()
                statuses = wait_for(processes, PATIENCE)
                slowest = max(slowest, time.monotonic() - sent)
                if statuses != [0] * len(statuses):
                    ends["before the first checkpoint" if before is None else "later"] += 1
                    asked += EXIT_STATUS in statuses
                    wrong += is_wrong(number, statuses, output)
        statuses = statuses or wait_for(processes, 600)
        if statuses == [0] * len(statuses):
            if differs(expected, output):
                wrong += 1
            finished += 1
        elif sum(ends.values()) >= count and UNENDED in statuses:
            return {"mode": mode, "signal": number.name, "wrong": wrong + 1}
    return {
        "mode": mode,
        "signal": number.name,
        "kills": sum(ends.values()),
        "before a checkpoint": ends["before the first checkpoint"],
        f"exit {EXIT_STATUS}": asked,
        "runs compared": finished,
        "slowest end, s": slowest,
        "wrong": wrong,
    }


def reached(output: Path) -> str | None:
    return max((path.name for path in output.glob("checkpoint-*")), default=None)


def is_wrong(number: signal.Signals, statuses: list[int], output: Path) -> bool:
    """Whether the end that a signal brought is none of those that are documented; says so."""
    allowed = {-number} if number == signal.SIGKILL else {-number, EXIT_STATUS}
    if len(statuses) > 1:
        # The other process of a group misses the first one, or has nothing left to do while that writes the report.
        allowed |= {0, 1}
    wrong = [status for status in statuses if status not in allowed]
    if EXIT_STATUS in statuses and (len(set(statuses)) > 1 or (output / ".saving").exists()):
        wrong = statuses
    if wrong:
        print(f"{output.name}: {number.name} ended it with {statuses}", flush=True)
    return bool(wrong)


def differs(expected: Path, output: Path) -> bool:
    """Whether the weights of two finished runs differ in any bit; says so."""
    one, other = (load_file(folder / "model.safetensors") for folder in (expected, output))
    names = [name for name in one if not torch.equal(one[name], other[name])]
    if names:
        print(f"{output.name}: {len(names)} of {len(one)} weights differ", flush=True)
    return bool(names)


if __name__ == "__main__":
    sys.exit(main())
