"""Folders of saved models, converted and staged, against what safetensors and JSON say themselves."""

import json
import shutil
from pathlib import Path

from ssast_hf.conversion import convert_ast_to_hf, convert_hf_to_ast, convert_hf_to_original
from ssast_hf.hub.staging import stage_repository

from . import readings
from .folder_damage import CONFIG_KEYS, EXTRACTOR_KEYS, damage_folder
from .seeds import FOLDERS
from .verdicts import SECRET_TEXT, Trial, names_in


# What the message may name instead of a file: fields and tensors.
NAMES = {
    *CONFIG_KEYS, *EXTRACTOR_KEYS, "hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size",
    "layer_norm_eps", "initializer_range", "classifier_layer_norm_eps", "generative_loss_weight", "frequency_stride",
    "time_stride", "qkv_bias", "hidden_dropout_prob", "attention_probs_dropout_prob", "intermediate_size",
    "pooling_mode", "objective", "contrastive_axis", "exclude_duplicate_negatives", "audio_spectrogram_transformer.",
    "classifier.", "discrimination_head.", "reconstruction_head.", "decoder.", "encoder.", "embeddings.",
    "layernorm.", "Hidden states", "unknown: ", "model.safetensors", "preprocessor_config.json", "README.md",
}  # fmt: skip
# Fields that mean the same before and after, whatever is written.
KEPT_FIELDS = "hidden_size num_hidden_layers num_attention_heads intermediate_size layer_norm_eps hidden_act".split()


def model_folder(random, folder: Path, seeds: Path) -> Trial:
    """A folder of this package, converted to the original's layout or to stock AST, or staged for publishing."""
    action = random.choice((to_original, to_stock, stage, stage))
    kinds = ("pretraining", "classifier", "shards") if action is to_original else FOLDERS
    kind = random.choice(kinds)
    source = folder / "input" / kind
    shutil.copytree(seeds / kind, source)
    description = damage_folder(random, source, folder)
    names = NAMES | names_in(folder / "input")
    run, check = action(source, folder)
    return Trial(f"{action.__name__} {kind}: {description}", run, check, names, is_intact=description == "intact")


def stock_folder(random, folder: Path, seeds: Path) -> Trial:
    """A folder of stock AST, made into an SSAST model."""
    source, result = folder / "input" / "stock", folder / "out" / "result"
    shutil.copytree(seeds / "stock", source)
    description = damage_folder(random, source, folder)

    def run():
        convert_ast_to_hf(source, result)

    def check(_):
        return encoder_difference(readings.folder(source), readings.folder(result)) or field_difference(source, result)

    return Trial(f"stock: {description}", run, check, NAMES | names_in(folder / "input"), description == "intact")


# What is done with a folder


def to_original(source: Path, folder: Path):
    result = folder / "out" / "result"

    def run():
        convert_hf_to_original(source, result)

    def check(_):
        weights = readings.folder(source)
        if (source / "original_extras.safetensors").exists():
            weights |= readings.safetensors(source / "original_extras.safetensors")
        mask_token = "audio_spectrogram_transformer.embeddings.mask_token"
        written = {key: value for key, value in readings.pth(result).items() if "p_input" not in key}
        if "module.mask_embed" not in written:
            weights.pop(mask_token, None)  # a classifier has no place for it
        weights = {key: value for key, value in weights.items() if not key.startswith("decoder.")}
        return readings.compare(readings.unnamed(written), readings.unnamed(weights))

    return run, check


def to_stock(source: Path, folder: Path):
    result = folder / "out" / "result"

    def run():
        convert_hf_to_ast(source, result)

    def check(_):
        return encoder_difference(readings.folder(result), readings.folder(source)) or field_difference(source, result)

    return run, check


def stage(source: Path, folder: Path):
    result = folder / "out" / "result"

    def run():
        stage_repository(source, result, "somebody/model", license="cc-by-4.0")

    def check(_):
        for path in result.rglob("*"):
            if path.is_symlink():
                return f"{path.name} is published as a link"
            if path.is_file() and SECRET_TEXT in path.read_bytes():
                return f"{path.name} holds what lies outside of the folder"
        if readings.folder(result) != readings.folder(source):
            return "the weights differ"
        return field_difference(source, result)

    return run, check


def encoder_difference(stock: dict, own: dict) -> str | None:
    """Whether two folders have the same encoder, apart from the width of the kernel, and no tensor from elsewhere."""
    prefix = "audio_spectrogram_transformer."
    if not any(key.startswith(prefix) for key in own):
        own = {prefix + key: value for key, value in own.items()}
    if not any(key.startswith(prefix) for key in stock):
        stock = {prefix + key: value for key, value in stock.items()}
    for key, value in stock.items():
        if key.startswith(prefix) and "patch_embeddings.projection.weight" not in key and own.get(key) != value:
            return f"{key} differs"
    return None


def field_difference(source: Path, result: Path) -> str | None:
    before, after = (json.loads((each / "config.json").read_text("utf-8-sig")) for each in (source, result))
    for name in KEPT_FIELDS:
        if name in before and name in after and before[name] != after[name]:
            return f"{name} was {before[name]!r}, is {after[name]!r}"
    return None
