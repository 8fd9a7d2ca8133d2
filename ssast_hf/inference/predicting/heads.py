"""Saved models with a head, of this package or stock AST: what they make of windows of audio."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import ASTForAudioClassification, AutoConfig, AutoFeatureExtractor
from transformers.models.audio_spectrogram_transformer import ASTConfig

from ...configuration_ssast import SSASTConfig
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ...heads_ssast import (
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForXVector,
    SSASTHeadModel,
)
from ...storage.guards import reading
from ...storage.sizes import check_model_folder, read_config_fields, read_extractor_fields
from ..bucketing import batches_of
from ..encoders import on_device, quiet_loading
from ..stock_ast import check_length, columns_of


# What a model answers with: classes of clips, numbers, similarities to speakers, text, or events in time.
LABELS, NUMBERS, SPEAKERS, TEXT, EVENTS = "labels", "numbers", "speakers", "text", "events"
HEADS: dict[type[SSASTHeadModel], str] = {
    SSASTForAudioClassification: LABELS,
    SSASTForXVector: SPEAKERS,
    SSASTForCTC: TEXT,
    SSASTForAudioFrameClassification: EVENTS,
}
REMEDY = "Copy or download the model again."


class SSASTHead:
    """
    A model of this package.

    Args:
        name (`str` or `Path`): A folder, or a name on the Hub.
        model_class: One of [`HEADS`].
        device, dtype (`torch.device`, `torch.dtype`): Where and in which type it computes.

    Attributes:
        config ([`SSASTConfig`]): Says how patches lie.
        feature_extractor ([`SSASTFeatureExtractor`]): Says how many samples make a frame.
        kind (`str`): What it answers with.
        longest (`int`): Frames that it takes at once by default.
        takes_any_length (`bool`): Whether it could take more.
    """

    takes_any_length = True

    def __init__(self, name, model_class: type[SSASTHeadModel], device: torch.device, dtype: torch.dtype):
        with reading(name, "an SSAST model", REMEDY), quiet_loading():
            self.model, info = model_class.from_pretrained(
                name, dtype=dtype, output_loading_info=True, trust_remote_code=False
            )
        check_complete(name, info)
        with reading(f"{name}/preprocessor_config.json", "that of an SSAST model", REMEDY):
            self.feature_extractor = SSASTFeatureExtractor.from_pretrained(name)
        self.model = on_device(self.model, device)
        self.config = self.model.config
        self.kind = kind_of(HEADS[model_class], self.config)
        # As it was trained: what is longer was cut.
        extractor = self.feature_extractor
        self.longest = extractor.max_length if extractor.truncation else self.config.max_length

    @property
    def has_mask(self) -> bool:
        """Whether the model was trained with a mask, so that padding does not matter."""
        return self.feature_extractor.return_attention_mask

    @property
    def pads_all(self) -> bool:
        """Whether it was trained on clips that all have the same length by padding, which it sees."""
        return not self.has_mask and self.feature_extractor.padding == "max_length"

    def batches(self, lengths: list[int], size: int, most_steps: int | None) -> Iterator[list[int]]:
        """As from [`batches_of`], so that no window changes another."""
        if self.has_mask:
            return batches_of(lengths, size, self.config.grid_shape[1], most_steps)
        least = max(self.config.time_grid(self.feature_extractor.max_length), 1) if self.pads_all else 0
        # Beyond that, only those of equal length.
        return batches_of([max(length, least) for length in lengths], size, least, most_steps)

    def logits(self, waves: list[np.ndarray]) -> torch.Tensor:
        """Of windows (num_samples,) that go together: (B, num_labels) or (B, steps, num_labels), float32."""
        extractor = self.feature_extractor
        frames = [extractor.num_frames(len(wave)) for wave in waves]
        inputs = extractor(
            waves,
            sampling_rate=extractor.sampling_rate,
            padding="max_length" if self.pads_all and max(frames) <= extractor.max_length else "longest",
            truncation=False,
            return_attention_mask=self.has_mask,
            return_tensors="pt",
            device=self.model.device,
        )
        # Without padding, attention is faster without a mask.
        mask = inputs["attention_mask"] if self.has_mask and len(set(frames)) > 1 else None
        values = inputs["input_values"].to(self.model.dtype)
        return self.model(values, attention_mask=mask, return_dict=True).logits.float()


class StockHead:
    """A stock AST with a classifier. As [`SSASTHead`]."""

    takes_any_length = False

    def __init__(self, name, device: torch.device, dtype: torch.dtype):
        with reading(name, "a model for transformers", REMEDY), quiet_loading():
            self.model, info = ASTForAudioClassification.from_pretrained(
                name, dtype=dtype, output_loading_info=True, trust_remote_code=False
            )
        check_complete(name, info)
        with reading(f"{name}/preprocessor_config.json", "that of a stock AST", REMEDY), quiet_loading():
            self.extractor = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=False)
        self.model = on_device(self.model, device)
        config = self.model.config
        check_length(name, self.extractor.max_length, config.max_length)
        self.kind = kind_of(LABELS, config)
        # Of frame models the kernels are square, and zero beyond the patch.
        kernel = self.model.audio_spectrogram_transformer.embeddings.patch_embeddings.projection.weight
        columns = columns_of(kernel)
        self.longest = config.max_length - config.patch_size + columns
        fields = {name: getattr(config, name) for name in ("num_mel_bins", "frequency_stride", "time_stride")}
        self.config = SSASTConfig(**fields, max_length=self.longest, patch_size=[config.patch_size, columns])
        self.config.id2label = config.id2label
        self.feature_extractor = SSASTFeatureExtractor(
            sampling_rate=self.extractor.sampling_rate, num_mel_bins=config.num_mel_bins, max_length=self.longest
        )

    def batches(self, lengths: list[int], size: int, most_steps: int | None) -> Iterator[list[int]]:
        length = self.config.grid_shape[1]
        return batches_of([length] * len(lengths), size, length, most_steps)

    def logits(self, waves: list[np.ndarray]) -> torch.Tensor:
        inputs = self.extractor(waves, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
        values = inputs["input_values"].to(self.model.device, self.model.dtype)
        return self.model(values, return_dict=True).logits.float()


def load_head(name, device: torch.device, dtype: torch.dtype) -> SSASTHead | StockHead:
    """
    Args:
        name (`str` or `Path`): A folder, or a name on the Hub.
        device, dtype (`torch.device`, `torch.dtype`): Where and in which type it computes.

    Raises:
        ValueError: If it cannot be used: it has no head, is damaged, or is a model of another kind.
        OSError: If there is no such folder or repository.
    """
    is_folder = Path(name).is_dir()
    if not is_folder and (str(name).count("/") != 1 or str(name).startswith((".", "/"))):
        raise FileNotFoundError(f"{name} is neither a folder nor a repository on the Hub (owner/name).")
    if is_folder:
        fields = read_config_fields(name)
        read_extractor_fields(name)
        if fields.get("model_type") == SSASTConfig.model_type:
            check_model_folder(name)
    with reading(name, "a model for transformers", REMEDY):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    if not isinstance(config, (SSASTConfig, ASTConfig)):
        raise ValueError(f"{name} is a model of the type {config.model_type}; expected SSAST or stock AST.")
    classes = config.architectures or ["no class"]
    if isinstance(config, ASTConfig):
        if ASTForAudioClassification.__name__ not in classes:
            raise no_head(name, classes[0], f"ssast-hf import-ast {name} FOLDER, and then finetune FOLDER")
        return StockHead(name, device, dtype)
    for model_class in HEADS:
        if model_class.__name__ in classes:
            return SSASTHead(name, model_class, device, dtype)
    raise no_head(name, classes[0], f"ssast-hf finetune --model_name_or_path {name}")


def no_head(name, found: str, remedy: str) -> ValueError:
    return ValueError(f"{name} is an encoder ({found}) without a head to predict with. Train one: {remedy} ...")


def check_complete(name, info: dict):
    """ValueError if a model lacks weights, which transformers would draw at random."""
    if missing := sorted(key for key in info["missing_keys"] if not key.endswith("embeddings.mask_token")):
        raise ValueError(f"{name} lacks weights, such as {missing[0]}. {REMEDY}")


def kind_of(kind: str, config) -> str:
    """What a model answers with; a classifier may be one of numbers, as everywhere in transformers."""
    is_number = config.problem_type == "regression" or (config.problem_type is None and config.num_labels == 1)
    return NUMBERS if kind == LABELS and is_number else kind
