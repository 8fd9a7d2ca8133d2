"""
Between three layouts of the same weights: the original SSAST code's, this package's, and stock AST's.

Each conversion reads top to bottom: read the tensors, rename them by the tables below while accounting for every key,
write the result into a temporary place, load it again and compare numbers, move it into place. Each returns a report, a
list of lines.
"""

import json
import re
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import save_file
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, ASTModel

from .configuration_ssast import SSASTConfig
from .feature_extraction_ssast import SSASTFeatureExtractor
from .download import find_checkpoint
from .files import check_output, read_folder, read_pth, read_safetensors, staged
from .modeling_ssast import SSASTForAudioClassification, SSASTForPretraining, SSASTModel


# Module names, original -> here. `{i}` is a layer. Each module has a weight and a bias unless named in full.
ENCODER = "audio_spectrogram_transformer."
TENSORS = {
    "v.cls_token":          ENCODER + "embeddings.cls_token",
    "v.dist_token":         ENCODER + "embeddings.distillation_token",
    "v.pos_embed":          ENCODER + "embeddings.position_embeddings",
}  # fmt: skip
MODULES = {
    "v.patch_embed.proj":   ENCODER + "embeddings.patch_embeddings.projection",
    "v.norm":               ENCODER + "layernorm",
}  # fmt: skip
LAYER_MODULES = {
    "v.blocks.{i}.norm1":     ENCODER + "encoder.layer.{i}.layernorm_before",
    "v.blocks.{i}.attn.proj": ENCODER + "encoder.layer.{i}.attention.output.dense",
    "v.blocks.{i}.norm2":     ENCODER + "encoder.layer.{i}.layernorm_after",
    "v.blocks.{i}.mlp.fc1":   ENCODER + "encoder.layer.{i}.intermediate.dense",
    "v.blocks.{i}.mlp.fc2":   ENCODER + "encoder.layer.{i}.output.dense",
}  # fmt: skip
# One fused module in the original, its rows in this order.
FUSED_MODULE = "v.blocks.{i}.attn.qkv"
FUSED_PARTS = [ENCODER + "encoder.layer.{i}.attention.attention." + part for part in ("query", "key", "value")]
PRETRAINING_TENSORS = {"mask_embed": ENCODER + "embeddings.mask_token"}
PRETRAINING_MODULES = {
    "cpredlayer.0":         "discrimination_head.dense",
    "cpredlayer.2":         "discrimination_head.out_proj",
    "gpredlayer.0":         "reconstruction_head.dense",
    "gpredlayer.2":         "reconstruction_head.out_proj",
}  # fmt: skip
CLASSIFIER_MODULES = {
    "mlp_head.0":           "classifier.layernorm",
    "mlp_head.1":           "classifier.dense",
}  # fmt: skip
# Scalars that the original stores among the weights -> fields of the configuration.
CONFIG_SCALARS = {"p_input_fdim": "num_mel_bins", "p_input_tdim": "max_length"}
# ImageNet classifiers that the original carries along and never uses; kept beside the model for the way back.
UNUSED = ("v.head.weight", "v.head.bias", "v.head_dist.weight", "v.head_dist.bias")
EXTRAS_FILE = "original_extras.safetensors"
# A checkpoint does not say how many patches were masked. Released models have 512 patches, most mask 400 of them.
RELEASED_NUM_PATCHES = 512
RELEASED_SHARE = 400 / RELEASED_NUM_PATCHES
# All released models have 64 dimensions per head; a checkpoint does not say.
HEAD_SIZE = 64
# The largest accepted difference between hidden states of the two sides of an exported model, in float32.
TOLERANCE = 1e-4


class ConversionError(ValueError):
    """The input does not fit; the message names what and, for tensors, the shapes."""


