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
from ...heads_ssast import SSASTHeadModel, check_ctc_token
from ...modeling_ssast import SSASTModel
from ...storage.guards import reading
from ...storage.sizes import check_model_folder, read_extractor_fields
from ..messages import say
from ..models import REMEDY, read_config
from .options import MARGIN, TaskArguments
from .tasks import Task


# Up to which width, and the learning rate that is taken by default. Of wider models it is the original's.
LEARNING_RATES = {128: 1e-3, 192: 5e-4}
WIDE_LEARNING_RATE = 1e-4
# A mask is drawn in pretraining alone, and the number that is stored may not fit to other lengths.
WITHOUT_MASK = {"num_masked_patches": None}
GEOMETRY = ("max_length", "frequency_stride", "time_stride")
OF_HEADS = ("pooling_mode", "use_weighted_layer_sum", "classifier_proj_size")
# How tensors begin that belong to the classes; the rest of a head is for any.
OF_CLASSES = {
    "SSASTForAudioClassification": "classifier.dense.",
    "SSASTForAudioFrameClassification": "classifier.",
    "SSASTForXVector": "objective.",
    "SSASTForCTC": "ctc_head.",
}


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


def with_geometry_and_margin(config: SSASTConfig, arguments: TaskArguments) -> SSASTConfig:
    """The configuration with what is asked for of length, strides and margin; ValueError if it is impossible."""
    return SSASTConfig(**config.to_dict() | WITHOUT_MASK | given(arguments, GEOMETRY + MARGIN))


def given(arguments: TaskArguments, names: tuple[str, ...]) -> dict:
    """Those of these options that were not left open."""
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


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
    fields = task.fields() | given(arguments, MARGIN + OF_HEADS)
    if leaves_as_stock(task, fields.get("pooling_mode", config.pooling_mode)):
        fields["classifier_layer_norm_eps"] = config.layer_norm_eps  # stock AST has one for both
    attention = {} if arguments.attn_implementation is None else {"attn_implementation": arguments.attn_implementation}
    geometry = given(arguments, GEOMETRY)
    head = getattr(heads_ssast, task.head)
    if arguments.init_from_scratch:
        shaped = with_geometry_and_margin(config, arguments)
        model = head._from_config(SSASTConfig(**shaped.to_dict() | fields), **attention)
    elif task.head == "SSASTForCTC" and not has_ctc_tokens(config):
        # The model with this head could not be made before its tokens are shorter, so there is none to keep.
        encoder, _ = load(name, SSASTModel, fields | attention)
        encoder.set_input_geometry(**geometry)
        model = head._from_config(encoder.config)
        model.base_model.load_state_dict(encoder.state_dict())
    else:
        model, is_told = load(name, head, fields | attention, is_again)
        if has_head(config, task.head) and not task.is_of_head(config):
            renew_classes(model)
            if not is_told:
                of = f", such as {config.id2label[0]!r}" if task.names else ""
                say(f"{name} has a head for other labels{of}, so this is new: {OF_CLASSES[task.head]}*.")
        if geometry:
            model.set_input_geometry(**geometry)
    if task.head == "SSASTForXVector":
        model.objective.steps.zero_()  # the margin grows in every run; one that goes on loads how far it is
    if arguments.freeze_encoder:
        model.freeze_base_model()
    return model.float()


def has_ctc_tokens(config: SSASTConfig) -> bool:
    """Whether the time steps of a model are short enough for characters."""
    try:
        check_ctc_token(config, config.time_stride)
    except ValueError:
        return False
    return True


def has_head(config: SSASTConfig, head: str) -> bool:
    """Whether a model was saved with a head of this kind."""
    return head in (config.architectures or [])


def renew_classes(model: SSASTHeadModel):
    """Give random weights to what a head has for each class."""
    new = type(model)._from_config(model.config).state_dict()
    begin = OF_CLASSES[type(model).__name__]
    model.load_state_dict({name: tensor for name, tensor in new.items() if name.startswith(begin)}, strict=False)


def leaves_as_stock(task: Task, pooling_mode: str | None) -> bool:
    """Whether a classifier pools as stock AST does, so that it is trained as that is used: without a mask."""
    return task.head == "SSASTForAudioClassification" and pooling_mode == "cls"


def load(name: str, head: Any, fields: dict, is_again: bool = False) -> tuple[Any, bool]:
    """A model with the encoder that is there, and whether it is told that its head is of another size, or was."""
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
    if new and head is not SSASTModel and not is_again:
        keys = ", ".join(key for key in new if not key.startswith(prefix))
        if changed:
            say(f"{name} has a head of another size, for other labels or another num_labels, so this is new: {keys}.")
        else:
            say(f"{name} has no such head, so it is new: {keys}.")
    return model, bool(changed) or is_again


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
