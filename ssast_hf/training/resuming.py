"""Which checkpoint a run goes on from, and whether it may."""

import functools
import os
import shutil
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list, gather_object

from ..configuration_ssast import SSASTConfig
from ..storage.guards import reading
from ..storage.reading import read_weights
from ..storage.writing import is_model_file
from .arguments import RunArguments
from .messages import say
from .recipe import changes_since, read_run
from .saving import CHECKPOINT, REMOVED, SAVING
from .wholeness import fault_of, read_state


# What cannot change within a run.
SHAPING = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size patch_size max_length num_mel_bins "
    "decoder_num_hidden_layers decoder_width objective"
).split()
# Options by which an optimizer divides the weights into groups; neither can they.
GROUPING = ("freeze_encoder", "layer_decay", "head_lr_factor")


def find_checkpoint(arguments: RunArguments, source: str | None) -> str | None:
    """
    The checkpoint to go on from, if there is one; what a killed process left half-done is removed.

    Raises:
        ValueError: In all processes, if the output folder holds something else, if the checkpoint is not whole, or if
            a later one is.
    """
    folder = Path(arguments.output_dir)
    if source is not None and Path(source).exists() and folder.resolve() == Path(source).resolve():
        raise ValueError(f"--output_dir {folder} is the model to continue from; choose another folder.")
    saved = checkpoints_in(folder)
    wanted = arguments.resume_from_checkpoint
    if str(wanted).lower() == "false":
        if saved:
            raise ValueError(
                f"{folder} holds {saved[-1]} of an earlier run; delete it, or choose another --output_dir."
            )
        checkpoint = None
    elif wanted is None or str(wanted).lower() == "true":
        checkpoint = saved[-1] if saved else None
    else:
        checkpoint = Path(wanted)
        if not (checkpoint / "trainer_state.json").exists():
            raise ValueError(f"{checkpoint} is no checkpoint of a run: it has no trainer_state.json.")
    if not saved and folder.is_dir() and any(is_model_file(path.name) for path in folder.iterdir()):
        raise ValueError(f"{folder} holds a model, but no checkpoint to go on from; choose another --output_dir.")
    if len(set(gather_object([str(checkpoint)]))) > 1:
        raise ValueError(
            f"--output_dir {folder} does not hold the same checkpoints for all processes; take a folder that all "
            "machines share."
        )
    # Found out by one process: all bytes of a checkpoint are read.
    problems = [problem_with(checkpoint, saved) if arguments.process_index == 0 and checkpoint is not None else None]
    broadcast_object_list(problems)
    if problems[0] is not None:
        raise ValueError(problems[0])
    if arguments.should_save:
        for leftover in (SAVING, REMOVED):
            shutil.rmtree(folder / leftover, ignore_errors=True)
        for broken in later_than(checkpoint, saved):
            put_aside(broken)
    if checkpoint is None:
        return None
    say(f"Going on from {checkpoint}.")
    restore_cpu_storages()
    return str(checkpoint)


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a run, in the order of their steps."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if CHECKPOINT.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """How many steps a checkpoint has behind it, by its name, or else by what it says."""
    match = CHECKPOINT.fullmatch(checkpoint.name)
    return int(match[1]) if match else read_state(checkpoint).global_step


def later_than(checkpoint: Path | None, saved: list[Path]) -> list[Path]:
    return [] if checkpoint is None else [path for path in saved if step_of(path) > step_of(checkpoint)]


def problem_with(checkpoint: Path, saved: list[Path]) -> str | None:
    """Why a run may not go on from a checkpoint, and what to do instead; `saved` are those of the output folder."""
    for later in reversed(later_than(checkpoint, saved)):
        if fault_of(later) is None:
            return (
                f"{later} is further than {checkpoint}. Go on from there (--resume_from_checkpoint {later}), delete "
                "it, or choose another --output_dir."
            )
    if (fault := fault_of(checkpoint)) is None:
        return None
    earlier = (path for path in reversed(saved) if step_of(path) < step_of(checkpoint))
    whole = next((path for path in earlier if fault_of(path) is None), None)
    if whole is None:
        return (
            f"{fault} There is no earlier checkpoint that is whole; begin again in another --output_dir. If only "
            f"other files are damaged, its weights are a model to continue from: --model_name_or_path {checkpoint}"
        )
    return f"{fault} {whole} is whole; to go on from there: --resume_from_checkpoint {whole}"


def put_aside(broken: Path):
    """Give a damaged checkpoint a name that is no checkpoint's, so that the same command goes on without it."""
    aside = broken.with_name(f"broken-{broken.name}")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}-again")
    os.rename(broken, aside)
    say(f"Renamed {broken} to {aside.name}, because it is damaged.")


@functools.cache  # PyTorch cannot hold two of the same priority
def restore_cpu_storages():
    """
    Let PyTorch read checkpoints of CPU processes under DDP, which name the device "cpu:0". To be removed when
    transformers 5.23, which no longer needs it, is the oldest supported version.
    """
    torch.serialization.register_package(
        5, lambda storage: None, lambda storage, location: storage if location.startswith("cpu") else None
    )


def check_same_run(checkpoint: str, arguments: RunArguments, model, recipe: dict) -> list[str]:
    """ValueError if a checkpoint is of another model; returns what else has changed since, and prints it."""
    config = model.config
    before = SSASTConfig.from_pretrained(checkpoint)
    pairs = {name: (getattr(before, name), getattr(config, name)) for name in SHAPING}
    old = read_run(checkpoint).get("recipe", {})
    pairs |= {name: (old[name], recipe.get(name)) for name in GROUPING if name in old}
    if changed := [f"{name} {a}, now {b}" for name, (a, b) in pairs.items() if a != b]:
        values = ", ".join(changed)
        raise ValueError(f"{checkpoint} is of a run of another model ({values}); choose another --output_dir.")
    told: list[str] = []
    path = Path(checkpoint) / "scheduler.pt"
    if path.exists():  # there is none under DeepSpeed
        with reading(path, "the schedule of a run", "It is damaged."):
            rate = torch.load(path, weights_only=True).get("base_lrs", [arguments.learning_rate])[0]
        if rate != arguments.learning_rate:
            told.append(f"The learning rate of this run, {rate:g}, is kept; another one takes another --output_dir.")
    told += changes_since(checkpoint, recipe, config)
    for sentence in told:
        say(sentence)
    return told


def check_weights(checkpoint: str, model):
    """ValueError if a checkpoint has not exactly the weights of the model; `Trainer` would go on without."""
    if not any(Path(checkpoint).glob("model.safetensors*")):
        return  # under FSDP, with sharded weights
    weights = read_weights(checkpoint)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    wrong = [
        name for name in {*weights, *expected} if name not in weights or weights[name].shape != expected.get(name)
    ]
    if wrong:
        raise ValueError(
            f"{checkpoint} has not the weights of this model ({', '.join(sorted(wrong)[:3])}, ...). If it is of a run "
            "with another model or other options, choose another --output_dir; else it is damaged."
        )


def is_finished(checkpoint: str, arguments: RunArguments) -> bool:
    """Whether a checkpoint is the last one."""
    state = read_state(checkpoint)
    if arguments.max_minutes is not None and read_run(checkpoint).get("seconds", 0.0) >= 60 * arguments.max_minutes:
        return True
    if arguments.max_steps > 0:
        return state.global_step >= arguments.max_steps
    return state.epoch >= arguments.num_train_epochs
