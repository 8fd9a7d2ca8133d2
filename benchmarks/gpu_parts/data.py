"""How fast features are made on the device, and how long the command itself waits for its data."""

import contextlib
import csv
import sys
import tempfile
import time
from pathlib import Path

import torch
from pipeline import make_files
from timing import interleaved_medians

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.cli import main
from ssast_hf.training.trainer import SSASTTrainer

from .setting import Setting


# Steps in which workers fill their queues and the model is compiled.
FIRST_STEPS = 10


def measure_features(setting: Setting) -> list[dict]:
    """Clips of 10 s per second: in batches on the device, also compiled, and clip by clip on the CPU."""
    extractor = SSASTFeatureExtractor(max_length=64 if setting.is_quick else 1024)
    batch = 2 if setting.is_quick else 256 if setting.is_cuda else 8
    waveforms = 0.1 * torch.randn(batch, extractor.num_samples(extractor.max_length))
    on_device = waveforms.to(setting.device)
    lengths = torch.full((batch,), waveforms.shape[1], device=setting.device)

    def together(extract):
        extract(on_device, lengths)
        if setting.is_cuda:
            torch.cuda.synchronize()

    candidates = {f"in batches, {setting.device}": lambda: together(extractor.extract)}
    if setting.is_cuda:
        compiled = torch.compile(extractor.extract)
        candidates[f"the same, compiled, {setting.device}"] = lambda: together(compiled)
    candidates["clip by clip, cpu"] = lambda: extractor(waveforms, sampling_rate=16000, return_tensors="pt")
    medians = interleaved_medians(candidates, repeats=1 if setting.is_quick else 5, warmup=1)
    return [{"features": name, "batch": batch, "clips/s": batch / seconds} for name, seconds in medians.items()]


def measure_command(setting: Setting) -> list[dict]:
    """`ssast-hf pretrain` on FLAC files of 10 s: clips per second, and the share of time without data."""
    batch, steps, workers = (2, FIRST_STEPS + 3, 0) if setting.is_quick else (64, FIRST_STEPS + 50, 8)
    watch = Watch(setting)
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "out")
        options = {
            "model_size": "nano" if setting.is_quick else "base",
            "train_data": make_list(Path(scratch), batch * steps, files=2 if setting.is_quick else 256),
            "output_dir": output,
            "max_steps": steps,
            "per_device_train_batch_size": batch,
            "dataloader_num_workers": workers,
            "validation_fraction": 0,
            "save_strategy": "no",
            "logging_steps": steps,
            "report_to": "none",
            "disable_tqdm": True,
        }
        options |= {"bf16": True, "torch_compile": True} if setting.is_cuda else {"use_cpu": True}
        options |= {"max_length": 64, "window_seconds": 0.6} if setting.is_quick else {}
        with watch, contextlib.redirect_stdout(sys.stderr):
            status = main(["pretrain", *(text for pair in options.items() for text in (f"--{pair[0]}", str(pair[1])))])
    if status:
        raise RuntimeError(f"the command ended with {status}")
    row = {"command": f"pretrain, {options['model_size']}", "workers": workers, "batch": batch}
    return [row | {"clips/s": batch * watch.steps / watch.seconds, "waiting": watch.waiting / watch.seconds}]


class Watch:
    """
    Takes the time of the trainer's steps after the first ones, while it is a context, and of it that in which there is
    no batch though the device has nothing left to do.
    """

    def __init__(self, setting: Setting):
        self.setting = setting
        self.steps, self.seconds, self.waiting = -FIRST_STEPS, 0.0, 0.0

    def __enter__(self):
        self.original = original = SSASTTrainer.get_batch_samples

        def get_batch_samples(trainer, *args, **kwargs):
            if self.setting.is_cuda:
                torch.cuda.synchronize()
            before = time.perf_counter()
            samples = original(trainer, *args, **kwargs)
            now = time.perf_counter()
            if self.steps == 0:
                self.began = before
            if self.steps >= 0:
                self.waiting += now - before
                self.seconds = before - self.began  # up to the end of the last step
            self.steps += 1
            return samples

        SSASTTrainer.get_batch_samples = get_batch_samples
        return self

    def __exit__(self, *exception):
        SSASTTrainer.get_batch_samples = self.original


def make_list(folder: Path, count: int, files: int) -> Path:
    """A list of so many clips, FLAC of 10 seconds, of which `files` differ."""
    (folder / "clips").mkdir()
    paths = sorted(Path(make_files(folder / "clips", files)).iterdir())
    with open(folder / "clips.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path"])
        writer.writerows([paths[number % files]] for number in range(count))
    return folder / "clips.csv"