def original_names(num_layers: int, pretraining: bool) -> dict[str, list[str]]:
    """The original's tensor names in its order -> the names here; three for the fused query, key and value."""
    tensors = TENSORS | (PRETRAINING_TENSORS if pretraining else {})
    names = {source: [target] for source, target in tensors.items()}

    def add(source, targets, **layer):
        for kind in ("weight", "bias"):
            names[f"{source}.{kind}".format(**layer)] = [f"{target}.{kind}".format(**layer) for target in targets]

    for i in range(num_layers):
        add(FUSED_MODULE, FUSED_PARTS, i=i)
        for source, target in LAYER_MODULES.items():
            add(source, [target], i=i)
    for source, target in (MODULES | (PRETRAINING_MODULES if pretraining else CLASSIFIER_MODULES)).items():
        add(source, [target])
    return names


def convert_original_to_hf(checkpoint, output_dir, url=None, overwrite=False, **config_fields) -> list[str]:
    """
    Turn a checkpoint of the original code into a folder for the Auto classes, weights bit for bit.

    Args:
        checkpoint (`str` or `Path`): A `.pth` of the pretraining code, which becomes an [`SSASTForPretraining`], or of the
            fine-tuning code (with `mlp_head`), which becomes an [`SSASTForAudioClassification`]; or the name of a
            released checkpoint, which is downloaded.
        output_dir (`str` or `Path`): The folder to write: safetensors, configuration, feature extractor, code.
        url (`str`, *optional*): Where to download the named checkpoint from instead of its recorded link.
        overwrite (`bool`, defaults to `False`): Whether an existing model folder is replaced.
        config_fields: Fields of [`SSASTConfig`] that the tensors do not determine, such as `num_masked_patches` or
            `mask_strategy`; for fine-tuned files also `max_length` (required) and the strides.

    Returns:
        `list[str]`: The audit: what became of every key.

    Raises:
        ConversionError: If a key is unknown, missing, misshapen or not finite; the message names all of them.
        ValueError: If the file cannot be read safely, or a field of the configuration is out of range.
        OSError: If `output_dir` cannot be written or exists.
    """
    check_output(output_dir, overwrite)
    path, record = find_checkpoint(checkpoint, url)
    if record is not None:
        config_fields.setdefault("objective", record["objective"])
    masked_share = RELEASED_SHARE if record is None else record["num_masked_patches"] / RELEASED_NUM_PATCHES
    state, extras, config, model_class, report = rename_original(read_pth(path), masked_share, **config_fields)
    with torch.device("meta"):
        model = model_class(config)
    model.load_state_dict(state, strict=True, assign=True)
    with staged(output_dir, overwrite) as folder:
        model.save_pretrained(folder)
        SSASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length).save_pretrained(folder)
        if extras:
            save_file(extras, folder / EXTRAS_FILE, metadata={"format": "pt"})
        verify_reload(model_class, folder, state)
    return report


