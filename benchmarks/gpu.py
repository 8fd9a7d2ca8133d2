"""
One graphics card: whether all is right on it, how fast training is there, and whether it gets its data in time.

    python benchmarks/gpu.py --output gpu.json

In less than 8 minutes: the numbers of the original code in float32, bfloat16, attention, compilation, masks and
resuming; then steps of training, beginning with the released code's two passes; then features; then the command
itself on generated files. What there was no time for says so. The exit status is 1 if something is not right. The
table of `scaling.py` is made from the JSON.

`--device cpu --quick` runs all of it on a processor in seconds, as small as can be, so that the figures mean nothing.
"""

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

import torch
from transformers.utils import logging


sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the recorded numbers

from gpu_parts.correctness import check_all
from gpu_parts.data import measure_command, measure_features
from gpu_parts.setting import Setting
from gpu_parts.speed import measure_speed
from timing import table


SECTIONS = ("correctness", "speed", "features", "command")
# Of an H100: what, of which row, at least or at most.
TARGETS = (
    ("one pass, bf16, compiled: of matmul", "of matmul", "one pass, bf16, compiled", 0.5),
    ("one pass, bf16, compiled: ratio", "ratio", "one pass, bf16, compiled", 15),
    ("visible only, bf16, compiled: ratio", "ratio", "visible only, bf16, compiled", 30),
)
MOST_WAITING = 0.05


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="as small as can be, to see that it runs")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=SECTIONS, help="some of the sections")
    parser.add_argument("--seconds", type=float, default=460, help="how long all of it may take")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), help="where the figures go")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU that PyTorch can use; --device cpu --quick shows that the script runs")
    if arguments.device == "cpu" and not arguments.quick:
        parser.error("--device cpu needs --quick; pretraining_step.py and pipeline.py measure processors")
    logging.disable_progress_bar()
    setting = Setting(arguments.device, arguments.quick, arguments.seconds)
    began = time.monotonic()
    found: dict = setting.describe()
    for name, measure in zip(SECTIONS, (check_all, measure_speed, measure_features, measure_command), strict=True):
        if name not in arguments.only:
            continue
        try:
            found[name] = measure(setting)
        except Exception as error:  # the other sections are of use without this one
            traceback.print_exc()
            found[name] = [{"section": name, "result": f"FAILED: {type(error).__name__}: {error}"}]
        print(table(found[name]) + "\n", flush=True)
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")  # whatever comes next
    found["targets"] = targets(found)
    found["seconds"] = time.monotonic() - began
    if found["targets"]:
        print(table(found["targets"]) + "\n")
    arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['device']}, {found['seconds']:.0f} s. Written: {arguments.output}")
    rows = [row for name in SECTIONS for row in found.get(name, [])]
    return int(any(row.get("result", "ok").startswith("FAILED") for row in rows))


def targets(found: dict) -> list[dict]:
    """What an H100 should reach with a base model of 16x16, and what was reached."""
    rows = []
    speeds = {row["step"]: row for row in found.get("speed", []) if row.get("model") == "base 16x16"}
    for name, column, step, least in TARGETS:
        value = speeds.get(step, {}).get(column)
        if value is not None:
            rows.append(
                {"target": name, "wanted": f"at least {least}", "measured": value, "is reached": value >= least}
            )
    for row in found.get("command", []):
        if (value := row.get("waiting")) is not None:
            reached = value < MOST_WAITING
            wanted = f"below {MOST_WAITING}"
            rows.append({"target": "waiting for data", "wanted": wanted, "measured": value, "is reached": reached})
    return rows


if __name__ == "__main__":
    sys.exit(main())
