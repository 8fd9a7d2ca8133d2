"""
Self-supervised pretraining, from a checkpoint or from scratch, on one processor or many.

    ssast-hf pretrain --model_name_or_path ssast-base-patch-400 --train_data audio/ --output_dir out --max_steps 5000
    ssast-hf pretrain --model_size tiny --patch 16x16 --train_data clips.csv --output_dir out --num_train_epochs 10
    accelerate launch --config_file examples/accelerate/ddp_1x8.yaml -m ssast_hf pretrain ...
    torchrun --nproc_per_node 2 -m ssast_hf pretrain ...

The same command again goes on where it stopped. All options of transformers' `TrainingArguments` are accepted.
"""

import argparse
import difflib
import math
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch.utils.data import ConcatDataset, Subset
from transformers import (
    AutoConfig,
    AutoModelForPreTraining,
    HfArgumentParser,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging

from ..audio.bad_files import BadFiles
from ..audio.batches import AudioDataset, AudioStream, Collator, Cropper
from ..audio.decoding import audio_packages
from ..audio.recordings import load_recordings
from ..configuration_ssast import CHOICES, RELEASED_MASK, SSASTConfig, same_share
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTForPretraining
from ..storage.reading import read_weights
from ..storage.writing import is_model_file
from .report import Pictures, write_report
from .trainer import REMOVED, SAVING, SSASTTrainer


# What cannot change within a run.
SHAPING = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size patch_size max_length num_mel_bins "
    "decoder_num_hidden_layers decoder_width objective"
).split()
# Width, layers and attention heads; the released sizes, and one for trying things out.
SIZES = {"nano": (128, 6, 2), "tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}


def option(help: str, default=None, **metadata):
    return field(default=default, metadata={"help": help} | metadata)


@dataclass
class ModelArguments:
    """What is trained."""

    _argument_group_name = "model"

    model_name_or_path: str | None = option("folder of a model, or its name on the Hub, to continue from")
    config_name: str | None = option("folder or file of a configuration, to train it from random weights")
    model_size: str | None = option("size of a model to train from random weights", choices=list(SIZES))
    patch: str | None = option("its patches, mel bins x frames (default: 16x16)", choices=["16x16", "128x2"])
    max_length: int | None = option("frames of 10 ms per clip (default: the model's; 1024 from scratch)")
    num_masked_patches: int | None = option("patches to mask per clip (default: the model's; 400 of 512 from scratch)")
    objective: str | None = option("what is trained (default: the model's)", choices=list(CHOICES["objective"]))
    mask_strategy: str | None = option(
        "how masks are drawn (default: the model's)", choices=list(CHOICES["mask_strategy"])
    )
    decoder_num_hidden_layers: int | None = option(
        "with 2, encode visible patches only and decode all, which is faster (default: the model's, usually 0)"
    )
    decoder_hidden_size: int | None = option("width of these layers (default: the model's, usually half of its own)")
    mean: float | None = option("mean of the log-mel features, as `ssast-hf stats` computes it (default: the model's)")
    std: float | None = option("their standard deviation (default: the model's)")
    attn_implementation: str | None = option("sdpa, eager, flash_attention_2, ... (default: sdpa)")


@dataclass
class DataArguments:
    """What it is trained on."""

    _argument_group_name = "data"

    train_data: list[str] = option(
        "one or more of: a folder of audio, parquet or tar files; a manifest (.json, .csv, .tsv, .jsonl); a .parquet "
        "or .tar file or pattern; a data set on the Hub"
    )
    validation_data: list[str] | None = option("the same for validation (default: a part of the training data)")
    validation_fraction: float = option("that part, unless the training data are streamed", 0.05)
    dataset_config_name: str | None = option("configuration of a data set on the Hub")
    dataset_split: str = option("its split", "train")
    audio_column: str | None = option("column of audio or paths (default: found by its usual names)")
    streaming: bool = option(
        "read parquet, tar or Hub data from beginning to end, without a copy; needs --max_steps", False
    )
    shuffle_buffer: int = option("recordings to shuffle among when streaming", 1000)
    max_bad_fraction: float = option("stop when more of the recordings than this cannot be used", 0.01)
    on_bad_file: str = option("what to do about one that cannot be used", "skip", choices=["skip", "raise"])


@dataclass
class PretrainingArguments(TrainingArguments):
    """How. The defaults of the optimizer and its schedule are the original's."""

    _argument_group_name = "training (the last ones are this package's or have other defaults than transformers')"

    optim: str = option("optimizer; adam is the original's, the others are transformers'", "adam")
    learning_rate: float | None = option("peak learning rate (default: 1e-4; 5e-4 for tiny and nano models)")
    adam_beta1: float = option("beta1 of Adam", 0.95)
    adam_beta2: float = option("beta2 of Adam", 0.999)
    weight_decay: float = option("weight decay", 5e-7)
    max_grad_norm: float = option("clip gradients at this norm; 0 for not at all", 0.0)
    lr_scheduler_type: str = option(
        "schedule; reduce_lr_on_plateau halves the rate when validation accuracy stops rising, as the original does",
        "constant_with_warmup",
    )
    warmup_steps: int = option("steps of linear warm-up", 1000)
    eval_strategy: str = option("when to validate", "steps")
    eval_steps: float = option("steps between validations", 500)
    save_steps: float = option("steps between checkpoints", 500)
    save_total_limit: int | None = option("checkpoints to keep", 2)
    logging_steps: float = option("steps between log entries", 50)
    logging_first_step: bool = option("log the first step, too", True)
    logging_nan_inf_filter: bool = option("hide non-finite losses (waits for the device at every step)", False)
    metric_for_best_model: str | None = option("what the best checkpoint is the best of (default: accuracy)")
    report_to: str = option("where to log to besides the console and trainer_state.json", "tensorboard")
    dataloader_num_workers: int = option("processes that read and decode audio, per device", 2)
    disable_tqdm: bool | None = option("hide the progress bar", False)
    visualize_steps: int = option("steps between pictures of validation clips", 500)

    def __post_init__(self):
        # Batches hold what the model takes; `Trainer` need not look for columns.
        self.remove_unused_columns = False
        # Masked patches always reach every trained parameter.
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False
        has_accelerator = any(getattr(torch, kind).is_available() for kind in ("cuda", "mps", "xpu"))
        # Batches are copied while the device computes.
        self.dataloader_pin_memory = self.dataloader_pin_memory and has_accelerator
        if self.accelerator_config is None:
            self.accelerator_config = {"non_blocking": True}
        # `TrainingArguments` takes a processor that has bfloat16 for one that has not, unless told so.
        if self.bf16 and not has_accelerator:
            self.use_cpu = True
        self.use_adam = self.optim == "adam"
        if self.use_adam:
            self.optim = "adamw_torch"  # the name that `TrainingArguments` knows; see `main`
        self.default_learning_rate = self.learning_rate is None
        if self.default_learning_rate:
            self.learning_rate = 1e-4
        super().__post_init__()


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the examples as they are, and mentions no default where there is none."""

    def _get_help_string(self, action):
        return action.help if action.default is None else super()._get_help_string(action)


def main(argv: list[str] | None = None) -> list[str]:
    """Pretrain as the command line says; returns a short report."""
    argv = sys.argv[1:] if argv is None else argv
    parser = HfArgumentParser(
        (ModelArguments, DataArguments, PretrainingArguments),
        prog="ssast-hf pretrain",
        usage="%(prog)s (--model_name_or_path NAME | --model_size SIZE) --train_data DATA --output_dir OUT [...]",
        description=__doc__,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    model_arguments, data_arguments, arguments, unknown = parser.parse_args_into_dataclasses(
        argv, return_remaining_strings=True
    )
    check_arguments(parser, model_arguments, data_arguments, arguments, unknown)
    audio_packages()  # before the work begins, and not first in a worker
    logging.set_verbosity_warning()  # what a run begins with should be known
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several devices need several processes, see `accelerate launch`
    checkpoint = find_checkpoint(arguments, model_arguments)
    if len(set(gather_object([checkpoint]))) > 1:
        raise ValueError(
            f"--output_dir {arguments.output_dir} does not hold the same checkpoints for all processes; take a folder "
            "that all machines share."
        )
    bad_file_list = Path(arguments.output_dir) / "skipped_files.txt"
    if checkpoint is None and PartialState().is_local_main_process:
        bad_file_list.unlink(missing_ok=True)

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
        total=None if data_arguments.streaming else len(train) + (0 if validation is None else len(validation)),
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
    )
    if validation is not None:
        if (model.config.frequency_stride, model.config.time_stride) == model.config.patch_shape:
            trainer.add_callback(Pictures(trainer))
        else:
            say("No pictures: patches that overlap do not make up one.")
    if is_finished(checkpoint, arguments, model.config):
        model.load_state_dict(read_weights(checkpoint))
        trainer.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
        say("No step is left to make.")
    else:
        trainer.train(resume_from_checkpoint=checkpoint)
    if validation is not None and not trainer.is_evaluated():
        trainer.evaluate()
    trainer.save_result()
    trainer.save_state()
    if not trainer.is_world_process_zero():
        return []
    return write_report(trainer, " ".join(["ssast-hf pretrain", *argv]), data_arguments.train_data, bad_files)


def say(text: str):
    """Tell once, not once per process."""
    if PartialState().is_main_process:
        print(text, file=sys.stderr)


def check_arguments(parser, model, data, arguments, unknown: list[str]):
    """What is misspelt or contradictory, as an error of the command line."""
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        similar = difflib.get_close_matches(unknown[0], known, n=1)
        parser.error(f"unrecognized: {' '.join(unknown)}" + (f" (did you mean {similar[0]}?)" if similar else ""))
    sources = [model.model_name_or_path, model.config_name, model.model_size]
    if sum(source is not None for source in sources) != 1:
        parser.error("name exactly one of --model_name_or_path, --config_name and --model_size")
    if model.patch is not None and model.model_size is None:
        parser.error("--patch goes with --model_size; every other model has patches of its own")
    if not data.train_data:
        parser.error("--train_data is required")
    if data.streaming and arguments.max_steps <= 0:
        parser.error("--streaming needs --max_steps: how long a stream is, is not known")
    if not 0 <= data.max_bad_fraction <= 1 or not 0 <= data.validation_fraction < 1:
        parser.error("--max_bad_fraction and --validation_fraction are shares between 0 and 1")
    if arguments.label_smoothing_factor or (arguments.load_best_model_at_end and arguments.save_strategy == "no"):
        parser.error("--label_smoothing_factor and --load_best_model_at_end without checkpoints make no sense here")


def find_checkpoint(arguments: PretrainingArguments, model: ModelArguments) -> str | None:
    """The checkpoint to go on from, if there is one; what a killed process left half-done is removed."""
    folder = Path(arguments.output_dir)
    source = model.model_name_or_path
    if source is not None and Path(source).exists() and folder.resolve() == Path(source).resolve():
        raise ValueError(f"--output_dir {folder} is the model to continue from; choose another folder.")
    if arguments.should_save:
        for leftover in (SAVING, REMOVED):
            shutil.rmtree(folder / leftover, ignore_errors=True)
    latest = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    wanted = arguments.resume_from_checkpoint
    if str(wanted).lower() == "false":
        if latest is not None:
            raise ValueError(f"{folder} holds {latest} of an earlier run; delete it, or choose another --output_dir.")
        checkpoint = None
    elif wanted is None or str(wanted).lower() == "true":
        checkpoint = latest
    else:
        checkpoint = wanted
        if not (Path(checkpoint) / "trainer_state.json").exists():
            raise ValueError(f"{checkpoint} is no checkpoint of a run: it has no trainer_state.json.")
        if latest is not None and step_of(latest) > step_of(checkpoint):
            raise ValueError(
                f"{latest} is further than {checkpoint}. Go on from there (--resume_from_checkpoint True), delete it, "
                "or choose another --output_dir."
            )
    if latest is None and folder.is_dir() and any(is_model_file(path.name) for path in folder.iterdir()):
        raise ValueError(f"{folder} holds a model, but no checkpoint to go on from; choose another --output_dir.")
    if checkpoint is not None:
        say(f"Going on from {checkpoint}.")
    return checkpoint


def step_of(checkpoint) -> int:
    """How many steps a checkpoint has behind it."""
    return TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json")).global_step


def is_finished(checkpoint, arguments: PretrainingArguments, config: SSASTConfig) -> bool:
    """Whether a checkpoint is the last one; ValueError if it is of another model, a note if of another recipe."""
    if checkpoint is None:
        return False
    before = SSASTConfig.from_pretrained(checkpoint)
    changed = [name for name in SHAPING if getattr(before, name) != getattr(config, name)]
    if changed:
        values = ", ".join(f"{name} {getattr(before, name)}, now {getattr(config, name)}" for name in changed)
        raise ValueError(f"{checkpoint} is of a run of another model ({values}); choose another --output_dir.")
    optimizer = torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True)
    rate = optimizer.get("base_lrs", [arguments.learning_rate])[0]
    if rate != arguments.learning_rate:
        say(f"The learning rate of this run, {rate:g}, is kept; another one takes another --output_dir.")
    state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    if arguments.max_steps > 0:
        return state.global_step >= arguments.max_steps
    return state.epoch >= arguments.num_train_epochs


def make_model(arguments: ModelArguments) -> tuple[SSASTForPretraining, SSASTFeatureExtractor]:
    """The model to train and its feature extractor."""
    fields = {
        name: value
        for name in ("objective", "mask_strategy", "decoder_num_hidden_layers", "decoder_hidden_size")
        if (value := getattr(arguments, name)) is not None
    }
    attention = {} if arguments.attn_implementation is None else {"attn_implementation": arguments.attn_implementation}
    name = arguments.model_name_or_path
    if name is None:
        model = AutoModelForPreTraining.from_config(make_config(arguments, fields), **attention)
    else:
        model = load_model(name, fields | attention)
        if arguments.max_length is not None:
            model.set_input_geometry(max_length=arguments.max_length)
        if arguments.num_masked_patches is not None:
            model.config.num_masked_patches = arguments.num_masked_patches
            model.config.check_ranges()
    extractor_fields = {
        "max_length": model.config.max_length,
        "num_mel_bins": model.config.num_mel_bins,
        "return_attention_mask": True,
    } | {key: value for key in ("mean", "std") if (value := getattr(arguments, key)) is not None}
    if name is None:
        return model, SSASTFeatureExtractor(**extractor_fields)
    return model, SSASTFeatureExtractor.from_pretrained(name, **extractor_fields)


def make_config(arguments: ModelArguments, fields: dict) -> SSASTConfig:
    """The configuration of a model with random weights, with the given fields."""
    if arguments.config_name is not None:
        config = SSASTConfig.from_pretrained(arguments.config_name).to_dict()
    else:
        width, layers, heads = SIZES[arguments.model_size]
        config = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        patch_size = [int(side) for side in (arguments.patch or "16x16").split("x")]
        config |= {"intermediate_size": 4 * width, "patch_size": patch_size}
    config |= fields
    if arguments.max_length is not None:
        config["max_length"] = arguments.max_length
    if arguments.num_masked_patches is not None:
        config["num_masked_patches"] = arguments.num_masked_patches
    elif arguments.config_name is None or arguments.max_length is not None:
        grid = SSASTConfig(**config | {"num_masked_patches": 1})
        config["num_masked_patches"] = same_share(*RELEASED_MASK, grid.num_patches)
    return SSASTConfig(**config)


def load_model(name: str, fields: dict) -> SSASTForPretraining:
    """A model to continue from; says which of its weights are new."""
    if Path(name).is_dir() and not (Path(name) / "config.json").exists():
        raise ValueError(f"{name} is no model's folder: it has no config.json.")
    try:
        config = AutoConfig.from_pretrained(name)
    except OSError as error:
        raise OSError(f"{name} is no folder here, and could not be read from the Hub: {error}") from error
    if config.model_type != SSASTConfig.model_type:
        raise ValueError(
            f"{name} is a model of type {config.model_type!r}. Of a stock AST: ssast-hf import-ast {name} FOLDER."
        )
    width = fields.get("decoder_hidden_size")
    if width is not None and config.decoder_width not in (0, width):
        raise ValueError(f"--decoder_hidden_size {width}: the decoder of {name} has the width {config.decoder_width}.")
    model, info = SSASTForPretraining.from_pretrained(name, dtype=torch.float32, output_loading_info=True, **fields)
    if info["missing_keys"]:
        say(f"Not in {name}, so begun anew: {', '.join(sorted(info['missing_keys']))}")
    return model


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


def make_datasets(data: DataArguments, arguments: PretrainingArguments, config: SSASTConfig, feature_extractor):
    """Recordings to train on and to validate on; the latter may be `None`."""
    cropper = Cropper(feature_extractor, config.patch_shape[1], arguments.seed)
    options = (data.dataset_split, data.dataset_config_name, data.audio_column)
    validation = None
    if data.validation_data:
        validation = concatenate([load_recordings(source, *options) for source in data.validation_data])
    train = concatenate([load_recordings(source, *options, data.streaming) for source in data.train_data])
    if data.streaming:
        train = AudioStream(train, cropper, data.shuffle_buffer, arguments.process_index, max(arguments.world_size, 1))
    else:
        if validation is None and (count := math.ceil(data.validation_fraction * len(train))):
            if count == len(train):
                raise ValueError(
                    f"{len(train)} recording is too little to train and validate on; set --validation_fraction 0."
                )
            order = np.random.default_rng(arguments.seed).permutation(len(train))
            validation, train = Subset(train, sorted(order[:count])), Subset(train, sorted(order[count:]))
        train = AudioDataset(train, cropper)
    return train, None if validation is None else AudioDataset(validation, cropper)


def concatenate(parts: list):
    """Several sources as one."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], datasets.IterableDataset):
        return datasets.concatenate_datasets(parts)
    return ConcatDataset(parts)
