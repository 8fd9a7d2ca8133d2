"""Pretraining by the stock `Trainer`: SSAST's metrics, exact averages over devices and fixed validation masks."""

import time

import torch

from ..audio.batches import EpochSampler, with_features
from .progress import log_line
from .run_trainer import RunTrainer


# Means over masked patches that the model returns.
METRICS = (
    "loss",
    "discriminative_loss",
    "generative_loss",
    "accuracy",
    "duplicate_fraction",
    "prediction_variance",
)


class SSASTTrainer(RunTrainer):
    """
    Pretrains an [`SSASTForPretraining`] on the batches of a [`Collator`]. Arguments are those of [`RunTrainer`].

    Every gradient is the mean over all masked patches of the step, on however many devices and in however many pieces
    it was computed. Validation draws the same masks each time.
    """

    def __init__(self, *args, **kwargs):
        self.sums: dict[str, torch.Tensor | int] = {}
        super().__init__(*args, **kwargs)

    def make_sampler(self, seed: int) -> EpochSampler:
        # Data sets of other makers have no weights.
        return EpochSampler(len(self.train_dataset), seed, getattr(self.train_dataset, "weights", None))

    # Loss

    def _get_num_items_in_batch(self, batch_samples: list[dict], device) -> torch.Tensor | None:
        # What an optimizer step averages over: all patches that will be masked, on all devices.
        if not batch_samples:
            return None
        model = self.accelerator.unwrap_model(self.model)
        counts = [model.count_masked(self.valid_patches(batch)).sum() for batch in batch_samples]
        return self.accelerator.reduce(torch.stack(counts).sum().to(device), "sum").clamp(min=1)

    def valid_patches(self, inputs: dict) -> torch.Tensor:
        model = self.accelerator.unwrap_model(self.model)
        input_values = inputs.get("input_values")
        if input_values is None:  # not made yet; the shape alone is of interest
            shape = (len(inputs["waveforms"]), self.processing_class.max_length, model.config.num_mel_bins)
            input_values = inputs["waveforms"].new_zeros(()).expand(shape)
        return model.base_model.valid_patches(input_values, inputs.get("attention_mask"))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = with_features(dict(inputs), self.processing_class)
        rows = len(inputs["input_values"])
        self.bad_files.add(inputs.pop("skipped", ()), rows, model.training)
        weight = 1
        if not model.training:
            rows, weight = self.own_rows(rows)
            inputs = {name: values[:rows] for name, values in inputs.items()}
        outputs = model(**inputs)
        count = outputs.bool_masked_pos.sum() * weight
        with torch.no_grad():
            means = torch.stack([outputs[name].float() for name in METRICS])
            others = torch.stack(
                [count, self.valid_patches(inputs).sum() * weight, torch.full_like(count, rows * weight)]
            )
            sums = torch.cat((means * count, others.float()))
            mode = "train" if model.training else "eval"
            self.sums[mode] = self.sums.get(mode, 0) + sums
        loss = outputs.loss
        if model.training and num_items_in_batch is not None:
            # Trainer divides by the number of pieces and DDP by that of processes, as if all had masked equally many.
            loss = loss * (
                count / num_items_in_batch * self.args.world_size * self.current_gradient_accumulation_steps
            )
        return (loss, outputs) if return_outputs else loss

    def own_rows(self, rows: int) -> tuple[int, int]:
        """
        How many clips of a validation batch to compute, and how much they count: the last batches are filled up with
        clips that were seen, so that all processes have equally many.
        """
        state = self.accelerator.gradient_state
        if self.args.world_size < 2 or not state.end_of_dataloader or state.remainder <= 0:
            return rows, 1
        own = min(max(state.remainder - rows * self.args.process_index, 0), rows)
        return max(own, 1), int(own > 0)

    # Metrics

    def averages(self, mode: str) -> dict[str, float]:
        """Means since the last call over all processes; the only place where the host waits for the device."""
        sums = self.sums.pop(mode, None)
        if sums is None:
            return {}
        *sums, masked, valid, clips = self.accelerator.reduce(sums, "sum").tolist()
        means = {name: total / max(masked, 1) for name, total in zip(METRICS, sums, strict=True)}
        return means | {"masked_fraction": masked / max(valid, 1), "clips": clips}

    def log(self, logs: dict[str, float], *args, **kwargs):
        if "loss" in logs and "learning_rate" in logs:
            means = self.averages("train")
            clips = means.pop("clips", 0)
            now = time.perf_counter()
            logs |= means  # the loss too: averaged like its parts, so that they add up
            logs["clips_per_second"] = clips / (now - self.started)
            self.started = now
        super().log(logs, *args, **kwargs)

    def evaluation_loop(self, *args, metric_key_prefix="eval", **kwargs):
        self.sums.pop("eval", None)  # of one that was stopped
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        means = self.averages("eval")
        means.pop("clips", None)
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in means.items()})
        return output

    def line_of(self, logs: dict, seconds_left: float) -> str | None:
        config = self.accelerator.unwrap_model(self.model).config
        weight = config.generative_loss_weight if config.objective == "joint" else None
        return log_line(logs, self.state, weight, seconds_left)
