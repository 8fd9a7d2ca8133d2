"""Checkpoints that are whole or not there at all."""

import os
import re
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.trainer import TRAINING_ARGS_NAME


# Folders that are not finished, or on the way out; their names are no checkpoint's.
SAVING, REMOVED = ".saving", ".removed"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@contextmanager
def whole_checkpoints(trainer):
    """
    While an [`SSASTTrainer`] trains in this context, a checkpoint appears in the output folder when it is complete.

    It writes them into a folder of another name, and each is moved when it is saved. `save_total_limit` is taken from
    it, too: it would delete folders file by file, and the newest of them if another one is the best.
    """
    callback = MoveCheckpoints(trainer)
    trainer.add_callback(callback)
    try:
        yield
    finally:
        callback.give_back()
        trainer.remove_callback(callback)


class MoveCheckpoints(TrainerCallback):
    """See [`whole_checkpoints`]."""

    def __init__(self, trainer):
        self.trainer = trainer
        self.folder = Path(trainer.args.output_dir)
        self.limit = trainer.args.save_total_limit
        self.before = None

    def on_train_begin(self, args, state, control, **kwargs):
        # Not earlier: loggers ask for the output folder when training begins, before this callback.
        args.output_dir, args.save_total_limit = str(self.folder / SAVING), None

    def give_back(self):
        self.trainer.args.output_dir, self.trainer.args.save_total_limit = str(self.folder), self.limit

    def on_step_end(self, args, state, control, **kwargs):
        self.before = time.perf_counter()  # when a save begins that may follow

    on_epoch_end = on_evaluate = on_step_end

    def on_save(self, args, state, control, **kwargs):
        name = f"checkpoint-{state.global_step}"
        if state.best_global_step == state.global_step:
            state.best_model_checkpoint = str(self.folder / name)
        self.trainer.accelerator.wait_for_everyone()
        if args.should_save:
            written = self.folder / SAVING / name
            state.save_to_json(str(written / "trainer_state.json"))
            self.give_back()
            torch.save(args, written / TRAINING_ARGS_NAME)
            self.on_train_begin(args, state, control)
            remove(self.folder / name)  # of a run that went on from an earlier checkpoint
            os.rename(written, self.folder / name)
            (self.folder / SAVING).rmdir()
            self.remove_old_checkpoints(state)
        self.trainer.accelerator.wait_for_everyone()
        self.trainer.pause(self.before)

    def remove_old_checkpoints(self, state):
        """Keep the newest `save_total_limit` checkpoints, and the best one."""
        best = Path(state.best_model_checkpoint or "").name
        steps = [int(match[1]) for path in self.folder.iterdir() if (match := CHECKPOINT.fullmatch(path.name))]
        for step in sorted(steps)[: -max(self.limit, 1)] if self.limit else []:
            name = f"checkpoint-{step}"
            if step < state.global_step and name != best:
                remove(self.folder / name)


def save_result(trainer):
    """Write the trained model into the output folder, each file whole."""
    folder = Path(trainer.args.output_dir)
    trainer.save_model(str(folder / SAVING), _internal_call=True)
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        for path in sorted((folder / SAVING).iterdir()):
            os.replace(path, folder / path.name)
        (folder / SAVING).rmdir()


def remove(folder: Path):
    """Delete a folder such that at no moment half of it is left under its name."""
    if folder.exists():
        aside = folder.with_name(REMOVED)
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
        shutil.rmtree(aside)
