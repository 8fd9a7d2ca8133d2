"""`ssast-hf evaluate`: frozen encoders side by side on tiny clips of noise and tones."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fresh import COMMAND, FreshProcess
from hub_server import Repository
from sklearn.metrics import average_precision_score, roc_auc_score
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTModel
from ssast_hf.audio.intervals import intervals, span, units_of
from ssast_hf.audio.ranking import Ranking
from ssast_hf.cli import main
from ssast_hf.conversion import convert_hf_to_ast
from ssast_hf.inference.evaluating import probing_labels
from ssast_hf.inference.evaluating.contenders import load_contender
from ssast_hf.inference.evaluating.intervals import t_interval
from ssast_hf.inference.evaluating.probing import Fold, draw, few_labels, probe
from ssast_hf.inference.evaluating.probing_labels import rank


RATE, LENGTH = 16000, 3000
OPTIONS = "--random_seeds 1 --draws 2 --sizes 1 2 --device cpu".split()


@pytest.fixture
def table(tmp_path):
    """24 clips in three classes, which differ in pitch, and in three folds."""
    (tmp_path / "audio").mkdir()
    random, rows = np.random.default_rng(0), ["filename,category,fold"]
    for i in range(24):
        label = i % 3
        wave = 0.3 * np.sin(np.arange(LENGTH) * 0.1 * (1 + 3 * label)) + 0.05 * random.standard_normal(LENGTH)
        soundfile.write(tmp_path / "audio" / f"{i}.wav", wave, RATE)
        rows.append(f"{i}.wav,{'abc'[label]},{i // 3 % 3}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "labels.csv"


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "tiny")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def evaluate(folder, table, *options) -> int:
    """With the options, in front of which more models may stand."""
    output = table.parent / "out"
    return main(["evaluate", str(folder), *options, "--data", str(table), "--output_dir", str(output), *OPTIONS])


@pytest.mark.compatibility
def test_report_compares_a_model_with_its_baselines_and_goes_on(folder, table, capsys, monkeypatch):
    output = table.parent / "out"
    assert evaluate(folder, table, "--fold_column", "fold") == 0
    printed = capsys.readouterr().out
    assert "24 recordings, 3 classes, 3 tests." in printed
    metrics = json.loads((output / "metrics.json").read_text())
    assert [each["name"] for each in metrics["results"]] == ["tiny", "tiny, random weights", "log-mel statistics"]
    statistics = metrics["results"][-1]
    assert statistics["probe"]["accuracy"] == 1.0  # the pitch tells
    assert statistics["neighbours"]["accuracy"] == 1.0
    assert list(statistics["label_efficiency"]) == ["1", "2"]
    low, high = metrics["results"][0]["probe"]["interval"]
    assert low <= metrics["results"][0]["probe"]["accuracy"] <= high
    assert metrics["results"][0]["probe"]["layers"][0] in (0, 1, 2)
    report = (output / "report.md").read_text()
    assert metrics["command"] in report
    by_layer = metrics["results"][0]["probe"]["by_layer"]
    assert f"| tiny | {' | '.join(f'{value:.3f}' for value in by_layer)} |" in report
    assert len(by_layer) == 3
    assert "cross-validation within the training folds" in report
    assert (output / "label_efficiency.png").read_bytes().startswith(b"\x89PNG")

    # Again nothing is embedded, and the figures are the same.
    monkeypatch.setattr("ssast_hf.inference.evaluating.contenders.SSASTContender.embed", None)
    assert evaluate(folder, table, "--fold_column", "fold") == 0
    assert json.loads((output / "metrics.json").read_text())["results"] == metrics["results"]


def test_embeddings_of_other_weights_are_refused_before_anything_is_embedded(
    folder, table, model, capsys, monkeypatch
):
    assert evaluate(folder, table, "--folds", "0", "--fold_column", "fold") == 0
    with torch.no_grad():
        model.base_model.layernorm.bias.add_(1)
    model.save_pretrained(folder)
    monkeypatch.setattr("ssast_hf.inference.evaluating.run.embed_all", None)
    assert evaluate(folder, table, "--fold_column", "fold") == 1
    assert "has embeddings of another weights sha256" in capsys.readouterr().err


def test_bands_are_told_in_the_report_and_not_mixed_with_means(folder, table, capsys):
    assert evaluate(folder, table, "--fold_column", "fold", "--folds", "0", "--pooling", "bands") == 0
    output = table.parent / "out"
    assert [each["width"] for each in json.loads((output / "metrics.json").read_text())["results"]] == [128, 128, 256]
    assert "one for each frequency of its patches, side by side" in (output / "report.md").read_text()
    assert evaluate(folder, table, "--fold_column", "fold", "--folds", "0") == 1
    assert "has embeddings of another pooling (bands, now mean)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda text: text, ["--label_column", "species"], "none of them species"),
        (lambda text: text.replace("0.wav,a,0", "0.wav,,0"), [], "labels.csv, column 'category', row 1: no label"),
        (lambda text: text.replace("0.wav,a,0", "0.wav,a;b,0"), [], "row 1: 2 labels, 'a', 'b'"),
        (lambda text: text.replace("0.wav,a,0", "0.wav,d,0"), ["--fold_column", "fold"], "class 'd' has no examples"),
        (lambda text: text, ["--fold_column", "take"], "--fold_column take"),
        (lambda text: text, ["--fold_column", "fold", "--folds", "7"], "no fold '7'"),
        (lambda text: text, ["--draws", "1"], "--draws must be at least 2"),
        (lambda text: text, ["--fold_column", "fold", "--group_column", "category"], "the group 'a' is both"),
    ],
)
def test_wrong_labels_are_told_before_a_model_is_loaded(change, options, message, table, capsys):
    table.write_text(change(table.read_text()))
    assert main(["evaluate", "nowhere", "--data", str(table), "--output_dir", str(table.parent / "o"), *options]) == 1
    assert message in capsys.readouterr().err
    assert not (table.parent / "o").exists()


def test_unusable_recordings_are_told_or_left_out(folder, table, capsys):
    audio = table.parent / "audio"
    soundfile.write(audio / "5.wav", np.zeros(100), RATE)
    assert evaluate(folder, table, "--fold_column", "fold") == 1
    assert "5.wav) is shorter than a patch: 100 samples" in capsys.readouterr().err
    assert not (table.parent / "out").exists()
    assert evaluate(folder, table, "--fold_column", "fold", "--on_bad_file", "skip", "--random_seeds", "0") == 0
    assert "23 recordings" in capsys.readouterr().out
    assert "5.wav" in (table.parent / "out" / "skipped_files.txt").read_text()
    # Two more, equal and in one fold, have headers that are whole. Every run lists what it left out, once.
    soundfile.write(audio / "0.wav", np.random.default_rng(0).uniform(-1, 1, LENGTH), RATE, format="FLAC")
    content = bytearray((audio / "0.wav").read_bytes())
    content[100:] = bytes(len(content) - 100)
    for name in ("0.wav", "9.wav"):
        (audio / name).write_bytes(content)
    options = "--fold_column fold --on_bad_file skip --random_seeds 0 --min_per_class 1".split()
    for _ in range(2):
        assert evaluate(folder, table, *options) == 0
    lines = (table.parent / "out" / "skipped_files.txt").read_text().splitlines()
    assert len(lines) == 3
    assert all(name in line for line, name in zip(lines, ("5.wav", "0.wav", "9.wav"), strict=True))


def test_the_same_recording_in_two_folds_is_told(folder, table, capsys):
    (table.parent / "audio" / "0.wav").write_bytes((table.parent / "audio" / "4.wav").read_bytes())
    assert evaluate(folder, table, "--fold_column", "fold") == 1
    error = capsys.readouterr().err
    assert "The same recording is in fold 0 and in fold 1" in error
    assert "0.wav" in error
    assert "4.wav" in error


SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)


@pytest.fixture
def stock(tmp_path):
    """A folder of a small stock AST."""
    torch.manual_seed(0)
    config = ASTConfig(**SIZES, num_mel_bins=32, max_length=64, patch_size=8, frequency_stride=8, time_stride=8)
    ASTModel(config).save_pretrained(tmp_path / "ast")
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "ast")
    return tmp_path / "ast"


@pytest.mark.compatibility
def test_models_of_other_kinds_stand_side_by_side(folder, stock, table):
    assert evaluate(folder, table, str(stock), "--fold_column", "fold", "--folds", "0") == 0
    output = table.parent / "out"
    names = [each["name"] for each in json.loads((output / "metrics.json").read_text())["results"]]
    assert names == ["tiny", "tiny, random weights", "ast", "ast, random weights", "log-mel statistics"]
    assert all(f"| {name} | " in (output / "report.md").read_text() for name in names)


def test_wrong_labels_are_told_before_pytorch_is_imported(folder, table):
    (table.parent / "test.csv").write_text("filename,category\naudio/0.wav,a\naudio/1.wav,d\n")
    command = ["evaluate", folder, "--data", table, "--test_data", table.parent / "test.csv", "--output_dir", "out"]
    code = f"""
