"""What a run prints while it trains: one line per log entry, and a bar where somebody watches."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm
from transformers import TrainerCallback

from .arguments import ENDLESS


# Only numbers beyond reason make a longer line.
LONGEST = 120


class Progress(TrainerCallback):
    """
    Prints a line for each log entry; in a terminal also a bar of steps, and one of a validation while it lasts.

    Args:
        trainer ([`RunTrainer`]): Makes the lines; its [`StopRequest`] says how much time is left.
    """

    def __init__(self, trainer):
        self.trainer = trainer
        self.bar = self.validation = None
        self.began: float | None = None
        self.first_step = 0
        self.figures: dict[str, str] = {}

    def on_train_begin(self, args, state, control, **kwargs):
        self.began = None
        if state.is_world_process_zero:
            total = None if state.max_steps >= ENDLESS else state.max_steps
            self.bar = tqdm(total=total, initial=state.global_step, unit="step", **self.style(args))

    def on_step_begin(self, args, state, control, **kwargs):
        if self.began is None:  # not before: the untouched model is validated first
            self.first_step, self.began = state.global_step, time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_prediction_step(self, args, state, control, eval_dataloader=None, **kwargs):
        if self.validation is None and state.is_world_process_zero and self.bar is not None:
            self.validation = tqdm(total=len(eval_dataloader), desc="validation", leave=False, **self.style(args))
        if self.validation is not None:
            self.validation.update()

    def on_evaluate(self, args, state, control, **kwargs):
        self.close_validation()

    def on_log(self, args, state, control, logs=None, **kwargs):
        line = self.trainer.line_of(logs or {}, self.seconds_left(state))
        if state.is_world_process_zero and line is not None:
            self.close_validation()
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()
            self.show_figures(args, logs)

    def show_figures(self, args, logs: dict):
        """The last loss and the last metric, beside the bar."""
        metric = (args.metric_for_best_model or "loss").removeprefix("eval_")
        names = {"loss": "loss", f"eval_{metric}": f"validation {metric.replace('_', ' ')}"}
        self.figures |= {name: f"{logs[key]:.4g}" for key, name in names.items() if key in logs}
        if self.bar is not None:
            self.bar.set_postfix(self.figures)

    def on_train_end(self, args, state, control, **kwargs):
        self.close_validation()
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def close_validation(self):
        if self.validation is not None:
            self.validation.close()
            self.validation = None

    @staticmethod
    def style(args) -> dict:
        """In a file, bars would be thousands of lines."""
        return {"disable": args.disable_tqdm or None, "dynamic_ncols": True}

    def seconds_left(self, state) -> float:
        """Until the last step, or until the minutes are over."""
        steps = max(state.global_step - self.first_step, 1)
        rate = 0.0 if self.began is None else (time.monotonic() - self.began) / steps
        left = [rate * (state.max_steps - state.global_step)]
        if self.trainer.stop.max_seconds is not None:
            left.append(self.trainer.stop.max_seconds - self.trainer.stop.seconds())
        return max(min(left), 0.0)


def log_line(logs: dict, state, weight: float | None, seconds_left: float) -> str | None:
    """
    A log entry of pretraining; `weight` is what the second part of the loss is multiplied by, `None` if one part alone
    is trained.
    """

    def figures(prefix: str) -> str:
        first, second, accuracy = (
            logs.get(prefix + name, float("nan")) for name in ("discriminative_loss", "generative_loss", "accuracy")
        )
        parts = f"{first:.4g}, {second:.3g}" if weight is None else f"{first:.4g} + {weight:g} x {second:.3g}"
        return f" ({parts}), accuracy {accuracy:.3g}"

    return line_of(logs, state, figures, seconds_left)


def line_of(logs: dict, state, figures: Callable[[str], str], seconds_left: float) -> str | None:
    """
    A log entry in at most 120 characters; `None` if it is not for people. `figures` makes what stands behind the loss,
    of entries whose names have the prefix that it takes.
    """
    steps = f"step {state.global_step}" + ("" if state.max_steps >= ENDLESS else f"/{state.max_steps}")
    if "train_runtime" in logs:
        return f"{state.global_step} steps; this command trained for {duration(logs['train_runtime'])}"
    is_validation = "eval_loss" in logs
    prefix = "eval_" if is_validation else ""
    if "loss" not in logs and not is_validation:
        return None
    loss = logs.get(prefix + "loss", float("nan"))
    line = f"{steps}: {'validation ' if is_validation else ''}loss {loss:.4g}{figures(prefix)}"
    if is_validation:
        return line[:LONGEST]
    rate, speed = logs.get("learning_rate", 0.0), logs.get("clips_per_second", 0.0)
    return f"{line}, {speed:.3g} clips/s, rate {rate:.2g}, {duration(seconds_left)} left"[:LONGEST]


def duration(seconds: float) -> str:
    """As hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
