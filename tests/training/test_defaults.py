"""Defaults that depend on the model and on how long a run is."""

import pytest

from ssast_hf import SSASTConfig
from ssast_hf.training.arguments import RunArguments
from ssast_hf.training.defaults import count_steps, resolve_defaults, warmup_of, warn_of_warmup


def resolved(tmp_path, hidden_size=128, is_continued=True, clips=100, **options):
    arguments = RunArguments(output_dir=str(tmp_path), use_cpu=True, **options)
    config = SSASTConfig(hidden_size=hidden_size, num_attention_heads=2)
    return arguments, resolve_defaults(arguments, config, is_continued, clips)


@pytest.mark.compatibility
def test_continuing_takes_a_fifth_of_the_rate_from_scratch(tmp_path):
    rates = [
        resolved(tmp_path, width, is_continued)[0].learning_rate
        for width in (192, 768)
        for is_continued in (False, True)
    ]
    assert rates == pytest.approx([5e-4, 1e-4, 1e-4, 2e-5])
    assert resolved(tmp_path, learning_rate=0.5)[0].learning_rate == 0.5


def test_rate_decays_where_the_length_is_known_and_only_there(tmp_path):
    for options in ({}, {"max_steps": 10}, {"num_train_epochs": 2, "max_minutes": 1}):
        assert resolved(tmp_path, **options)[0].lr_scheduler_type == "cosine_warmup_with_min_lr"
    arguments, left_open = resolved(tmp_path, max_minutes=1)
    assert (arguments.lr_scheduler_type, arguments.warmup_steps) == ("constant_with_warmup", 20)
    assert count_steps(arguments, 100) is None
    assert "lr_scheduler_type" in left_open
    plateau, left_open = resolved(tmp_path, lr_scheduler_type="reduce_lr_on_plateau")
    assert (plateau.lr_scheduler_type, plateau.metric_for_best_model) == ("reduce_lr_on_plateau", "accuracy")
    assert "lr_scheduler_type" not in left_open


@pytest.mark.parametrize(
    ("wanted", "steps", "expected"),
    [(None, 80, 8), (None, 9, 0), (None, 50_000, 1000), (0.05, 80, 4), (200, 80, 200), (0, 80, 0), (None, None, 20)],
)
def test_a_tenth_of_the_run_is_warmup(wanted, steps, expected, tmp_path, capsys):
    assert warmup_of(wanted, steps) == expected
    warn_of_warmup(steps or 1000, expected)
    assert ("ends inside its warm-up" in capsys.readouterr().err) == (expected == 200)


def test_steps_of_epochs_are_counted_as_trainer_does(tmp_path):
    options = {"num_train_epochs": 1.5, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
    assert count_steps(resolved(tmp_path, **options)[0], 100) == 11  # 13 batches, 7 steps an epoch
    assert resolved(tmp_path, **options)[0].warmup_steps == 1
