"""Options of `ssast-hf finetune`, as dataclasses for transformers' `HfArgumentParser`."""

import math
import os
from dataclasses import dataclass

from ..arguments import RunArguments
from ..option import option
from .data_options import LABEL_KINDS, LabelledArguments, contradiction
from .recipes import chosen_by


TASKS = list(LABEL_KINDS)
# Those whose labels can be mixed and smoothed, and whose recordings have classes to balance.
MIXED, SMOOTHED, BALANCED = TASKS[:3], TASKS[:2], ("classification", "multilabel", "speaker", "frames")
EPOCHS = 20
# Of a rate that falls in steps.
LR_STEPS = {"lr_step_from": 6, "lr_step_every": 1}
# Of the loss of speakers, under the names that the configuration has for them.
MARGIN = ("am_softmax_scale", "am_softmax_margin", "am_softmax_warmup_steps")


@dataclass
class TaskArguments:
    """What is trained, and what for."""

    _argument_group_name = "task and model"

    model_name_or_path: str = option("model to begin from: a folder, its name on the Hub, or nano, which is bundled")
    task: str = option("what it is for", "classification", choices=TASKS)
    recipe: str | None = option(
        "the original's published values for this data set, also for how the epoch is chosen; other options win",
        choices=["esc50", "speechcommands", "audioset", "superb", "superb_sid", "superb_er"],
    )
    init_from_scratch: bool = option("begin from random weights instead, of the same size, to compare", False)
    freeze_encoder: bool = option("train the head alone", False)
    lora_rank: int | None = option("train low-rank additions to the attention of this rank, and the head (needs peft)")
    pooling_mode: str | None = option(
        "what the head sees of a clip; with cls the result leaves as stock AST (default: attentive for speakers, or "
        "mean)",
        choices=["mean", "cls", "attentive", "statistics"],
    )
    use_weighted_layer_sum: bool | None = option("let the head see a weighted sum of layers (default: the model's)")
    classifier_proj_size: int | None = option("project to this width before pooling (default: the model's; none)")
    loss: str = option(
        "of classification: cross_entropy, or binary_cross_entropy, a yes or no for each class",
        "cross_entropy",
        choices=["cross_entropy", "binary_cross_entropy"],
    )
    am_softmax_scale: float | None = option(
        "of speakers: what cosines are multiplied by in the loss (default: the model's, at first 30)"
    )
    am_softmax_margin: float | None = option(
        "of speakers: what the right one's cosine lacks there (default: the model's, at first 0.4)"
    )
    am_softmax_warmup_steps: int | None = option(
        "of speakers: batches until the margin is whole (default: the model's, at first 0)"
    )
    max_length: int | None = option("frames of 10 ms per clip (default: the model's)")
    frequency_stride: int | None = option("mel bins between patches (default: the model's); fewer let them overlap")
    time_stride: int | None = option("frames between patches, likewise")
    mean: float | None = option("mean of the log-mel features (default: that of the training data)")
    std: float | None = option("their standard deviation (default: that of the training data)")
    attn_implementation: str | None = option("sdpa, eager, flash_attention_2, ... (default: sdpa)")


@dataclass
class FinetuningArguments(RunArguments):
    """How."""

    per_device_train_batch_size: int = option("clips per step and device", 16)
    num_train_epochs: float | None = option(f"passes over the data (default: {EPOCHS}, unless something else ends it)")
    learning_rate: float | None = option("peak learning rate (default: by the width of the model, 1e-3 to 1e-4)")
    max_grad_norm: float | None = option("clip gradients at this norm; 0: not at all (default: 1 for texts, else 0)")
    head_lr_factor: float = option("how much faster the head learns than the encoder", 1.0)
    layer_decay: float = option("what each layer's learning rate is multiplied by to get that of the one below", 1.0)
    lr_step_decay: float | None = option("multiply the learning rate by this every few epochs, instead of a cosine")
    lr_step_from: int | None = option(f"epochs before the first time (default: {LR_STEPS['lr_step_from']})")
    lr_step_every: int | None = option(f"epochs from one time to the next (default: {LR_STEPS['lr_step_every']})")
    average_last_epochs: int = option("the result is the mean of the weights after so many of the last epochs", 0)
    mask_frequency: int = option("SpecAugment: mask up to so many mel bins", 0)
    mask_time: int = option("SpecAugment: mask up to so many frames, at most half of the clip", 0)
    mixup: float = option("probability that a clip is mixed with another one, and their labels alike", 0.0)
    noise_and_roll: bool = option("add some noise to the features and shift them by up to 10 frames", False)
    balance_classes: bool = option("draw clips of rare classes more often", False)
    eval_on_start: bool = option("validate the untrained head first, as step 0", False)
    eval_strategy: str = option("when to validate", "epoch")
    save_strategy: str = option("when to save a checkpoint", "epoch")
    logging_steps: float = option("steps between log entries", 10)


