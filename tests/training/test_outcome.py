"""What a run has led to: before and after, the best as the result, and an end after so many minutes."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from command import options, weights

from ssast_hf.cli import main
from ssast_hf.training.outcome import find_outcome, sentence
from ssast_hf.training.stopping import StopRequest


def run_of(losses: dict[int, float], folder, best: int):
    """A trainer that validated so at these steps, with a checkpoint of each."""
    for step in losses:
        (folder / f"checkpoint-{step}").mkdir()
    history = [{"step": step, "eval_loss": loss} for step, loss in losses.items()]
    state = SimpleNamespace(log_history=history, best_global_step=best, global_step=max(losses))
    args = SimpleNamespace(output_dir=str(folder), metric_for_best_model="loss", greater_is_better=False)
    return SimpleNamespace(state=state, args=args)


@pytest.mark.parametrize(
    ("losses", "best", "step", "words"),
    [
        ({0: 5.12, 5: 4.9, 9: 4.73}, 9, 9, "validation loss 5.12 before, 4.73 after"),
        ({0: 5.12, 5: 4.7, 9: 4.8}, 5, 5, "4.8 after; the best is OUT/checkpoint-5 (4.7), and OUT holds it"),
        (
            {0: 5.12, 5: 5.0, 9: 5.2},
            5,
            5,
            "5.2 after, so the run ends worse than it began; the best is OUT/checkpoint-5",
        ),
        (
            {0: 5.12, 5: 5.2, 9: 5.3},
            5,
            0,
            "the best is the untouched model, START, and OUT holds it; the last weights",
        ),
        ({0: 5.12, 9: math.nan}, None, 0, "nan after, so the run ends worse than it began; the best is the untouched"),
    ],
)
def test_the_best_is_the_result(losses, best, step, words, tmp_path):
    trainer = run_of(losses, tmp_path, best)
    outcome = find_outcome(trainer, loads_best=True, may_be_untouched=True)
    assert outcome.result["step"] == step
    assert find_outcome(trainer, loads_best=False, may_be_untouched=True).result["step"] == 9
    assert words in sentence(outcome, tmp_path, "START").replace(str(tmp_path), "OUT")


@pytest.mark.compatibility
def test_run_that_does_harm_leaves_the_untouched_model(model_dir, audio_folder, tmp_path, capsys):
    output = tmp_path / "out"
    changes = {"learning_rate": 1.0, "warmup_steps": 0, "visualize_steps": 6, "load_best_model_at_end": True}
    assert main(options(model_dir, audio_folder, output, **changes)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "so the run ends worse than it began; the best is the untouched model" in printed[-1]
    assert str(model_dir) in printed[-1]
    assert all(len(line) <= 120 for line in printed if line.startswith("step "))
    assert printed[0].startswith("step 0/6: validation loss ")
    before, after, last = weights(model_dir), weights(output), weights(output / "checkpoint-6")
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert not any(torch.equal(tensor, before[name]) for name, tensor in last.items() if tensor.ndim > 1)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert history[0]["step"] == 0
    report = (output / "report.md").read_text()
    assert "ends worse than it began" in report
    assert "- warmup_steps" not in report
    assert "- metric_for_best_model: loss, as the command did not say" in report
    for i in range(3):  # of 12 clips
        assert f"![before training](figures/step-0000000-clip-{i}.png) | ![after 6 steps](" in report
    assert report.count(".wav\n") == 3
    facts = json.loads((output / "training.json").read_text())
    assert facts["base_model"] == str(model_dir)
    assert facts["data"]["recordings"] == 9
    assert facts["validation"]["before"] == facts["validation"]["after"]


def test_minutes_end_a_run_with_its_result_and_more_go_on(model_dir, audio_folder, tmp_path, monkeypatch, capsys):
    straight, timed = tmp_path / "straight", tmp_path / "timed"
    changes = {"save_steps": 100, "load_best_model_at_end": True}
    assert main(options(model_dir, audio_folder, straight, **changes)) == 0
    calls = []

    def is_up_after_four(self):
        calls.append(self)
        return len(calls) == 4

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "time_is_up", is_up_after_four)
        assert main(options(model_dir, audio_folder, timed, max_minutes=5, **changes)) == 0
    assert (timed / "model.safetensors").exists()
    assert (timed / "report.md").exists()
    assert "validation loss" in capsys.readouterr().out.splitlines()[-1]
    state = json.loads((timed / "trainer_state.json").read_text())
    assert state["global_step"] == 4
    assert main(options(model_dir, audio_folder, timed, max_minutes=1e-6, **changes)) == 0
    assert "No step is left to make." in capsys.readouterr().err
    assert main(options(model_dir, audio_folder, timed, max_minutes=50, **changes)) == 0
    for name, tensor in weights(straight / "checkpoint-6").items():
        assert torch.equal(tensor, weights(timed / "checkpoint-6")[name]), name
