"""
Fine-tune a model on labelled audio, choose the best weights by validation, and test them once.

    ssast-hf finetune --model_name_or_path nano --train_data sounds/ --output_dir out
    ssast-hf finetune --model_name_or_path nano --train_data esc10.csv --fold_column fold --output_dir out
    ssast-hf finetune --model_name_or_path nano --task speaker --train_data a.csv --trials b.csv --output_dir out
    torchrun --nproc_per_node 2 -m ssast_hf finetune ...

The same command again goes on where it stopped. `--help-all` shows the other options, those of transformers'
`TrainingArguments` among them.
"""

import copy
import json
import os
import shlex
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from ...assets import named_model
from ...audio.cropping import Cropper
from ...audio.decoding import audio_packages
from ...audio.splits import Split, check_split
from ...configuration_ssast import SSASTConfig
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ...heads_ssast import check_ctc_token
from ..arguments import parse_into
from ..messages import quiet_libraries, say
from ..processes import FolderLock, check_launcher, group_of_run, named_when_lost, told_when_alone
from ..stopping import EXIT_STATUS, Stopped, StopRequest
from .clips import LabelledClips
from .data_options import LABEL_KINDS, LabelledArguments
from .folds import check_folders, folder_of, write_folds
from .lora import check_peft
from .model import read_extractor, read_start, with_geometry_and_margin
from .one_split import Job, finetune_split, prepare, steps_apart
from .options import FinetuningArguments, TaskArguments, check_options
from .parts import make_splits, without_shared
from .recipes import apply_to_model, chosen_by, with_recipe
from .report import FIGURES, REPORT, lines_of
from .splits import Limits, checked
from .tasks import KINDS
from .testing import Tested
from .texts import check_long_texts


# What `--help` shows.
SHOWN = (
    "model_name_or_path task recipe init_from_scratch freeze_encoder lora_rank pooling_mode max_length mean std "
    "train_data validation_data test_data trials validation_fraction test_fraction fold_column folds group_column "
    "label_column output_dir max_steps num_train_epochs max_minutes per_device_train_batch_size learning_rate "
    "warmup_steps label_smoothing_factor mixup mask_frequency mask_time noise_and_roll balance_classes seed "
    "resume_from_checkpoint"
).split()


def main(argv: list[str] | None = None) -> list[str]:
    """Fine-tune as the command line says; returns a short report."""
    argv = sys.argv[1:] if argv is None else argv
    is_own = not torch.distributed.is_initialized()
    with told_when_alone():  # `TrainingArguments` begin the group of processes
        parser, task_arguments, data_arguments, arguments = parse_into(
            (TaskArguments, LabelledArguments, FinetuningArguments),
            with_recipe(argv),
            SHOWN,
            prog="ssast-hf finetune",
            usage="%(prog)s --model_name_or_path NAME --train_data DATA --output_dir OUT [...]",
            description=__doc__,
        )
    check_options(parser, task_arguments, data_arguments, arguments, KINDS[task_arguments.task].figures)
    check_launcher(arguments.world_size)
    lock = FolderLock(arguments.output_dir, arguments.process_index, arguments.world_size)
    stop = StopRequest(arguments.max_minutes)
    with stop, lock, named_when_lost(lock), group_of_run(is_own):
        stop.connect(arguments.ddp_timeout)
        try:
            return finetune(task_arguments, data_arguments, arguments, stop, argv)
        except Stopped:
            say("Stopped by a signal. The same command goes on from the last checkpoint, if there is one.")
    raise SystemExit(EXIT_STATUS)


def check_tokens(config: SSASTConfig, time_stride: int | None):
    """ValueError if the model's time steps are too long for characters."""
    try:
        check_ctc_token(config, config.time_stride if time_stride is None else time_stride)
    except ValueError as error:
        raise ValueError(f"{error} Or pass --time_stride 4 here.") from error


