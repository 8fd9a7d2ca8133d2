"""Sizes that JSON announces are compared with what is believable, and with the weights, before anything is made."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.storage.sizes import check_model_folder, read_config_fields, read_extractor_fields


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_hidden_layers", 1_000_000),
        ("decoder_num_hidden_layers", 1_000_000),
        ("num_labels", 10**9),
        ("hidden_size", 10**9),
        ("hidden_size", "32"),
        ("intermediate_size", -1),
        ("num_mel_bins", 2.5),
        ("max_length", 10**30),
        ("patch_size", [8, 10**9]),
        ("time_stride", True),
        ("id2label", ["dog"]),
        ("id2label", dict.fromkeys(map(str, range(100_001)), "x")),
        ("attn_implementation", "someone/code"),
        ("configuration_files", ["config.1.0.0.json"]),
        ("transformers_weights", "other.safetensors"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_fields_beyond_all_belief(folder, name, value):
    change(folder / "config.json", **{name: value})
    with pytest.raises(ValueError, match=rf"config\.json.* {name}") as caught:
        read_config_fields(folder)
    assert len(str(caught.value)) < 400


def test_inputs_are_limited_as_a_whole(folder):
    change(folder / "config.json", max_length=1 << 23, time_stride=1 << 20)
    with pytest.raises(ValueError, match=r"max_length=8388608 frames of num_mel_bins=32 are more"):
        read_config_fields(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("sampling_rate", 10**12), ("num_mel_bins", "32"), ("mean", None), ("std", float("nan"))]
)
def test_feature_extractor_beyond_all_belief(folder, name, value):
    assert read_extractor_fields(folder)["num_mel_bins"] == 32
    change(folder / "preprocessor_config.json", **{name: value})
    with pytest.raises(ValueError, match=rf"preprocessor_config\.json: {name} must be a"):
        read_extractor_fields(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 64}, r"cls_token is \(1, 1, 32\), but config\.json makes it \(1, 1, 64\)"),
        ({"intermediate_size": 65536}, r"intermediate\.dense\.weight is \(64, 32\)"),
        ({"max_length": 64_000, "num_masked_patches": 3}, "position_embeddings is"),
        ({"num_hidden_layers": 1000, "hidden_act": "nonsense"}, r"config\.json is not a valid configuration"),
        ({"model_type": "bert"}, r"config\.json has model_type 'bert'"),
    ],
)
def test_folder_whose_weights_have_other_shapes(folder, changes, message):
    check_model_folder(folder)
    change(folder / "config.json", **changes)
    with pytest.raises(ValueError, match=message):
        check_model_folder(folder)


def test_folder_that_would_make_a_model_far_larger_than_its_weights(folder):
    change(folder / "config.json", decoder_num_hidden_layers=2)
    check_model_folder(folder)  # a new decoder is wanted sometimes
    change(folder / "config.json", decoder_hidden_size=1 << 16)
    with pytest.raises(ValueError, match=r"makes a model of \d+ parameters more than the \d+ in the folder"):
        check_model_folder(folder)


@pytest.mark.parametrize("model_class", [SSASTForAudioClassification, "base"])
def test_folders_of_every_class_can_be_continued(model, config, tmp_path, model_class):
    other = model.base_model if model_class == "base" else model_class(config)
    other.save_pretrained(tmp_path / "model")
    check_model_folder(tmp_path / "model")
    state = load_file(tmp_path / "model" / "model.safetensors")
    key = next(key for key in state if key.endswith("layernorm_before.bias"))
    save_file(state | {key: torch.ones(5)}, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"is \(5,\), but config\.json makes it \(32,\)"):
        check_model_folder(tmp_path / "model")
