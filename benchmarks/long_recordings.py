"""
A recording of a day against one of ten minutes: the memory of training on it, and the time that a window takes to
read, against that of a short clip.

    python benchmarks/long_recordings.py

Writes the recordings into a temporary folder; a day takes 2.8 GB. Trains a very small model, and looks at the memory
that the training process and its worker have for themselves.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import soundfile
from timing import report

from ssast_hf import SSASTConfig, SSASTFeatureExtractor
from ssast_hf.audio.audio_datasets import AudioDataset
from ssast_hf.audio.batches import EpochSampler
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.recordings import load_recordings


RATE, BLOCK = 16000, 16000 * 60


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().split("\n\n")[0])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    memory, reading = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, hours in (("short", 1 / 6), ("long", arguments.hours)):
            write(folder / f"{name}.wav", hours)
            memory.append({"minutes": 60 * hours, **train(folder / f"{name}.wav", folder / name, arguments.steps)})
        clips = folder / "clips"
        clips.mkdir()
        for i in range(200):
            write(clips / f"{i}.wav", 10 / 3600)
        reading.append(time_of("clips of 10 s, WAV", clips))
        reading.append(time_of(f"{arguments.hours:g} h, WAV", folder / "long.wav"))
        (folder / "long.wav").unlink()
        for suffix in ("flac", "ogg", "mp3"):
            write(folder / f"hour.{suffix}", 1)
            reading.append(time_of(f"1 h, {suffix.upper()}", folder / f"hour.{suffix}"))
    report(memory)
    report(reading)


def write(path: Path, hours: float):
    """Noise, a minute at a time, so that no more than that is in memory."""
    random = np.random.default_rng(0)
    noise = 0.1 * random.standard_normal(BLOCK, dtype=np.float32)
    left = round(hours * 3600 * RATE)
    with soundfile.SoundFile(path, "w", RATE, 1) as sound:
        while left > 0:
            sound.write(random.random(dtype=np.float32) * noise[:left])
            left -= BLOCK


def train(file: Path, folder: Path, steps: int) -> dict:
    """Train on a recording; the most memory that the process and its worker had for themselves meanwhile."""
    config = SSASTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=1, intermediate_size=64)
    config.save_pretrained(folder / "config")
    command = f"-m ssast_hf pretrain --config_name {folder}/config --train_data {file} --output_dir {folder}/out"
    command += f" --max_steps {steps} --per_device_train_batch_size 4 --save_strategy no --eval_strategy no"
    command += " --validation_fraction 0 --use_cpu True --dataloader_num_workers 1 --report_to none"
    most = 0
    with subprocess.Popen([sys.executable, *command.split()]) as process:
        while process.poll() is None:
            with suppress(psutil.Error):  # a process may end while it is looked at
                root = psutil.Process(process.pid)
                processes = (root, *root.children(recursive=True))
                most = max(most, sum(each.memory_full_info().uss for each in processes))
            time.sleep(0.2)
    return {"steps": steps, "peak MB": most / 1e6}


def time_of(name: str, source: Path) -> dict:
    """How long reading a window takes, at random places; the system may have parts of the file in memory."""
    feature_extractor = SSASTFeatureExtractor()
    start = time.perf_counter()
    dataset = AudioDataset(load_recordings(str(source)), Cropper(feature_extractor, 16, seed=0, window_seconds=10))
    opened = time.perf_counter() - start
    items = [item for item, _ in zip(EpochSampler(len(dataset), seed=0), range(200), strict=False)]
    seconds = []
    for item in items:
        before = time.perf_counter()
        dataset[item]
        seconds.append(time.perf_counter() - before)
    return {
        "what": name,
        "windows per epoch": len(dataset),
        "to list them, ms": 1000 * opened,
        "a window, ms": 1000 * float(np.median(seconds)),
        "95 % within, ms": 1000 * float(np.quantile(seconds, 0.95)),
    }


if __name__ == "__main__":
    main()
