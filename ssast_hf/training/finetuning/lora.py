"""Low-rank additions to the attention (LoRA), by peft: trained in place, saved by themselves and merged."""

from pathlib import Path
from typing import Any

import torch

from ...heads_ssast import SSASTHeadModel
from .model import head_parts


# Where, and by how much more than their rank they count.
TARGETS, ALPHA = ["query", "value"], 2
# In the output folder.
FOLDER = "adapter"


def peft_config(model: SSASTHeadModel, rank: int, start: str):
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=ALPHA * rank,
        target_modules=TARGETS,
        modules_to_save=head_parts(model),
        base_model_name_or_path=start,
    )


def check_peft():
    """ImportError that says what to install, before anything is trained."""
    try:
        import peft  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError('--lora_rank needs peft: pip install "ssast_hf[lora]"') from error


def add_lora(model: SSASTHeadModel, rank: int):
    """
    Put the additions into a model, which stays one of transformers, so that its checkpoints are those of other runs.
    They and the head are trained.
    """
    from peft import LoraConfig, inject_adapter_in_model

    heads = head_parts(model)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=ALPHA * rank, target_modules=TARGETS), model)
    for name in heads:
        getattr(model, name).requires_grad_(True)


def merge(model: SSASTHeadModel, plain: SSASTHeadModel, rank: int, start: str, folder: Path) -> SSASTHeadModel:
    """
    Save what was trained as an adapter of peft, and return a model without additions that does the same.

    Args:
        model ([`SSASTHeadModel`]): With additions.
        plain ([`SSASTHeadModel`]): The same as it was before these.
        rank (`int`): Of the additions.
        start (`str`): What the adapter is for.
        folder (`Path`): Where to save it.
    """
    from peft import get_peft_model

    trained: dict[str, torch.Tensor] = model.state_dict()
    heads = head_parts(plain)
    adapted: Any = get_peft_model(plain, peft_config(plain, rank, start))
    state = adapted.state_dict()
    for name, tensor in trained.items():
        first, _, rest = name.partition(".")
        wrapped = f"base_model.model.{name}"
        if first in heads:
            wrapped = f"base_model.model.{first}.modules_to_save.default.{rest}"
        if wrapped not in state:
            raise ValueError(f"peft has no place for {name}.")  # of another version
        state[wrapped].copy_(tensor)
    adapted.save_pretrained(folder)
    return adapted.merge_and_unload()
