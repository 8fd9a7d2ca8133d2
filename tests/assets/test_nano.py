"""The pretrained model that comes with the package."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining, AutoProcessor

from ssast_hf import SSASTFeatureExtractor, SSASTForPretraining
from ssast_hf.assets import bundled_clips, nano_model
from ssast_hf.audio import load_audio


def test_is_small_and_says_where_it_comes_from():
    assert (nano_model() / "model.safetensors").stat().st_size <= 4_000_000
    card = (nano_model() / "README.md").read_text()
    for needed in ("ssast-hf pretrain", "seed 42", "cc-by-sa-4.0", "training_data.csv", "curves.png"):
        assert needed in card
    with (nano_model() / "training_data.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(float(row["hours"]) for row in rows) > 12
    assert all(row["source"] and row["authors"] for row in rows)
    free = ("CC0", "CC-BY-", "BSD", "Expat", "MIT", "rendered by us")
    assert all(any(term in row["licence"] for term in free) for row in rows)
    assert not any(term in row["licence"] for row in rows for term in ("NC", "ND"))


def test_knows_more_than_chance():
    model = SSASTForPretraining.from_pretrained(nano_model(), dtype=torch.float32).eval()
    feature_extractor = SSASTFeatureExtractor.from_pretrained(nano_model(), return_attention_mask=True)
    clips = [load_audio(path) for path in bundled_clips()]
    inputs = feature_extractor(clips, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, generator=torch.Generator().manual_seed(0))
    # A guess is right once in as many patches as the clip has masked ones.
    counts = outputs.bool_masked_pos.sum(dim=1)
    assert outputs.accuracy > 2 * len(counts) / counts.sum()
    targets = model.patchify(inputs["input_values"])[outputs.bool_masked_pos]
    assert outputs.generative_loss < 0.8 * targets.var()
    assert outputs.prediction_variance > 0.01


def test_configuration_travels_as_any_other():
    config = json.loads((nano_model() / "config.json").read_text())
    assert config["model_type"] == "ssast"
    assert config["dtype"] == "float32"  # in which it is loaded; the file is smaller
    assert {tensor.dtype for tensor in load_file(nano_model() / "model.safetensors").values()} == {torch.bfloat16}
    assert config["decoder_num_hidden_layers"] == 2  # it was trained on visible patches only


# Everything that a stranger loads, and that the numbers are float32.
LOAD = """
import sys
from transformers import AutoConfig, AutoFeatureExtractor, AutoProcessor
from transformers import AutoModel, AutoModelForAudioClassification, AutoModelForPreTraining
for kind in (AutoConfig, AutoFeatureExtractor, AutoProcessor):
    kind.from_pretrained(sys.argv[1], trust_remote_code=True)
for kind in (AutoModel, AutoModelForPreTraining, AutoModelForAudioClassification):
    print(kind.from_pretrained(sys.argv[1], trust_remote_code=True).dtype)
"""


@pytest.mark.compatibility
def test_loads_where_the_package_is_not_installed(run_without_package):
    assert run_without_package(LOAD, nano_model()).split() == ["torch.float32"] * 3


@pytest.mark.compatibility
@pytest.mark.parametrize("options", [{}, {"trust_remote_code": False}, {"trust_remote_code": True}], ids=str)
def test_loads_with_the_package_without_a_question(options, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *arguments: pytest.fail("asked whether to run custom code"))
    for kind in (AutoConfig, AutoFeatureExtractor, AutoProcessor):
        kind.from_pretrained(nano_model(), **options)
    for kind in (AutoModel, AutoModelForPreTraining):
        assert kind.from_pretrained(nano_model(), **options).dtype == torch.float32
