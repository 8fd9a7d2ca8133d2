"""What a run has led to: validation before and after, and which weights are its result."""

import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """
    Validations of a run, each an entry of `log_history` or `None`.

    Args:
        metric (`str`): What is compared, as in `log_history`.
        before (`dict`, *optional*): Of the untouched model.
        last (`dict`, *optional*): Of the last weights.
        result (`dict`, *optional*): Of the weights in the output folder.
        checkpoint (`Path`, *optional*): Where these are from, unless they are the last.
    """

    metric: str
    before: dict | None
    last: dict | None
    result: dict | None
    checkpoint: Path | None

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was better than the model that the run began from."""
        return self.result is not None and self.result is self.before


def find_outcome(trainer, loads_best: bool, may_be_untouched: bool) -> Outcome:
    """
    Choose the result of a run that has ended.

    Args:
        trainer ([`RunTrainer`]): Its state has the history.
        loads_best (`bool`): Whether the result is the best of what was validated and saved, and not the last.
        may_be_untouched (`bool`): Whether it may be the model that the run began from.
    """
    args, state = trainer.args, trainer.state
    metric = f"eval_{args.metric_for_best_model.removeprefix('eval_')}"
    validated = {entry["step"]: entry for entry in state.log_history if metric in entry}
    before, last = validated.get(0), validated.get(state.global_step)
    if last is None or not loads_best:
        return Outcome(metric, before, last, last, None)
    result, checkpoint = last, None
    best, folder = (
        validated.get(state.best_global_step),
        Path(args.output_dir) / f"checkpoint-{state.best_global_step}",
    )
    if best is not None and best is not last and folder.is_dir():
        result, checkpoint = best, folder
    if may_be_untouched and before is not None and is_better(before, result, metric, args.greater_is_better):
        result, checkpoint = before, None
    return Outcome(metric, before, last, result, checkpoint)


def is_better(one: dict, other: dict, metric: str, greater: bool) -> bool:
    """Whether the metric says so; a model that has diverged is worse than any other."""
    if math.isnan(other[metric]):
        return not math.isnan(one[metric])
    return one[metric] > other[metric] if greater else one[metric] < other[metric]


def sentence(outcome: Outcome, folder: Path, start: str | None) -> str:
    """
    One line about validation before and after, which says so if a run ends worse than it began.

    Args:
        outcome ([`Outcome`]): What to tell.
        folder (`Path`): The output folder.
        start (`str`, *optional*): The model that the run began from.
    """
    before, last = outcome.before, outcome.last
    if last is None:
        return "no validation"
    name = outcome.metric.removeprefix("eval_")
    losses = [f"{entry['eval_loss']:.4g}" if entry else None for entry in (before, outcome.result, last)]
    line = "validation loss " + (f"{losses[1]}" if before is None else f"{losses[0]} before, {losses[2]} after")
    at_the_end = f"the last weights are in {folder}/checkpoint-{last['step']}"
    if before is not None and is_better(before, last, "eval_loss", greater=False):
        line += ", so the run ends worse than it began"
    if outcome.is_untouched:
        return f"{line}; the best is the untouched model, {start}, and {folder} holds it; {at_the_end}"
    if outcome.checkpoint is not None:
        by = "" if name == "loss" else f" by {name}"
        return f"{line}; the best{by} is {outcome.checkpoint} ({losses[1]}), and {folder} holds it; {at_the_end}"
    return line
