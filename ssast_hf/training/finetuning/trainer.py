"""Fine-tuning by the stock `Trainer`."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...audio.batches import EpochSampler, with_features
from ..defaults import steps_per_epoch
from ..progress import line_of
from ..run_trainer import RunTrainer, adam
from .augmenting import Augmentation
from .averaging import WeightAverage
from .clips import BalancedSampler, class_weights
from .rates import parameter_groups, step_schedule
from .tasks import Task


# Of a line in the console.
SHOWN = 4


class FinetuningTrainer(RunTrainer):
    """
    Trains a model with a head on the batches of a [`LabelledCollator`].

    Args:
        task ([`Task`]): Its loss, and what validations measure.
        augmentation ([`Augmentation`], *optional*): What is done to batches in training.
        checkpoint (`str`, *optional*): What the run goes on from.
        args, kwargs: As in [`RunTrainer`].
    """

    def __init__(self, *args, task: Task, augmentation: Augmentation | None, checkpoint: str | None, **kwargs):
        self.task, self.augmentation, self.checkpoint = task, augmentation, checkpoint
        self.returned = "logits"  # what of the outputs is kept in validations and tests
        self.clips = 0  # trained on since the last log entry
        self.average: WeightAverage | None = None
        super().__init__(
            *args,
            compute_metrics=self.figures,
            preprocess_logits_for_metrics=task.kept,
            **kwargs,
        )
        if self.args.average_last_epochs:
            per_epoch = steps_per_epoch(self.args, len(self.train_dataset))
            last = self.args.average_last_epochs
            self.average = WeightAverage(self, last, int(self.args.num_train_epochs), per_epoch)
            # Before the callback that saves.
            self.callback_handler.callbacks.insert(0, self.average)

    def figures(self, result) -> dict[str, float]:
        """What a validation measures."""
        return self.task.measure(result.predictions, result.label_ids)(np.arange(len(result.label_ids)))

    # Data

    def make_sampler(self, seed: int) -> EpochSampler | BalancedSampler:
        if self.args.balance_classes:
            return BalancedSampler(class_weights(self.train_dataset.data), seed)
        return super().make_sampler(seed)

    # Loss

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = with_features(dict(inputs), self.processing_class)
        labels = inputs.pop("labels")
        skipped, is_audio = inputs.pop("skipped", ()), inputs.pop("is_audio", inputs.get("attention_mask"))
        if skipped and not model.training:
            raise ValueError(
                f"{skipped[0][0]} could be read before training and cannot be read any more: "
                f"{skipped[0][1].rstrip('.')}. Nothing is said about silence in its place: repair it, and give the "
                "same command again."
            )
        self.bad_files.add(skipped, len(labels), model.training)
        is_own = self.task.has_own_loss
        if model.training:
            self.clips += len(labels)
            if self.augmentation is not None:
                if self.augmentation.mixup:
                    labels = self.task.soft(labels)
                    is_own = is_own or labels.ndim == 2
                inputs["input_values"], labels = self.augmentation(inputs["input_values"], is_audio, labels)
        if is_own:
            outputs = model(**inputs)
            loss = self.task.loss(outputs.logits, labels)
        else:
            outputs = model(**inputs, labels=labels)
            loss = outputs.loss
        return (loss, {"loss": loss, "logits": outputs[self.returned]}) if return_outputs else loss

    # Optimizer

    def create_optimizer(self, *args, **kwargs):
        # When it is made, and not before: wrapped models may have other parameters.
        if self.optimizer is None:
            model = next(iter(args), None) or self.model
            choose = adam if self.args.use_adam else self.get_optimizer_cls_and_kwargs
            optimizer, options = choose(self.args)
            factors = (self.args.head_lr_factor, self.args.layer_decay)
            plain = self.accelerator.unwrap_model(model)
            groups = parameter_groups(plain, self.args.learning_rate, *factors, weight_decay=self.args.weight_decay)
            self.optimizer_cls_and_kwargs = optimizer, options | {"params": groups}
        return super().create_optimizer(*args, **kwargs)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None):
        if not self._created_lr_scheduler and self.args.lr_step_decay is not None:
            optimizer = self.optimizer if optimizer is None else optimizer
            self.lr_scheduler: Any = step_schedule(
                optimizer,
                steps_per_epoch(self.args, len(self.train_dataset)),
                int(self.args.warmup_steps),
                self.args.lr_step_decay,
                self.args.lr_step_from,
                self.args.lr_step_every,
            )
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def save_model(self, output_dir=None, _internal_call=False):
        super().save_model(output_dir, _internal_call)
        if self.average is not None and self.saving_to is not None:
            self.average.save(Path(output_dir))

    # What is told

    def log(self, logs: dict[str, float], *args, **kwargs):
        if "loss" in logs and "learning_rate" in logs:
            now = time.perf_counter()
            logs["clips_per_second"] = self.clips * max(self.args.world_size, 1) / (now - self.started)
            self.clips, self.started = 0, now
        super().log(logs, *args, **kwargs)

    def line_of(self, logs: dict, seconds_left: float) -> str | None:
        hidden = ("eval_loss", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
        names = [name for name in logs if name.startswith("eval_") and name not in hidden]

        def figures(prefix: str) -> str:
            shown = [f"{name.removeprefix('eval_').replace('_', ' ')} {logs[name]:.3g}" for name in names[:SHOWN]]
            return "".join(f", {each}" for each in shown) if prefix else ""

        return line_of(logs, self.state, figures, seconds_left)
