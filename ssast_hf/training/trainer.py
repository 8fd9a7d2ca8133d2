"""The stock `Trainer` with SSAST's metrics, exact averages over devices and fixed validation masks."""

import time
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader, IterableDataset
from transformers import PrinterCallback, Trainer
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from ..audio.batches import EpochSampler, with_features
from ..storage.guards import writing
from .flow import Flow
from .progress import Progress
from .saving import whole_checkpoint
from .stopping import Stopped, StopRequest, shield_worker


# Means over masked patches that the model returns.
METRICS = (
    "loss",
    "discriminative_loss",
    "generative_loss",
    "accuracy",
    "duplicate_fraction",
    "prediction_variance",
)


class SSASTTrainer(Trainer):
    """
    Pretrains an [`SSASTForPretraining`] on the batches of a [`Collator`].

    Every gradient is the mean over all masked patches of the step, on however many devices and in however many pieces
    it was computed. Validation draws the same masks each time.

    Args:
        bad_files ([`BadFiles`]): Told of every recording that could not be used.
        recipe (`dict`, *optional*): What checkpoints say of their run.
        keeps_best (`bool`, defaults to `False`): Whether the best validation so far is always saved.
        stop ([`StopRequest`], *optional*): Asked at each step, and each batch of a validation, whether to stop.
        args, kwargs: As in `Trainer`.

    [`train`] and [`evaluate`] raise [`Stopped`] when they were asked to stop, with a checkpoint saved.
    """

    def __init__(
        self,
        *args,
        bad_files,
        recipe: dict | None = None,
        keeps_best: bool = False,
        stop: StopRequest | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.recipe = recipe or {}
        self.keeps_best = keeps_best
        self.notes: list[str] = []  # what has changed within the run
        self.stop = stop or StopRequest()
        # A checkpoint to save in any case, and a validation that was stopped, to be made when the run goes on.
        self.is_stopping = False
        self.is_evaluation_missing = False
        self.resumed_before_evaluation: str | None = None  # a checkpoint
        # Taken from the `Trainer`; see `whole_checkpoint`, which needs both.
        self.save_total_limit, self.args.save_total_limit = self.args.save_total_limit, None
        self.saving_to = None
        # `Trainer` would validate the untouched model again whenever a run goes on.
        self.validates_first, self.args.eval_on_start = (
            self.args.eval_on_start and self.eval_dataset is not None,
            False,
        )
        self.bad_files = bad_files
        self.sums: dict[str, torch.Tensor | int] = {}
        self.started = time.perf_counter()
        self.sampler: EpochSampler | None = None
        self.add_callback(Flow(self))
        for callback in (PrinterCallback, DEFAULT_PROGRESS_CALLBACK):
            self.remove_callback(callback)
        self.add_callback(Progress(self))

    # Data

    def get_train_dataloader(self) -> DataLoader:
        # All that this version of transformers has, such as `dataloader_num_workers`, are called as in PyTorch.
        names = [each.name for each in fields(self.args) if each.name.startswith("dataloader_")]
        options = {name.removeprefix("dataloader_"): getattr(self.args, name) for name in names}
        options |= {"batch_size": self._train_batch_size, "collate_fn": self.data_collator}
        options["worker_init_fn"] = shield_worker
        if isinstance(self.train_dataset, IterableDataset):
            options |= {"persistent_workers": options["num_workers"] > 0, "drop_last": False}
            # Every process reads pieces of its own already: nothing is left to distribute.
            loader = DataLoader(self.train_dataset, **options)
            return prepare_data_loader(
                loader, self.args.device, num_processes=1, process_index=0, put_on_device=True, non_blocking=True
            )
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        self.sampler = EpochSampler(len(self.train_dataset), seed)
        return self.accelerator.prepare(DataLoader(self.train_dataset, sampler=self.sampler, **options))

    def get_eval_dataloader(self, *args, **kwargs) -> DataLoader:
        loader = super().get_eval_dataloader(*args, **kwargs)
        loader.worker_init_fn = shield_worker
        return loader

    # Loss

    def get_decay_parameter_names(self, model) -> list[str]:
        # The original decays biases and norms like everything else.
        return [name for name, _ in model.named_parameters()]

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
        before = time.perf_counter()
        try:
            with fixed_randomness(self.args.seed + self.args.process_index, self.args.device):
                output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        except Stopped:
            self.sums.pop("eval", None)
            is_saved = (Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}").exists()
            if self.state.global_step and self.optimizer is not None and not is_saved:
                self.is_evaluation_missing = True
                self._save_checkpoint(self.model)
            raise
        means = self.averages("eval")
        means.pop("clips", None)
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in means.items()})
        self.pause(before)
        return output

    def prediction_step(self, *args, **kwargs):
        if self.stop.agreed():
            raise Stopped
        return super().prediction_step(*args, **kwargs)

    def evaluation_is_due(self) -> bool:
        """Whether a run that goes on from here has to validate first."""
        is_at_end_of_epoch = float(self.state.epoch or 0).is_integer() and self.args.eval_strategy == "epoch"
        return self.is_evaluation_missing or (is_at_end_of_epoch and not self.is_evaluated())

    def _determine_best_metric(self, metrics, trial) -> bool:
        is_best = super()._determine_best_metric(metrics, trial)
        if is_best:
            self.state.best_global_step = self.state.global_step
            self.control.should_save = self.control.should_save or self.keeps_best
        return is_best

    def make_missing_evaluation(self, checkpoint: str):
        """What the run that saved the checkpoint would have done next."""
        metrics = self._evaluate(None, None)
        if self._determine_best_metric(metrics, None):
            self.state.best_model_checkpoint = checkpoint

    def pause(self, since: float):
        """Leave the time since then, when training stood still, out of the clips per second."""
        self.started += time.perf_counter() - since

    def is_evaluated(self) -> bool:
        """Whether the last step has been validated."""
        return any(
            entry["step"] == self.state.global_step and "eval_loss" in entry for entry in self.state.log_history
        )

    def train(self, *args, **kwargs):
        try:
            return super().train(*args, **kwargs)
        except Stopped:
            self.callback_handler.on_train_end(self.args, self.state, self.control)  # logs are written to their end
            raise

    # Checkpoints. These methods are private in transformers. Nothing public is on the way of all that saves: an upload
    # takes what was saved from where it was written.

    def _get_output_dir(self, trial=None) -> str:
        return self.saving_to or super()._get_output_dir(trial)

    def _save_checkpoint(self, model, trial=None):
        with whole_checkpoint(self):
            super()._save_checkpoint(model, trial)

    def save_model(self, output_dir=None, _internal_call=False):
        with writing(Path(output_dir or self.args.output_dir) / "model.safetensors"):
            super().save_model(output_dir, _internal_call)


@contextmanager
def fixed_randomness(seed: int, device: torch.device):
    """Random numbers from a seed, then go on with those before, on the CPU and on the device."""
    on_device = None if device.type == "cpu" else getattr(torch, device.type)
    states = torch.get_rng_state(), None if on_device is None else on_device.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        if on_device is not None:
            on_device.set_rng_state(states[1])
