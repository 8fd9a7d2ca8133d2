"""
Self-supervised pretraining, from a checkpoint or from scratch, on one processor or many.

    ssast-hf pretrain --model_name_or_path ssast-base-patch-400 --train_data audio/ --output_dir out --max_steps 5000
    ssast-hf pretrain --model_size tiny --patch 16x16 --train_data clips.csv --output_dir out --num_train_epochs 10
    accelerate launch --config_file examples/accelerate/ddp_1x8.yaml -m ssast_hf pretrain ...
    torchrun --nproc_per_node 2 -m ssast_hf pretrain ...

The same command again goes on where it stopped. `--help-all` shows the other options, those of transformers'
`TrainingArguments` among them.
"""

import math
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import set_seed

from ..audio.bad_files import QUIET_LIST, BadFiles
from ..audio.batches import Collator
from ..audio.decoding import audio_packages
from .arguments import DataArguments, RunArguments, features_on_device, parse_into
from .data_sets import count_recordings, describe, make_datasets, without_decoded_files
from .defaults import count_steps, resolve_defaults, warn_of_warmup
from .facts import write_facts
from .messages import quiet_libraries, say
from .models import ModelArguments, make_model
from .option import option
from .outcome import find_outcome, sentence
from .pictures import Pictures
from .processes import FolderLock, check_launcher, group_of_run, named_when_lost, told_when_alone
from .recipe import recipe_of
from .report import write_report
from .resuming import checkpoints_in, find_checkpoint
from .run_trainer import adam, train_to_the_end
from .saving import save_result
from .stopping import EXIT_STATUS, Stopped, StopRequest
from .trainer import SSASTTrainer


# What `--help` shows.
SHOWN = (
    "model_name_or_path model_size patch max_length mean std train_data validation_data validation_fraction "
    "window_seconds streaming output_dir max_steps num_train_epochs max_minutes per_device_train_batch_size "
    "learning_rate warmup_steps lr_scheduler_type load_best_model_at_end logging_steps eval_steps save_steps bf16 "
    "seed resume_from_checkpoint"
).split()


@dataclass
class PretrainingArguments(RunArguments):
    """How."""

    visualize_steps: int = option("steps between pictures of validation clips", 500)


