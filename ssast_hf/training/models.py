"""The model of a run, from the options that name it: loaded, or with random weights."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForPreTraining

from ..assets import named_model
from ..checkpoints.records import released_name
from ..configuration_ssast import CHOICES, SSASTConfig
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTForPretraining
from ..storage.guards import reading
from ..storage.sizes import check_model_folder, read_config_fields, read_extractor_fields, read_sizes
from .messages import say
from .option import option


# Width, layers and attention heads; the released sizes, and one for trying things out.
SIZES = {"nano": (160, 5, 5), "tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}
# With 7 visible patches, continuing made a model worse than with 24; between them nothing was measured.
FEWEST_VISIBLE = 10
# What to do about a damaged one.
REMEDY = "Copy or download the model again."


@dataclass
class ModelArguments:
    """What is trained."""

    _argument_group_name = "model"

    model_name_or_path: str | None = option(
        "model to continue from: a folder, its name on the Hub, or nano, which is bundled"
    )
    config_name: str | None = option("folder or file of a configuration, to train it from random weights")
    model_size: str | None = option("size of a model to train from random weights", choices=list(SIZES))
    patch: str | None = option("its patches, mel bins x frames (default: 16x16)", choices=["16x16", "128x2"])
    max_length: int | None = option("frames of 10 ms per clip (default: the model's; 1024 from scratch)")
    num_masked_patches: int | None = option(
        "patches to mask per clip (default: the model's share; 400 of 512 from scratch)"
    )
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


def make_model(arguments: ModelArguments) -> tuple[SSASTForPretraining, SSASTFeatureExtractor]:
    """The model to train and its feature extractor."""
    fields = {
        name: value
        for name in ("objective", "mask_strategy", "decoder_num_hidden_layers", "decoder_hidden_size")
        if (value := getattr(arguments, name)) is not None
    }
    attention = {} if arguments.attn_implementation is None else {"attn_implementation": arguments.attn_implementation}
    name = None if arguments.model_name_or_path is None else named_model(arguments.model_name_or_path)
    if name is None:
        config = make_config(arguments, fields)
        model = AutoModelForPreTraining.from_config(config, trust_remote_code=False, **attention)
    else:
        model = load_model(name, fields | attention)
        if arguments.max_length is not None:
            is_shorter = arguments.max_length < model.config.max_length
            model.set_input_geometry(max_length=arguments.max_length)
            if is_shorter:
                mask_fewer(model.config, arguments)
        if arguments.num_masked_patches is not None:
            model.config.num_masked_patches = arguments.num_masked_patches
            model.config.check_ranges()
    extractor_fields = {
        "max_length": model.config.max_length,
        "num_mel_bins": model.config.num_mel_bins,
        "return_attention_mask": True,  # it is trained with one
        "min_frames": model.config.patch_shape[1],
    } | {key: value for key in ("mean", "std") if (value := getattr(arguments, key)) is not None}
    if name is None:
        return model, SSASTFeatureExtractor(**extractor_fields)
    if Path(name).is_dir():
        read_extractor_fields(name)  # an error if it is not valid
    with reading(f"{name}/preprocessor_config.json", "that of an SSAST model", REMEDY):
        return model, SSASTFeatureExtractor.from_pretrained(name, **extractor_fields)


def mask_fewer(config: SSASTConfig, arguments: ModelArguments):
    """
    Mask a quarter of the patches where a model goes on with inputs so short that its share would leave few visible,
    unless the command says how many. Says so once, and sets it in both.
    """
    visible = config.num_patches - config.num_masked_patches
    if arguments.num_masked_patches is not None or visible >= FEWEST_VISIBLE:
        return
    arguments.num_masked_patches = config.num_masked_patches = max(config.num_patches // 4, 1)
    say(
        f"{config.num_masked_patches} of {config.num_patches} patches are masked: with --max_length "
        f"{arguments.max_length} the model's share would leave {visible} visible. To choose: --num_masked_patches."
    )


def make_config(arguments: ModelArguments, fields: dict) -> SSASTConfig:
    """The configuration of a model with random weights, with the given fields."""
    if arguments.model_size is None:
        config = read_config(str(arguments.config_name)).to_dict()
    else:
        width, layers, heads = SIZES[arguments.model_size]
        config = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        patch_size = [int(side) for side in (arguments.patch or "16x16").split("x")]
        config |= {"intermediate_size": 4 * width, "patch_size": patch_size}
    config |= fields
    if arguments.max_length is not None:
        config["max_length"] = arguments.max_length
        config["num_masked_patches"] = None  # that of a configuration is for clips of its own length
    if arguments.num_masked_patches is not None:
        config["num_masked_patches"] = arguments.num_masked_patches
    return SSASTConfig(**config)


def read_config(name: str) -> SSASTConfig:
    """
    The configuration of an SSAST model, in a folder, a file or on the Hub. No code is run, and nobody is asked whether
    to: the Auto classes would ask for a model of another type that brings some.
    """
    path = Path(name) if Path(name).is_file() else Path(name) / "config.json"
    if Path(name).is_dir():
        values = read_config_fields(name)
    elif path.is_file():
        values = read_sizes(path, "a valid configuration")
    else:
        try:
            values, _ = SSASTConfig.get_config_dict(name)
        except OSError as error:
            raise OSError(f"{name} is no folder here, and could not be read from the Hub: {error}") from error
    if (kind := values.get("model_type")) != SSASTConfig.model_type:
        raise ValueError(f"{name} is a model of type {kind!r}. Of a stock AST: ssast-hf import-ast {name} FOLDER.")
    with reading(path, "the configuration of an SSAST model", REMEDY):
        return SSASTConfig.from_dict(values)


def load_model(name: str, fields: dict) -> SSASTForPretraining:
    """A model to continue from; says which of its weights are new."""
    if Path(name).is_dir() and not (Path(name) / "config.json").exists():
        raise ValueError(f"{name} is no model's folder: it has no config.json.")
    if Path(name).is_file():
        raise ValueError(
            f"{name} is a file, expected a folder. A checkpoint of the original is converted first: ssast-hf convert "
            f"{name} FOLDER."
        )
    if not Path(name).exists() and "/" not in name:
        raise ValueError(
            f"{name} is neither a folder nor a repository (owner/name). A released checkpoint is converted first: "
            f"ssast-hf convert {released_name(name) or name} FOLDER. For random weights: --model_size."
        )
    config = read_config(name)
    if Path(name).is_dir():
        check_model_folder(name)
    width = fields.get("decoder_hidden_size")
    if width is not None and config.decoder_width not in (0, width):
        raise ValueError(f"--decoder_hidden_size {width}: the decoder of {name} has the width {config.decoder_width}.")
    with reading(name, "a model that this command can go on from", REMEDY):
        model, info = SSASTForPretraining.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True, trust_remote_code=False, **fields
        )
    if info["missing_keys"]:
        say(f"Not in {name}, so begun anew: {', '.join(sorted(info['missing_keys']))}")
    return model
