"""Options that all kinds of training share, as dataclasses for transformers' `HfArgumentParser`."""

import argparse
import difflib
import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from transformers import HfArgumentParser, TrainingArguments

from .option import option


# What people try, of other programs -> the option that is meant.
OTHER_NAMES = {
    "lr": "learning_rate",
    "batch_size": "per_device_train_batch_size",
    "bs": "per_device_train_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "steps": "max_steps",
    "warmup": "warmup_steps",
    "workers": "dataloader_num_workers",
    "num_workers": "dataloader_num_workers",
    "model": "model_name_or_path",
    "checkpoint": "model_name_or_path",
    "data": "train_data",
    "data_dir": "train_data",
    "train_dir": "train_data",
    "output": "output_dir",
    "out": "output_dir",
    "scheduler": "lr_scheduler_type",
}


@dataclass
class DataArguments:
    """What it is trained on."""

    _argument_group_name = "data"

    train_data: list[str] = option(
        "one or more of: a folder of audio, parquet or tar files; a manifest (.json, .csv, .tsv, .jsonl); a .parquet "
        "or .tar file or pattern; a data set on the Hub"
    )
    validation_data: list[str] | None = option("the same for validation (default: a part of the training data)")
    validation_fraction: float = option(
        "that part, unless the training data are streamed: some recordings, or the end of each if they are few", 0.05
    )
    group_column: str | None = option("column of a manifest; recordings of the same value are validated on together")
    weight_column: str | None = option(
        "column of a manifest: how often to draw clips of each recording, relative to the others (default: all alike)"
    )
    window_seconds: float | None = option(
        "how much of a recording makes up a clip; longer ones are several (default: what --max_length takes)"
    )
    window_overlap: float = option("by how many seconds two of these overlap", 0.0)
    min_level: float | None = option(
        "leave out windows below this level, in dB relative to full scale (RMS), such as -60 (default: none)"
    )
    gain_jitter_db: float = option("make each clip louder or quieter by up to so many dB, anew in each epoch", 0.0)
    cache_features: str | None = option(
        "folder to keep features in, computed once in half precision: windows then begin on a grid of 10 ms"
    )
    dataset_config_name: str | None = option("configuration of a data set on the Hub")
    dataset_split: str = option("its split", "train")
    audio_column: str | None = option("column of audio or paths (default: found by its usual names)")
    streaming: bool = option(
        "read parquet, tar or Hub data from beginning to end, without a copy; needs --max_steps or --max_minutes",
        False,
    )
    shuffle_buffer: int = option("windows to shuffle among when streaming", 1000)
    max_decoded_gb: float = option(
        "disk space in the output folder, during the run, for long MP3 files, which are decoded as a whole", 10.0
    )
    max_bad_fraction: float = option("stop when more of the recordings than this cannot be used", 0.01)
    on_bad_file: str = option("what to do about one that cannot be used", "skip", choices=["skip", "raise"])


# Options whose defaults depend on the model, the data or each other; see `defaults.py`.
DEPENDENT = "learning_rate lr_scheduler_type warmup_steps num_train_epochs metric_for_best_model max_grad_norm".split()
# Steps of a run that only its minutes end.
ENDLESS = 10**9