import atexit, sys
atexit.register(lambda: print("imported", *{{"torch", "transformers"}} & {{*sys.modules}}))
sys.argv = {["ssast-hf", *map(str, command)]!r}
import ssast_hf
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "imported\n")
    assert "test.csv, row 2 (" in result.stderr
    assert "the label 'd' is unknown" in result.stderr


def test_models_have_names_on_the_hub(stock, table, tmp_path, hub):
    repository = hub.repositories["org/ast"] = Repository(private=False)
    repository.commit("main", {path.name: (path.read_bytes(), None) for path in stock.iterdir()}, "a stock AST")
    output = tmp_path / "out"
    command = ["evaluate", "org/ast", "--data", table, "--output_dir", output, "--fold_column", "fold", *OPTIONS]
    environment = {"HF_HOME": str(tmp_path / "hf_home"), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    FreshProcess(COMMAND, command, tmp_path, has_package=True, **environment).finish()
    names = [each["name"] for each in json.loads((output / "metrics.json").read_text())["results"]]
    assert names == ["ast", "ast, random weights", "log-mel statistics"]


def test_stock_models_are_pooled_over_what_is_sound(stock, tmp_path):
    sizes = dict(SIZES)
    sizes |= dict(conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2))
    sizes |= dict(num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
    for name, model in {
        "wav2vec2": Wav2Vec2Model(Wav2Vec2Config(**sizes)),
        "hubert": HubertModel(HubertConfig(**sizes)),
        "wavlm": WavLMModel(WavLMConfig(**sizes)),
    }.items():
        model.save_pretrained(tmp_path / name)
        Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / name)
    random = np.random.default_rng(0)
    waves = [random.standard_normal(size).astype(np.float32) for size in (3000, 5000, 3000, 25000)]
    for name in ("ast", "wav2vec2", "hubert", "wavlm"):
        contender = load_contender(str(tmp_path / name), torch.device("cpu"), "statistics")
        together = contender.embed(waves)
        assert together.shape == (4, 3, 32)
        alone = np.concatenate([contender.embed([wave]) for wave in waves])
        np.testing.assert_allclose(together, alone, atol=1e-5)
        before = contender.embed(waves[:1])
        contender.randomise(1)
        assert not np.allclose(contender.embed(waves[:1]), before)
    # Of AST: the patches that lie in the clip.
    ast = load_contender(str(tmp_path / "ast"), torch.device("cpu"), "statistics")
    inputs = ast.extractor(waves[0], sampling_rate=RATE, return_tensors="pt")["input_values"]
    with torch.no_grad():
        state = ast.model(inputs).last_hidden_state[0, 2:].unflatten(0, (4, 8))
    columns = ((3000 - 400) // 160 + 1) // 8
    steps = state[:, :columns].mean(dim=0)
    expected = torch.cat((steps.mean(dim=0), steps.std(dim=0, correction=0)))
    np.testing.assert_allclose(ast.embed(waves[:1])[0, -1], expected, atol=1e-5)
    means = load_contender(str(tmp_path / "ast"), torch.device("cpu"), "mean")
    np.testing.assert_allclose(means.embed(waves[:1])[0, -1], expected[:16], atol=1e-5)
    bands = load_contender(str(tmp_path / "ast"), torch.device("cpu"), "bands")
    expected = state[:, :columns].mean(dim=1).flatten()  # of each of the four frequencies
    np.testing.assert_allclose(bands.embed(waves[:1])[0, -1], expected, atol=1e-5)
    of_waves = [load_contender(str(tmp_path / "wav2vec2"), torch.device("cpu"), way) for way in ("bands", "mean")]
    np.testing.assert_array_equal(*[each.embed(waves) for each in of_waves])
    assert of_waves[0].min_samples == 20


def test_an_export_is_pooled_as_the_model_that_it_was(tmp_path):
    """Of a model of frames its kernels are square, and zero but for the first columns."""
    torch.manual_seed(0)
    config = SSASTConfig(**SIZES, num_mel_bins=32, max_length=64, patch_size=[32, 2], pooling_mode="cls")
    SSASTModel(config).save_pretrained(tmp_path / "frames")
    extractor = SSASTFeatureExtractor(num_mel_bins=32, max_length=64, return_attention_mask=False)
    extractor.save_pretrained(tmp_path / "frames")
    convert_hf_to_ast(tmp_path / "frames", tmp_path / "ast")
    frames, ast = (load_contender(str(tmp_path / name), torch.device("cpu"), "mean") for name in ("frames", "ast"))
    assert ast.min_samples == frames.min_samples == 560
    whole = 0.1 * np.random.default_rng(0).standard_normal(400 + 160 * 63).astype(np.float32)
    assert len(whole) == ast.max_samples
    np.testing.assert_allclose(ast.embed([whole]), frames.embed([whole]), atol=1e-5)
    assert np.isfinite(ast.embed([whole[:560]])).all()
    ast.randomise(0)
    assert not ast.model.embeddings.patch_embeddings.projection.weight[..., 2:].any()


def test_a_class_with_one_example_is_probed():
    targets = np.array([0, 0, 0, 0, 1, 0, 1])
    features = np.stack([targets, -targets], axis=1)[:, None].astype(np.float32)
    fold = Fold("fold 0", np.arange(5), np.arange(5, 7), np.zeros(5, dtype=int))
    assert probe(features, targets, fold, "ridge").predictions.tolist() == [0, 1]
    with pytest.raises(ValueError, match="fold 0: a class has one example"):
        probe(features, targets, fold, "logistic")


def test_a_logistic_probe_of_two_examples_per_part():
    targets = np.arange(20) % 2
    features = np.stack([targets, -targets], axis=1)[:, None] + 0.1 * np.random.default_rng(0).standard_normal(
        (20, 1, 2)
    )
    fold = Fold("fold 0", np.arange(8), np.arange(8, 20), np.arange(8) // 4)
    assert (probe(features, targets, fold, "logistic").predictions == targets[8:]).all()


def test_layer_is_chosen_on_the_training_folds_alone():
    """Of two layers one tells the classes apart when trained on, the other only in the test."""
    random = np.random.default_rng(0)
    targets, folds = np.arange(60) % 2, np.arange(60) // 20
    features = random.standard_normal((60, 2, 4)).astype(np.float32)
    train, test = np.flatnonzero(folds > 0), np.flatnonzero(folds == 0)
    features[train, 1, 0] += 8 * targets[train]
    features[test, 0, 0] += 8 * targets[test]
    fold = Fold("fold 0", train, test, folds[train])
    for kind in ("ridge", "logistic", "neighbours"):
        probed = probe(features, targets, fold, kind)
        assert probed.layer == 1
        assert probed.layer_scores[0] < 0.8 < probed.layer_scores[1]
    features[test, 1, 0] += 8 * targets[test]
    probed = probe(features, targets, fold, "ridge")
    assert (probed.predictions == targets[test]).all()
    for seed in (0, 1):
        drawn = train[draw(targets[train], 4, np.random.default_rng(seed))]
        first = np.random.default_rng(seed).choice(train[targets[train] == 0], 4, replace=False)
        assert drawn[:4].tolist() == first.tolist()
        assert targets[drawn].tolist() == [0] * 4 + [1] * 4
        figure = few_labels(features, targets, fold, probed, "ridge", drawn)
        assert figure > 0.8
        others = np.setdiff1d(train, drawn)
        assert few_labels(features, wrong(targets, others), fold, probed, "ridge", drawn) == figure


def test_one_group_says_nothing_about_others():
    found = intervals(lambda clips: {"accuracy": 0.5}, units_of(100, ["ann"] * 100), 0)["accuracy"]
    assert np.isnan(found).all()
    assert span(found) == "not known"


@pytest.mark.parametrize(("count", "is_known"), [(2, False), (9, True)])
def test_figures_that_many_draws_lack_have_no_interval(count, is_known):
    """Of two groups, half of the draws have one; of nine, one in some million."""
    values = np.arange(4 * count) % 4

    def measure(clips):
        return {"r2": values[clips].mean() if len(set(clips // 4)) > 1 else np.nan}

    found = intervals(measure, np.arange(4 * count) // 4, 0)["r2"]
    assert np.isfinite(found).all() == is_known


def test_intervals():
    correct = np.array([1.0] * 80 + [0.0] * 20)

    def measure(clips):
        return {"accuracy": correct[clips].mean()}

    low, high = intervals(measure, units_of(100, None), 0)["accuracy"]
    assert (low, high) == pytest.approx((0.72, 0.88), abs=0.02)
    groups = [str(i // 20) for i in range(100)]
    low, high = intervals(measure, units_of(100, groups), 0)["accuracy"]
    assert low < 0.6
    assert t_interval(np.array([0.49, 0.51])) == pytest.approx((0.5 - 12.706 * 0.01, 0.5 + 12.706 * 0.01), abs=1e-3)
    assert t_interval(np.array([0.1, 0.9])) == (0.0, 1.0)


def test_every_model_has_a_name(tmp_path):
    from ssast_hf.inference.evaluating.run import names_of

    assert names_of(["a/one", "b/two"]) == ["one", "two"]
    assert names_of(["a/one", "b/one"]) == ["a/one", "b/one"]
    with pytest.raises(ValueError, match="twice"):
        names_of([str(Path("a")), "a"])


def test_several_labels_per_recording(folder, table, capsys, monkeypatch):
    monkeypatch.setattr("ssast_hf.audio.intervals.DRAWS", 20)
    rows = ["filename,labels"]
    for i in range(24):
        labels = ["abc"[i % 3], *(["odd"] if i % 2 else [])]
        rows.append(f"{i}.wav,{';'.join(labels)}")
    rows[24] = "23.wav,"  # nothing of it is a recording like others
    table.write_text("\n".join(rows) + "\n")
    output = table.parent / "out"
    command = ["evaluate", str(folder), "--data", str(table), "--output_dir", str(output), "--random_seeds", "0"]
    assert main([*command, "--device", "cpu"]) == 1
    assert "row 2: 2 labels, 'b', 'odd', where one is expected. Several are for --task" in capsys.readouterr().err
    few = ["--sizes", "1", "2", "99", "--draws", "2"]
    assert main([*command, "--task", "multilabel", "--device", "cpu", "--num_folds", "2", *few]) == 0
    assert "24 recordings, 4 classes, 2 tests." in capsys.readouterr().out
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["classes"] == ["a", "b", "c", "odd"]
    statistics = metrics["results"][-1]["probe"]
    assert statistics["per_label"][:3] == pytest.approx([1, 1, 1], abs=0.2)  # the pitch tells
    assert statistics["per_label"][3] < 0.95  # and nothing else
    low, high = statistics["interval"]
    assert low <= statistics["mean_average_precision"] <= high
    report = (output / "report.md").read_text()
    with_few = metrics["results"][-1]["label_efficiency"]
    assert list(with_few) == ["1", "2"]  # nobody has 99
    drawn = [[each["clips"] for each in result["label_efficiency"].values()] for result in metrics["results"]]
    assert drawn[0] == drawn[1]  # the same ones of all
    assert f"| (clips drawn) | {' | '.join(f'{count:.0f}' for count in drawn[0])} |" in report
    cells = [f"{each['mean_average_precision']:.3f} ({span(each['interval'])})" for each in with_few.values()]
    assert f"| log-mel statistics | {' | '.join(cells)} |" in report
    by_layer = metrics["results"][0]["probe"]["by_layer"]
    assert f"| {folder.name} | {' | '.join(f'{value:.3f}' for value in by_layer)} |" in report
    for picture in ("average_precision.png", "label_efficiency.png"):
        assert f"]({picture})" in report
        assert (output / picture).read_bytes().startswith(b"\x89PNG")


def test_average_precision_of_drawn_clips():
    random = np.random.default_rng(0)
    targets = (random.random((40, 5)) < 0.3).astype(np.float32)
    scores = random.integers(0, 6, (40, 5)).astype(np.float64)  # many are equal
    for weights in (np.ones(40, int), random.integers(0, 3, 40)):
        drawn = np.repeat(np.arange(40), weights)
        expected = {
            "mean_average_precision": average_precision_score(targets[drawn], scores[drawn]),
            "roc_auc": roc_auc_score(targets[drawn], scores[drawn]),
        }
        assert Ranking(targets, scores).means(weights) == pytest.approx(expected)


def test_layer_of_several_labels_is_chosen_on_the_training_folds_alone():
    random = np.random.default_rng(0)
    targets, folds = (random.random((60, 3)) < 0.4).astype(np.float32), np.arange(60) // 20
    features = random.standard_normal((60, 2, 4)).astype(np.float32)
    train, test = np.flatnonzero(folds > 0), np.flatnonzero(folds == 0)
    features[train, 1, :3] += 8 * targets[train]
    features[test, 0, :3] += 8 * targets[test]
    fold = Fold("fold 0", train, test, folds[train])
    for kind in ("ridge", "neighbours", "logistic"):
        for count in (1, 3):
            ranked = rank(features, targets[:, :count], fold, kind)
            assert (ranked.layer, ranked.scores.shape) == (1, (20, count))
    features[test, 1, :3] += 8 * targets[test]
    ranked = rank(features, targets, fold, "ridge").scores
    assert average_precision_score(targets[test], ranked, average=None).min() > 0.95


def test_few_clips_have_enough_of_each_label():
    targets = (np.random.default_rng(0).random((60, 4)) < [0.02, 0.2, 0.5, 1.0]).astype(np.float32)
    drawn = [probing_labels.draw(targets, 3, np.random.default_rng(seed)) for seed in range(8)]
    for clips in drawn:
        for label in (targets > 0).T, (targets == 0).T:
            assert (label[:, clips].sum(axis=1) >= np.minimum(3, label.sum(axis=1))).all()
    assert len({tuple(clips) for clips in drawn}) == 8


def test_clips_that_are_drawn_for_one_label_count_for_others():
    has_it = np.arange(20) % 2
    for seed in range(4):
        clips = probing_labels.draw(np.stack([has_it, 1 - has_it], axis=1), 3, np.random.default_rng(seed))
        assert has_it[clips].tolist().count(1) == has_it[clips].tolist().count(0) == 3


def wrong(targets, clips):
    """Targets that are 0 and 1, with those of some clips turned round."""
    turned = targets.copy()
    turned[clips] = 1 - turned[clips]
    return turned


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
def test_few_labels_of_several(kind):
    random = np.random.default_rng(0)
    targets, folds = (random.random((90, 3)) < 0.4).astype(np.float32), np.arange(90) // 30
    features = random.standard_normal((90, 2, 6)).astype(np.float32)
    features[:, 1, :3] += 2 * targets
    train, test = np.flatnonzero(folds > 0), np.flatnonzero(folds == 0)
    fold = Fold("fold 0", train, test, folds[train])
    for count in (1, 3):
        labels = targets[:, :count]
        chosen = rank(features, labels, fold, kind)
        with_all = average_precision_score(labels[test], chosen.scores)
        assert probing_labels.few_labels(features, labels, fold, chosen, kind, train) == pytest.approx(with_all)
        clips = train[probing_labels.draw(labels[train], 8, random)]
        figure = probing_labels.few_labels(features, labels, fold, chosen, kind, clips)
        assert labels[test].mean() + 0.1 < figure < 1
        others = np.setdiff1d(train, clips)
        assert probing_labels.few_labels(features, wrong(labels, others), fold, chosen, kind, clips) == figure


def test_labels_that_nothing_has_and_a_single_one(folder, table, tmp_path, monkeypatch):
    monkeypatch.setattr("ssast_hf.audio.intervals.DRAWS", 20)
    output = tmp_path / "out"
    (tmp_path / "names.csv").write_text("index,mid,display_name\n0,/m/a,tone\n1,/m/b,never\n")
    rows = [f'{{"wav": "audio/{i}.wav", "labels": "{"/m/a" if i % 3 else ""}"}}' for i in range(24)]
    (tmp_path / "data.json").write_text('{"data": [' + ",".join(rows) + "]}")
    for names in (["--label_csv", str(tmp_path / "names.csv")], []):
        options = [*names, "--task", "multilabel", "--num_folds", "2", *OPTIONS]
        command = ["evaluate", str(folder), "--data", str(tmp_path / "data.json"), "--output_dir", str(output)]
        assert main([*command, *options]) == 0
        metrics = json.loads((output / "metrics.json").read_text())
        assert metrics["chance"] == pytest.approx(2 / 3, abs=0.05)
        assert list(metrics["results"][0]["label_efficiency"]) == ["1", "2"]


def test_embeddings_that_do_not_name_their_pooling_are_used(folder, table, capsys, monkeypatch):
    assert evaluate(folder, table, "--fold_column", "fold", "--folds", "0") == 0
    for described in (table.parent / "out" / "embeddings").glob("*/identity.json"):
        identity = json.loads(described.read_text())
        identity.pop("pooling", None)
        described.write_text(json.dumps(identity))
    assert evaluate(folder, table, "--fold_column", "fold", "--folds", "0", "--pooling", "bands") == 1
    assert "of another settings sha256" in capsys.readouterr().err
    monkeypatch.setattr("ssast_hf.inference.evaluating.contenders.SSASTContender.embed", None)
    assert evaluate(folder, table, "--fold_column", "fold", "--folds", "0") == 0
