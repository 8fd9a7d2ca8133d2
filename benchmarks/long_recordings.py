"""
A recording of a day against one of ten minutes: the memory of training on it, and the time that a window takes to
read, against that of a short clip.

    python benchmarks/long_recordings.py

Writes the recordings into a temporary folder; a day takes 2.8 GB. Trains a very small model, and looks at the memory
that the training process and its worker have for themselves.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile
from timing import report
from transformers import TrainerCallback

from ssast_hf import SSASTConfig, SSASTFeatureExtractor
from ssast_hf.audio.batches import AudioDataset, Cropper, EpochSampler
from ssast_hf.audio.recordings import load_recordings
from ssast_hf.training import run_pretraining


RATE, BLOCK = 16000, 16000 * 60


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().split("\n\n")[0])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    memory, reading = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, hours in (("short", 1 / 6), ("long", arguments.hours)):
            write(folder / f"{name}.wav", hours)
            queue = context.Queue()
            process = context.Process(
                target=train, args=(folder / f"{name}.wav", folder / name, arguments.steps, queue)
            )
            process.start()
            memory.append({"recording": f"{60 * hours:g} minutes", **queue.get()})
            process.join()
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


def train(file: Path, folder: Path, steps: int, queue):
    """Train on a recording, in a process of its own; puts the most memory that it and its worker took into a queue."""
    most = 0

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            nonlocal most
            process = psutil.Process()
            most = max(most, sum(each.memory_full_info().uss for each in (process, *process.children(recursive=True))))

    make = run_pretraining.SSASTTrainer

    def watched(*args, **kwargs):
        trainer = make(*args, **kwargs)
        trainer.add_callback(Watch())
        return trainer

    run_pretraining.SSASTTrainer = watched
    config = SSASTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=1, intermediate_size=64)
    config.save_pretrained(folder / "config")
    options = f"--config_name {folder}/config --train_data {file} --output_dir {folder}/out --max_steps {steps}"
    options += " --per_device_train_batch_size 4 --save_strategy no --eval_strategy no --validation_fraction 0"
    options += " --use_cpu True --dataloader_num_workers 1 --report_to none"
    run_pretraining.main(options.split())
    queue.put({"steps": steps, "peak MB": most / 1e6})


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