def check_options(
    parser, task: TaskArguments, data: LabelledArguments, arguments: FinetuningArguments, figures: tuple[str, ...]
):
    """What is contradictory, as an error of the command line; `figures` are those that a validation has."""
    metric = (arguments.asked["metric_for_best_model"] or "loss").removeprefix("eval_")
    if metric not in ("loss", *figures):
        parser.error(f"--metric_for_best_model {metric}: --task {task.task} has loss, {', '.join(figures)}")
    if not task.model_name_or_path or not data.train_data:
        parser.error("--model_name_or_path and --train_data are required")
    if text := contradiction(data, task.task):
        parser.error(text)
    if arguments.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        parser.error("--fsdp is for pretrain: leave it out, or launch without it; each process has a whole model here")
    for name, values in {"max_bad_fraction": data, "mixup": arguments, "label_smoothing_factor": arguments}.items():
        if not 0 <= getattr(values, name) <= 1:
            parser.error(f"--{name} is a share from 0 to 1, got {getattr(values, name):g}")
    for name in ("head_lr_factor", "layer_decay", "lr_step_decay", "learning_rate", "max_minutes"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < math.inf:
            parser.error(f"--{name} must be above 0, got {value:g}")
    for name, least in {
        "lr_step_from": 0,
        "lr_step_every": 1,
        "average_last_epochs": 0,
        "mask_frequency": 0,
        "mask_time": 0,
        "per_device_train_batch_size": 1,
        "per_device_eval_batch_size": 1,
        "gradient_accumulation_steps": 1,
    }.items():
        if (value := getattr(arguments, name)) is not None and value < least:
            parser.error(f"--{name} must be at least {least}, got {value}")
    for name in ("lora_rank", "classifier_proj_size"):
        if (value := getattr(task, name)) is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    if task.std is not None and not task.std > 0:
        parser.error(f"--std must be above 0, got {task.std:g}")
    check_data(parser, task, data, arguments)
    check_training(parser, task, arguments)


def check_data(parser, task: TaskArguments, data: LabelledArguments, arguments: FinetuningArguments):
    """The same for what it is trained and tested on."""
    validates_on_test = chosen_by(task.recipe) != "validation" and data.trials is None
    if data.validation_fraction is not None and validates_on_test:
        parser.error(f"--validation_fraction: --recipe {task.recipe} validates on what it tests; leave it out")
    epochs = arguments.num_train_epochs
    are_whole = epochs is None or (epochs >= 1 and float(epochs).is_integer())
    by_another = arguments.max_steps > 0 or arguments.max_minutes is not None
    if arguments.average_last_epochs and (by_another or not are_whole):
        parser.error("--average_last_epochs needs whole epochs: pass --num_train_epochs with a whole number")
    if data.fold_column is not None and arguments.max_minutes is not None:
        parser.error("--max_minutes ends one run, and folds are several; pass --max_steps or --num_train_epochs")


def check_training(parser, task: TaskArguments, arguments: FinetuningArguments):
    """The same for how it is trained."""
    for name, tasks in {
        "mixup": MIXED,
        "label_smoothing_factor": SMOOTHED,
        "balance_classes": BALANCED,
    }.items():
        if getattr(arguments, name) and task.task not in tasks:
            parser.error(f"--{name} is for --task {', '.join(tasks)}")
    if task.loss != "cross_entropy" and task.task != "classification":
        parser.error(f"--loss is for --task classification; --task {task.task} has one loss")
    for name in MARGIN:
        if getattr(task, name) is not None and task.task != "speaker":
            parser.error(f"--{name} is for --task speaker")
    if task.task in ("ctc", "frames") and arguments.noise_and_roll:
        parser.error(f"--noise_and_roll moves sounds to where others were; leave it out with --task {task.task}")
    if task.task in ("ctc", "frames") and task.pooling_mode is not None:
        parser.error(f"--pooling_mode is for heads that pool; that of --task {task.task} hears every time step")
    if task.freeze_encoder and arguments.layer_decay != 1:
        parser.error("--layer_decay is of the encoder's layers, which --freeze_encoder leaves as they are")
    if task.lora_rank is not None and (task.freeze_encoder or task.init_from_scratch or task.use_weighted_layer_sum):
        parser.error("--lora_rank adds to a trained encoder that stays as it is: leave out --freeze_encoder, "
                     "--init_from_scratch and --use_weighted_layer_sum")  # fmt: skip
    if task.freeze_encoder and task.init_from_scratch:
        parser.error("--freeze_encoder of random weights (--init_from_scratch) would train nothing that listens")
    if arguments.eval_strategy == "no" or arguments.save_strategy == "no":
        parser.error("the best weights are chosen by validation: --eval_strategy and --save_strategy cannot be no")
    for name in LR_STEPS:
        if getattr(arguments, name) is not None and arguments.lr_step_decay is None:
            parser.error(f"--{name} is of a rate that falls in steps; pass --lr_step_decay, too")
    if arguments.lr_step_decay is not None and arguments.asked["lr_scheduler_type"] is not None:
        parser.error("--lr_step_decay and --lr_scheduler_type are two schedules; leave one out")
    if arguments.asked["load_best_model_at_end"] is False:
        parser.error("finetune always keeps the best weights; --average_last_epochs takes the last ones together")