def rename_original(state: dict[str, torch.Tensor], masked_share: float = RELEASED_SHARE, **config_fields):
    """
    Rename the tensors of an original checkpoint; nothing is read or written.

    Args:
        state (`dict[str, torch.Tensor]`): The checkpoint.
        masked_share (`float`): Share of the patches to mask, which a checkpoint does not say.
        config_fields: As in [`convert_original_to_hf`].

    Returns:
        The state dict for this package, the unused tensors, the configuration, the model class, and the audit.

    Raises:
        ConversionError: As in [`convert_original_to_hf`].
    """
    prefix = "module." if all(key.startswith("module.") for key in state) else ""
    state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    if "v.cls_token" not in state or "v.pos_embed" not in state or "v.patch_embed.proj.weight" not in state:
        raise ConversionError(
            "This is not an SSAST checkpoint: v.cls_token, v.pos_embed or v.patch_embed.proj.weight is missing. The file "
            f"holds {len(state)} tensors, such as {', '.join(sorted(state)[:3])}."
        )
    if "v.dist_token" not in state:
        raise ConversionError(
            "v.dist_token is missing: this is a base_nokd model, which has no distillation token. Neither stock AST nor "
            "this package can express it."
        )
    pretraining = not any(key.startswith("mlp_head.") for key in state)
    config = read_config(state, pretraining, masked_share, config_fields)
    model_class = SSASTForPretraining if pretraining else SSASTForAudioClassification

    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in model_class(config).state_dict().items()}
    renamed, extras, audit, problems = {}, {}, [], []
    names = original_names(config.num_hidden_layers, pretraining)
    for source, targets in names.items():
        expected = (sum(shapes[target][0] for target in targets), *shapes[targets[0]][1:])
        tensor = state.get(source)
        if tensor is None:
            problems.append(f"missing: {prefix}{source}, shape {expected}")
        elif tensor.shape != expected or not tensor.is_floating_point():
            problems.append(
                f"misshapen: {prefix}{source} is {tuple(tensor.shape)} {tensor.dtype}, expected {expected} floating point"
            )
        elif not tensor.isfinite().all():
            problems.append(f"not finite: {prefix}{source} {expected} holds NaN or infinity")
        elif len(targets) == 1:
            renamed[targets[0]] = tensor
            audit.append(f"renamed  {prefix}{source} -> {targets[0]}")
        else:
            # Copies: safetensors does not store views of one tensor.
            renamed |= dict(zip(targets, (part.clone() for part in tensor.chunk(len(targets))), strict=True))
            audit.append(f"split    {prefix}{source} -> {', '.join(targets)}")
    for source, tensor in state.items():
        if source in CONFIG_SCALARS and pretraining:
            audit.append(f"config   {prefix}{source} -> {CONFIG_SCALARS[source]} = {tensor.item()}")
        elif source in UNUSED:
            extras[source] = tensor
            audit.append(f"dropped  {prefix}{source} (unused by the original; kept in {EXTRAS_FILE})")
        elif source not in names:
            problems.append(f"unknown: {prefix}{source}, shape {tuple(tensor.shape)}")
    if problems:
        raise ConversionError("The checkpoint does not fit:\n  " + "\n  ".join(problems))
    if not pretraining:
        mask_token = ENCODER + "embeddings.mask_token"
        renamed[mask_token] = torch.zeros(shapes[mask_token], dtype=renamed[ENCODER + "embeddings.cls_token"].dtype)
        audit.append(f"absent   {mask_token}: a fine-tuned file has none; zeros, not used for classification")
        audit.append("absent   discrimination_head, reconstruction_head: a fine-tuned file has none")
    audit.append(f"{len(state)} tensors of the checkpoint accounted for, {len(renamed)} written.")
    return renamed, extras, config, model_class, audit


