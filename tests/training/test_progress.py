"""The line that a log entry becomes."""

from types import SimpleNamespace

import pytest

from ssast_hf.training.arguments import ENDLESS
from ssast_hf.training.progress import Progress, log_line


STATE = SimpleNamespace(global_step=50, max_steps=1000)
LOGS = {"loss": 4.8017, "discriminative_loss": 2.268, "generative_loss": 0.25337, "accuracy": 0.3031}


def test_training_and_validation_are_one_line_each():
    logs = LOGS | {"learning_rate": 1e-4, "clips_per_second": 15.65, "epoch": 0.4, "grad_norm": 1.0}
    assert log_line(logs, STATE, 10.0, 200) == (
        "step 50/1000: loss 4.802 (2.268 + 10 x 0.253), accuracy 0.303, 15.7 clips/s, rate 0.0001, 3:20 left"
    )
    validation = {f"eval_{name}": value for name, value in LOGS.items()}
    endless = SimpleNamespace(global_step=50, max_steps=ENDLESS)
    assert log_line(validation, endless, None, 0) == "step 50: validation loss 4.802 (2.268, 0.253), accuracy 0.303"
    assert log_line({"something": 1.0}, STATE, 10.0, 0) is None


@pytest.mark.parametrize("value", [123456.789, 1.2345678e-9, float("nan"), float("-inf")])
def test_no_line_is_longer_than_120_characters(value):
    logs = dict.fromkeys([*LOGS, "learning_rate", "clips_per_second"], value)
    state = SimpleNamespace(global_step=999_999, max_steps=999_999)
    assert len(log_line(logs, state, 10.0, 359_999)) <= 120


def test_a_line_of_a_long_run_is_shown_to_its_end():
    logs = {"loss": 12.3456, "discriminative_loss": 11.2345, "generative_loss": 0.0012345, "accuracy": 0.12345}
    state = SimpleNamespace(global_step=1_000_000, max_steps=1_000_000)
    line = log_line(logs | {"learning_rate": 1.2345e-7, "clips_per_second": 1234.5}, state, 10.0, 359_999)
    assert line.endswith(" left")


def test_bar_shows_the_last_loss_and_metric():
    trainer = SimpleNamespace(line_of=lambda logs, seconds: "a line", stop=SimpleNamespace(max_seconds=None))
    progress, shown = Progress(trainer), []
    progress.bar = SimpleNamespace(set_postfix=lambda figures: shown.append(dict(figures)))
    args = SimpleNamespace(metric_for_best_model="macro_f1")
    state = SimpleNamespace(global_step=5, max_steps=10, is_world_process_zero=True)
    for logs in ({"loss": 1.23456, "grad_norm": 3.0}, {"eval_loss": 2.0, "eval_macro_f1": 0.5}):
        progress.on_log(args, state, None, logs=logs)
    assert shown == [{"loss": "1.235"}, {"loss": "1.235", "validation macro f1": "0.5"}]
