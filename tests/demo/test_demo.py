import json

import pytest
import torch
from safetensors.torch import load_file

from ssast_hf.assets import nano_model
from ssast_hf.cli import main


@pytest.mark.compatibility
def test_demo_runs_from_end_to_end(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf_home"))
    folder = tmp_path / "demo"
    assert main(["demo", "--output_dir", str(folder), "--steps", "24"]) == 0
    printed = capfd.readouterr()
    losses = json.loads((folder / "ssast-continued" / "losses.json").read_text())
    assert len(losses) == 24
    assert losses[-1]["loss"] < 0.9 * losses[0]["loss"]
    for name in ("original.pth", "ssast/config.json", "reconstruction.png", "ast/config.json"):
        assert (folder / name).exists()
    assert "continued pretraining: 100%" in printed.err
    assert len(printed.out.strip().splitlines()) == 6  # one row per step of the way

    assert main(["demo", "--output_dir", str(folder)]) == 1  # nothing is replaced unasked
    assert "--overwrite" in capfd.readouterr().err


def test_help_names_the_checkpoint_that_is_taken(capsys, tmp_path, monkeypatch):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert "(default: the bundled nano model)" in " ".join(capsys.readouterr().out.split())

    def stop(checkpoint, *arguments, **options):
        state = torch.load(checkpoint, weights_only=True)
        nano = load_file(nano_model() / "model.safetensors")
        assert torch.equal(state["module.gpredlayer.0.bias"], nano["reconstruction_head.dense.bias"])
        raise ValueError("far enough")

    monkeypatch.setattr("ssast_hf.demo.walkthrough.convert_checkpoint", stop)
    assert main(["demo", "--output_dir", str(tmp_path / "demo")]) == 1
    assert "far enough" in capsys.readouterr().err