def read_config(state, pretraining: bool, masked_share: float, config_fields: dict) -> SSASTConfig:
    """The configuration that the shapes in an original checkpoint imply, with `config_fields` for what they do not."""
    projection, positions = state["v.patch_embed.proj.weight"], state["v.pos_embed"]
    if projection.ndim != 4 or projection.shape[1] != 1 or positions.ndim != 3 or positions.shape[0] != 1:
        raise ConversionError(
            f"misshapen: v.patch_embed.proj.weight is {tuple(projection.shape)}, expected (hidden, 1, frequency, time); "
            f"v.pos_embed is {tuple(positions.shape)}, expected (1, patches + 2, hidden)"
        )
    hidden_size, num_patches = positions.shape[2], positions.shape[1] - 2
    blocks = {int(match[1]) for key in state if (match := re.match(r"v\.blocks\.(\d+)\.", key))}
    feed_forward = state.get("v.blocks.0.mlp.fc1.weight")
    fields = {
        "hidden_size": hidden_size,
        "num_hidden_layers": max(blocks, default=0) + 1,
        "intermediate_size": 4 * hidden_size if feed_forward is None else feed_forward.shape[0],
        "patch_size": list(projection.shape[2:]),
    }
    if pretraining:
        for source, name in CONFIG_SCALARS.items():
            if source not in state:
                raise ConversionError(f"missing: {source}, a scalar; it is {name} of the pretraining input")
            if state[source].numel() != 1:
                raise ConversionError(f"misshapen: {source} is {tuple(state[source].shape)}, expected a scalar")
            fields[name] = int(state[source].item())
        # Pretraining of the original never overlaps patches.
        fields |= {"frequency_stride": projection.shape[2], "time_stride": projection.shape[3]}
    elif config_fields.get("max_length") is None:
        raise ConversionError("A fine-tuned checkpoint does not say how long its input is: pass --max_length, in frames.")
    elif "mlp_head.1.weight" in state:
        fields["num_labels"] = state["mlp_head.1.weight"].shape[0]
    for name, value in config_fields.items():
        if fields.get(name, value) != value:
            raise ConversionError(f"{name}={value} contradicts the checkpoint, which says {fields[name]}.")
    fields |= config_fields
    if "num_attention_heads" not in fields:
        if hidden_size % HEAD_SIZE:
            raise ConversionError(
                f"hidden_size={hidden_size} is no multiple of {HEAD_SIZE}, the released models' dimensions per head: pass "
                "--num_attention_heads."
            )
        fields["num_attention_heads"] = hidden_size // HEAD_SIZE
    config = SSASTConfig(**fields | {"num_masked_patches": 1})  # fits any grid; the right number follows the check
    if config.num_patches != num_patches:
        raise ConversionError(
            f"misshapen: v.pos_embed has {num_patches} patches, but num_mel_bins={config.num_mel_bins} and "
            f"max_length={config.max_length} with patches of {config.patch_shape} and strides of "
            f"{(config.frequency_stride, config.time_stride)} make {config.grid_shape[0]} x {config.grid_shape[1]} = "
            f"{config.num_patches}"
        )
    return SSASTConfig(**{"num_masked_patches": count_masked(masked_share, num_patches)} | fields)


def count_masked(share: float, num_patches: int) -> int:
    """A share of the patches as a number that leaves some masked and some not."""
    return min(max(round(share * num_patches), 1), num_patches - 1)


def verify_reload(model_class, folder: Path, state: dict[str, torch.Tensor]):
    """Raise a ConversionError unless the saved folder loads and holds exactly `state`, and its outputs are finite."""
    model = model_class.from_pretrained(folder, dtype="auto").eval()
    for key, tensor in model.state_dict().items():
        if not torch.equal(tensor, state[key]):
            raise ConversionError(f"{key} changed when it was saved and loaded; nothing was written.")
    if not hidden_states(model.base_model, random_input(model.config)).isfinite().all():
        raise ConversionError("The encoder's output is not finite; nothing was written.")


def convert_hf_to_original(ssast_dir, output_path, overwrite: bool = False) -> list[str]:
    """
    Write the weights of a saved SSAST model in the original code's layout, bit for bit.

    Args:
        ssast_dir (`str` or `Path`): A folder of an [`SSASTForPretraining`] or [`SSASTForAudioClassification`]. The unused
            ImageNet heads of the original are restored if the folder has an `original_extras.safetensors`.
        output_path (`str` or `Path`): The `.pth` to write.
        overwrite (`bool`, defaults to `False`): Whether an existing file is replaced.

    Returns:
        `list[str]`: What was written.

    Raises:
        ConversionError: If the original has no place for this model.
        OSError: If `output_path` cannot be written or exists.
    """
    check_output(output_path, overwrite)
    config, state = load_ssast_folder(ssast_dir)
    pretraining = any(key.startswith("reconstruction_head.") for key in state)
    if not pretraining and not any(key.startswith("classifier.") for key in state):
        raise ConversionError(
            f"{ssast_dir} holds an encoder alone. The original's files have pretraining heads or a classifier: save an "
            "SSASTForPretraining or SSASTForAudioClassification."
        )
    if pretraining and (config.frequency_stride, config.time_stride) != config.patch_shape:
        raise ConversionError(
            f"The original pretrains without overlap: strides {(config.frequency_stride, config.time_stride)} differ from "
            f"the patch {config.patch_shape}."
        )
    original = {source: torch.tensor(getattr(config, name)) for source, name in CONFIG_SCALARS.items() if pretraining}
    for source, targets in original_names(config.num_hidden_layers, pretraining).items():
        original[source] = torch.cat([state[target] for target in targets]) if len(targets) > 1 else state[targets[0]]
    extras = Path(ssast_dir) / EXTRAS_FILE
    if extras.exists():
        original |= read_safetensors(extras)
    with staged(output_path, overwrite) as path:
        torch.save({f"module.{key}": tensor for key, tensor in original.items()}, path)
    report = [f"{len(original)} tensors written to {output_path}."]
    if not extras.exists():
        report.append(f"{', '.join(UNUSED)} are not among them: {ssast_dir} has no {EXTRAS_FILE}. Nothing uses them.")
    return report


