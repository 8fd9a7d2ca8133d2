"""The stock `Trainer` as all training uses it: whole checkpoints, exact resuming, an end when it is asked for."""

import time
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader, IterableDataset
from transformers import PrinterCallback, Trainer
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from ..audio.batches import EpochSampler
from ..storage.guards import writing
from ..storage.reading import read_weights
from .defaults import warn_of_warmup
from .flow import Flow
from .memory import told_what_fits
from .messages import say
from .progress import Progress
from .recipe import read_run
from .resuming import check_same_run, check_weights, is_finished
from .saving import whole_checkpoint
from .stopping import Stopped, StopRequest, shield_worker
from .wholeness import read_state


class RunTrainer(Trainer):
    """
    Trains on data sets whose items are found by (epoch, index), the same ones whatever was interrupted.

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
        self.started = time.perf_counter()
        self.sampler: EpochSampler | None = None
        self.add_callback(Flow(self))
        for callback in (PrinterCallback, DEFAULT_PROGRESS_CALLBACK):
            self.remove_callback(callback)
        self.add_callback(Progress(self))

    def line_of(self, logs: dict, seconds_left: float) -> str | None:
        """A log entry for people, in one line; `None` if it is not for them."""
        raise NotImplementedError

    # Data

    def get_train_dataloader(self) -> DataLoader:
        # All that this version of transformers has, such as `dataloader_num_workers`, are called as in PyTorch.
        names = [each.name for each in fields(self.args) if each.name.startswith("dataloader_")]
        options = {name.removeprefix("dataloader_"): getattr(self.args, name) for name in names}
        options |= {"batch_size": self._train_batch_size, "collate_fn": self.data_collator}
        options["worker_init_fn"] = shield_worker
        if isinstance(self.train_dataset, IterableDataset):
            options |= {"persistent_workers": options["num_workers"] > 0, "drop_last": False}
            loader = DataLoader(self.train_dataset, **options)
            # Every process reads pieces of its own already: nothing is left to distribute. If accelerate did, what the
            # first process reads would be divided among all, and the pieces of the others would never be read.
            alone = {"num_processes": 1, "process_index": 0, "dispatch_batches": False}
            return prepare_data_loader(loader, self.args.device, put_on_device=True, non_blocking=True, **alone)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        if options["persistent_workers"]:
            # The loader draws a number when its workers start: once more in a run that goes on, which otherwise would
            # be missing among those that masks are drawn from. Nothing here depends on that number.
            options["generator"] = torch.Generator().manual_seed(seed + self.args.process_index)
        self.sampler = self.make_sampler(seed)
        return self.accelerator.prepare(DataLoader(self.train_dataset, sampler=self.sampler, **options))

    def make_sampler(self, seed: int) -> EpochSampler:
        """The order of the data of each epoch, which has to follow from the seed and the epoch alone."""
        return EpochSampler(len(self.train_dataset), seed)

    def get_batch_samples(self, *args, **kwargs):
        batches, count = super().get_batch_samples(*args, **kwargs)
        # A stream has no end, unless nothing is left for a process. `Trainer` would leave the others waiting.
        if not batches and self.sampler is None:
            raise ValueError(
                f"Process {self.args.process_index} of {max(self.args.world_size, 1)} (counted from 0) has nothing to "
                "read: have at least as many recordings as processes, better as many files (or row groups of a single "
                "parquet file). Or leave out --streaming."
            )
        return batches, count

    def get_eval_dataloader(self, *args, **kwargs) -> DataLoader:
        return self.loader_of_all(super().get_eval_dataloader, *args, **kwargs)

    def get_test_dataloader(self, *args, **kwargs) -> DataLoader:
        return self.loader_of_all(super().get_test_dataloader, *args, **kwargs)

    def loader_of_all(self, make, *args, **kwargs) -> DataLoader:
        """What `Trainer` makes, but of all clips, also of those that training drops, and with shielded workers."""
        drops, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False
        try:
            loader = make(*args, **kwargs)
        finally:
            self.args.dataloader_drop_last = drops
        # What accelerate makes is around the loader that starts the workers.
        getattr(loader, "base_dataloader", loader).worker_init_fn = shield_worker
        return loader

    def get_decay_parameter_names(self, model) -> list[str]:
        # The original decays biases and norms like everything else.
        return [name for name, _ in model.named_parameters()]

    # Validation

    def evaluation_loop(self, *args, metric_key_prefix="eval", **kwargs):
        before = time.perf_counter()
        try:
            with fixed_randomness(self.args.seed + self.args.process_index, self.args.device):
                output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        except Stopped:
            is_saved = (Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}").exists()
            # A test comes after training, with the weights that were chosen.
            is_of_last_step = metric_key_prefix == "eval" and self.optimizer is not None
            if self.state.global_step and is_of_last_step and not is_saved:
                self.is_evaluation_missing = True
                self._save_checkpoint(self.model)
            raise
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


def train_to_the_end(trainer: RunTrainer, checkpoint: str | None):
    """
    Train, going on from a checkpoint if there is one, and validate last.

    Args:
        trainer ([`RunTrainer`]): Of the run.
        checkpoint (`str`, *optional*): As from [`find_checkpoint`].

    Raises:
        ValueError: If the checkpoint is of another model, or damaged.
        MemoryError: If there is too little; it says what would fit.
        Stopped: If it was asked to stop.
    """
    arguments, model, stop = trainer.args, trainer.model, trainer.stop
    has_validation = trainer.eval_dataset is not None
    if checkpoint is not None:
        run = read_run(checkpoint)
        trainer.notes = [*run.get("notes", []), *check_same_run(checkpoint, arguments, model, trainer.recipe)]
        check_weights(checkpoint, model)
        stop.seconds_before = run.get("seconds", 0.0)
        if has_validation and run.get("evaluation_is_due"):
            trainer.resumed_before_evaluation = checkpoint
    if checkpoint is not None and is_finished(checkpoint, arguments):
        model.load_state_dict(read_weights(checkpoint))
        trainer.state = read_state(checkpoint)
        say("No step is left to make.")
        if has_validation and not trainer.is_evaluated():
            trainer.make_missing_evaluation(checkpoint)
    else:
        with told_what_fits(trainer):
            trainer.train(resume_from_checkpoint=checkpoint)
        if arguments.is_endless:
            warn_of_warmup(trainer.state.global_step, arguments.warmup_steps)
    if has_validation and not trainer.is_evaluated():
        trainer.evaluate()


def adam(arguments) -> tuple[type, dict]:
    """The original's optimizer, whose weight decay is part of the gradient."""
    betas = (arguments.adam_beta1, arguments.adam_beta2)
    # One kernel per step instead of a dozen per tensor.
    options = {"lr": arguments.learning_rate, "betas": betas, "eps": arguments.adam_epsilon, "fused": True}
    return torch.optim.Adam, options
