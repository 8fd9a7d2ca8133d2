"""
Memory of a streamed training run: the resident size of the training process and its workers, step by step.

    python benchmarks/streaming_memory.py

Trains a very small model on tar archives made for the purpose; the size after the last step should be that after a
tenth of them.
"""

import argparse
import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import psutil
import soundfile
from timing import report
from transformers import TrainerCallback

from ssast_hf import SSASTConfig
from ssast_hf.training import run_pretraining


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    sizes = {}

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % (arguments.steps // 10) == 0:
                process = psutil.Process()
                workers = [child.memory_info().rss for child in process.children(recursive=True)]
                sizes[state.global_step] = (process.memory_info().rss, sum(workers))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_archives(folder / "shards")
        config = SSASTConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=64,
            max_length=96,
            num_masked_patches=30,
        )
        config.save_pretrained(folder / "config")
        run_pretraining.SSASTTrainer = watched(run_pretraining.SSASTTrainer, Watch())
        options = f"--config_name {folder}/config --train_data {folder}/shards --output_dir {folder}/out --streaming"
        options += f" --max_steps {arguments.steps} --per_device_train_batch_size 4 --save_strategy no --use_cpu True"
        options += f" --dataloader_num_workers {arguments.workers} --report_to none --shuffle_buffer 64"
        run_pretraining.main(options.split())
    first = sizes[arguments.steps // 10]
    report(
        [
            {
                "step": step,
                "training MB": own / 1e6,
                "workers MB": workers / 1e6,
                "together, to the first": (own + workers) / sum(first),
            }
            for step, (own, workers) in sizes.items()
        ]
    )


def watched(trainer_class, callback):
    """The same trainer with one callback more."""

    def make(*args, **kwargs):
        trainer = trainer_class(*args, **kwargs)
        trainer.add_callback(callback)
        return trainer

    return make


def make_archives(folder: Path, archives: int = 4, clips: int = 100):
    folder.mkdir()
    random = np.random.RandomState(0)
    for number in range(archives):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for clip in range(clips):
                file = io.BytesIO()
                soundfile.write(file, 0.1 * random.randn(16000), 16000, format="FLAC")
                member = tarfile.TarInfo(f"{number}-{clip}.flac")
                member.size = file.getbuffer().nbytes
                file.seek(0)
                archive.addfile(member, file)


if __name__ == "__main__":
    main()