def convert_hf_to_ast(ssast_dir, output_dir, allow_pooling_change=False, overwrite=False) -> list[str]:
    """
    Write a saved SSAST model as a stock AST checkpoint, which needs no custom code.

    A stock kernel is square. One of `height x width` with `height > width` becomes `height x height`, zero after its first
    `width` columns; `max_length` grows by the `height - width` frames that only meet zeros.

    Args:
        ssast_dir (`str` or `Path`): A folder of an [`SSASTForPretraining`], [`SSASTModel`] or
            [`SSASTForAudioClassification`]. The first two get a fresh classifier.
        output_dir (`str` or `Path`): The folder to write.
        allow_pooling_change (`bool`, defaults to `False`): Whether a classifier on mean-pooled tokens is exported although
            stock AST will feed it another vector.
        overwrite (`bool`, defaults to `False`): Whether an existing model folder is replaced.

    Returns:
        `list[str]`: What was written, with the measured differences.

    Raises:
        ConversionError: If stock AST cannot express the model, or if the result differs by more than 1e-4.
        OSError: If `output_dir` cannot be written or exists.
    """
    check_output(output_dir, overwrite)
    config, state = load_ssast_folder(ssast_dir)
    height, width = config.patch_shape
    if width > height:
        raise ConversionError(f"Stock AST's kernels are square; a patch wider than high ({height} x {width}) does not fit.")
    classifier = {key for key in state if key.startswith("classifier.")}
    if classifier and config.pooling_mode == "mean" and not allow_pooling_change:
        raise ConversionError(
            "This classifier was trained on the mean of the patch tokens; stock AST always feeds it the mean of the "
            "classification and distillation tokens, so its predictions would change. Keep the SSAST folder, fine-tune "
            'with pooling_mode="cls", or pass --allow_pooling_change.'
        )
    report = [f"dropped  {key}" for key in state if not key.startswith((ENCODER, "classifier."))]
    report.append(f"dropped  {ENCODER}embeddings.mask_token")
    stock_state = {key: tensor for key, tensor in state.items() if key.startswith(ENCODER) or key in classifier}
    del stock_state[ENCODER + "embeddings.mask_token"]
    kernel = ENCODER + "embeddings.patch_embeddings.projection.weight"
    stock_state[kernel] = torch.nn.functional.pad(state[kernel], (0, height - width)).contiguous()
    if not classifier:
        stock_state |= fresh_classifier(config, state[kernel].dtype)
        report.append(f"fresh    classifier ({config.num_labels} labels): the source has none; fine-tune before use")
    stock_config = ASTConfig(
        architectures=["ASTForAudioClassification"],
        patch_size=height,
        max_length=config.max_length + height - width,
        id2label=config.id2label,
        label2id=config.label2id,
        problem_type=config.problem_type,
        **{name: getattr(config, name) for name in SHARED_FIELDS},
    )
    features = SSASTFeatureExtractor.from_pretrained(ssast_dir)
    with staged(output_dir, overwrite) as folder:
        stock_config.save_pretrained(folder)
        save_file(stock_state, folder / "model.safetensors", metadata={"format": "pt"})
        ASTFeatureExtractor(
            **{name: getattr(features, name) for name in SHARED_EXTRACTOR_FIELDS}, max_length=stock_config.max_length
        ).save_pretrained(folder)
        report += compare_with_stock(ssast_dir, folder, bool(classifier))
    return report


