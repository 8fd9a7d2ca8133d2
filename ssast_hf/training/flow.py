"""What happens when training, an epoch or a step begins or ends."""

import time

import torch
from transformers import TrainerCallback

from .stopping import Stopped


class Flow(TrainerCallback):
    """
    Seeds processes, validates first and last, warms up where the schedule does not, and ends a run that has to stop.

    Args:
        trainer ([`RunTrainer`]): Whose training it is.
    """

    def __init__(self, trainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        # Trainer seeds all processes alike; they would draw the same masks. A resumed run restores its own state
        # later.
        torch.manual_seed(args.seed + args.process_index)
        self.trainer.started = time.perf_counter()
        state.compute_steps(args, state.max_steps)  # a resumed run would keep those that it began with
        if self.trainer.stop.agreed():
            raise Stopped
        if self.trainer.resumed_before_evaluation is not None:
            self.trainer.make_missing_evaluation(self.trainer.resumed_before_evaluation)
        if self.trainer.validates_first and state.global_step == 0:
            self.trainer.evaluate()

    def on_epoch_begin(self, args, state, control, **kwargs):
        # Not left to `set_epoch` of the loader, which does not reach a sampler behind all wrappers.
        if self.trainer.sampler is not None:
            self.trainer.sampler.epoch = int(state.epoch or 0)

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        # The other schedules bring a warm-up of their own.
        if args.lr_scheduler_type == "reduce_lr_on_plateau" and state.global_step < args.warmup_steps:
            for group in optimizer.param_groups:
                # Groups may differ, and keep their peaks with the optimizer's state.
                before = args.warmup_steps / state.global_step if state.global_step else 1
                peak = group.setdefault("initial_lr", group["lr"] * before)
                group["lr"] = peak * (state.global_step + 1) / args.warmup_steps

    def on_step_end(self, args, state, control, **kwargs):
        if self.trainer.stop.agreed():
            self.trainer.is_stopping = control.should_save = True
            args.save_only_model = False
        elif self.trainer.stop.time_is_up():
            control.should_training_stop = control.should_log = control.should_save = True
            args.save_only_model = False  # more minutes go on from here
        # At the end of an epoch, which the last one is in any case, `Trainer` validates by itself.
        if control.should_training_stop and args.eval_strategy == "steps" and not self.trainer.is_stopping:
            control.should_evaluate = True

    def on_save(self, args, state, control, **kwargs):
        if self.trainer.is_stopping:
            raise Stopped
