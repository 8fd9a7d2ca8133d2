import json
import runpy
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from original import finetuned_checkpoint, original_checkpoint
from safetensors.torch import load_file, save_file
from transformers import ASTConfig, ASTForAudioClassification, ASTModel

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForPretraining,
    SSASTForXVector,
    SSASTModel,
)
from ssast_hf.cli import main
from ssast_hf.conversion import stock_ast
from ssast_hf.conversion.carried import ENTRY
from ssast_hf.conversion.original import convert_hf_to_original, convert_original_to_hf
from ssast_hf.conversion.stock_ast import convert_ast_to_hf, convert_hf_to_ast


def run(*arguments, capsys=None):
    """Run the command; returns the exit status and what it printed."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def assert_same_tensors(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype, key
        assert torch.equal(a[key], b[key]), key


# --- original -> here -> original --------------------------------------------------------------------------------


@pytest.mark.compatibility
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"patch_shape": (128, 2), "max_length": 65, "seed": 1},
        {"patch_shape": (32, 8), "num_layers": 3, "seed": 2},
        {"hidden_size": 128, "num_layers": 1, "max_length": 100, "seed": 3},
    ],
    ids=str,
)
def test_round_trip_is_bitwise(tmp_path, shape):
    checkpoint = original_checkpoint(**shape)
    torch.save(checkpoint, tmp_path / "in.pth")
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    assert_same_tensors(torch.load(tmp_path / "out.pth", weights_only=True), checkpoint)


@pytest.mark.parametrize("shape", [{}, {"patch_shape": (128, 2), "max_length": 65}], ids=str)
def test_feature_extractor_says_what_the_original_was_trained_with(tmp_path, shape):
    """No attention mask, since it had none, and how long a patch is."""
    checkpoint = original_checkpoint(**shape)
    torch.save(checkpoint, tmp_path / "in.pth")
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    written = json.loads((tmp_path / "ssast" / "preprocessor_config.json").read_text())
    assert written["return_attention_mask"] is False
    assert written["min_frames"] == SSASTConfig.from_pretrained(tmp_path / "ssast").patch_shape[1]


def test_half_precision_stays_as_it_is(tmp_path):
    checkpoint = {k: v.half() if v.is_floating_point() else v for k, v in original_checkpoint().items()}
    torch.save(checkpoint, tmp_path / "in.pth")
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    assert_same_tensors(torch.load(tmp_path / "out.pth", weights_only=True), checkpoint)


@pytest.mark.parametrize("legacy", [False, True])
def test_files_without_prefix_and_of_the_old_format(tmp_path, legacy):
    checkpoint = original_checkpoint(prefix="")
    torch.save(checkpoint, tmp_path / "in.pth", _use_new_zipfile_serialization=not legacy)
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    result = torch.load(tmp_path / "out.pth", weights_only=True)
    assert_same_tensors(result, {f"module.{key}": tensor for key, tensor in checkpoint.items()})


def test_tensors_that_share_memory(tmp_path):
    checkpoint = original_checkpoint()
    checkpoint["module.v.norm.weight"] = checkpoint["module.v.blocks.0.norm1.weight"]
    checkpoint["module.v.head.weight"] = checkpoint["module.v.head_dist.weight"]
    checkpoint["module.v.head_dist.weight"] = checkpoint["module.v.head_dist.weight"].t().contiguous().t()
    torch.save(checkpoint, tmp_path / "in.pth")
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    assert_same_tensors(torch.load(tmp_path / "out.pth", weights_only=True), checkpoint)


def test_every_tensor_arrives_where_it_belongs(original_file, tmp_path):
    convert_original_to_hf(original_file, tmp_path / "ssast")
    state = SSASTForPretraining.from_pretrained(tmp_path / "ssast").state_dict()
    source = {key.removeprefix("module."): tensor for key, tensor in torch.load(original_file).items()}
    layer = "audio_spectrogram_transformer.encoder.layer.1."
    for i, part in enumerate(("query", "key", "value")):
        rows = slice(64 * i, 64 * (i + 1))
        for kind in ("weight", "bias"):
            ours = state[f"{layer}attention.attention.{part}.{kind}"]
            assert torch.equal(ours, source[f"v.blocks.1.attn.qkv.{kind}"][rows])
    assert torch.equal(state[f"{layer}intermediate.dense.weight"], source["v.blocks.1.mlp.fc1.weight"])
    assert torch.equal(state[f"{layer}layernorm_after.bias"], source["v.blocks.1.norm2.bias"])
    assert torch.equal(state["discrimination_head.out_proj.weight"], source["cpredlayer.2.weight"])
    assert torch.equal(state["audio_spectrogram_transformer.embeddings.mask_token"], source["mask_embed"])


def test_geometry_comes_from_the_tensors(original_file, tmp_path):
    convert_original_to_hf(original_file, tmp_path / "ssast")
    config = SSASTConfig.from_pretrained(tmp_path / "ssast")
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (64, 2, 1)
    assert (config.intermediate_size, config.patch_size, config.grid_shape) == (256, 16, (8, 8))
    assert (config.max_length, config.num_mel_bins) == (128, 128)
    assert config.num_masked_patches == 50  # the share of 400 in 512
    assert config.mask_strategy == "cluster"
    assert SSASTFeatureExtractor.from_pretrained(tmp_path / "ssast").max_length == 128
    assert {path.name for path in (tmp_path / "ssast").iterdir()} == {
        "config.json",
        "configuration_ssast.py",
        "feature_extraction_ssast.py",
        "heads_ssast.py",
        "losses_ssast.py",
        "masking_ssast.py",
        "model.safetensors",
        "modeling_ssast.py",
        "modules.json",
        "original_extras.safetensors",
        "outputs_ssast.py",
        "preprocessor_config.json",
        "sentence_bert_config.json",
    }


def test_audit_accounts_for_every_key(original_file, tmp_path, capsys):
    status, out, _ = run(
        "convert", original_file, tmp_path / "ssast", "--num_masked_patches", 7, "--mask_strategy", "original",
        "--verbose", capsys=capsys,
    )  # fmt: skip
    assert status == 0
    for key in original_checkpoint():
        assert f" {key} " in out
    assert "renamed  module.v.cls_token -> audio_spectrogram_transformer.embeddings.cls_token" in out
    assert "split    module.v.blocks.0.attn.qkv.weight" in out
    assert "dropped  module.v.head.weight" in out
    config = SSASTConfig.from_pretrained(tmp_path / "ssast")
    assert (config.num_masked_patches, config.mask_strategy) == (7, "original")


# --- fine-tuned files --------------------------------------------------------------------------------------------


def test_fine_tuned_file_becomes_a_classifier(tmp_path, capsys):
    checkpoint = finetuned_checkpoint(num_labels=5)
    torch.save(checkpoint, tmp_path / "in.pth")
    status, _, err = run("convert", tmp_path / "in.pth", tmp_path / "ssast", capsys=capsys)
    assert status == 1
    assert "--max_length" in err
    options = ["--max_length", 128, "--audit_file", tmp_path / "audit.txt"]
    status, out, _ = run("convert", tmp_path / "in.pth", tmp_path / "ssast", *options, capsys=capsys)
    assert status == 0
    assert "no pretraining heads: the file is of fine-tuning" in out
    audit = (tmp_path / "audit.txt").read_text()
    assert "absent   audio_spectrogram_transformer.embeddings.mask_token" in audit
    model = SSASTForAudioClassification.from_pretrained(tmp_path / "ssast")
    assert torch.equal(model.classifier.dense.weight, checkpoint["module.mlp_head.1.weight"])
    assert model.config.num_labels == 5
    convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    assert_same_tensors(torch.load(tmp_path / "out.pth", weights_only=True), checkpoint)


def test_fine_tuned_file_with_overlap_needs_its_strides(tmp_path):
    checkpoint = finetuned_checkpoint()
    checkpoint["module.v.pos_embed"] = torch.randn(1, 12 * 12 + 2, 64)
    torch.save(checkpoint, tmp_path / "in.pth")
    with pytest.raises(ValueError, match=r"144 patches.* 8 x 8 = 64"):
        convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast", max_length=128)
    convert_original_to_hf(
        tmp_path / "in.pth", tmp_path / "ssast", max_length=128, frequency_stride=10, time_stride=10
    )
    assert SSASTForAudioClassification.from_pretrained(tmp_path / "ssast").config.grid_shape == (12, 12)


# --- bad input ---------------------------------------------------------------------------------------------------


def without(*keys):
    return lambda state: [state.pop(f"module.{key}") for key in keys]


def with_tensor(key, value):
    return lambda state: state.update({f"module.{key}": value(state.get(f"module.{key}"))})


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        (without("v.blocks.0.norm1.weight"), ["missing: module.v.blocks.0.norm1.weight, shape (64,)"]),
        (
            lambda state: [state.pop(key) for key in list(state) if "blocks.0." in key],
            ["missing: module.v.blocks.0.attn.qkv.weight, shape (192, 64)"],
        ),
        (
            with_tensor("v.blocks.1.attn.qkv.weight", lambda tensor: tensor.T.contiguous()),
            ["misshapen: module.v.blocks.1.attn.qkv.weight is (64, 192)", "expected (192, 64)"],
        ),
        (with_tensor("v.norm.bias", lambda tensor: tensor * float("nan")), ["not finite: module.v.norm.bias (64,)"]),
        (with_tensor("extra.weight", lambda _: torch.zeros(3)), ["unknown: module.extra.weight, shape (3,)"]),
        (
            with_tensor("classifier.weight", lambda _: torch.zeros(3)),
            ["unknown: module.classifier.weight, shape (3,)"],
        ),
        (
            with_tensor("cpredlayer.2.weight", lambda _: torch.zeros(128, 64)),
            ["module.cpredlayer.2.weight is (128, 64)", "expected (256, 64)"],
        ),
        (with_tensor("v.pos_embed", lambda tensor: tensor[:, :-1]), ["63 patches", "8 x 8 = 64"]),
        (without("v.dist_token"), ["base_nokd"]),
        (without("p_input_tdim"), ["p_input_tdim"]),
        (with_tensor("p_input_tdim", lambda _: torch.tensor(128.7)), ["p_input_tdim", "positive integer"]),
        (with_tensor("v.head.weight", lambda _: torch.zeros(10, 63)), ["v.head.weight is (10, 63)", "(10, 64)"]),
        (with_tensor("v.head.bias", lambda tensor: tensor / 0), ["not finite: module.v.head.bias (1000,)"]),
        (with_tensor("v.norm.bias", lambda tensor: tensor.double()), ["mixed: module.v.norm.bias", "float64"]),
        (with_tensor("v.norm.bias", lambda tensor: tensor.to_sparse()), ["unusable: module.v.norm.bias"]),
        (with_tensor("v.blocks.999999.norm1.bias", lambda _: torch.zeros(64)), ["v.blocks.999999", "only 3 layers"]),
        (lambda state: state.update({"v.extra": torch.zeros(1)}), ["46 of 47 keys begin with module."]),
        (without("v.pos_embed"), ["not an SSAST checkpoint", "v.pos_embed"]),
        (with_tensor("p_input_tdim", lambda _: torch.tensor([1, 2])), ["p_input_tdim is (2,)"]),
        (with_tensor("v.blocks.0.mlp.fc1.weight", lambda _: torch.tensor(1.0)), ["fc1.weight is ()", "(256, 64)"]),
        (with_tensor("v.norm.bias", lambda tensor: tensor.long()), ["v.norm.bias", "int64"]),
    ],
)
def test_checkpoint_that_does_not_fit(tmp_path, capsys, damage, messages):
    checkpoint = original_checkpoint()
    damage(checkpoint)
    torch.save(checkpoint, tmp_path / "in.pth")
    status, out, err = run("convert", tmp_path / "in.pth", tmp_path / "ssast", capsys=capsys)
    assert status == 1
    assert out == ""
    for message in messages:
        assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


def test_width_that_leaves_the_number_of_heads_open(tmp_path):
    torch.save(original_checkpoint(hidden_size=96), tmp_path / "in.pth")
    with pytest.raises(ValueError, match="--num_attention_heads"):
        convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast", num_attention_heads=4)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--num_masked_patches", 64, "num_masked_patches=64"),
        ("--num_attention_heads", 5, "not divisible"),
        ("--max_length", 256, "contradicts the checkpoint, which says 128"),
        ("--time_stride", 10, "contradicts"),
        ("--url", "https://example.org", "local file"),
    ],
)
def test_option_that_does_not_fit(original_file, tmp_path, capsys, option, value, message):
    status, _, err = run("convert", original_file, tmp_path / "ssast", option, value, capsys=capsys)
    assert status == 1
    assert message in err
    assert not (tmp_path / "ssast").exists()


def test_existing_output_is_replaced_only_on_request(original_file, tmp_path, capsys):
    output = tmp_path / "model"
    assert run("convert", original_file, output, capsys=capsys)[0] == 0
    assert run("convert", original_file, output, capsys=capsys)[0] == 1
    assert run("convert", original_file, output, "--overwrite", "--num_masked_patches", 3, capsys=capsys)[0] == 0
    assert SSASTConfig.from_pretrained(output).num_masked_patches == 3


# --- here -> stock AST -------------------------------------------------------------------------------------------


@pytest.mark.compatibility
@pytest.mark.parametrize(
    ("patch_shape", "max_length", "stock_length"),
    [((16, 16), 128, 128), ((128, 2), 64, 190), ((32, 8), 100, 124), ((16, 16), 75, 75)],
)
def test_stock_ast_gives_the_same_hidden_states(tmp_path, patch_shape, max_length, stock_length):
    torch.save(original_checkpoint(patch_shape=patch_shape, max_length=max_length), tmp_path / "in.pth")
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    report = convert_hf_to_ast(tmp_path / "ssast", tmp_path / "ast")
    assert any("classifier" in line and line.startswith("fresh") for line in report)
    saved = json.loads((tmp_path / "ast" / "config.json").read_text())
    assert saved["model_type"] == "audio-spectrogram-transformer"
    assert saved["architectures"] == ["ASTForAudioClassification"]
    assert "auto_map" not in saved
    assert {path.name for path in (tmp_path / "ast").iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    stock, info = ASTModel.from_pretrained(tmp_path / "ast", output_loading_info=True)
    assert not info["missing_keys"]
    assert stock.config.max_length == stock_length
    inputs = torch.randn(2, stock_length, 128)
    ours = SSASTModel.from_pretrained(tmp_path / "ssast").eval()
    with torch.no_grad():
        expected = ours(inputs[:, :max_length]).last_hidden_state
        difference = (stock.eval()(inputs).last_hidden_state - expected).abs().max()
    assert difference < 1e-5


def test_adapted_and_base_models_export_too(model, tmp_path):
    model.set_input_geometry(max_length=50, frequency_stride=4, time_stride=3)
    model.base_model.save_pretrained(tmp_path / "base")
    features = SSASTFeatureExtractor(num_mel_bins=32, max_length=50, mean=-5.0, return_attention_mask=True)
    features.save_pretrained(tmp_path / "base")
    report = convert_hf_to_ast(tmp_path / "base", tmp_path / "ast")
    assert any("takes no attention mask" in line for line in report)
    assert "hidden states agree" in report[-1]
    (tmp_path / "base" / "preprocessor_config.json").rename(tmp_path / "aside.json")
    assert any("AudioSet's mean" in line for line in convert_hf_to_ast(tmp_path / "base", tmp_path / "assumed"))
    config = ASTConfig.from_pretrained(tmp_path / "ast")
    assert (config.frequency_stride, config.time_stride, config.layer_norm_eps) == (4, 3, 1e-6)
    assert json.loads((tmp_path / "ast" / "preprocessor_config.json").read_text())["mean"] == -5.0


def classifier_folder(config, path, **changes):
    config = SSASTConfig(**config.to_dict() | {"id2label": {0: "dog", 1: "rain", 2: "rooster"}} | changes)
    torch.manual_seed(0)
    model = SSASTForAudioClassification(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(path)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(path)
    return model


@pytest.mark.compatibility
def test_classifier_exports_with_its_labels(config, tmp_path):
    fields = {"pooling_mode": "cls", "problem_type": "multi_label_classification"}
    fields["label2id"] = {"dog": 0, "rain": 1, "rooster": 2}
    model = classifier_folder(config, tmp_path / "ssast", classifier_layer_norm_eps=1e-6, **fields)
    report = convert_hf_to_ast(tmp_path / "ssast", tmp_path / "ast")
    assert "logits change by at most" in report[-1]
    stock = ASTForAudioClassification.from_pretrained(tmp_path / "ast").eval()
    inputs = torch.randn(2, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(stock(inputs).logits, model(inputs).logits, rtol=0, atol=1e-5)
    convert_ast_to_hf(tmp_path / "ast", tmp_path / "back")
    for other in (stock.config, SSASTConfig.from_pretrained(tmp_path / "back")):
        assert other.id2label == {0: "dog", 1: "rain", 2: "rooster"}
        assert other.label2id == {"dog": 0, "rain": 1, "rooster": 2}
        assert other.problem_type == "multi_label_classification"


def test_original_and_back_keeps_what_the_original_has_no_place_for(config, tmp_path, capsys):
    fields = {"pooling_mode": "cls", "problem_type": "multi_label_classification", "num_attention_heads": 4}
    fields["label2id"] = {"dog": 0, "rain": 1, "rooster": 2}
    model = classifier_folder(config, tmp_path / "ssast", **fields)
    extractor = SSASTFeatureExtractor(num_mel_bins=32, max_length=64, mean=-6.0, std=3.0, return_attention_mask=True)
    extractor.save_pretrained(tmp_path / "ssast")
    assert run("export-original", tmp_path / "ssast", tmp_path / "out.pth", capsys=capsys)[0] == 0
    status, out, _ = run("convert", tmp_path / "out.pth", tmp_path / "back", capsys=capsys)
    assert status == 0
    assert "note     as in the model that" in out
    other = SSASTForAudioClassification.from_pretrained(tmp_path / "back").eval()
    assert other.config.id2label == {0: "dog", 1: "rain", 2: "rooster"}
    for name, value in fields.items():
        assert getattr(other.config, name) == value
    inputs = torch.randn(2, 64, 32)
    assert torch.equal(other(inputs).logits, model(inputs).logits)
    back = SSASTFeatureExtractor.from_pretrained(tmp_path / "back")
    assert (back.mean, back.std, back.return_attention_mask, back.max_length) == (-6.0, 3.0, True, 64)
    convert_original_to_hf(tmp_path / "out.pth", tmp_path / "mean", pooling_mode="mean")  # what is asked for wins
    assert SSASTConfig.from_pretrained(tmp_path / "mean").pooling_mode == "mean"
    with pytest.raises(ValueError, match="id2label names 2 classes"):
        convert_original_to_hf(tmp_path / "out.pth", tmp_path / "two", id2label={0: "a", 1: "b"})


@pytest.mark.compatibility
def test_names_of_classes_survive_in_a_pretraining_model(model, tmp_path):
    """It has no head for them, and may have come from a classifier of stock AST."""
    model.config.id2label, model.config.label2id = {0: "dog", 1: "rain", 2: "sea"}, {"dog": 0, "rain": 1, "sea": 2}
    model.config.problem_type = "multi_label_classification"
    model.save_pretrained(tmp_path / "ssast")
    convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    convert_original_to_hf(tmp_path / "out.pth", tmp_path / "back")
    back = SSASTConfig.from_pretrained(tmp_path / "back")
    assert (back.id2label, back.problem_type) == (model.config.id2label, model.config.problem_type)


def test_names_of_many_classes_come_back_in_their_order(config, tmp_path):
    names = {i: f"class {i}" for i in range(12)}
    model = SSASTForAudioClassification(SSASTConfig(**config.to_dict() | {"id2label": names, "label2id": None}))
    model.save_pretrained(tmp_path / "ssast")
    fields = json.loads((tmp_path / "ssast" / "config.json").read_text())
    fields["id2label"] = dict(sorted(fields["id2label"].items()))  # 0, 1, 10, 11, 2, as some programs write it
    (tmp_path / "ssast" / "config.json").write_text(json.dumps(fields))
    for name in ("one", "two"):
        convert_hf_to_original(tmp_path / "ssast", tmp_path / name / "out.pth")
    assert (tmp_path / "one" / "out.pth").read_bytes() == (tmp_path / "two" / "out.pth").read_bytes()
    convert_original_to_hf(tmp_path / "one" / "out.pth", tmp_path / "back")
    assert SSASTConfig.from_pretrained(tmp_path / "back").id2label == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds no fields"),
        ('{"config": {"id2label": {"5": "dog"}}}', "does not name the classes"),
        ('{"config": {"num_attention_heads": 1e9}}', "num_attention_heads must be a whole number"),
        ('{"config": {"pooling_mode": "max"}}', "ssast_hf.json is not the fields of a model"),
        ('{"feature_extractor": {"std": "a"}}', "ssast_hf.json"),
    ],
)
def test_extra_entry_of_an_original_file_is_read_with_care(original_file, tmp_path, text, message):
    with zipfile.ZipFile(original_file, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/{ENTRY}", text)
    with pytest.raises(ValueError, match=message):
        convert_original_to_hf(original_file, tmp_path / "ssast")
    assert not (tmp_path / "ssast").exists()


def test_another_epsilon_of_the_classifier_is_measured(config, tmp_path):
    classifier_folder(config, tmp_path / "ssast", pooling_mode="cls")
    report = convert_hf_to_ast(tmp_path / "ssast", tmp_path / "ast")
    assert "has epsilon 1e-06 in stock AST, 1e-05 here" in report[-1]


@pytest.mark.parametrize(
    ("model_class", "fields", "reason"),
    [
        (SSASTForXVector, {}, "the head of an SSASTForXVector"),
        (SSASTForCTC, {"vocab_size": 5, "time_stride": 4}, "the head of an SSASTForCTC"),
        (SSASTForAudioFrameClassification, {}, "the head of an SSASTForAudioFrameClassification"),
        (SSASTForAudioClassification, {"pooling_mode": "attentive"}, 'a classifier on pooling_mode="attentive"'),
        (SSASTForAudioClassification, {"pooling_mode": "statistics"}, 'a classifier on pooling_mode="statistics"'),
        (SSASTForAudioClassification, {"use_weighted_layer_sum": True}, "a classifier on a weighted sum of layers"),
        (SSASTForAudioClassification, {"classifier_proj_size": 8}, "a projection before the classifier"),
    ],
)
def test_heads_that_others_have_no_place_for(config, tmp_path, model_class, fields, reason):
    model = model_class(SSASTConfig(**config.to_dict() | fields))
    model.save_pretrained(tmp_path / "ssast")
    with pytest.raises(ValueError, match=f"has {reason}.* stock AST no place for it"):
        convert_hf_to_ast(tmp_path / "ssast", tmp_path / "ast", allow_pooling_change=True)
    with pytest.raises(ValueError, match=f"has {reason}.* the original's files no place for it"):
        convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["ssast"]


def test_mean_pooled_classifier_is_refused_unless_allowed(config, tmp_path, capsys):
    classifier_folder(config, tmp_path / "ssast")
    status, _, err = run("export-ast", tmp_path / "ssast", tmp_path / "ast", capsys=capsys)
    assert status == 1
    assert "mean of the patch tokens" in err
    assert not (tmp_path / "ast").exists()
    status, out, _ = run("export-ast", tmp_path / "ssast", tmp_path / "ast", "--allow_pooling_change", capsys=capsys)
    assert status == 0
    assert "another pooling" in out


def test_patch_wider_than_high_is_refused(config, tmp_path):
    config = SSASTConfig(**config.to_dict() | {"patch_size": [4, 8], "frequency_stride": 4})
    SSASTForPretraining(config).save_pretrained(tmp_path / "ssast")
    with pytest.raises(ValueError, match="wider than high"):
        convert_hf_to_ast(tmp_path / "ssast", tmp_path / "ast")


def test_export_that_differs_is_refused(config, tmp_path, monkeypatch):
    """As it would if the conversion forgot a field of the configuration."""
    classifier_folder(config, tmp_path / "ssast", pooling_mode="cls", hidden_act="relu")
    fields = [name for name in stock_ast.SHARED_FIELDS if name != "hidden_act"]
    monkeypatch.setattr(stock_ast, "SHARED_FIELDS", fields)
    with pytest.raises(ValueError, match="Hidden states differ"):
        convert_hf_to_ast(tmp_path / "ssast", tmp_path / "ast")
    assert [path.name for path in tmp_path.iterdir()] == ["ssast"]


# --- stock AST -> here -------------------------------------------------------------------------------------------


def stock_folder(path, model_class=ASTModel, **changes):
    fields = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    fields |= {"patch_size": 8, "frequency_stride": 8, "time_stride": 8, "max_length": 64, "num_mel_bins": 32}
    torch.manual_seed(0)
    model = model_class(ASTConfig(**fields | changes)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(path)
    return model


@pytest.mark.compatibility
@pytest.mark.parametrize("model_class", [ASTModel, ASTForAudioClassification])
def test_stock_ast_becomes_a_pretraining_model(tmp_path, model_class):
    stock = stock_folder(tmp_path / "ast", model_class, layer_norm_eps=1e-6)
    report = convert_ast_to_hf(tmp_path / "ast", tmp_path / "ssast")
    model = SSASTForPretraining.from_pretrained(tmp_path / "ssast").eval()
    inputs = torch.randn(2, 64, 32)
    with torch.no_grad():
        expected = stock.base_model(inputs).last_hidden_state
        torch.testing.assert_close(model.base_model(inputs).last_hidden_state, expected, rtol=0, atol=1e-5)
    fresh = [line.split()[1] for line in report if line.startswith("fresh")]
    heads = [name for name in model.state_dict() if not name.startswith("audio_spectrogram_transformer.")]
    assert sorted(fresh) == sorted([*heads, "audio_spectrogram_transformer.embeddings.mask_token"])
    assert model.config.num_masked_patches == 25
    assert model.reconstruction_head.dense.weight.std() > 0.01
    assert model(inputs).loss.isfinite()


@pytest.mark.parametrize("patch_shape", [(128, 2), (32, 8)])
def test_exported_model_comes_back_with_its_patches(tmp_path, patch_shape):
    torch.save(original_checkpoint(patch_shape=patch_shape, max_length=64), tmp_path / "in.pth")
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    convert_hf_to_ast(tmp_path / "ssast", tmp_path / "ast")
    convert_ast_to_hf(tmp_path / "ast", tmp_path / "again")
    before, after = (SSASTConfig.from_pretrained(tmp_path / name) for name in ("ssast", "again"))
    assert (after.patch_size, after.max_length) == (before.patch_size, before.max_length)
    states = [load_file(tmp_path / name / "model.safetensors") for name in ("ssast", "again")]
    encoder = [key for key in states[0] if key.startswith("audio_") and not key.endswith("mask_token")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in encoder)


def test_overlapping_stock_patches_come_with_a_note(tmp_path):
    stock_folder(tmp_path / "ast", frequency_stride=4, time_stride=4)
    assert any("patches overlap" in line for line in convert_ast_to_hf(tmp_path / "ast", tmp_path / "ssast"))


def test_half_precision_stock_checkpoint(tmp_path):
    stock = stock_folder(tmp_path / "ast", layer_norm_eps=1e-6).half()
    stock.save_pretrained(tmp_path / "half")
    convert_ast_to_hf(tmp_path / "half", tmp_path / "ssast")
    saved = load_file(tmp_path / "ssast" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16}


def test_epsilon_of_a_stock_copy_is_kept_with_a_note(tmp_path):
    stock_folder(tmp_path / "ast")
    report = convert_ast_to_hf(tmp_path / "ast", tmp_path / "ssast")
    assert any("--layer_norm_eps 1e-6" in line for line in report)
    assert SSASTConfig.from_pretrained(tmp_path / "ssast").layer_norm_eps == 1e-12
    report = convert_ast_to_hf(tmp_path / "ast", tmp_path / "mended", layer_norm_eps=1e-6)
    assert "hidden states agree" in report[-1]
    assert SSASTConfig.from_pretrained(tmp_path / "mended").layer_norm_eps == 1e-6


@pytest.mark.parametrize("key", ["layernorm.weight", "embeddings.cls_token"])
def test_incomplete_stock_checkpoint_is_refused(tmp_path, key):
    stock_folder(tmp_path / "ast")
    path = tmp_path / "ast" / "model.safetensors"
    state = load_file(path)
    del state[key]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"missing: audio_spectrogram_transformer.{key}"):
        convert_ast_to_hf(tmp_path / "ast", tmp_path / "ssast")


@pytest.mark.parametrize("command", ["export-ast", "export-original", "import-ast"])
def test_folders_of_another_kind_are_refused(tmp_path, capsys, command):
    (tmp_path / "bert").mkdir()
    for content, message in ((None, "config.json"), ("{}", "model_type"), ("{", "not a valid configuration")):
        if content is not None:
            (tmp_path / "bert" / "config.json").write_text(content)
        status, _, err = run(command, tmp_path / "bert", tmp_path / "out", capsys=capsys)
        assert status == 1
        assert message in err
    assert not (tmp_path / "out").exists()
    assert run(command, tmp_path / "absent", tmp_path / "out", capsys=capsys)[0] == 1


def test_damaged_weights_of_a_folder_are_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "ssast")
    path = tmp_path / "ssast" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file"):
        convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_base_model_has_no_place_in_the_original(model, tmp_path):
    model.base_model.save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="encoder alone"):
        convert_hf_to_original(tmp_path / "base", tmp_path / "out.pth")


def test_unused_heads_are_optional(tmp_path):
    checkpoint = {key: tensor for key, tensor in original_checkpoint().items() if "v.head" not in key}
    torch.save(checkpoint, tmp_path / "in.pth")
    convert_original_to_hf(tmp_path / "in.pth", tmp_path / "ssast")
    report = convert_hf_to_original(tmp_path / "ssast", tmp_path / "out.pth")
    assert "v.head.weight" in report[-1]
    assert_same_tensors(torch.load(tmp_path / "out.pth", weights_only=True), checkpoint)


def test_scripts_are_the_commands(original_file, tmp_path, monkeypatch):
    scripts = Path(__file__).parents[2] / "conversion_scripts"

    def script(name, *arguments):
        path = str(scripts / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(path, run_name="__main__")
        assert caught.value.code == 0

    script("convert_original_to_hf", original_file, tmp_path / "ssast")
    script("convert_hf_to_ast", tmp_path / "ssast", tmp_path / "ast")
    script("convert_hf_to_original", tmp_path / "ssast", tmp_path / "out.pth")
    script("convert_ast_to_hf", tmp_path / "ast", tmp_path / "again")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("ssast", "again"))
    key = "audio_spectrogram_transformer.encoder.layer.0.output.dense.weight"
    np.testing.assert_array_equal(first[key], second[key])
