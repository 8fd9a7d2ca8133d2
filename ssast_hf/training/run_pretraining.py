"""
Self-supervised pretraining, from a checkpoint or from scratch, on one processor or many.

    ssast-hf pretrain --model_name_or_path ssast-base-patch-400 --train_data audio/ --output_dir out --max_steps 5000
    ssast-hf pretrain --model_size tiny --patch 16x16 --train_data clips.csv --output_dir out --num_train_epochs 10
    accelerate launch --config_file examples/accelerate/ddp_1x8.yaml -m ssast_hf pretrain ...
    torchrun --nproc_per_node 2 -m ssast_hf pretrain ...

The same command again goes on where it stopped. All options of transformers' `TrainingArguments` are accepted.
"""

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import set_seed
from transformers.utils import logging

from ..audio.bad_files import QUIET_LIST, BadFiles
from ..audio.batches import Collator
from ..audio.decoding import audio_packages
from ..configuration_ssast import SSASTConfig
from ..storage.reading import read_weights
from .arguments import DataArguments, RunArguments, option, parse_into
from .data_sets import count_recordings, make_datasets, without_decoded_files
from .messages import say
from .models import SIZES, ModelArguments, make_model
from .pictures import Pictures
from .processes import FolderLock, check_launcher, named_when_lost, told_when_alone
from .recipe import read_run, recipe_of
from .report import write_report
from .resuming import check_same_run, check_weights, checkpoints_in, find_checkpoint, is_finished
from .saving import save_result
from .stopping import EXIT_STATUS, Stopped, StopRequest
from .trainer import SSASTTrainer
from .wholeness import read_state


@dataclass
class PretrainingArguments(RunArguments):
    """How."""

    visualize_steps: int = option("steps between pictures of validation clips", 500)


def main(argv: list[str] | None = None) -> list[str]:
    """Pretrain as the command line says; returns a short report."""
    argv = sys.argv[1:] if argv is None else argv
    with told_when_alone():  # `TrainingArguments` begin the group of processes
        parser, model_arguments, data_arguments, arguments = parse_into(
            (ModelArguments, DataArguments, PretrainingArguments),
            argv,
            prog="ssast-hf pretrain",
            usage="%(prog)s (--model_name_or_path NAME | --model_size SIZE) --train_data DATA --output_dir OUT [...]",
            description=__doc__,
        )
    check_arguments(parser, model_arguments, data_arguments, arguments)
    check_launcher(arguments.world_size)
    lock = FolderLock(arguments.output_dir, arguments.process_index, arguments.world_size)
    with StopRequest() as stop, lock, without_decoded_files(arguments), named_when_lost(lock):
        stop.connect(arguments.ddp_timeout)
        try:
            return pretrain(parser, model_arguments, data_arguments, arguments, stop, argv)
        except Stopped:
            saved = checkpoints_in(Path(arguments.output_dir))
            say(
                f"Stopped by a signal. The same command goes on from {saved[-1]}; there is no trained model yet."
                if saved
                else "Stopped by a signal, before the first step; nothing is saved. The same command begins again."
            )
    raise SystemExit(EXIT_STATUS)


