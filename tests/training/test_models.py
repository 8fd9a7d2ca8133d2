"""What a run refuses to begin with, without running any code that it brings."""

import json

import pytest
from command import options
from fresh import FreshProcess

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPretraining
from ssast_hf.cli import main
from ssast_hf.training.models import ModelArguments, make_model


@pytest.mark.compatibility
def test_code_of_another_model_is_neither_run_nor_asked_about(model_dir, audio_folder, tmp_path):
    marker = tmp_path / "was-run"
    config = {"model_type": "foreign", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (model_dir / "config.json").write_text(json.dumps(config))
    (model_dir / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    code = """
import builtins, sys
def ask(*arguments):
    print("asked", *arguments)
    return "y"
builtins.input = ask
from ssast_hf.cli import main
print(main(sys.argv[1:]))
"""
    process = FreshProcess(code, options(model_dir, audio_folder, tmp_path / "out"), tmp_path, has_package=True)
    assert process.finish() == "1\n"
    assert f"error: {model_dir} is a model of type 'foreign'." in process.errors()
    assert not marker.exists()


@pytest.mark.compatibility
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize(
    "content",
    ["[]", '"text"', "null", "[" * 100_000, "{", '{"model_type": "ssast", "hidden_size": "wide", "num_mel_bins": []}'],
    ids=["list", "text", "null", "deep", "cut", "wrong types"],
)
def test_broken_configuration_is_one_line(name, content, model_dir, audio_folder, tmp_path, capsys):
    (model_dir / name).write_text(content)
    if name != "config.json" and content.startswith('{"'):
        (model_dir / name).write_text('{"sampling_rate": "fast", "mean": []}')
    assert main(options(model_dir, audio_folder, tmp_path / "out")) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith(f"error: {model_dir / name}")
    assert "Traceback" not in "".join(error)


def test_nano_is_the_bundled_model(audio_folder, tmp_path):
    output = tmp_path / "out"
    assert main(options("nano", audio_folder, output, max_length=64, max_steps=1, validation_fraction=0)) == 0
    assert json.loads((output / "config.json").read_text())["hidden_size"] == 160


def test_released_checkpoint_is_named_as_it_is_written(audio_folder, tmp_path, capsys):
    assert main(options("ssast-base-patch-400", audio_folder, tmp_path / "out")) == 1
    assert "ssast-hf convert SSAST-Base-Patch-400 FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("trained", "max_length", "asked", "masked"),
    [(512, 64, None, 8), (512, 64, 25, 25), (512, 256, None, 100), (64, 64, None, 25)],
)
def test_of_much_shorter_inputs_a_quarter_is_masked(trained, max_length, asked, masked, tmp_path, capsys):
    config = SSASTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, max_length=trained)
    SSASTForPretraining(config).save_pretrained(tmp_path)
    SSASTFeatureExtractor(max_length=trained).save_pretrained(tmp_path)
    arguments = ModelArguments(str(tmp_path), max_length=max_length, num_masked_patches=asked)
    for _ in range(2):  # as for a run that ends with the untouched model
        assert make_model(arguments)[0].config.num_masked_patches == masked
    told = "8 of 32 patches are masked: with --max_length 64 the model's share would leave 7 visible"
    assert capsys.readouterr().err.count(told) == (masked == 8)
