"""
Audio files to batches: how fast, by number of worker processes, and how long a training step waits for its batch.

    python benchmarks/pipeline.py --workers 0 1 2

Reads files made for the purpose, FLAC of 10 seconds at 16 kHz, unless `--train_data` names others. The step that waits
is that of a model of `--size`, computed with one thread, as the workers do.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from timing import report
from torch.utils.data import DataLoader
from tqdm import tqdm

from ssast_hf import SSASTFeatureExtractor, SSASTForPretraining
from ssast_hf.audio.audio_datasets import AudioDataset
from ssast_hf.audio.batches import Collator, EpochSampler
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.recordings import load_recordings
from ssast_hf.training.models import SIZES, ModelArguments, make_config


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--train_data", help="data set to read (default: files made for the purpose)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        feature_extractor = SSASTFeatureExtractor()
        dataset = AudioDataset(
            load_recordings(arguments.train_data or make_files(Path(scratch))), Cropper(feature_extractor, 16, seed=0)
        )
        step = make_step(arguments.size, arguments.device)
        rows = []
        for workers in arguments.workers:
            loader = DataLoader(
                dataset,
                batch_size=arguments.batch_size,
                sampler=Endless(len(dataset), seed=0),
                collate_fn=Collator(feature_extractor),
                num_workers=workers,
            )
            reading, _ = consume(loader, arguments.batches, lambda batch: None)
            training, waiting = consume(loader, arguments.batches, step)
            rows.append(
                {
                    "workers": workers,
                    "clips/s read": arguments.batches * arguments.batch_size / reading,
                    "step": f"{arguments.size}, {arguments.device}",
                    "clips/s trained": arguments.batches * arguments.batch_size / training,
                    "waiting": waiting / training,
                }
            )
    report(rows)


class Endless(EpochSampler):
    """Epoch after epoch."""

    def __iter__(self):
        while True:
            yield from super().__iter__()
            self.epoch += 1


def make_files(folder: Path, count: int = 32) -> str:
    random = np.random.RandomState(0)
    for i in range(count):
        soundfile.write(folder / f"{i}.flac", np.tanh(0.1 * random.randn(160000)), 16000)
    return str(folder)


def make_step(size: str, device: str):
    model = SSASTForPretraining(make_config(ModelArguments(model_size=size), {})).to(device).train()
    optimizer = torch.optim.Adam(model.parameters())

    def step(batch):
        inputs = {name: values.to(device) for name, values in batch.items() if name != "skipped"}
        # As training on a GPU is: a slower step would hide a wait.
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def consume(loader, count: int, function) -> tuple[float, float]:
    """Seconds for `count` batches after a warm-up, and how many of them passed before a batch was there."""
    batches = iter(loader)
    for _ in range(4):  # until the workers have started and filled their queues
        function(next(batches))
    waiting, start = 0.0, time.perf_counter()
    for _ in tqdm(range(count), desc=f"{loader.num_workers} workers"):
        before = time.perf_counter()
        batch = next(batches)
        waiting += time.perf_counter() - before
        function(batch)
    return time.perf_counter() - start, waiting


if __name__ == "__main__":
    main()
