"""Which checkpoint a run goes on from, and whether it may."""

import functools
import shutil
from pathlib import Path

import torch
from transformers import TrainerState
from transformers.trainer_utils import get_last_checkpoint

from ..configuration_ssast import SSASTConfig
from ..storage.writing import is_model_file
from .arguments import RunArguments
from .messages import say
from .saving import REMOVED, SAVING


# What cannot change within a run.
SHAPING = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size patch_size max_length num_mel_bins "
    "decoder_num_hidden_layers decoder_width objective"
).split()


def find_checkpoint(arguments: RunArguments, source: str | None) -> str | None:
    """The checkpoint to go on from, if there is one; what a killed process left half-done is removed."""
    folder = Path(arguments.output_dir)
    if source is not None and Path(source).exists() and folder.resolve() == Path(source).resolve():
        raise ValueError(f"--output_dir {folder} is the model to continue from; choose another folder.")
    if arguments.should_save:
        for leftover in (SAVING, REMOVED):
            shutil.rmtree(folder / leftover, ignore_errors=True)
    latest = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    wanted = arguments.resume_from_checkpoint
    if str(wanted).lower() == "false":
        if latest is not None:
            raise ValueError(f"{folder} holds {latest} of an earlier run; delete it, or choose another --output_dir.")
        checkpoint = None
    elif wanted is None or str(wanted).lower() == "true":
        checkpoint = latest
    else:
        checkpoint = wanted
        if not (Path(checkpoint) / "trainer_state.json").exists():
            raise ValueError(f"{checkpoint} is no checkpoint of a run: it has no trainer_state.json.")
        if latest is not None and step_of(latest) > step_of(checkpoint):
            raise ValueError(
                f"{latest} is further than {checkpoint}. Go on from there (--resume_from_checkpoint True), delete it, "
                "or choose another --output_dir."
            )
    if latest is None and folder.is_dir() and any(is_model_file(path.name) for path in folder.iterdir()):
        raise ValueError(f"{folder} holds a model, but no checkpoint to go on from; choose another --output_dir.")
    if checkpoint is not None:
        say(f"Going on from {checkpoint}.")
        restore_cpu_storages()
    return checkpoint


@functools.cache  # PyTorch cannot hold two of the same priority
def restore_cpu_storages():
    """
    Let PyTorch read checkpoints of CPU processes under DDP, which name the device "cpu:0". To be removed when
    transformers 5.23, which no longer needs it, is the oldest supported version.
    """
    torch.serialization.register_package(
        5, lambda storage: None, lambda storage, location: storage if location.startswith("cpu") else None
    )


def step_of(checkpoint) -> int:
    """How many steps a checkpoint has behind it."""
    return TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json")).global_step


def is_finished(checkpoint: str, arguments: RunArguments, config: SSASTConfig) -> bool:
    """Whether a checkpoint is the last one; ValueError if it is of another model, a note if of another recipe."""
    before = SSASTConfig.from_pretrained(checkpoint)
    changed = [name for name in SHAPING if getattr(before, name) != getattr(config, name)]
    if changed:
        values = ", ".join(f"{name} {getattr(before, name)}, now {getattr(config, name)}" for name in changed)
        raise ValueError(f"{checkpoint} is of a run of another model ({values}); choose another --output_dir.")
    optimizer = torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True)
    rate = optimizer.get("base_lrs", [arguments.learning_rate])[0]
    if rate != arguments.learning_rate:
        say(f"The learning rate of this run, {rate:g}, is kept; another one takes another --output_dir.")
    state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    if arguments.max_steps > 0:
        return state.global_step >= arguments.max_steps
    return state.epoch >= arguments.num_train_epochs
