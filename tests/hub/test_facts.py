"""What a card takes over from a run: only what the run wrote, about these weights, and nothing of this machine."""

import json

import pytest
import yaml

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPretraining
from ssast_hf.hub.facts import read_accuracy, read_training
from ssast_hf.hub.staging import stage_repository
from ssast_hf.storage.reading import sha256_of


@pytest.fixture
def folder(config, tmp_path):
    """A folder as `pretrain` leaves it."""
    folder = tmp_path / "out"
    SSASTForPretraining(config).save_pretrained(folder)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    facts = {
        "base_model": "org/ssast-nano",
        "is_on_hub": True,
        "command": "ssast-hf pretrain --model_name_or_path org/ssast-nano --train_data /home/ada/birds --max_steps 80",
        "data": {"sources": ["/home/ada/birds"], "recordings": 120, "hours": 2.5, "validation_recordings": 6},
        "steps": 80,
        "validation": {"before": {"loss": 5.119, "accuracy": 0.01}, "after": {"loss": 4.729, "accuracy": 0.03}},
        "sha256": {"model.safetensors": sha256_of(folder / "model.safetensors")},
    }
    (folder / "training.json").write_text(json.dumps(facts))
    return folder


def card_of(folder, tmp_path, **options) -> str:
    stage_repository(folder, tmp_path / "staged", "org/birds", license="mit", **options)
    return (tmp_path / "staged" / "README.md").read_text()


def test_card_takes_over_what_the_run_knew(folder, tmp_path):
    card = card_of(folder, tmp_path)
    assert yaml.safe_load(card.split("---")[1])["base_model"] == "org/ssast-nano"
    assert "80 steps of training on `birds`: 120 recordings, 2.5 hours; 6 more for validation." in card
    assert "ssast-hf pretrain --model_name_or_path org/ssast-nano --train_data birds --max_steps 80" in card
    assert "| loss | 5.119 | 4.729 |\n| pretext accuracy | 0.01 | 0.03 |" in card
    assert "/home/ada" not in card
    assert "Not stated" not in card
    assert not (tmp_path / "staged" / "training.json").exists()


def test_other_weights_have_no_such_past(folder, config, tmp_path):
    config.num_hidden_layers = 1
    SSASTForPretraining(config).save_pretrained(folder)
    assert read_training(folder) is None
    assert "Not stated by the publisher." in card_of(folder, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("command", "```\n# Mine"),
        ("command", 5),
        ("steps", "many"),
        ("base_model", "x" * 5000),
        ("base_model", "not on the Hub"),
        ("data", []),
        ("data", {"sources": [1]}),
        ("validation", {"before": {"loss": float("nan")}}),
    ],
)
def test_what_no_run_writes_is_refused(name, value, folder):
    facts = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps(facts | {name: value}))
    with pytest.raises(ValueError, match=r"training.json: .* Delete the file"):
        read_training(folder)


def test_card_of_a_classifier_has_its_accuracy(config, tmp_path):
    folder = tmp_path / "classifier"
    SSASTForAudioClassification(config).save_pretrained(folder)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    assert read_accuracy(folder) is None
    state = {"log_history": [{"eval_accuracy": 0.5, "step": 1}, {"eval_accuracy": 0.875, "step": 2}, {"loss": 1.0}]}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    assert "accuracy 0.875 on its validation data" in card_of(folder, tmp_path)
    (folder / "all_results.json").write_text(json.dumps({"eval_accuracy": 1.5}))
    with pytest.raises(ValueError, match=r"eval_accuracy must be from 0 to 1, got 1\.5"):
        read_accuracy(folder)
