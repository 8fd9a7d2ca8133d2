"""What fine-tuning is made of: changes to batches, rates, figures, events and pairs."""

import importlib.util
import json
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from datasets import Dataset
from sklearn.metrics import accuracy_score, f1_score
from transformers import Wav2Vec2CTCTokenizer

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForCTC,
    SSASTForXVector,
)
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.intervals import intervals, units_of
from ssast_hf.audio.labelled import LabelledData
from ssast_hf.audio.recordings import Recordings
from ssast_hf.audio.splits import Split
from ssast_hf.training.finetuning.augmenting import Augmentation, beta
from ssast_hf.training.finetuning.averaging import WeightAverage
from ssast_hf.training.finetuning.clips import BalancedSampler, LabelledClips
from ssast_hf.training.finetuning.data_options import LabelledArguments
from ssast_hf.training.finetuning.events import Clock, counts_of, f1_of
from ssast_hf.training.finetuning.figures import of_classes
from ssast_hf.training.finetuning.folds import best_epoch, check_folders, folder_of, intervals_of_mean
from ssast_hf.training.finetuning.model import make_model
from ssast_hf.training.finetuning.one_split import steps_apart
from ssast_hf.training.finetuning.options import LR_STEPS, FinetuningArguments, TaskArguments
from ssast_hf.training.finetuning.rates import parameter_groups, step_schedule
from ssast_hf.training.finetuning.recipes import RECIPES, STRIDES, apply_to_model, with_recipe
from ssast_hf.training.finetuning.report import how_chosen
from ssast_hf.training.finetuning.sameness import check_same_data, data_of
from ssast_hf.training.finetuning.tasks import Classification, Frames, Multilabel, Regression, Speaker, Transcription
from ssast_hf.training.finetuning.testing import Tested, joined
from ssast_hf.training.finetuning.texts import check_gaps, encode, read_tokenizer
from ssast_hf.training.finetuning.trials import verification
from ssast_hf.training.outcome import Outcome
from ssast_hf.training.plots import plot_confusion


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
        both = 20 if 1 in (i, other) else 64  # frames that both have
        torch.testing.assert_close((6 * changed[i] - 4).exp()[:both], energy[:both], rtol=1e-3, atol=1e-6)
        if other == 1:  # which is silence behind its end, and not padding
            alone = share**2 * (6 * input_values[i] - 4).exp()
            torch.testing.assert_close((6 * changed[i] - 4).exp()[20:], alone[20:], rtol=1e-3, atol=1e-6)
        elif i == 1:
            assert torch.equal(changed[1, 20:], input_values[1, 20:])
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


def test_of_one_label_the_table_counts_where_it_is():
    task = Multilabel()
    task.names = ["bird"]
    rows = task.by_class(np.array([[2.0], [1.0], [-1.0], [-3.0], [-2.0]]), np.array([[1.0], [0], [1], [0], [0]]), None)
    assert rows[1:] == [["bird", "0.500", "0.500", "0.500", "2"]]


def test_a_gap_in_a_text_is_told_with_its_row():
    with pytest.raises(ValueError, match=r"t.csv, row 2 .*the text has '\|', the mark of a gap between words"):
        check_gaps(labelled(["a b", "c|d"]))


