"""
Between this package's checkpoints and stock AST's (`model_type: audio-spectrogram-transformer`).

The encoders have the same tensors by the same names; what differs is the shape of the kernel, the pooling before the
classifier, and what a stock checkpoint has no place for.
"""

import copy
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, ASTModel

from ..configuration_ssast import SSASTConfig
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..heads_ssast import SSASTForAudioClassification
from ..modeling_ssast import SSASTForPretraining, SSASTModel
from ..storage.guards import reading
from ..storage.reading import read_weights
from ..storage.sizes import CONFIG, EXTRACTOR
from ..storage.writing import check_output, written_whole
from .folders import (
    FLOATING_POINT,
    PLAIN,
    ConversionError,
    check_keys,
    check_reloaded,
    hidden_states,
    random_input,
    read_feature_extractor,
    read_model,
    read_model_config,
    with_encoder_prefix,
)
from .kinds import ENCODER, kind_of, reason_to_stay


# Fields with one meaning in SSASTConfig and ASTConfig, and in the two feature extractors.
SHARED_FIELDS = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob initializer_range layer_norm_eps qkv_bias frequency_stride time_stride num_mel_bins"
).split()
SHARED_EXTRACTOR_FIELDS = ("feature_size sampling_rate num_mel_bins padding_value do_normalize mean std").split()
KERNEL = ENCODER + "embeddings.patch_embeddings.projection.weight"
# The largest accepted difference between hidden states of the two sides, in float32.
TOLERANCE = 1e-4


def convert_hf_to_ast(ssast_dir, output_dir, allow_pooling_change=False, overwrite=False) -> list[str]:
    """
    Write a saved SSAST model as a stock AST checkpoint, which needs no custom code.

    A stock kernel is square. One of `height x width` with `height > width` becomes `height x height`, zero after its
    first `width` columns; `max_length` grows by the `height - width` frames that only meet zeros.

    Args:
        ssast_dir (`str` or `Path`): A folder of an [`SSASTForPretraining`], [`SSASTModel`] or
            [`SSASTForAudioClassification`]. The first two get a fresh classifier.
        output_dir (`str` or `Path`): The folder to write.
        allow_pooling_change (`bool`, defaults to `False`): Whether a classifier on mean-pooled tokens is exported
            although stock AST will feed it another vector.
        overwrite (`bool`, defaults to `False`): Whether an existing model folder is replaced.

    Returns:
        `list[str]`: What was written, with the measured differences.

    Raises:
        ConversionError: If stock AST cannot express the model, or if the result differs by more than 1e-4.
        OSError: If `output_dir` cannot be written or exists.
    """
    check_output(output_dir, overwrite, source=ssast_dir)
    with written_whole(output_dir) as folder:
        has_classifier, report = write_stock_folder(ssast_dir, folder, allow_pooling_change)
        return report + compare_with_stock(ssast_dir, folder, has_classifier)


def write_stock_folder(ssast_dir, folder: Path, allow_pooling_change: bool) -> tuple[bool, list[str]]:
    """Write the stock checkpoint; returns whether its classifier comes from the source, and what was written."""
    config, state = read_model(ssast_dir)
    height, width = config.patch_shape
    if width > height:
        raise ConversionError(
            f"Stock AST's kernels are square; a patch wider than high ({height} x {width}) does not fit."
        )
    if reason := reason_to_stay(kind_of(state), config):
        raise ConversionError(
            f"{ssast_dir} has {reason}, and stock AST no place for it. To export the encoder, save it alone with "
            'model.base_model.save_pretrained(folder). A classifier with pooling_mode="cls" exports as it is.'
        )
    has_classifier = kind_of(state) is SSASTForAudioClassification
    if has_classifier and config.pooling_mode != "cls" and not allow_pooling_change:
        raise ConversionError(
            "This classifier was trained on the mean of the patch tokens; stock AST always feeds it the mean of the "
            "classification and distillation tokens, so its predictions would change. Keep the SSAST folder, "
            'fine-tune with pooling_mode="cls", or pass --allow_pooling_change.'
        )
    mask_token = ENCODER + "embeddings.mask_token"
    dropped = [key for key in state if key == mask_token or not key.startswith((ENCODER, "classifier."))]
    report = [f"dropped  {key}" for key in dropped]
    for key in dropped:
        del state[key]
    state[KERNEL] = torch.nn.functional.pad(state[KERNEL], (0, height - width)).contiguous()
    if not has_classifier:
        state |= fresh_classifier(config, state[KERNEL].dtype)
        report.append(f"fresh    classifier ({config.num_labels} labels): the source has none; fine-tune before use")
    with reading(Path(ssast_dir) / CONFIG, "a configuration that stock AST takes", "Correct it."):
        stock_config = ASTConfig(
            architectures=["ASTForAudioClassification"],
            patch_size=height,
            max_length=config.max_length + height - width,
            id2label=config.id2label,
            label2id=config.label2id,
            problem_type=config.problem_type,
            **{name: getattr(config, name) for name in SHARED_FIELDS},
        )
    features = read_feature_extractor(ssast_dir, SSASTFeatureExtractor)
    if features is None:
        features = SSASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)
        report.append(
            f"note     {ssast_dir} has no preprocessor_config.json: AudioSet's mean and deviation are assumed"
        )
    if features.return_attention_mask:
        report.append("note     stock AST takes no attention mask: padding becomes input, and outputs change with it")
    stock_config.save_pretrained(folder)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    ASTFeatureExtractor(
        **{name: getattr(features, name) for name in SHARED_EXTRACTOR_FIELDS}, max_length=stock_config.max_length
    ).save_pretrained(folder)
    return has_classifier, report


