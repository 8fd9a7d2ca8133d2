import inspect
import json

import pytest

from ssast_hf.cli import main
from ssast_hf.demo.walkthrough import run_demo


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


def test_help_names_the_checkpoint_that_is_taken(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert "(default: the bundled nano model)" in " ".join(capsys.readouterr().out.split())
    assert inspect.signature(run_demo).parameters["checkpoint"].default is None
    assert "nano_model()" in inspect.getsource(run_demo)