def test_names_with_dollars_are_drawn_as_they_are(tmp_path):
    plot_confusion(np.array([[2, 1], [0, 3]]), ["$_$", "US$ to A$"], tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 5000


def test_numbers_far_from_those_of_a_new_head_are_told(capsys):
    for ages, is_told in (([20.0, 80.0], True), ([-1.0, 1.0], False)):
        task, data = Regression(), labelled(ages)
        task.begin("", None, data)
        task.check(data)
        assert ("t.csv: the numbers are 50 in the mean, with a deviation of 30" in capsys.readouterr().err) == is_told


def test_folds_have_folders_of_their_own():
    assert folder_of("fold ../a b") == "fold-..-a-b"
    check_folders(["fold 1", "fold 2"])
    with pytest.raises(ValueError, match="'fold a b' and 'fold a-b' would be written into one folder, fold-a-b"):
        check_folders(["fold a b", "fold a-b"])


def test_interval_of_the_mean_over_folds_that_have_a_group_each():
    """It is that of the mean of five folds, drawn with replacement."""
    shares = np.array([0.1, 0.2, 0.4, 0.7, 0.9])
    runs = [
        SimpleNamespace(
            task=SimpleNamespace(measure_test=lambda scores, targets, data: lambda clips: {"share": scores}),
            arguments=SimpleNamespace(seed=0),
        )
        for _ in shares
    ]
    tests = []
    for i, share in enumerate(shares):
        data = replace(labelled(["a"] * 4, ["a"]), groups=[str(i)] * 4)
        tests.append(Tested(share, None, data))
    expected = np.percentile(np.random.default_rng(1).choice(shares, (100_000, 5)).mean(axis=1), (2.5, 97.5))
    assert intervals_of_mean(runs, tests)["share"] == pytest.approx(expected, abs=0.03)


def test_f1_of_events():
    true = [(0.0, 2.0, "a"), (5.0, 6.0, "a")]
    said = [(0.1, 2.3, "a"), (8.0, 9.0, "a")]
    counts = counts_of(said, true, ["a"])
    # Segments 0, 1 and 5 are true; 0, 1, 2 and 8 are said. One event begins and ends where it should. Of 300 true
    # frames and 320 said ones 190 are the same.
    assert counts.tolist() == [[2, 2, 1, 1, 1, 1, 190, 130, 110]]
    figures = {"segment_f1": 4 / 7, "event_f1": 0.5, "frame_f1": 380 / 620}
    assert f1_of(counts[0]) == pytest.approx(figures)


def test_events_of_which_a_model_is_unsure_are_found_above_a_low_threshold(config):
    task = Frames()
    task.names, task.config = ["a", "b"], config
    targets = np.zeros((2, 8, 2), dtype=np.float32)
    targets[0, 2:6, 0] = targets[1, 4:, 1] = 1
    targets[1, 7] = -100  # no audio
    probabilities = np.where(targets == 1, 0.3, 0.12)
    figures = task.measure(np.log(probabilities / (1 - probabilities)), targets)(np.arange(2))
    # The nearest to 0.5 that does.
    assert figures == {"segment_f1": 1, "event_f1": 1, "frame_f1": 1, "event_threshold": 0.25}
    nothing = task.measure(np.full(targets.shape, -9.0), targets)(np.arange(2))
    assert nothing == {"segment_f1": 0, "event_f1": 0, "frame_f1": 0, "event_threshold": 0.5}
    # The test has that of the chosen weights, not one of its own.
    data = labelled([["a"], ["b"]], ["a", "b"])
    data = replace(data, events=[task.heard(label, label, 0.5) for label in targets])
    logits = np.where(targets == 1, -1.0, -2.0)
    for threshold, found in ((0.5, 0), (0.25, 1)):
        task.settle({"eval_event_threshold": threshold})
        assert task.measure_test(logits, targets, data)(np.arange(2))["segment_f1"] == found
        assert task.mistakes(logits, targets, data).count(None) == 2 * found
    assert task.fields()["event_threshold"] == config.event_threshold == 0.25
    task.settle(None)  # without validation nothing is learned
    assert task.threshold == 0.25


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
    for asked, ousted in (
        (["esc50", "--lr_scheduler_type", "cosine"], "--lr_step_decay"),
        (["audioset", "--lr_scheduler_type", "cosine"], "--lr_step_every"),
        (["superb", "--lr-step-decay=0.5"], "--lr_scheduler_type"),
        (["superb", "--num_train_epochs", "3"], "--max_steps"),
        (["audioset", "--max_steps", "3"], "--average_last_epochs"),
        (["superb", "--lora_rank", "8"], "--use_weighted_layer_sum"),
        (["speechcommands", "--task", "multilabel"], "--loss"),
        (["speechcommands", "--task=frames"], "--mixup"),
        (["esc50", "--task", "ctc"], "--noise_and_roll"),
    ):
        assert ousted in with_recipe(["--recipe", asked[0]])
        assert ousted not in with_recipe(["--recipe", *asked])


@pytest.mark.parametrize(
    ("patch_size", "argv", "strides", "rate"),
    [
        (16, [], (10, 10), None),
        ([128, 2], [], (128, 1), 5e-5),
        ([128, 2], ["--learning_rate", "1"], (128, 1), None),
        (16, ["--time_stride", "16"], (10, 16), None),
        (8, [], (None, None), None),
    ],
    ids=str,
)
def test_recipes_set_strides_and_the_rate_of_frames(patch_size, argv, strides, rate):
    arguments = TaskArguments(recipe="superb")
    if argv[:1] == ["--time_stride"]:
        arguments.time_stride = int(argv[1])
    assert apply_to_model(arguments, SSASTConfig(patch_size=patch_size, num_masked_patches=20), argv) == rate
    assert (arguments.frequency_stride, arguments.time_stride) == strides


def test_recipes_are_the_released_scripts():
    """Their values, read there (commit a1a3eec) and written down here a second time."""
    names = (
        "learning_rate per_device_train_batch_size num_train_epochs max_steps max_length mixup mask_frequency "
        "mask_time noise_and_roll lr_step_decay lr_step_from lr_step_every warmup_steps loss average_last_epochs "
        "mean std"
    ).split()
    nothing = None
    table = {
        "esc50": [1e-4, 48, 50, nothing, 512, nothing, 24, 96, True, 0.85, 6, nothing, 0, nothing, nothing,
                  -6.6268077, 5.358466],
        "speechcommands": [2.5e-4, 128, 30, nothing, 128, 0.6, 48, 48, True, 0.85, 5, nothing, 1000,
                           "binary_cross_entropy", nothing, -6.845978, 5.5654526],
        "audioset": [5e-5, 12, 25, nothing, 1024, 0.5, 48, 192, nothing, 0.5, 10, 5, 0, nothing, 20, -4.2677393,
                     4.5689974],
    }  # fmt: skip
    for name, batch, steps, length in (("", 32, 20000, 100), ("_sid", 4, 40000, 1000), ("_er", 4, 10000, 600)):
        table[f"superb{name}"] = [1e-4, batch, nothing, steps, length, *[nothing] * 7, 0, nothing, nothing,
                                  -4.2677393, 4.5689974]  # fmt: skip
    assert {name: [recipe.options.get(each) for each in names] for name, recipe in RECIPES.items()} == table
    assert [recipe.rate_of_frames for recipe in RECIPES.values()] == [
        nothing,
        nothing,
        nothing,
        5e-5,
        nothing,
        nothing,
    ]
    accumulated = [recipe.options.get("gradient_accumulation_steps") for recipe in RECIPES.values()]
    assert accumulated == [nothing] * 4 + [8, 8]
    assert RECIPES["audioset"].options["task"] == "multilabel"
    chosen = {name: recipe.chosen_by for name, recipe in RECIPES.items()}
    assert chosen == {
        "esc50": "test folds", "speechcommands": "validation", "audioset": "test", "superb": "validation",
        "superb_sid": "validation", "superb_er": "validation",
    }  # fmt: skip
    assert STRIDES == {(16, 16): (10, 10), (128, 2): (128, 1)}
    # Where the recipes say nothing, these defaults are the scripts'.
    by_name = {field.name: field.default for field in fields(FinetuningArguments)}
    assert [by_name[name] for name in ("adam_beta1", "adam_beta2", "weight_decay")] == [0.95, 0.999, 5e-7]
    assert LR_STEPS["lr_step_every"] == 1


def test_the_epoch_of_folds_is_the_best_by_the_metric_of_the_run():
    def fold(*losses):
        entries = [{"epoch": i + 1.0, "loss": a, "mean_absolute_error": a, "r2": -a} for i, a in enumerate(losses)]
        return {"test": {"mean_absolute_error": {}, "r2": {}}, "validation": entries}

    results = {"one": fold(3.0, 1.0, float("nan")), "two": fold(3.0, 2.0, 0.0)}
    for metric, greater in (("loss", False), ("r2", True)):
        epoch, values = best_epoch(results, metric, greater)
        assert (epoch, values["mean_absolute_error"]) == (2.0, [1.0, 2.0])
    results["two"]["validation"] = [entry | {"epoch": entry["epoch"] / 2} for entry in results["two"]["validation"]]
    assert best_epoch(results, "loss", False)[0] == 1.5  # after as many steps, of folds with more steps per epoch


def test_a_mean_of_other_epochs_is_not_gone_on_with(tmp_path, model):
    def average(epochs, total, checkpoint):
        trainer = SimpleNamespace(
            checkpoint=checkpoint,
            model_wrapped=model,
            accelerator=SimpleNamespace(get_state_dict=lambda model: model.state_dict()),
            args=SimpleNamespace(should_save=True),
        )
        return WeightAverage(trainer, epochs, total, steps=10)

    first = average(2, 4, None)
    for step in (30, 40):
        first.add(SimpleNamespace(global_step=step))
    first.save(tmp_path)
    assert average(2, 4, tmp_path).added == [3, 4]
    assert average(2, 8, tmp_path).added == []
    with pytest.raises(ValueError, match=r"after epochs 3 to 4, and now that of 4 to 6 .* --average_last_epochs 4,"):
        average(3, 6, tmp_path)
    assert average(4, 6, tmp_path).added == [3, 4]


def test_what_happened_says_how_the_epoch_was_chosen():
    outcome = Outcome("eval_accuracy", None, {}, {"step": 5, "eval_accuracy": 0.5}, None)
    trainer = SimpleNamespace(average=None)
    own, tested = Split("x", [1] * 8, [1] * 4, [1] * 3), Split("x", [1] * 8, [1] * 4)
    tested = replace(tested, validation=tested.test)
    for split, runs, words in (
        (own, 1, "by validation on 3 other recordings: accuracy 0.5"),
        (tested, 1, "on the data that they are tested on, as the recipe does, so the figure flatters: accuracy"),
        (tested, 2, "so the figure flatters; the folds' report has the mean"),
        (Split("x", [1], [1] * 6, chooses_by_test=True), 1, "by validation on 6 other recordings"),
    ):
        assert words in how_chosen(trainer, SimpleNamespace(num_runs=runs), outcome, split)


def labelled(labels, names=None, paths=None) -> LabelledData:
    paths = [f"/data/{i}.wav" for i in range(len(labels))] if paths is None else paths
    rows = np.arange(1, len(labels) + 1)
    return LabelledData(Recordings(Dataset.from_dict({"path": paths}), "t.csv"), labels, names or [], "t.csv", rows)


def test_other_data_or_classes_are_another_run(tmp_path):
    def kept(train, names, folder="/data"):
        task = Classification()
        data = labelled(train, names, [f"{folder}/{i}.wav" for i in range(len(train))])
        task.begin("", None, data)
        return data_of(Split("x", data, labelled(["a"], names, [f"{folder}/t.wav"])), task)

    first = kept(["a", "b"], ["a", "b"])
    run = {"recipe": first, "files": [], "evaluation_is_due": False}
    (tmp_path / "run.json").write_text(json.dumps(run))
    check_same_data(str(tmp_path), first)
    check_same_data(str(tmp_path), kept(["a", "b"], ["a", "b"], "/elsewhere/data"))
    with pytest.raises(ValueError, match=r"other recordings or labels: train 2 .*, now 2 .* another --output_dir"):
        check_same_data(str(tmp_path), kept(["b", "a"], ["a", "b"]))
    with pytest.raises(ValueError, match="in another order: 'a', now 'b'"):
        check_same_data(str(tmp_path), kept(["a", "b"], ["b", "a"]))


def test_a_head_keeps_what_is_not_of_its_classes(config, tmp_path):
    config.num_labels, config.use_weighted_layer_sum = 2, True
    config.id2label = {0: "ann", 1: "bob"}
    start = SSASTForXVector(config)
    start.objective.steps += 7
    start.save_pretrained(tmp_path / "speakers")
    task = Speaker()
    task.names = ["bob", "cid"]
    found = make_model(str(tmp_path / "speakers"), start.config, TaskArguments(None), task)
    same = {name for name, tensor in start.state_dict().items() if torch.equal(tensor, found.state_dict()[name])}
    assert start.state_dict().keys() - same == {"objective.weight", "objective.steps"}
    assert found.objective.steps == 0
    task.names = ["ann", "bob"]
    found = make_model(str(tmp_path / "speakers"), start.config, TaskArguments(None), task)
    same = {name for name, tensor in start.state_dict().items() if torch.equal(tensor, found.state_dict()[name])}
    assert start.state_dict().keys() - same == {"objective.steps"}  # the margin grows in every run
    assert found.objective.steps == 0
    task.names = ["ann", "bob", "cid"]
    assert make_model(str(tmp_path / "speakers"), start.config, TaskArguments(None), task).objective.steps == 0


def test_a_model_of_texts_is_continued_with_its_vocabulary(tmp_path):
    vocabulary = {"<pad>": 0, "<unk>": 1, "_": 2, "b": 3, "a": 4}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = Wav2Vec2CTCTokenizer(
        str(tmp_path / "vocab.json"), word_delimiter_token="_", bos_token=None, eos_token=None
    )
    config = SSASTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, patch_size=[32, 2],
        num_mel_bins=32, max_length=64, vocab_size=5, pad_token_id=0,
    )  # fmt: skip
    start = SSASTForCTC(config)
    for part in (start, tokenizer):
        part.save_pretrained(tmp_path / "texts")
    known = read_tokenizer(str(tmp_path / "texts"), start.config)
    assert encode(known, labelled(["a b"]))[0].tolist() == [4, 2, 3]
    task = Transcription()
    task.known = task.tokenizer = known
    assert task.classes() == list(vocabulary)
    tokens = np.array([[4, 4, 0, 2, 3], [3, 0, 3, 2, 2]])  # with blanks and repetitions: "a b" and "bb"
    if importlib.util.find_spec("jiwer"):
        said = task.measure(tokens, np.array([[4, 2, 3], [3, 3, -100]]))(np.arange(2))
        assert said["word_error_rate"] == 0
        swapped = task.measure(tokens[::-1], np.array([[4, 2, 3], [3, 3, -100]]))(np.arange(2))
        assert swapped["word_error_rate"] >= 1
    found = make_model(str(tmp_path / "texts"), start.config, TaskArguments(None, max_length=32), task)
    assert found.config.max_length == 32
    assert torch.equal(found.ctc_head.weight, start.ctc_head.weight)
    task.known = None  # then its head is of characters that nobody knows
    found = make_model(str(tmp_path / "texts"), start.config, TaskArguments(None), task)
    assert not torch.equal(found.ctc_head.weight, start.ctc_head.weight)