# Fields with one meaning in SSASTConfig and ASTConfig, and in the two feature extractors.
SHARED_FIELDS = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob initializer_range layer_norm_eps qkv_bias frequency_stride time_stride num_mel_bins"
).split()
SHARED_EXTRACTOR_FIELDS = (
    "feature_size sampling_rate num_mel_bins padding_value do_normalize mean std return_attention_mask"
).split()


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
            difference = (model(own_input).logits - stock(stock_input).logits).abs().max()
        reason = "another pooling, and " if model.config.pooling_mode == "mean" else ""
        report.append(
            f"logits change by at most {difference:.1e} on a random input ({reason}the classifier's layer norm has "
            f"epsilon {model.config.layer_norm_eps} in stock AST, {model.config.classifier_layer_norm_eps} here)"
        )
    return report


def convert_ast_to_hf(ast_dir_or_repo, output_dir, overwrite: bool = False, **config_fields) -> list[str]:
    """
    Turn a stock AST checkpoint into an [`SSASTForPretraining`] with fresh pretraining heads and mask token.

    Args:
        ast_dir_or_repo (`str` or `Path`): A folder, or the name of a repository on the Hub.
        output_dir (`str` or `Path`): The folder to write.
        overwrite (`bool`, defaults to `False`): Whether an existing model folder is replaced.
        config_fields: Fields of [`SSASTConfig`] to set, such as `num_masked_patches`.

    Returns:
        `list[str]`: Which tensors are fresh, which were dropped, and the measured difference to the source.

    Raises:
        ConversionError: If the source is not an AST checkpoint, or if the result differs by more than 1e-4.
        OSError: If the source cannot be found, or `output_dir` cannot be written or exists.
    """
    check_output(output_dir, overwrite)
    source = Path(ast_dir_or_repo)
    if not source.is_dir():
        if source.exists() or str(ast_dir_or_repo).count("/") != 1:
            raise FileNotFoundError(f"{ast_dir_or_repo} is neither a folder nor the name of a repository (owner/name).")
        files = ["config.json", "preprocessor_config.json", "*.safetensors"]
        source = Path(snapshot_download(str(ast_dir_or_repo), allow_patterns=files))
    stock_config = read_model_config(source, ASTConfig)
    fields = {name: getattr(stock_config, name) for name in (*SHARED_FIELDS, "patch_size", "max_length")}
    for name in ("frequency_stride", "time_stride", "num_mel_bins", "patch_size", "max_length"):
        if config_fields.get(name, fields[name]) != fields[name]:
            raise ConversionError(f"{name}={config_fields[name]} contradicts the checkpoint, which says {fields[name]}.")
    grid = SSASTConfig(**fields, num_masked_patches=1)
    fields |= {"num_masked_patches": count_masked(RELEASED_SHARE, grid.num_patches)} | config_fields
    config = SSASTConfig(**fields)
    state = with_encoder_prefix(read_folder(source))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SSASTForPretraining(config)
    expected = model.state_dict()
    fresh = [key for key in expected if key.endswith(".mask_token") or not key.startswith(ENCODER)]
    dropped = [key for key in state if key.startswith("classifier.")]
    check_keys(state, {key: tensor for key, tensor in expected.items() if key not in fresh}, ignore=dropped)
    model.load_state_dict({key: state.get(key, tensor) for key, tensor in expected.items()}, assign=True)
    model.to(state[ENCODER + "embeddings.cls_token"].dtype)
    report = [f"fresh    {key} {tuple(expected[key].shape)}" for key in fresh]
    report += [f"dropped  {key}" for key in dropped]
    if config.layer_norm_eps == 1e-12:
        report.append(
            "note     layer_norm_eps=1e-12 is kept from the source. SSAST was trained with 1e-6: if this is a copy of an "
            "SSAST checkpoint, pass --layer_norm_eps 1e-6."
        )
    with staged(output_dir, overwrite) as folder:
        model.save_pretrained(folder)
        stock_extractor = {}
        if (source / "preprocessor_config.json").exists():
            features = ASTFeatureExtractor.from_pretrained(source)
            stock_extractor = {name: getattr(features, name) for name in SHARED_EXTRACTOR_FIELDS}
        stock_extractor |= {"num_mel_bins": config.num_mel_bins, "max_length": config.max_length}
        SSASTFeatureExtractor(**stock_extractor).save_pretrained(folder)
        verify_reload(SSASTForPretraining, folder, model.state_dict())
        if config.layer_norm_eps == stock_config.layer_norm_eps:
            stock = ASTModel.from_pretrained(source, dtype=torch.float32).eval()
            inputs = random_input(config)
            report.append(
                check_difference(
                    hidden_states(model.float().eval().base_model, inputs), hidden_states(stock, inputs)
                )
            )
    return report


