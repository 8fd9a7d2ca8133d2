"""Learning rates that differ from layer to layer, and that fall in steps."""

import torch
from torch.optim.lr_scheduler import LambdaLR

from ...heads_ssast import SSASTHeadModel


def parameter_groups(model: SSASTHeadModel, rate: float, head_factor: float, layer_decay: float, **options):
    """
    The trained parameters by their learning rates, for an optimizer.

    Args:
        model ([`SSASTHeadModel`]): Of which some may be frozen.
        rate (`float`): Of the encoder's last layer.
        head_factor (`float`): How much faster the head learns.
        layer_decay (`float`): What the rate of a layer is multiplied by to get that of the one below; the embeddings
            are below the first.
        options: Of all groups.

    Returns:
        `list[dict]`: Groups; the first has the rate that was given, though it may have no parameters.
    """
    groups: dict[float, list] = {1.0: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(factor_of(name, model, head_factor, layer_decay), []).append(parameter)
    return [{"params": each, "lr": rate * factor, **options} for factor, each in groups.items()]


def factor_of(name: str, model: SSASTHeadModel, head_factor: float, layer_decay: float) -> float:
    """What the learning rate is multiplied by for a parameter."""
    _, found, inner = name.partition(f"{model.base_model_prefix}.")
    if not found:
        return head_factor
    depth = model.config.num_hidden_layers
    if inner.startswith("embeddings."):
        return layer_decay**depth
    if inner.startswith("encoder.layer."):
        return layer_decay ** (depth - 1 - int(inner.split(".")[2]))
    return 1.0


def step_schedule(
    optimizer: torch.optim.Optimizer, steps_per_epoch: int, warmup: int, decay: float, start: int, every: int
) -> LambdaLR:
    """
    A linear warm-up, then a rate that is multiplied by `decay` after `start` epochs, and again every few.

    Args:
        optimizer (`torch.optim.Optimizer`): Whose rates are set.
        steps_per_epoch (`int`): Optimizer steps in an epoch.
        warmup (`int`): Steps until the full rate.
        decay (`float`): The factor.
        start, every (`int`): Epochs.
    """

    def factor(step: int) -> float:
        epoch = step // max(steps_per_epoch, 1)
        times = (epoch - start) // every + 1 if epoch >= start else 0
        return min((step + 1) / warmup if warmup else 1.0, 1.0) * decay**times

    return LambdaLR(optimizer, factor)
