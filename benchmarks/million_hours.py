"""
What embedding a million hours takes, by a rate that was measured on one machine or is measured here.

    python benchmarks/million_hours.py --rate 350 --width 160
    python benchmarks/million_hours.py --model ssast-base-patch-400 --data audio/
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

from pyarrow import parquet
from timing import report

from ssast_hf.cli import main as ssast_hf
from ssast_hf.configuration_ssast import SSASTConfig


FLOAT_BYTES = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rate", type=float, help="seconds of audio per second; measured with --model and --data")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--data", nargs="+", help="what to embed, to measure the rate")
    parser.add_argument("--hours", type=float, default=1e6)
    parser.add_argument("--clip", type=float, default=10.0, help="seconds of a recording")
    parser.add_argument("--days", type=float, default=7.0, help="in which all is to be done")
    parser.add_argument("--width", type=int, default=768, help="numbers of an embedding")
    arguments = parser.parse_args()
    rate = arguments.rate
    if rate is None:
        if arguments.data is None:
            parser.error("pass --rate, or --data to measure it")
        rate = measure(arguments.model, arguments.data)
    machine_hours = arguments.hours / rate
    days = machine_hours / 24
    clips = arguments.hours * 3600 / arguments.clip
    config = SSASTConfig()
    steps = arguments.hours * 3600 / (config.time_stride * config.frame_seconds[0])
    report(
        [
            {"what": "seconds of audio per second", "value": rate},
            {"what": f"clips of {arguments.clip:g} s per second", "value": rate / arguments.clip},
            {"what": "hours on one machine", "value": machine_hours},
            {"what": f"machines for {arguments.days:g} days", "value": math.ceil(days / arguments.days)},
            {"what": "TB of one vector per clip", "value": clips * arguments.width * FLOAT_BYTES / 1e12},
            {"what": "TB of one vector per time step", "value": steps * arguments.width * FLOAT_BYTES / 1e12},
            {"what": "parts of three hours", "value": arguments.hours / 3},
        ]
    )


def measure(model: str, data: list[str]) -> float:
    """
    Seconds of audio that the command embeds per second, from reading to writing. It is run twice, and the second run,
    whose files the system may have kept in memory, counts.
    """
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            assert ssast_hf(["embed", *data, "--model", model, "--output", f"{folder}/out"]) == 0
            seconds = time.perf_counter() - start
            columns = ["start", "end"]
            parts = [parquet.read_table(path, columns=columns) for path in Path(folder, "out").glob("part-*")]
    audio = sum(float(part["end"].to_numpy().sum() - part["start"].to_numpy().sum()) for part in parts)
    return audio / seconds


if __name__ == "__main__":
    main()
