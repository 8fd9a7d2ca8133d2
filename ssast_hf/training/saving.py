"""Checkpoints that are whole or not there at all."""

import json
import os
import re
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

from ..storage.guards import writing
from ..storage.writing import is_model_file
from .recipe import FILE
from .wholeness import state_files


# Folders that are not finished, or on the way out; their names are no checkpoint's.
SAVING, REMOVED = ".saving", ".removed"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@contextmanager
def whole_checkpoint(trainer):
    """
    A checkpoint that a [`RunTrainer`] saves in this context appears in the output folder when it is complete.

    It is written into a folder of another name, `trainer.saving_to` meanwhile, and moved at the end. Then the oldest
    are removed, except for the best: `Trainer` would do that file by file, and remove the newest if another one is the
    best.

    Raises:
        OSError: If it cannot be written, such as on a full disk. Nothing is left of it, and the others stay.
    """
    folder, state = Path(trainer.args.output_dir), trainer.state
    name = f"checkpoint-{state.global_step}"
    before = time.perf_counter()
    trainer.saving_to = str(folder / SAVING)
    try:
        with writing(folder / SAVING / name):
            yield
            if state.best_global_step == state.global_step:
                state.best_model_checkpoint = str(folder / name)
            trainer.accelerator.wait_for_everyone()
            if trainer.args.should_save:
                state.save_to_json(str(folder / SAVING / name / "trainer_state.json"))
                write_run(folder / SAVING / name, trainer)
    except OSError:
        if trainer.args.should_save:
            shutil.rmtree(folder / SAVING, ignore_errors=True)  # makes room, too
        raise
    finally:
        trainer.saving_to = None
    if trainer.args.should_save:
        remove(folder / name)  # of a run that went on from an earlier checkpoint
        os.rename(folder / SAVING / name, folder / name)
        (folder / SAVING).rmdir()
        remove_old_checkpoints(folder, state, trainer.save_total_limit)
    trainer.accelerator.wait_for_everyone()
    trainer.pause(before)


def write_run(checkpoint: Path, trainer):
    """Write what a checkpoint says of itself, see [`read_run`]."""
    run = {
        "recipe": trainer.recipe,
        "files": state_files(checkpoint),
        "evaluation_is_due": trainer.evaluation_is_due(),
        "seconds": trainer.stop.seconds(),
        "notes": trainer.notes,
    }
    (checkpoint / FILE).write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def remove_old_checkpoints(folder: Path, state, limit: int | None):
    """Keep the newest `limit` checkpoints, all of them if it is `None` or 0, and the best one."""
    best = f"checkpoint-{state.best_global_step}"
    steps = [int(match[1]) for path in folder.iterdir() if (match := CHECKPOINT.fullmatch(path.name))]
    for step in sorted(steps)[: -max(limit, 1)] if limit else []:
        name = f"checkpoint-{step}"
        if step < state.global_step and name != best:
            remove(folder / name)


def save_result(trainer, checkpoint: Path | None = None, model=None):
    """
    Write the result of a run into the output folder, each file whole.

    Args:
        trainer ([`RunTrainer`]): Whose model is saved unless one of the others is given.
        checkpoint (`Path`, *optional*): The checkpoint to take the model from.
        model ([`SSASTForPretraining`], *optional*): Another model to save.
    """
    folder = Path(trainer.args.output_dir)
    new = folder / SAVING
    try:
        if checkpoint is None and model is None:
            trainer.save_model(str(new), _internal_call=True)
        elif trainer.args.should_save:
            with writing(new / "model.safetensors"):
                new.mkdir(parents=True)
                if model is not None:
                    model.save_pretrained(new)
                    trainer.processing_class.save_pretrained(new)
                for path in [] if checkpoint is None else checkpoint.iterdir():
                    if is_model_file(path.name):
                        shutil.copy(path, new)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        for path in sorted(new.iterdir()):
            os.replace(path, folder / path.name)
        new.rmdir()


def remove(folder: Path):
    """Delete a folder such that at no moment half of it is left under its name."""
    if folder.exists():
        aside = folder.with_name(REMOVED)
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
        shutil.rmtree(aside)
