"""What people really do: one line each that names it and says what to do."""

import errno
import logging

import numpy as np
import pytest
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, feature_extraction_ssast
from ssast_hf.assets import named_model, nano_model
from ssast_hf.cli import main, message_of
from ssast_hf.training.arguments import option_meant


@pytest.fixture
def warnings(monkeypatch, caplog):
    """What the feature extractor warns of, as in a process that was told nothing yet."""
    monkeypatch.setattr(feature_extraction_ssast, "_TOLD", set())
    caplog.set_level(logging.WARNING, logger=feature_extraction_ssast.__name__)
    monkeypatch.setattr(feature_extraction_ssast.logger, "propagate", True)
    return lambda: [record.getMessage() for record in caplog.records]


def noise(num_samples=8000, scale=0.3):
    return (scale * np.random.RandomState(0).uniform(-1, 1, num_samples)).astype(np.float32)


# --- features ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "divisor"), [(3000.0, 32768), (32768.0, 32768), (2.0**31, 2**31)])
def test_integers_in_floating_point_are_told_once(warnings, scale, divisor):
    extractor = SSASTFeatureExtractor(max_length=64)
    for _ in range(2):
        extractor([noise(), noise(scale=scale)], sampling_rate=16000)
    (warning,) = warnings()
    assert warning.startswith("Clip 1 has samples up to ")
    assert f"Divide it by {divisor}" in warning


def test_audio_a_little_beyond_full_scale_is_not_told(warnings):
    SSASTFeatureExtractor(max_length=64)(noise(scale=4.0), sampling_rate=16000)
    assert not warnings()


def test_a_clip_that_is_cut_is_told_once_with_how_much_is_dropped(warnings):
    extractor = SSASTFeatureExtractor(max_length=64)
    extractor(noise(extractor.num_samples(64)), sampling_rate=16000)  # fits
    extractor(noise(32000), sampling_rate=16000, truncation=False)
    assert not warnings()
    for _ in range(2):
        extractor([noise(), noise(32000)], sampling_rate=16000)
    (warning,) = warnings()
    assert "Clip 1 has 1.98 s" in warning
    assert "max_length=64 frames keep the first 0.64 s: 1.34 s (68%) are dropped" in warning


# --- models ------------------------------------------------------------------------------------------------------


@pytest.mark.compatibility
def test_forgotten_return_tensors(model):
    inputs = SSASTFeatureExtractor(num_mel_bins=32, max_length=64)(noise(), return_attention_mask=True)
    for called in (model, model.base_model):
        with pytest.raises(ValueError, match=r'input_values must be a tensor, got list: pass return_tensors="pt"'):
            called(**inputs)
        with pytest.raises(ValueError, match="attention_mask must be a tensor, got list"):
            called(torch.tensor(np.stack(inputs["input_values"])), attention_mask=inputs["attention_mask"])
    with pytest.raises(ValueError, match=r"got BatchFeature: .*model\(\*\*inputs\)"):
        model(inputs)


@pytest.fixture
def classifier(config):
    config.id2label = {0: "dog", 1: "cat"}
    return SSASTForAudioClassification(config)


@pytest.mark.compatibility
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["dog", "cat", "dog"], "got names such as 'dog': pass torch.tensor([model.config.label2id[name] for name in"),
        (np.array(["cat"] * 3), "got names such as 'cat'"),
        ([0, 1, 0], "got list: pass torch.tensor(labels)."),
        (
            torch.tensor([0, 1, 4]),
            "labels holds 4, but the model has 2 classes, counted from 0: load it with num_labels=5",
        ),
        (torch.tensor([0, 1, -1]), "labels holds -1, but the model has 2 classes, counted from 0."),
    ],
    ids=["names", "array of names", "list", "too large", "negative"],
)
def test_labels_that_do_not_fit(classifier, input_values, labels, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        classifier(input_values, labels=labels)
    assert message in str(raised.value)


def test_labels_that_do_fit(classifier, input_values):
    assert classifier(input_values, labels=torch.tensor([0, -100, 1])).loss.isfinite()
    classifier.config.problem_type = None
    assert classifier(input_values, labels=torch.tensor([[1.0, 0.0]] * 3)).loss.isfinite()


# --- the command line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("--lr", "--learning_rate"),
        ("--lr=1e-4", "--learning_rate"),
        ("--batch_size", "--per_device_train_batch_size"),
        ("--batch-size", "--per_device_train_batch_size"),
        ("--epochs", "--num_train_epochs"),
        ("--learning_rat", "--learning_rate"),
        ("--xyzzy", None),
    ],
)
def test_option_that_is_meant(text, meant):
    known = ["--learning_rate", "--per_device_train_batch_size", "--num_train_epochs", "--train_data"]
    assert option_meant(text, known) == meant


@pytest.mark.parametrize("name", ["SSAST-Tiny-Patch400", "ssast_tiny_patch_400", "SSAST-Tiny-Patch-40"])
def test_checkpoint_that_is_meant(name, tmp_path, capsys):
    assert main(["convert", name, str(tmp_path / "out")]) == 1
    assert "Did you mean SSAST-Tiny-Patch-400?" in capsys.readouterr().err


def test_nano_is_the_bundled_model_unless_a_folder_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named_model("nano") == str(nano_model())
    assert named_model("other") == "other"
    (tmp_path / "nano").mkdir()
    assert named_model("nano") == "nano"


def test_folder_without_permission_is_named(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a" / "b" / "model.safetensors"))
    assert f"no permission to write in {tmp_path}." in message_of(error, "convert")
    read_only = OSError(errno.EROFS, "Read-only file system", str(tmp_path))
    assert message_of(read_only, "stats").startswith(f"{tmp_path}: no permission to write to it.")


def test_what_is_missing_comes_with_a_line_to_paste():
    error = ModuleNotFoundError("No module named 'soundfile'", name="soundfile")
    assert message_of(error, "demo") == 'soundfile is not installed: pip install "ssast_hf[train]"'