def main(argv: list[str] | None = None) -> list[str]:
    """Pretrain as the command line says; returns a short report."""
    argv = sys.argv[1:] if argv is None else argv
    is_own = not torch.distributed.is_initialized()
    with told_when_alone():  # `TrainingArguments` begin the group of processes
        parser, model_arguments, data_arguments, arguments = parse_into(
            (ModelArguments, DataArguments, PretrainingArguments),
            argv,
            SHOWN,
            prog="ssast-hf pretrain",
            usage="%(prog)s (--model_name_or_path NAME | --model_size SIZE) --train_data DATA --output_dir OUT [...]",
            description=__doc__,
        )
    check_arguments(parser, model_arguments, data_arguments, arguments)
    check_launcher(arguments.world_size)
    lock = FolderLock(arguments.output_dir, arguments.process_index, arguments.world_size)
    stop, decoded = StopRequest(arguments.max_minutes), without_decoded_files(arguments)
    with stop, lock, decoded, named_when_lost(lock), group_of_run(is_own):
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
    quiet_libraries()
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
    with arguments.main_process_first(desc="listing the recordings"):
        train, validation = make_datasets(data_arguments, arguments, model.config, feature_extractor)
    start = model_arguments.model_name_or_path
    clips = None if data_arguments.streaming else len(train)
    defaults = resolve_defaults(arguments, model.config, start is not None, clips)
    steps = count_steps(arguments, clips)
    if steps is not None:
        warn_of_warmup(steps, arguments.warmup_steps)
    if validation is None:
        if arguments.lr_scheduler_type == "reduce_lr_on_plateau":
            raise ValueError("--lr_scheduler_type reduce_lr_on_plateau needs validation data; pass --validation_data.")
        arguments.eval_strategy = "no"
        say("No validation, and so no pictures: pass --validation_data, or a --validation_fraction above 0.")
    loads_best = arguments.asked["load_best_model_at_end"] is not False and validation is not None
    loads_best = loads_best and arguments.save_strategy != "no"
    bad_files = BadFiles(
        bad_file_list,
        data_arguments.max_bad_fraction,
        total=None if data_arguments.streaming else count_recordings(train, validation),
        raise_at_once=data_arguments.on_bad_file == "raise",
    )
    trainer = SSASTTrainer(
        model,
        arguments,
        data_collator=Collator(feature_extractor, not data_arguments.cache_features and features_on_device(arguments)),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=feature_extractor,
        optimizer_cls_and_kwargs=adam(arguments) if arguments.use_adam else None,
        bad_files=bad_files,
        recipe=recipe_of(data_arguments, arguments, train, feature_extractor, steps if arguments.decays else None),
        keeps_best=loads_best,
        stop=stop,
    )
    pictures = Pictures(trainer)
    if validation is not None:
        if (model.config.frequency_stride, model.config.time_stride) == model.config.patch_shape:
            trainer.add_callback(pictures)
        else:
            say("No pictures: patches that overlap do not make up one.")
    train_to_the_end(trainer, checkpoint)
    outcome = find_outcome(trainer, loads_best, may_be_untouched=start is not None)
    untouched = None
    if outcome.is_untouched and trainer.is_world_process_zero():
        set_seed(arguments.seed)
        untouched, _ = make_model(model_arguments)
    save_result(trainer, outcome.checkpoint, untouched)
    trainer.save_state()
    if not trainer.is_world_process_zero():
        return []
    folder, command = Path(arguments.output_dir), shlex.join(["ssast-hf", "pretrain", *argv])
    data = describe(data_arguments, train, validation)
    done = trainer.state.global_step if outcome.result is None else outcome.result["step"]
    write_facts(folder, outcome, start, command, data, done)
    summary = sentence(outcome, folder, start)
    names = [] if validation is None else pictures.names()
    return write_report(trainer, command, outcome, summary, data, defaults, names, bad_files)


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
        parser.error("--streaming needs --max_steps or --max_minutes: how long a stream is, is not known")
    if arguments.max_minutes is not None and not arguments.max_minutes > 0:
        parser.error(f"--max_minutes must be above 0, got {arguments.max_minutes:g}")
    if (warmup := arguments.asked["warmup_steps"]) is not None and not 0 <= warmup < math.inf:
        parser.error(f"--warmup_steps must be 0 or more, got {warmup:g}")
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    if not 0 <= data.max_bad_fraction <= 1 or not 0 <= data.validation_fraction < 1:
        parser.error("--max_bad_fraction and --validation_fraction are shares between 0 and 1")
    for name in ("window_seconds", "window_overlap", "min_level", "max_decoded_gb", "gain_jitter_db"):
        if not math.isfinite(getattr(data, name) or 0):
            parser.error(f"--{name} must be a finite number")
    if data.group_column is not None and (data.streaming or data.validation_data):
        parser.error("--group_column is about a validation part of training data that are not streamed")
    for name in ("weight_column", "cache_features"):
        if data.streaming and getattr(data, name) is not None:
            parser.error(f"--{name} is about data that are not streamed")
    if data.cache_features and data.min_level is not None:
        parser.error("--cache_features keeps no levels for --min_level; leave one of them out")
    if data.gain_jitter_db < 0:
        parser.error(f"--gain_jitter_db must be 0 or more, got {data.gain_jitter_db:g}")
    wants_best = arguments.asked["load_best_model_at_end"]
    if arguments.label_smoothing_factor or (wants_best and arguments.save_strategy == "no"):
        parser.error("--label_smoothing_factor and --load_best_model_at_end without checkpoints make no sense here")
