import json

import pytest
from transformers import ASTForAudioClassification

from ssast_hf.assets import nano_model
from ssast_hf.cli import main


@pytest.mark.compatibility
def test_demo_runs_from_end_to_end(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf_home"))
    folder = tmp_path / "demo"
    assert main(["demo", "--output_dir", str(folder), "--steps", "16"]) == 0
    printed = capfd.readouterr()
    losses = json.loads((folder / "ssast-continued" / "losses.json").read_text())
    assert len(losses) == 16
    assert losses[-1]["loss"] < 0.95 * losses[0]["loss"]
    for name in ("rooster.png", "dog.png", "ast/config.json", "index.html"):
        assert (folder / name).exists()
    assert "continued pretraining: 100%" in printed.err
    lines = printed.out.splitlines()
    assert "will learn from 6 clips of sound for 16 steps" in lines[0]  # and only then begins
    assert "about a minute" in lines[1]
    assert [line[:6] for line in lines[2:7]] == [f"{i} of 5" for i in range(1, 6)]
    assert "LABEL_" not in printed.out
    assert lines[-1].startswith(f"Now open {folder / 'index.html'}")
    classifier = ASTForAudioClassification.from_pretrained(folder / "ast")
    assert set(classifier.config.id2label.values()) >= {"rooster", "dog", "rain", "speech"}
    page = (folder / "index.html").read_text()
    assert page.count("<audio ") == 8 + 2
    assert page.count("<img ") == 2 + 1

    assert main(["demo", "--output_dir", str(folder)]) == 1  # nothing is replaced unasked
    assert "--overwrite" in capfd.readouterr().err


def test_help_names_the_checkpoint_that_is_taken(capsys, tmp_path, monkeypatch):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert "(default: nano, the bundled model)" in " ".join(capsys.readouterr().out.split())


def test_names_of_checkpoints_are_converted_first(original_file, tmp_path, capsys, monkeypatch):
    def stop(checkpoint, output_dir, **options):
        raise ValueError(f"asked to convert {checkpoint}")

    monkeypatch.setattr("ssast_hf.demo.walkthrough.convert_checkpoint", stop)
    for checkpoint in ("SSAST-Tiny-Patch-400", str(original_file)):
        assert main(["demo", "--output_dir", str(tmp_path / "demo"), "--checkpoint", checkpoint]) == 1
        assert f"asked to convert {checkpoint}" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--checkpoint", "nano"]])
def test_nano_is_taken_as_it_is(options, tmp_path, capsys, monkeypatch):
    def stop(model, *arguments):
        raise ValueError(f"asked to continue {model}")

    monkeypatch.setattr("ssast_hf.demo.walkthrough.continue_pretraining", stop)
    assert main(["demo", "--output_dir", str(tmp_path / "demo"), *options]) == 1
    assert f"asked to continue {nano_model()}" in capsys.readouterr().err
