"""What fine-tuning is made of: changes to batches, rates, figures, events and pairs."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from ssast_hf import SSASTForAudioClassification
from ssast_hf.audio.intervals import intervals, units_of
from ssast_hf.training.finetuning.augmenting import Augmentation, beta
from ssast_hf.training.finetuning.clips import BalancedSampler
from ssast_hf.training.finetuning.events import Clock, counts_of, f1_of
from ssast_hf.training.finetuning.figures import of_classes
from ssast_hf.training.finetuning.options import FinetuningArguments, LabelledArguments, TaskArguments
from ssast_hf.training.finetuning.rates import parameter_groups, step_schedule
from ssast_hf.training.finetuning.recipes import RECIPES, with_recipe
from ssast_hf.training.finetuning.trials import verification


def augmentation(**changes) -> Augmentation:
    nothing = {"mask_frequency": 0, "mask_time": 0, "mixup": 0.0, "noise_and_roll": False}
    return Augmentation(**nothing | changes, mean=-4.0, std=3.0)


@pytest.fixture
def batch(input_values):
    """Features (3, 64, 32), what is audio, labels (3,)."""
    attention_mask = torch.ones(3, 64, dtype=torch.long)
    attention_mask[1, 20:] = 0
    torch.manual_seed(0)
    return input_values, attention_mask, torch.tensor([0, 1, 2])


def test_masks_are_stretches_within_each_clip(batch):
    input_values = batch[0]
    changed, _ = augmentation(mask_frequency=8, mask_time=40)(*batch)
    is_masked = changed != input_values
    assert torch.equal(changed[is_masked].unique(), torch.tensor([4.0 / 6.0]))
    bins, frames = is_masked.all(dim=1).sum(dim=1), is_masked.all(dim=2).sum(dim=1)
    assert (bins < 8).all()
    assert (frames <= torch.tensor([32, 10, 32])).all()
    assert (bins + frames > 0).any()
    assert not is_masked[1, 20:].all(dim=1).any()


def test_mixtures_have_the_energy_and_the_labels_of_both(batch):
    input_values, attention_mask, labels = batch
    soft = torch.eye(3)[labels]
    changed, mixed = augmentation(mixup=1.0)(input_values, attention_mask, soft)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(3))
    for i in range(3):
        other = int(torch.where(torch.arange(3) == i, -1.0, mixed[i]).argmax())
        share = float(mixed[i, i])
        if share > 0.999:
            continue  # with itself
        energy = share**2 * (6 * input_values[i] - 4).exp() + (1 - share) ** 2 * (6 * input_values[other] - 4).exp()
        torch.testing.assert_close((6 * changed[i] - 4).exp(), energy, rtol=1e-3, atol=1e-6)
    same, untouched = augmentation(mixup=1e-9)(input_values, attention_mask, soft)
    assert torch.equal(same, input_values)
    assert torch.equal(untouched, soft)


def test_shares_of_mixtures_are_near_a_half():
    torch.manual_seed(0)
    shares = beta(20000, "cpu")
    assert shares.mean() == pytest.approx(0.5, abs=0.005)
    assert shares.std() == pytest.approx((1 / 84) ** 0.5, abs=0.005)  # of Beta(10, 10)


def test_noise_is_small_and_padding_stays_where_it_is(batch):
    _, attention_mask, labels = batch
    values = torch.arange(64.0)[None, :, None].expand(3, 64, 32)
    changed, _ = augmentation(noise_and_roll=True)(values, attention_mask, labels)
    back = (changed[:, :, 0] + 1e-6).floor()
    for row, length in zip(back, (64, 20, 64), strict=True):
        assert sorted(row[:length].tolist()) == list(range(length))
        shift = int(row[0]) if row[0] < length / 2 else int(row[0]) - length
        assert -10 <= shift <= 10
        assert torch.equal(row[length:], torch.arange(float(length), 64))


def test_rates_by_layer(config):
    config.num_labels = 2
    model = SSASTForAudioClassification(config)
    groups = parameter_groups(model, 1e-3, head_factor=10.0, layer_decay=0.5, weight_decay=0.0)
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in model.parameters())
    of = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    encoder = model.base_model
    assert of[id(model.classifier.dense.weight)] == pytest.approx(1e-2)
    assert of[id(encoder.layernorm.weight)] == groups[0]["lr"] == 1e-3
    assert of[id(encoder.encoder.layer[1].layernorm_after.weight)] == 1e-3
    assert of[id(encoder.encoder.layer[0].layernorm_after.weight)] == pytest.approx(5e-4)
    assert of[id(encoder.embeddings.cls_token)] == pytest.approx(2.5e-4)
    optimizer = torch.optim.SGD(groups)
    schedule = step_schedule(optimizer, steps_per_epoch=2, warmup=2, decay=0.5, start=2, every=1)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])


def test_rare_classes_are_drawn_as_often():
    weights = np.repeat([1 / 90, 1 / 10], [90, 10])
    sampler = BalancedSampler(weights, seed=0)
    drawn = []
    for sampler.epoch in range(20):
        order = list(sampler)
        assert order == list(sampler)
        drawn += [index for _, index in order]
    assert np.mean(np.array(drawn) >= 90) == pytest.approx(0.5, abs=0.05)


def test_intervals_hold_the_figures():
    random = np.random.default_rng(0)
    targets = random.integers(3, size=60)
    scores = random.standard_normal((60, 3)) + 1.5 * np.eye(3)[targets]
    measure = of_classes(scores, targets)
    figures = measure(np.arange(60))
    said = scores.argmax(axis=1)
    assert figures == pytest.approx(
        {"accuracy": accuracy_score(targets, said), "macro_f1": f1_score(targets, said, average="macro")}
    )
    groups = [str(i // 10) for i in range(60)]
    for name, (low, high) in intervals(measure, units_of(60, groups), seed=0).items():
        assert low < figures[name] < high
        assert 0.02 < high - low < 0.4


def test_events_become_steps_and_events_again():
    clock = Clock(first=0.1, step=0.2, names=["a", "b"])
    targets = clock.targets([(1.0, 1.6, "a"), (1.22, 1.25, "b")], begin=0.6, num_steps=6)
    assert targets[:, 0].tolist() == [0, 0, 1, 1, 1, 0]  # centres at 0.7, 0.9, 1.1, ...
    assert targets[:, 1].tolist() == [0, 0, 0, 1, 0, 0]  # too short to hold a centre
    first, second = clock.events(targets > 0)
    assert first[:2] == pytest.approx((0.4, 1.0))
    assert (first[2], second[2]) == ("a", "b")


def test_f1_of_events():
    true = [(0.0, 2.0, "a"), (5.0, 6.0, "a")]
    said = [(0.1, 2.3, "a"), (8.0, 9.0, "a")]
    counts = counts_of(said, true, ["a"])
    # Segments 0, 1 and 5 are true; 0, 1, 2 and 8 are said. One event begins and ends where it should.
    assert counts.tolist() == [[2, 2, 1, 1, 1, 1]]
    assert f1_of(counts[0]) == {"segment_f1": pytest.approx(4 / 7), "event_f1": pytest.approx(0.5)}


def test_equal_error_rate():
    is_same = np.repeat([True, False], 50)
    perfect = np.where(is_same, 1.0, 0.0) + np.linspace(0, 0.1, 100)
    assert verification(perfect, is_same) == {"equal_error_rate": 0.0, "min_dcf": 0.0}
    scores = np.concatenate([np.arange(50) - 10, np.arange(50) - 40])  # 10 of each on the wrong side of 0
    figures = verification(scores, is_same)
    assert figures["equal_error_rate"] == pytest.approx(0.2, abs=0.02)
    assert 0 < figures["min_dcf"] <= 1


def test_recipes_name_options_and_others_win():
    options = (TaskArguments, LabelledArguments, FinetuningArguments)
    known = {field.name for each in options for field in fields(each)}
    for recipe in RECIPES.values():
        assert recipe.options.keys() <= known
    argv = with_recipe(["--recipe", "esc50", "--learning_rate", "1"])
    assert argv[-4:] == ["--recipe", "esc50", "--learning_rate", "1"]
    assert argv[argv.index("--mask_time") + 1] == "96"
    assert with_recipe(["--recipe", "unknown"]) == ["--recipe", "unknown"]