def pretrain(parser, model_arguments, data_arguments, arguments, stop: StopRequest, argv: list[str]) -> list[str]:
    """What the command does, with its options read and its folder locked; [`Stopped`] if it was asked to stop."""
    # Read by accelerate under FSDP. Saved in pieces, a checkpoint would hold no model that loads by itself.
    os.environ["FSDP_STATE_DICT_TYPE"] = "FULL_STATE_DICT"
    audio_packages()  # before the work begins, and not first in a worker
    logging.set_verbosity_warning()  # what a run begins with should be known
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several devices need several processes, see `accelerate launch`
    checkpoint = find_checkpoint(arguments, model_arguments.model_name_or_path)
    bad_file_list = Path(arguments.output_dir) / "skipped_files.txt"
    if checkpoint is None and PartialState().is_local_main_process:
        for path in (bad_file_list, bad_file_list.with_name(QUIET_LIST)):
            path.unlink(missing_ok=True)

    set_seed(arguments.seed)
    model, feature_extractor = make_model(model_arguments)
    if model_arguments.decoder_hidden_size is not None and not model.config.decoder_num_hidden_layers:
        parser.error("--decoder_hidden_size needs --decoder_num_hidden_layers")
    resolve_defaults(arguments, model.config)
    with arguments.main_process_first(desc="listing the recordings"):
        train, validation = make_datasets(data_arguments, arguments, model.config, feature_extractor)
    if validation is None:
        if arguments.lr_scheduler_type == "reduce_lr_on_plateau":
            raise ValueError("--lr_scheduler_type reduce_lr_on_plateau needs validation data; pass --validation_data.")
        arguments.eval_strategy = "no"
        say("No validation, and so no pictures: pass --validation_data, or a --validation_fraction above 0.")
    bad_files = BadFiles(
        bad_file_list,
        data_arguments.max_bad_fraction,
        total=None if data_arguments.streaming else count_recordings(train, validation),
        raise_at_once=data_arguments.on_bad_file == "raise",
    )
    trainer = SSASTTrainer(
        model,
        arguments,
        data_collator=Collator(feature_extractor),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=feature_extractor,
        optimizer_cls_and_kwargs=adam(arguments) if arguments.use_adam else None,
        bad_files=bad_files,
        recipe=recipe_of(data_arguments, arguments, train, feature_extractor),
        stop=stop,
    )
    if validation is not None:
        if (model.config.frequency_stride, model.config.time_stride) == model.config.patch_shape:
            trainer.add_callback(Pictures(trainer))
        else:
            say("No pictures: patches that overlap do not make up one.")
    if checkpoint is not None:
        check_same_run(checkpoint, arguments, model, trainer.recipe)
        check_weights(checkpoint, model)
        if validation is not None and read_run(checkpoint).get("evaluation_is_due"):
            trainer.resumed_before_evaluation = checkpoint
    if checkpoint is not None and is_finished(checkpoint, arguments):
        model.load_state_dict(read_weights(checkpoint))
        trainer.state = read_state(checkpoint)
        say("No step is left to make.")
    else:
        trainer.train(resume_from_checkpoint=checkpoint)
    if validation is not None and not trainer.is_evaluated():
        trainer.evaluate()
    save_result(trainer)
    trainer.save_state()
    if not trainer.is_world_process_zero():
        return []
    return write_report(trainer, " ".join(["ssast-hf pretrain", *argv]), data_arguments.train_data, bad_files)


def check_arguments(parser, model: ModelArguments, data: DataArguments, arguments: PretrainingArguments):
    """What is contradictory, as an error of the command line."""
    sources = [model.model_name_or_path, model.config_name, model.model_size]
    if sum(source is not None for source in sources) != 1:
        parser.error("name exactly one of --model_name_or_path, --config_name and --model_size")
    if model.patch is not None and model.model_size is None:
        parser.error("--patch goes with --model_size; every other model has patches of its own")
    if not data.train_data:
        parser.error("--train_data is required")
    if data.streaming and arguments.max_steps <= 0:
        parser.error("--streaming needs --max_steps: how long a stream is, is not known")
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    if not 0 <= data.max_bad_fraction <= 1 or not 0 <= data.validation_fraction < 1:
        parser.error("--max_bad_fraction and --validation_fraction are shares between 0 and 1")
    for name in ("window_seconds", "window_overlap", "min_level", "max_decoded_gb"):
        if not math.isfinite(getattr(data, name) or 0):
            parser.error(f"--{name} must be a finite number")
    if data.group_column is not None and (data.streaming or data.validation_data):
        parser.error("--group_column is about a validation part of training data that are not streamed")
    if arguments.label_smoothing_factor or (arguments.load_best_model_at_end and arguments.save_strategy == "no"):
        parser.error("--label_smoothing_factor and --load_best_model_at_end without checkpoints make no sense here")


def resolve_defaults(arguments: PretrainingArguments, config: SSASTConfig):
    """Defaults that depend on the model."""
    if arguments.default_learning_rate:
        arguments.learning_rate = 5e-4 if config.hidden_size <= SIZES["tiny"][0] else 1e-4
    if arguments.metric_for_best_model is None:
        arguments.metric_for_best_model = "loss" if config.objective == "generative" else "accuracy"
    arguments.greater_is_better = not arguments.metric_for_best_model.endswith("loss")
    if arguments.lr_scheduler_type == "reduce_lr_on_plateau" and not arguments.lr_scheduler_kwargs:
        mode = "max" if arguments.greater_is_better else "min"
        arguments.lr_scheduler_kwargs = {"mode": mode, "factor": 0.5, "patience": 2}


def adam(arguments: PretrainingArguments) -> tuple[type, dict]:
    """The original's optimizer, whose weight decay is part of the gradient."""
    betas = (arguments.adam_beta1, arguments.adam_beta2)
    # One kernel per step instead of a dozen per tensor.
    options = {"lr": arguments.learning_rate, "betas": betas, "eps": arguments.adam_epsilon, "fused": True}
    return torch.optim.Adam, options