def check_learnable(
    arguments: TaskArguments,
    start: str,
    config: SSASTConfig,
    shaped: SSASTConfig,
    cropper: Cropper,
    extractor: SSASTFeatureExtractor,
    splits: list[Split],
):
    """
    ValueError if the task cannot do with a label, or a text is too long for its recording, before any is decoded.

    Args:
        arguments ([`TaskArguments`]): The task.
        start (`str`): The model to begin from.
        config ([`SSASTConfig`]): What is written there.
        shaped ([`SSASTConfig`]): The same as it is to be trained.
        cropper ([`Cropper`]): Of its clips.
        extractor ([`SSASTFeatureExtractor`]): Of its features.
        splits (`list[Split]`): What is trained and tested on.
    """
    for split in splits:
        task = KINDS[arguments.task](arguments.loss)
        task.begin(start, config, split.train)
        for part in split.parts.values():
            task.check(part)
        if task.fits_whole:
            parts = without_shared(split).parts.values()
            clips = [LabelledClips(part, cropper, task.labels(part, extractor), False) for part in parts]
            check_long_texts(clips, extractor, shaped)


def check_not_of_folds(folder: Path):
    """ValueError if a folder holds the summary of several folds, which a single run would replace."""
    path = folder / FIGURES
    if path.exists() and "folds" in json.loads(path.read_text(encoding="utf-8")):
        raise ValueError(
            f"{folder} holds runs on several folds, and one would replace what is said of all. Choose another "
            "--output_dir, or ask for several folds."
        )


def finetune(task_arguments, data_arguments, arguments, stop: StopRequest, argv: list[str]) -> list[str]:
    """What the command does, with its options read and its folder locked; [`Stopped`] if it was asked to stop."""
    # Read by accelerate under FSDP. Saved in pieces, a checkpoint would hold no model that loads by itself.
    os.environ["FSDP_STATE_DICT_TYPE"] = "FULL_STATE_DICT"
    audio_packages()  # before the work begins, and not first in a worker
    quiet_libraries()
    if task_arguments.lora_rank is not None:
        check_peft()
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several devices need several processes, see `accelerate launch`
    # Whatever is wrong with the data is told before a model is loaded.
    start = named_model(task_arguments.model_name_or_path)
    config = read_start(start)
    if task_arguments.recipe is not None:
        arguments.learning_rate = apply_to_model(task_arguments, config, argv) or arguments.learning_rate
        arguments.asked["learning_rate"] = arguments.learning_rate
    kind = KINDS[task_arguments.task]
    if kind.head == "SSASTForCTC":
        check_tokens(config, task_arguments.time_stride)
    shaped = with_geometry_and_margin(config, task_arguments)
    extractor = read_extractor(start, max_length=shaped.max_length, num_mel_bins=shaped.num_mel_bins)
    cropper = Cropper(extractor, shaped.patch_shape[1], arguments.seed)
    labels = LABEL_KINDS[task_arguments.task]
    hop = steps_apart(shaped, extractor) if labels == "events" else None
    limits = Limits(cropper, hop, cropper.windows.length if kind.fits_whole else None)
    with arguments.main_process_first(desc="listing the recordings"):
        by = chosen_by(task_arguments.recipe)
        splits, trials = make_splits(data_arguments, labels, arguments.seed, by)
        check_folders([split.name for split in splits])
        if len(splits) == 1:
            check_not_of_folds(Path(arguments.output_dir))
        for split in splits:
            check_split(without_shared(split), data_arguments.min_per_class)
        check_learnable(task_arguments, start, config, shaped, cropper, extractor, splits)
        whole = [checked(split, trials, limits, data_arguments) for split in splits]
    trials = whole[0][1]
    command = shlex.join(["ssast-hf", "finetune", *argv])
    job = Job(task_arguments, data_arguments, start, config, shaped, trials, len(splits), stop, command)
    runs = []
    for split, _ in whole:
        own = copy.copy(arguments)
        own.asked = dict(arguments.asked)
        if len(splits) > 1:
            own.output_dir = str(Path(arguments.output_dir) / folder_of(split.name))
            own.logging_dir = str(Path(own.output_dir) / "runs")
        runs.append(prepare(job, split, own, limits))
    results: dict[str, dict] = {}
    tests: list[Tested] = []
    for run in runs:
        if len(runs) > 1:
            say(f"{run.split.name}: {run.arguments.output_dir}")
        results[run.split.name], tested = finetune_split(job, run)
        tests += [] if tested is None else [tested]
    if not PartialState().is_main_process:
        return []
    if len(runs) == 1:
        (result,) = results.values()
        return [*lines_of(result), f"Written: {arguments.output_dir} (the model, {REPORT}, {FIGURES}, pictures)"]
    return write_folds(Path(arguments.output_dir), results, tests, job, runs)