def fresh_classifier(config: SSASTConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """An untrained classifier, the same for the same configuration."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(config.num_labels, config.hidden_size, generator=generator) * config.initializer_range
    return {
        "classifier.layernorm.weight": torch.ones(config.hidden_size, dtype=dtype),
        "classifier.layernorm.bias": torch.zeros(config.hidden_size, dtype=dtype),
        "classifier.dense.weight": weight.to(dtype),
        "classifier.dense.bias": torch.zeros(config.num_labels, dtype=dtype),
    }


def compare_with_stock(ssast_dir, stock_dir, compare_logits: bool) -> list[str]:
    """Load both folders, compare their outputs on the same random input, and report; refuse above [`TOLERANCE`]."""
    stock, info = ASTForAudioClassification.from_pretrained(stock_dir, dtype=torch.float32, output_loading_info=True)
    if any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")):
        raise ConversionError(f"Stock AST does not load the result cleanly: {info}")
    model_class = SSASTForAudioClassification if compare_logits else SSASTModel
    model = model_class.from_pretrained(ssast_dir, dtype=torch.float32).eval()
    stock_input = random_input(stock.config)
    own_input = stock_input[:, : model.config.max_length]
    report = [
        check_difference(
            hidden_states(model.base_model, own_input), hidden_states(stock.eval().base_model, stock_input)
        )
    ]
    if compare_logits:
        with torch.no_grad():
            difference = (model(own_input, **PLAIN).logits - stock(stock_input, **PLAIN).logits).abs().max()
        reason = "another pooling, and " if model.config.pooling_mode != "cls" else ""
        report.append(
            f"logits change by at most {difference:.1e} on a random input ({reason}the classifier's layer norm has "
            f"epsilon {model.config.layer_norm_eps} in stock AST, {model.config.classifier_layer_norm_eps} here)"
        )
    return report


def convert_ast_to_hf(ast_dir, output_dir, overwrite: bool = False, **config_fields) -> list[str]:
    """
    Turn a stock AST checkpoint into an [`SSASTForPretraining`] with fresh pretraining heads and mask token.

    Args:
        ast_dir (`str` or `Path`): The folder of an `ASTModel` or `ASTForAudioClassification`.
        output_dir (`str` or `Path`): The folder to write.
        overwrite (`bool`, defaults to `False`): Whether an existing model folder is replaced.
        config_fields: Fields of [`SSASTConfig`] to set, such as `num_masked_patches`.

    Returns:
        `list[str]`: Which tensors are fresh, which were dropped, and the measured difference to the source.

    Raises:
        ConversionError: If the source is not an AST checkpoint, or if the result differs by more than 1e-4.
        OSError: If there is no such folder, or `output_dir` cannot be written or exists.
    """
    check_output(output_dir, overwrite, source=ast_dir)
    source = Path(ast_dir)
    stock_config = read_model_config(source, ASTConfig)
    features = read_feature_extractor(source, ASTFeatureExtractor)
    state = with_encoder_prefix(read_weights(source))
    fields = {name: getattr(stock_config, name) for name in (*SHARED_FIELDS, "patch_size", "max_length")}
    # A pretraining model has no use for them, but what it is fine-tuned to may.
    fields |= {name: getattr(stock_config, name) for name in ("id2label", "label2id", "problem_type")}
    fields |= narrow_kernel(state, fields["max_length"])
    with reading(source / CONFIG, "a valid configuration", "Correct it, or copy the file again."):
        SSASTConfig(**fields)  # not every version of transformers checks what stock AST reads
    config = SSASTConfig(**fields | config_fields)
    model, report = model_from_stock(state, config)
    if config.layer_norm_eps == 1e-12:
        report.append(
            "note     layer_norm_eps=1e-12 is kept from the source. SSAST was trained with 1e-6: if this is a copy of "
            "an SSAST checkpoint, pass --layer_norm_eps 1e-6."
        )
    if config.frequency_stride < config.patch_shape[0] or config.time_stride < config.patch_shape[1]:
        report.append("note     patches overlap, so neighbours show part of what is masked; SSAST never pretrains so")
    names = SHARED_EXTRACTOR_FIELDS if features is not None else []
    stock_extractor = {name: getattr(features, name) for name in names}
    stock_extractor |= {"num_mel_bins": config.num_mel_bins, "max_length": config.max_length}
    stock_extractor["min_frames"] = config.patch_shape[1]
    with reading(source / EXTRACTOR, "a feature extractor's configuration", "Correct it, or copy the file again."):
        own_features = SSASTFeatureExtractor(**stock_extractor)
    inputs = random_input(stock_config)
    with reading(source / CONFIG, "a valid configuration", "Correct it, or copy the file again."):
        stock = ASTModel.from_pretrained(source, dtype=torch.float32, layer_norm_eps=config.layer_norm_eps).eval()
    own = hidden_states(model.eval().base_model, inputs[:, : config.max_length])
    report.append(check_difference(own, hidden_states(stock, inputs)))
    del stock  # its memory
    with written_whole(output_dir) as folder:
        model.save_pretrained(folder)
        own_features.save_pretrained(folder)
        check_reloaded(SSASTForPretraining, folder, model.state_dict())
    return report


def narrow_kernel(state: dict[str, torch.Tensor], max_length: int) -> dict:
    """Undo what the export does to patches that are higher than wide: cut the zeros off the kernel in `state`."""
    kernel = state.get(KERNEL)
    if kernel is None or kernel.ndim != 4 or kernel.dtype not in FLOATING_POINT or not kernel.any():
        return {}  # reported when the keys are checked
    width = kernel.abs().amax(dim=(0, 1, 2)).nonzero().max().item() + 1
    if width == kernel.shape[3]:
        return {}
    state[KERNEL] = kernel[..., :width].contiguous()
    return {"patch_size": [kernel.shape[2], width], "max_length": max_length - kernel.shape[3] + width}


def model_from_stock(state, config: SSASTConfig) -> tuple[SSASTForPretraining, list[str]]:
    """A pretraining model with the encoder of a stock checkpoint, and which tensors are fresh or dropped."""
    with torch.device("meta"):  # of any size, until the shapes are checked
        model = SSASTForPretraining(config)
    shapes = model.state_dict()
    fresh = [key for key in shapes if key.endswith(".mask_token") or not key.startswith(ENCODER)]
    dropped = [key for key in state if key.startswith("classifier.")]
    check_keys(state, {key: tensor for key, tensor in shapes.items() if key not in fresh}, ignore=dropped)
    # What is fresh is that of a model with a single layer: the others would take memory for nothing.
    shallow = copy.deepcopy(config)
    shallow.num_hidden_layers = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        initial = SSASTForPretraining(shallow).state_dict()
    dtype = state[ENCODER + "embeddings.cls_token"].dtype
    tensors = {key: initial[key] if key in fresh else state[key] for key in shapes}
    model.load_state_dict({key: tensor.to(dtype) for key, tensor in tensors.items()}, assign=True)
    report = [f"fresh    {key} {tuple(shapes[key].shape)}" for key in fresh]
    return model, report + [f"dropped  {key}" for key in dropped]


def check_difference(own: torch.Tensor, stock: torch.Tensor) -> str:
    """Report the largest difference of hidden states; ConversionError above [`TOLERANCE`]."""
    difference = (own - stock).abs().max().item()
    if not difference <= TOLERANCE:  # also refuses NaN
        raise ConversionError(
            f"Hidden states differ from stock AST's by {difference:.1e}, more than {TOLERANCE:.0e}; nothing was "
            "written."
        )
    return f"hidden states agree with stock AST within {difference:.1e} on a random input"