@dataclass
class RunArguments(TrainingArguments):
    """How. The defaults of the optimizer are the original's."""

    _argument_group_name = "training (the last ones are this package's or have other defaults than transformers')"

    optim: str = option("optimizer; adam is the original's, the others are transformers'", "adam")
    learning_rate: float | None = option("peak learning rate (default: by the size of the model, lower to continue)")
    adam_beta1: float = option("beta1 of Adam", 0.95)
    adam_beta2: float = option("beta2 of Adam", 0.999)
    weight_decay: float = option("weight decay", 5e-7)
    max_grad_norm: float | None = option("clip gradients at this norm; 0 for not at all", 0.0)
    num_train_epochs: float | None = option("passes over the data (default: 3, unless something else ends the run)")
    max_minutes: float | None = option(
        "end the run after so many minutes with its result, interruptions not counted; more of them go on later"
    )
    lr_scheduler_type: str | None = option(
        "schedule (default: a cosine down to a tenth of the peak; constant if only --max_minutes ends the run); "
        "constant_with_warmup and reduce_lr_on_plateau, which halves the rate when validation accuracy stops rising, "
        "are the original's"
    )
    warmup_steps: float | None = option(
        "steps of linear warm-up, or below 1 a share of the run (default: a tenth of the run, at most 1000 steps)"
    )
    eval_on_start: bool = option("validate the untouched model first, as step 0", True)
    eval_strategy: str = option("when to validate", "steps")
    eval_steps: float = option("steps between validations", 500)
    save_steps: float = option("steps between checkpoints", 500)
    save_total_limit: int | None = option("checkpoints to keep besides the best", 2)
    load_best_model_at_end: bool | None = option(
        "whether the result is the best of the validated weights and not the last (default: if there is validation)"
    )
    metric_for_best_model: str | None = option(
        "what it is the best of (default: loss; accuracy with reduce_lr_on_plateau)"
    )
    logging_steps: float = option("steps between log entries", 50)
    logging_first_step: bool = option("log the first step, too", True)
    logging_nan_inf_filter: bool = option("hide non-finite losses (waits for the device at every step)", False)
    report_to: str = option("where to log to besides the console and trainer_state.json", "tensorboard")
    dataloader_num_workers: int = option("processes that read and decode audio, per device", 2)
    feature_device: str = option(
        "where spectrograms are made: on the GPU, in batches, or on the cpu, by the processes that read (auto: on the "
        "device that trains)",
        "auto",
        choices=["auto", "cpu", "cuda"],
    )
    disable_tqdm: bool | None = option("hide the progress bar", False)

    def __post_init__(self):
        # Batches hold what the model takes; `Trainer` need not look for columns.
        self.remove_unused_columns = False
        # Masked patches always reach every trained parameter.
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False
        devices = (torch.accelerator, torch.cuda, torch.backends.mps, torch.xpu)
        has_accelerator = any(device.is_available() for device in devices)
        # Otherwise, under transformers 4, layers behind frozen ones would get no gradient.
        if self.gradient_checkpointing and self.gradient_checkpointing_kwargs is None:
            self.gradient_checkpointing_kwargs = {"use_reentrant": False}
        # Batches are copied while the device computes.
        self.dataloader_pin_memory = self.dataloader_pin_memory and has_accelerator
        if self.accelerator_config is None:
            self.accelerator_config = {"non_blocking": self.dataloader_pin_memory}
        # Unless told so, `TrainingArguments` takes a processor that has bfloat16 for one that has not, and several
        # processes for as many runs.
        self.use_cpu = self.use_cpu or not has_accelerator
        check_bfloat16(self.bf16 or self.bf16_full_eval, self.use_cpu)
        if self.use_cpu and self.ddp_backend in (None, "gloo"):
            connect_processors(self.ddp_timeout)
        # The same, less carefully: what a signal does here is in `stopping.py`.
        self.enable_jit_checkpoint = False
        self.use_adam = self.optim == "adam"
        if self.use_adam:
            self.optim = "adamw_torch"  # the name that `TrainingArguments` knows; see `adam` in `run_trainer.py`
        # What was asked for, where `TrainingArguments` takes no `None` or too little; `defaults.py` has the last word.
        self.asked = {name: getattr(self, name) for name in (*DEPENDENT, "load_best_model_at_end")}
        self.is_endless = self.max_minutes is not None and self.max_steps <= 0 and self.num_train_epochs is None
        if self.is_endless:
            self.max_steps = ENDLESS
        self.learning_rate = 1e-4 if self.learning_rate is None else self.learning_rate
        self.lr_scheduler_type = self.lr_scheduler_type or "constant_with_warmup"
        self.num_train_epochs = 3.0 if self.num_train_epochs is None else self.num_train_epochs
        self.max_grad_norm = 0.0 if self.max_grad_norm is None else self.max_grad_norm
        self.warmup_steps = 0
        # `Trainer` would want checkpoints at the steps of validations; see `outcome.py`.
        self.load_best_model_at_end = False
        super().__post_init__()


def check_bfloat16(is_wanted: bool, use_cpu: bool):
    """ValueError if a GPU would have to imitate bfloat16, which takes longer than float32."""
    if is_wanted and not use_cpu and torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False):
        raise ValueError(
            f"--bf16: {torch.cuda.get_device_name()} has no bfloat16. Pass --fp16 in its place, or none of both."
        )


def features_on_device(arguments: RunArguments) -> bool:
    """Whether spectrograms are made on the device that trains, and not by the workers."""
    if arguments.feature_device == "cuda" and arguments.device.type != "cuda":
        raise ValueError(
            f"--feature_device cuda: this run trains on {arguments.device.type}, no GPU of NVIDIA or AMD is in use. "
            "Leave it out."
        )
    return arguments.feature_device != "cpu" and arguments.device.type != "cpu"


def connect_processors(seconds: int):
    """Begin the group of processes that a launcher started; accelerate would, but without the timeout."""
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1 and "RANK" in os.environ
    if several and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=seconds))


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the examples as they are, and mentions no default where there is none."""

    def _get_help_string(self, action):
        return action.help if action.default is None else super()._get_help_string(action)


def parse_into(dataclasses: tuple[type, ...], argv: list[str], shown: list[str], **texts):
    """
    Read a command line into instances of `dataclasses`; what is misspelt is an error of the command line.

    Args:
        dataclasses (`tuple[type, ...]`): What the options belong to.
        argv (`list[str]`): The command line.
        shown (`list[str]`): Names of the options that `--help` shows; `--help-all` shows the others, too.
        texts: `prog`, `usage` and `description` of the parser.

    Returns:
        The parser, for further errors, and an instance of each dataclass.
    """
    parser = HfArgumentParser(dataclasses, formatter_class=HelpFormatter, allow_abbrev=False, **texts)
    parser.add_argument("--help-all", action="help", help="show all options, transformers' included")
    if "--help-all" not in argv:
        for action in parser._actions:
            if action.dest not in ("help", "help_all", *shown) or action.option_strings[0].startswith("--no_"):
                action.help = argparse.SUPPRESS
    *instances, unknown = parser.parse_args_into_dataclasses(argv, return_remaining_strings=True)
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        similar = option_meant(unknown[0], known)
        parser.error(f"unrecognized: {' '.join(unknown)}" + (f" (did you mean {similar}?)" if similar else ""))
    return parser, *instances


def option_meant(text: str, known: list[str]) -> str | None:
    """The option that somebody meant who wrote `text`, with or without a value; `None` if nobody can know."""
    name = text.partition("=")[0].lstrip("-").replace("-", "_")
    if name in OTHER_NAMES:
        return f"--{OTHER_NAMES[name]}"
    return next(iter(difflib.get_close_matches(f"--{name}", known, n=1)), None)