def load_ssast_folder(folder) -> tuple[SSASTConfig, dict[str, torch.Tensor]]:
    """Configuration and checked weights of any saved SSAST model; the encoder's keys have their prefix."""
    config = read_model_config(folder, SSASTConfig)
    state = with_encoder_prefix(read_folder(folder))
    if any(key.startswith("classifier.") for key in state):
        model_class = SSASTForAudioClassification
    else:
        model_class = SSASTForPretraining
    with torch.device("meta"):
        expected = model_class(config).state_dict()
    if all(key.startswith(ENCODER) for key in state):
        expected = {key: tensor for key, tensor in expected.items() if key.startswith(ENCODER)}
    check_keys(state, expected)
    return config, state


def read_model_config(folder, config_class):
    """The configuration in a folder, if it is of `config_class`."""
    path = Path(folder) / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{folder} is not a model's folder: it has no config.json.")
    try:
        model_type = json.loads(path.read_text()).get("model_type")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ConversionError(f"{path} is not a valid configuration ({error}).") from error
    if model_type != config_class.model_type:
        raise ConversionError(f"{path} has model_type {model_type!r}, expected {config_class.model_type!r}.")
    return config_class.from_pretrained(folder)


def with_encoder_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors with the names they have inside a model with a head."""
    if any(key.startswith(ENCODER) for key in state):
        return state
    return {ENCODER + key: tensor for key, tensor in state.items()}


def check_keys(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], ignore=()):
    """Raise a ConversionError that names every key that is missing, unknown, misshapen or not finite."""
    problems = [f"missing: {key}, shape {tuple(expected[key].shape)}" for key in expected if key not in state]
    for key, tensor in state.items():
        if key in ignore:
            continue
        if key not in expected:
            problems.append(f"unknown: {key}, shape {tuple(tensor.shape)}")
        elif tensor.shape != expected[key].shape:
            problems.append(f"misshapen: {key} is {tuple(tensor.shape)}, expected {tuple(expected[key].shape)}")
        elif not tensor.isfinite().all():
            problems.append(f"not finite: {key} holds NaN or infinity")
    if problems:
        raise ConversionError("The checkpoint does not fit:\n  " + "\n  ".join(problems))


def random_input(config) -> torch.Tensor:
    """One normalised clip, (1, max_length, num_mel_bins), the same every time."""
    return torch.randn(1, config.max_length, config.num_mel_bins, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def hidden_states(encoder, input_values: torch.Tensor) -> torch.Tensor:
    """What the encoder makes of an input, in float32."""
    return encoder(input_values).last_hidden_state.float()


def check_difference(own: torch.Tensor, stock: torch.Tensor) -> str:
    """Report the largest difference of hidden states; ConversionError above [`TOLERANCE`]."""
    difference = (own - stock).abs().max().item()
    if not difference <= TOLERANCE:  # also refuses NaN
        raise ConversionError(
            f"Hidden states differ from stock AST's by {difference:.1e}, more than {TOLERANCE:.0e}; nothing was written."
        )
    return f"hidden states agree with stock AST within {difference:.1e} on a random input"