def test_a_recording_of_three_windows_is_one_in_time(config, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.full(28000, 0.1), 16000)  # 1.75 s; a window has 0.655
    true = [(0.2, 0.9, "a"), (0.6, 1.6, "b")]
    data = replace(labelled([["a", "b"]], ["a", "b"], [str(tmp_path / "long.wav")]), events=[true])
    extractor = SSASTFeatureExtractor(num_mel_bins=32, max_length=64)
    task = Frames()
    task.begin("", config, data)
    task.config = config
    hop = steps_apart(config, extractor)
    clips = LabelledClips(data, Cropper(extractor, 8, 0), task.labels(data, extractor), False, hop)
    assert len(clips) == 3
    labels = [clips[i]["labels"] for i in range(3)]
    targets = np.full((3, 8, 2), -100.0, dtype=np.float32)
    for row, label in zip(targets, labels, strict=True):
        row[: len(label)] = label
    scores, targets = joined(targets - 0.5, targets, np.zeros(3, dtype=int), 1)
    assert sum(map(len, labels)) == len(scores[0]) == config.time_grid(extractor.num_frames(28000))
    for event, said in zip(true, task.heard(scores[0], targets[0], 0.0), strict=True):
        assert said[:2] == pytest.approx(event[:2], abs=0.05)  # a step has 0.08 s
        assert said[2] == event[2]
