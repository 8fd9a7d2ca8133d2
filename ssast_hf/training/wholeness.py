"""Whether a checkpoint holds all that a run needs to go on from it, undamaged."""

import json
import random
import zipfile
from pathlib import Path
from reprlib import repr as shortened

import numpy
import torch
from safetensors import safe_open
from transformers import TrainerState
from transformers.trainer import safe_globals  # defined elsewhere from version to version

from ..configuration_ssast import SSASTConfig
from ..storage.guards import reading
from ..storage.reading import weight_files
from .recipe import read_run


# Of each row one, in the order of preference; under FSDP, and under DeepSpeed, they have other names.
NEEDED = (
    ("model.safetensors", "model.safetensors.index.json", "pytorch_model_fsdp.bin"),
    ("optimizer.pt", "optimizer.bin", "global_step*"),
    ("scheduler.pt", "global_step*"),
    ("rng_state.pth", "rng_state_0.pth"),
    ("trainer_state.json",),
    ("config.json",),
)
# What a checkpoint lists of itself.
STATE_FILES = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.pt", "*.pth", "trainer_state.json")
NOT_STATE = "training_args.bin"


def state_files(folder: Path) -> list[str]:
    """Names of the files that a run goes on from."""
    return sorted({path.name for pattern in STATE_FILES for path in folder.glob(pattern)} - {NOT_STATE})


def fault_of(checkpoint) -> str | None:
    """What is wrong with a checkpoint, as a sentence that names the file; `None` if it is whole."""
    checkpoint = Path(checkpoint)
    try:
        listed = [name for name in read_run(checkpoint).get("files", []) if not (checkpoint / name).exists()]
        missing = [names[0] for names in NEEDED if not any(any(checkpoint.glob(name)) for name in names)]
        if (checkpoint / "rng_state_0.pth").exists() and not (checkpoint / "rng_state_1.pth").exists():
            missing.append("rng_state_1.pth")  # one process alone has another name for its own
        if missing := sorted({*listed, *missing}):
            return f"{checkpoint} is not whole: it has no {', '.join(missing)}."
        read_all(checkpoint)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def read_all(checkpoint: Path):
    """Read the files that a run goes on from, as far as it takes to find out that one is damaged."""
    remedy = "It is damaged."
    state = read_state(checkpoint)
    with reading(checkpoint / "config.json", "the configuration of an SSAST model", remedy):
        SSASTConfig.from_pretrained(checkpoint)
    if any(checkpoint.glob("model.safetensors*")):
        for path in weight_files(checkpoint):
            with reading(path, "a file of weights", remedy):
                if path.suffix == ".safetensors":
                    with safe_open(path, framework="pt") as file:
                        file.keys()
                else:
                    json.loads(path.read_text(encoding="utf-8"))
    for name in state_files(checkpoint):
        if Path(name).suffix in (".bin", ".pt", ".pth"):
            with reading(checkpoint / name, "a file of PyTorch", remedy), zipfile.ZipFile(checkpoint / name) as file:
                if damaged := file.testzip():  # PyTorch does not look at the checksums
                    raise ValueError(f"the checksum of {damaged} is wrong")
        if Path(name).suffix in (".pt", ".pth"):  # of the optimizer, its schedule, random numbers
            with reading(checkpoint / name, "the state of a run", remedy), safe_globals():
                content = torch.load(checkpoint / name, map_location="cpu", weights_only=True, mmap=True)
                check_content(name, content, state.global_step)


def check_content(name: str, content: dict, step: int):
    """An error of any type if a file of PyTorch has not what transformers and PyTorch will ask of it."""
    if name == "optimizer.pt" and (not content["param_groups"] or (step and not content["state"])):
        raise ValueError("it is empty")
    if name == "scheduler.pt":
        check_numbers(content["last_epoch"], *content.get("base_lrs", []))
    if name.startswith("rng_state"):
        torch.Generator().set_state(content["cpu"])
        random.Random().setstate(content["python"])
        numpy.random.RandomState().set_state(content["numpy"])


def check_numbers(*values):
    for value in values:
        if not isinstance(value, (int, float)):
            raise TypeError(f"{shortened(value)} is no number")


def read_state(checkpoint) -> TrainerState:
    """The `trainer_state.json` of a checkpoint; ValueError if it is damaged."""
    path = Path(checkpoint) / "trainer_state.json"
    with reading(path, "the state of a run", "It is damaged."):
        state = TrainerState.load_from_json(str(path))
        check_numbers(state.global_step, state.max_steps, state.epoch or 0, state.best_metric or 0)
        for entry in state.log_history:
            check_numbers(entry["step"], *entry.values())
        Path(state.best_model_checkpoint or "")
        return state
