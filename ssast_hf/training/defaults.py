"""Defaults that depend on the model, on the data and on how long a run is."""

import math

from ..configuration_ssast import SSASTConfig
from .arguments import RunArguments
from .messages import say
from .models import SIZES


# Peak learning rates from random weights, of models up to the width of "tiny" and of wider ones: the original's.
FROM_SCRATCH = (5e-4, 1e-4)
# The share of it to continue a trained model with; measured, see docs/pretraining.md.
CONTINUED = 0.2
# A cosine that ends at this share of the peak.
DECAYING = "cosine_warmup_with_min_lr"
LAST_SHARE = 0.1
# Those that do not ask how long a run is.
CONSTANT = ("constant", "constant_with_warmup", "reduce_lr_on_plateau")
MOST_WARMUP = 1000
# How metrics end of which less is better.
LOWER_IS_BETTER = ("loss", "error", "error_rate")
# Warm-up where nobody knows how long the run will be.
ENDLESS_WARMUP = 20


def resolve_defaults(arguments: RunArguments, config: SSASTConfig, is_continued: bool, clips: int | None) -> list[str]:
    """
    Set what the command line left open.

    Args:
        arguments (`RunArguments`): Changed in place.
        config ([`SSASTConfig`]): Of the model.
        is_continued (`bool`): Whether its weights are trained already.
        clips (`int`, *optional*): How many an epoch has, if that is known.

    Returns:
        `list[str]`: Names of the options that were left open, for the report.
    """
    asked = arguments.asked
    if asked["learning_rate"] is None:
        rate = FROM_SCRATCH[config.hidden_size > SIZES["tiny"][0]]
        arguments.learning_rate = CONTINUED * rate if is_continued else rate
    is_plateau = arguments.lr_scheduler_type == "reduce_lr_on_plateau"
    if asked["lr_scheduler_type"] is None and not arguments.is_endless:
        arguments.lr_scheduler_type = DECAYING
        arguments.lr_scheduler_kwargs = {"min_lr_rate": LAST_SHARE} | (arguments.lr_scheduler_kwargs or {})
    arguments.decays = arguments.lr_scheduler_type not in CONSTANT
    steps = count_steps(arguments, clips)
    ratio = getattr(arguments, "warmup_ratio", None) or None  # until transformers 5.2
    arguments.warmup_steps = warmup_of(ratio if asked["warmup_steps"] is None else asked["warmup_steps"], steps)
    if asked["metric_for_best_model"] is None:
        has_accuracy = is_plateau and config.objective != "generative"
        arguments.metric_for_best_model = "accuracy" if has_accuracy else "loss"
    arguments.greater_is_better = not str(arguments.metric_for_best_model).endswith(LOWER_IS_BETTER)
    if is_plateau and not arguments.lr_scheduler_kwargs:
        mode = "max" if arguments.greater_is_better else "min"
        arguments.lr_scheduler_kwargs = {"mode": mode, "factor": 0.5, "patience": 2}
    return [name for name, value in asked.items() if value is None]


def count_steps(arguments: RunArguments, clips: int | None) -> int | None:
    """How many steps the run will make, `None` if only its minutes end it. As `Trainer` counts."""
    if arguments.is_endless:
        return None
    if arguments.max_steps > 0 or clips is None:
        return arguments.max_steps
    return math.ceil((arguments.num_train_epochs or 0.0) * steps_per_epoch(arguments, clips))


def steps_per_epoch(arguments: RunArguments, clips: int) -> int:
    """How many steps an epoch of so many clips has."""
    rounded = math.floor if arguments.dataloader_drop_last else math.ceil
    batches = rounded(clips / (arguments.train_batch_size * max(arguments.world_size, 1)))
    return max(math.ceil(batches / arguments.gradient_accumulation_steps), 1)


def warmup_of(wanted: float | None, steps: int | None) -> int:
    """Steps of warm-up in a run of so many steps; `wanted` are steps, or below 1 a share of them."""
    if wanted is None:
        return ENDLESS_WARMUP if steps is None else min(steps // 10, MOST_WARMUP)
    if steps is None or wanted >= 1:
        return round(wanted)
    return round(wanted * steps)


def warn_of_warmup(steps: int, warmup: float | None):
    """Say that a run of so many steps ends inside its warm-up."""
    if warmup and steps <= warmup:
        say(
            f"The run ends inside its warm-up ({steps} steps, --warmup_steps {warmup:g}), so the "
            "learning rate never reaches its peak. By default a tenth of the run is warm-up."
        )
