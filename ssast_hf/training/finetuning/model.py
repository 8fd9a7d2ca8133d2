"""The model of a fine-tuning run, from the options that name it: its encoder loaded, or with random weights."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from ... import heads_ssast
from ...checkpoints.records import released_name
from ...configuration_ssast import SSASTConfig
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ...heads_ssast import SSASTHeadModel
from ...modeling_ssast import SSASTModel
from ...storage.guards import reading
from ...storage.sizes import check_model_folder, read_extractor_fields
from ..messages import say
from ..models import REMEDY, read_config
from .options import TaskArguments
from .tasks import Task


# Up to which width, and the learning rate that is taken by default. Of wider models it is the original's.
LEARNING_RATES = {128: 1e-3, 192: 5e-4}
WIDE_LEARNING_RATE = 1e-4
# A mask is drawn in pretraining alone, and the number that is stored may not fit to other lengths.
WITHOUT_MASK = {"num_masked_patches": None}


def read_start(name: str) -> SSASTConfig:
    """The configuration of the model to begin from; ValueError or OSError if it is none."""
    if Path(name).is_file():
        raise ValueError(f"{name} is a file, expected a folder. Convert it first: ssast-hf convert {name} FOLDER.")
    if not Path(name).exists() and "/" not in name:
        raise ValueError(
            f"{name} is neither a folder nor a repository (owner/name). A released checkpoint is converted first: "
            f"ssast-hf convert {released_name(name) or name} FOLDER."
        )
    return read_config(name)


def read_extractor(name: str, **fields) -> SSASTFeatureExtractor:
    """The feature extractor of a model, with other fields."""
    if Path(name).is_dir():
        read_extractor_fields(name)  # an error if it is not valid
    with reading(f"{name}/preprocessor_config.json", "that of an SSAST model", REMEDY):
        return SSASTFeatureExtractor.from_pretrained(name, **fields)


def make_model(
    name: str, config: SSASTConfig, arguments: TaskArguments, task: Task, is_again: bool = False
) -> SSASTHeadModel:
    """
    The model to train, with the head of a task.

    Args:
        name (`str`): A folder or its name on the Hub.
        config ([`SSASTConfig`]): What is written there.
        arguments ([`TaskArguments`]): How it is to be changed.
        task ([`Task`]): What for.
        is_again (`bool`, defaults to `False`): Whether what is new was told before.
    """
    fields = task.fields() | {
        "pooling_mode": arguments.pooling_mode or config.pooling_mode,
        "use_weighted_layer_sum": arguments.use_weighted_layer_sum or config.use_weighted_layer_sum,
        "classifier_proj_size": arguments.classifier_proj_size or config.classifier_proj_size,
    }
    if leaves_as_stock(fields["pooling_mode"]):
        fields["classifier_layer_norm_eps"] = config.layer_norm_eps  # stock AST has one for both
    attention = {} if arguments.attn_implementation is None else {"attn_implementation": arguments.attn_implementation}
    geometry = {name: getattr(arguments, name) for name in ("max_length", "frequency_stride", "time_stride")}
    head = getattr(heads_ssast, task.head)
    if arguments.init_from_scratch:
        given = {name: value for name, value in geometry.items() if value is not None}
        model = head._from_config(SSASTConfig(**config.to_dict() | fields | WITHOUT_MASK | given), **attention)
    elif task.head == "SSASTForCTC" and any(value is not None for value in geometry.values()):
        # Its tokens may be too long before.
        encoder = load(name, SSASTModel, fields | attention)
        encoder.set_input_geometry(**geometry)
        model = with_new_head(encoder, head)
    else:
        model = load(name, head, fields | attention, is_again)
        if not is_for_the_same(config, model, task):
            say(f"{name} has a head for other labels, such as {config.id2label[0]!r}: the head is new.")
            model = with_new_head(model.base_model, head)
        if any(value is not None for value in geometry.values()):
            model.set_input_geometry(**geometry)
    if arguments.freeze_encoder:
        model.freeze_base_model()
    return model.float()


def with_new_head(encoder: SSASTModel, head: type[SSASTHeadModel]) -> SSASTHeadModel:
    """A model with the weights of an encoder, and a head with random ones."""
    model = head._from_config(encoder.config)
    model.base_model.load_state_dict(encoder.state_dict())
    return model


def is_for_the_same(config: SSASTConfig, model: SSASTHeadModel, task: Task) -> bool:
    """Whether a head that was loaded is for the classes of a task, in their order; or there was none."""
    if type(model).__name__ not in (config.architectures or []) or not task.names:
        return True
    return list(config.id2label.values()) == task.names or config.num_labels != len(task.names)  # which is told


def leaves_as_stock(pooling_mode: str | None) -> bool:
    """Whether a classifier pools as stock AST does, so that it is trained as that is used: without a mask."""
    return pooling_mode == "cls"


def load(name: str, head: Any, fields: dict, is_again: bool = False):
    """A model with the encoder that is there; says what is new."""
    if Path(name).is_dir():
        check_model_folder(name)
    with told_here(), reading(name, "a model that this command can begin from", REMEDY):
        model, info = head.from_pretrained(
            name,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **fields,
        )
    changed = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    new = sorted({*info["missing_keys"], *changed})
    prefix = f"{model.base_model_prefix}."
    of_encoder = [key for key in new if key.startswith(prefix) or head is SSASTModel]
    if lacking := [key for key in of_encoder if not key.endswith("mask_token")]:
        raise ValueError(f"{name} has not the weights of its encoder, such as {lacking[0]}. {REMEDY}")
    if changed:
        say(f"{name} has a head of another size, for other labels or another num_labels: the head is new.")
    elif new and head is not SSASTModel and not is_again:
        say(f"{name} has no such head, so it is new: {', '.join(key for key in new if not key.startswith(prefix))}.")
    return model


@contextmanager
def told_here():
    """Without transformers' tables of what is new: it is told below, in a line."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def head_parts(model: SSASTHeadModel) -> list[str]:
    """Names of the modules that are not the encoder, and have weights."""
    parts = ((name, part) for name, part in model.named_children() if name != model.base_model_prefix)
    return [name for name, part in parts if any(True for _ in part.parameters())]


def default_learning_rate(config: SSASTConfig) -> float:
    """The peak of the learning rate of a model of this width."""
    return next((rate for width, rate in LEARNING_RATES.items() if config.hidden_size <= width), WIDE_LEARNING_RATE)
