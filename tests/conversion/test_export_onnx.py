"""`ssast-hf export-onnx`: any batch, any length, what lies beside the model, and what is refused."""

import csv
import importlib.metadata
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exported import LABELS, needs_exporter, saved

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForPretraining,
    SSASTForXVector,
    SSASTModel,
    cli,
)
from ssast_hf.assets import bundled_clips
from ssast_hf.conversion import ConversionError, export_onnx
from ssast_hf.conversion.exporting import run, writing
from ssast_hf.conversion.exporting.check import difference_of, filter_bank_difference, read_clip
from ssast_hf.conversion.exporting.filter_banks import FilterBanks
from ssast_hf.conversion.exporting.graph import Graph, exporting
from ssast_hf.conversion.exporting.numbers import preprocessing_of
from ssast_hf.conversion.exporting.report import Report
from ssast_hf.conversion.exporting.run import labels_of
from ssast_hf.inference.predicting.run import predict
from ssast_hf.masking_ssast import first_alike, first_alike_in_graph


def ask(folder, **inputs) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {name: np.asarray(x) for name, x in inputs.items()}), strict=True))


def operators(folder) -> set[str]:
    """What onnxruntime makes of a graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(folder / "model.onnx", options)
    return {node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node}


def batch(batch_size: int, num_frames: int, is_padded: bool = False) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(num_frames)
    inputs = {"input_values": torch.randn(batch_size, num_frames, 128, generator=generator)}
    if is_padded:
        lengths = torch.linspace(num_frames, max(num_frames // 2, 16), batch_size).long()
        inputs["attention_mask"] = (torch.arange(num_frames) < lengths.unsqueeze(1)).long()
    return inputs


def check(model, folder, inputs):
    with torch.no_grad():
        expected = model(**inputs, return_dict=True)
    found = ask(folder, **inputs)
    assert found.keys() == {name for name, value in expected.items() if value is not None} - {"bool_masked_pos"}
    for name, value in found.items():
        assert name == "accuracy" or difference_of(value, expected[name].numpy()) < 1e-4, name


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    model = saved(folder / "model", SSASTForAudioClassification, problem_type="multi_label_classification")
    return model, folder / "model", folder / "onnx", export_onnx(folder / "model", folder / "onnx", pt2=True)


# From one patch, over the model's own length, to what stretches its positions; one clip and several.
SHAPES = [(1, 16), (3, 96), (2, 57), (1, 97), (2, 300)]


@pytest.mark.compatibility
@needs_exporter
def test_any_number_of_clips_of_any_length(classifier):
    model, _, folder, _ = classifier
    for batch_size, num_frames in SHAPES:
        check(model, folder, batch(batch_size, num_frames))


@needs_exporter
def test_exported_program_of_pytorch(classifier):
    model, _, folder, _ = classifier
    program = torch.export.load(folder / "model.pt2").module()
    for batch_size, num_frames in SHAPES[1:]:
        inputs = batch(batch_size, num_frames)
        torch.testing.assert_close(program(**inputs)["logits"], model(**inputs).logits, rtol=0, atol=1e-4)


@needs_exporter
def test_what_lies_beside_the_model(classifier):
    _, _, folder, lines = classifier
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        "features.onnx infer.py labels.json metrics.json model.onnx model.pt2 preprocessor.json report.md".split()
    )
    assert json.loads((folder / "labels.json").read_text()) == list(LABELS.values())
    numbers = json.loads((folder / "preprocessor.json").read_text())
    assert (numbers["pad_to"], numbers["problem_type"]) == (96, "multi_label_classification")
    assert numbers["event_threshold"] is None
    metrics = json.loads((folder / "metrics.json").read_text())
    assert len(metrics["batches"]) == 20
    assert metrics["differences"]["logits"] < 1e-4
    assert metrics["bytes"]["model.onnx"] == (folder / "model.onnx").stat().st_size
    assert list(metrics["same_best_label"].values()) == [True] * 8
    assert any("20 batches" in line for line in lines)
    assert "| onnxruntime |" in (folder / "report.md").read_text()


@needs_exporter
def test_infer_needs_three_packages_alone(classifier, tmp_path):
    """It says of a recording, of another rate and in stereo, what the model says in PyTorch."""
    model, source, folder, _ = classifier
    clip = next(path for path in bundled_clips() if "stereo" in path.name)
    for package in ("numpy", "onnxruntime", "soundfile", "cffi", "typing_extensions"):  # the last two for soundfile
        for file in importlib.metadata.files(package):
            name, link = file.parts[0], tmp_path / file.parts[0]
            if name != ".." and not link.exists():
                link.symlink_to(importlib.metadata.distribution(package).locate_file(name))
    # Without the packages of this environment.
    command = [sys.executable, "-S", folder / "infer.py", clip]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    extractor = SSASTFeatureExtractor.from_pretrained(source)
    features = extractor(read_clip(clip, 16000), sampling_rate=16000, return_tensors="pt")["input_values"]
    logits = model(features).logits[0]
    words = result.stdout.split()
    assert words[0] == LABELS[logits.argmax().item()]
    assert float(words[1]) == pytest.approx(logits.max().item(), abs=2e-3)
    assert result.stdout.endswith("logits (1, 3)\n")


def infer(folder, *arguments):
    return subprocess.run([sys.executable, folder / "infer.py", *arguments], capture_output=True, text=True)


@needs_exporter
def test_infer_says_what_it_cannot_do_and_what_it_leaves_out(classifier, tmp_path):
    import soundfile

    _, _, folder, _ = classifier
    short, clip = tmp_path / "short.wav", bundled_clips()[0]
    soundfile.write(short, np.zeros(100), 16000)
    text = tmp_path / "text.wav"
    text.write_text("no sound at all")
    for arguments, message in (
        ((), "Which recording?"),
        ((short,), "short.wav is too short: the model takes 400 samples at 16000 Hz."),
        ((text,), f"Error opening '{text}'"),
    ):
        result = infer(folder, *arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert message in result.stderr
        assert "Traceback" not in result.stderr
    assert "heard: 0.97 of " in infer(folder, clip).stdout  # 96 frames


@needs_exporter
def test_infer_is_short_enough_to_copy(classifier):
    _, _, folder, _ = classifier
    lines = (folder / "infer.py").read_text().splitlines()[1:]
    assert sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines) <= 25


@pytest.mark.parametrize("stored", ["_", {"content": "_", "special": False}])
def test_words_end_where_the_tokenizer_says(tmp_path, stored):
    model = saved(tmp_path / "model", SSASTForCTC, vocab_size=4, pad_token_id=0, time_stride=4)
    (tmp_path / "model" / "vocab.json").write_text(json.dumps({"<pad>": 0, "_": 1, "|": 2, "a": 3}))
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps({"word_delimiter_token": stored}))
    assert labels_of(tmp_path / "model", model) == ["", " ", "|", "a"]


@needs_exporter
def test_text_is_written_without_blanks(tmp_path):
    model = saved(tmp_path / "model", SSASTForCTC, vocab_size=5, pad_token_id=0, time_stride=4)
    vocabulary = {"<pad>": 0, "|": 1, "a": 2, "b": 3, "c": 4}
    (tmp_path / "model" / "vocab.json").write_text(json.dumps(vocabulary))
    with torch.no_grad():
        model.ctc_head.weight *= 30  # so that letters change from step to step
    model.save_pretrained(tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    assert json.loads((tmp_path / "onnx" / "labels.json").read_text()) == ["", " ", "a", "b", "c"]
    clip = next(path for path in bundled_clips() if "16k" in path.name)
    extractor = SSASTFeatureExtractor.from_pretrained(tmp_path / "model")
    features = extractor(read_clip(clip, 16000), sampling_rate=16000, return_tensors="pt")["input_values"]
    best = model(features).logits[0].argmax(dim=1).tolist()
    written = [each for step, each in enumerate(best) if step == 0 or each != best[step - 1]]
    expected = "".join(["", " ", "a", "b", "c"][each] for each in written)
    assert infer(tmp_path / "onnx", clip).stdout.splitlines()[0] == expected


@needs_exporter
def test_encoder_with_mask(tmp_path):
    """All levels, and clips of several lengths in a batch; patches overlap."""
    model = saved(tmp_path / "model", SSASTModel, frequency_stride=12, time_stride=10)
    export_onnx(tmp_path / "model", tmp_path / "onnx", attention_mask=True)
    for batch_size, num_frames in SHAPES:
        check(model, tmp_path / "onnx", batch(batch_size, num_frames, is_padded=True))
    assert json.loads((tmp_path / "onnx" / "labels.json").read_text()) == []
    # One operator in the place of five.
    assert {"Gelu", "BiasGelu"} & (found := operators(tmp_path / "onnx"))
    assert "Erf" not in found


@pytest.mark.slow
@needs_exporter
def test_pretraining_model_with_duplicates(tmp_path):
    model = saved(tmp_path / "model", SSASTForPretraining)
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    for batch_size, num_frames in SHAPES[1:]:
        inputs = batch(batch_size, num_frames)
        inputs["input_values"][:, 16:48] = 0.467  # silence
        mask = torch.rand(batch_size, 8 * (num_frames // 16), generator=torch.Generator().manual_seed(0)) < 0.6
        check(model, tmp_path / "onnx", inputs | {"bool_masked_pos": mask})
    assert not (tmp_path / "onnx" / "infer.py").exists()


@needs_exporter
def test_waveforms_in_bytes(tmp_path, monkeypatch):
    """Filter banks in the graph, of a model whose weights are quantised, from a second file into the first."""
    monkeypatch.setattr(writing, "MOST_BYTES", 0)
    model = saved(tmp_path / "model", SSASTForAudioClassification, hidden_size=64)
    lines = export_onnx(tmp_path / "model", tmp_path / "onnx", waveform_input=True, dtype="int8")
    assert any("filter banks within" in line for line in lines)
    assert [path.name for path in (tmp_path / "onnx").glob("model.*")] == ["model.onnx"]
    weights = [
        onnx.numpy_helper.to_array(each) for each in onnx.load(tmp_path / "onnx" / "model.onnx").graph.initializer
    ]
    largest = [int(np.abs(each.astype(int)).max()) for each in weights if each.dtype == np.int8]
    # Signed, and so small that sums of two products with a byte fit into 16 bits.
    assert len(largest) > 10
    assert max(largest) <= 64
    extractor = SSASTFeatureExtractor.from_pretrained(tmp_path / "model")
    for clip in bundled_clips()[:3]:
        waveform = read_clip(clip, 16000)
        logits = ask(tmp_path / "onnx", waveform=waveform.unsqueeze(0))["logits"]
        features = extractor(waveform, sampling_rate=16000, return_tensors="pt")["input_values"]
        np.testing.assert_allclose(logits, model(features).logits.detach(), atol=0.2)
        assert logits.argmax() == model(features).logits.argmax()


@needs_exporter
def test_clips_shorter_than_a_patch_are_not_compared(tmp_path):
    masked = {"return_attention_mask": True}
    saved(tmp_path / "model", SSASTForAudioClassification, extractor=masked, patch_size=32, num_masked_patches=4)
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    compared = json.loads((tmp_path / "onnx" / "metrics.json").read_text())["same_best_label"]
    assert {path.name for path in bundled_clips()} - compared.keys() == {"trumpet_44k1_stereo.wav"}
    assert "The same on the bundled clips:" in (tmp_path / "onnx" / "report.md").read_text()


@needs_exporter
def test_what_cannot_be_said_in_padding_is_the_same_in_half_precision(tmp_path):
    fields = {"vocab_size": 5, "pad_token_id": 0, "time_stride": 4}
    model = saved(tmp_path / "model", SSASTForCTC, **fields)
    export_onnx(tmp_path / "model", tmp_path / "onnx", attention_mask=True, dtype="float16")
    differences = json.loads((tmp_path / "onnx" / "metrics.json").read_text())["differences"]
    assert 0 < differences["logits"] < 0.05
    inputs = batch(2, 96, is_padded=True)
    found = ask(tmp_path / "onnx", **inputs)["logits"]
    assert (found.argmax(axis=-1) == model(**inputs).logits.argmax(dim=-1).numpy()).all()


@needs_exporter
def test_numbers_that_are_no_labels_have_no_best_one(tmp_path):
    saved(tmp_path / "model", SSASTForAudioClassification, problem_type="regression", id2label={0: "x", 1: "y"})
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    metrics = json.loads((tmp_path / "onnx" / "metrics.json").read_text())
    assert metrics["same_best_label"] == {}
    assert "logits" in metrics["differences_on_clips"]


@needs_exporter
@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("InferenceSession.run", Exception("no such kernel"), r"does not run it on .* \(no such kernel\); nothing"),
        ("Graph.forward", RuntimeError("can't allocate memory: 9 bytes"), "needs more memory than there is; nothing"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path, monkeypatch, place, error, message):
    saved(tmp_path / "model", SSASTForAudioClassification)
    owner, name = (onnxruntime.InferenceSession, "run") if "Session" in place else (Graph, "forward")

    def fail(*arguments, **options):
        raise error

    # Once it is written.
    monkeypatch.setattr(run, "shutil", SimpleNamespace(copyfile=lambda *paths: monkeypatch.setattr(owner, name, fail)))
    with pytest.raises(ConversionError, match=message):
        export_onnx(tmp_path / "model", tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


@needs_exporter
def test_query_of_attentive_pooling_stays_as_it_is_in_bytes(tmp_path):
    model = saved(tmp_path / "model", SSASTForXVector, hidden_size=64, pooling_mode="attentive")
    export_onnx(tmp_path / "model", tmp_path / "onnx", dtype="int8")
    graph = onnx.load(tmp_path / "onnx" / "model.onnx").graph
    kept = [onnx.numpy_helper.to_array(each) for each in graph.initializer if each.name == "model.pooling.query"]
    torch.testing.assert_close(torch.from_numpy(kept[0].copy()), model.pooling.query.detach())
    inputs = batch(3, 96)
    found = ask(tmp_path / "onnx", **inputs)["embeddings"]
    np.testing.assert_allclose(found, model(**inputs).embeddings.detach(), atol=0.1)


@pytest.mark.slow
@needs_exporter
@pytest.mark.parametrize(
    ("model_class", "fields", "options"),
    [
        (SSASTForXVector, {"xvector_output_dim": 16}, {"attention_mask": True}),
        (SSASTForCTC, {"vocab_size": 9, "time_stride": 4, "pad_token_id": 2}, {"opset": 20}),
        (
            SSASTForAudioFrameClassification,
            {"use_weighted_layer_sum": True, "classifier_proj_size": 8, "event_threshold": 0.2},
            {},
        ),
        (SSASTForPretraining, {"decoder_num_hidden_layers": 1, "frequency_stride": 12}, {"attention_mask": True}),
        (SSASTForAudioClassification, {"pooling_mode": "statistics"}, {"dtype": "float16"}),
        (SSASTForAudioClassification, {}, {"waveform_input": True, "attention_mask": True}),
        (SSASTModel, {"pooling_mode": "cls"}, {"waveform_input": True}),
        (SSASTModel, {"patch_size": [128, 2]}, {"pt2": True}),
        (SSASTForAudioClassification, {"max_length": 24, "num_masked_patches": 2}, {"pt2": True}),  # of one time step
        (SSASTForPretraining, {"patch_size": [128, 2]}, {}),
        (SSASTForPretraining, {}, {"waveform_input": True}),
        (SSASTForXVector, {"xvector_output_dim": 16}, {"waveform_input": True}),
    ],
)
def test_every_class(model_class, fields, options, tmp_path):
    saved(tmp_path / "model", model_class, **fields)
    export_onnx(tmp_path / "model", tmp_path / "onnx", **options)
    metrics = json.loads((tmp_path / "onnx" / "metrics.json").read_text())
    assert max(metrics["differences"].values()) < (0.1 if "dtype" in options else 1e-4)
    takes_audio = model_class is not SSASTForPretraining or "waveform_input" in options
    assert (metrics["filter_bank_difference"] is not None) == takes_audio
    assert (tmp_path / "onnx" / "features.onnx").exists() == (takes_audio and "waveform_input" not in options)
    numbers = json.loads((tmp_path / "onnx" / "preprocessor.json").read_text())
    assert numbers["event_threshold"] == fields.get("event_threshold")


@pytest.mark.parametrize("has_mask", [True, False], ids=["trained with a mask", "trained on padding"])
def test_filter_banks_are_the_extractors(has_mask):
    """Also of padded batches, cut and padded. Padding that the model was trained on counts as audio."""
    extractor = SSASTFeatureExtractor(max_length=100, return_attention_mask=has_mask)
    config = SSASTConfig(max_length=100, num_masked_patches=20)
    clips = [path for path in bundled_clips() if "16k" in path.name][:3]
    waveforms = [read_clip(path, 16000)[: 8000 + 9000 * i] for i, path in enumerate(clips)]
    padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
    is_audio = torch.arange(padded.shape[1]) < torch.tensor([[len(each)] for each in waveforms])
    banks = FilterBanks(preprocessing_of(extractor, config, has_head=True))
    features, mask = banks(padded, is_audio)
    arrays = [each.numpy() for each in waveforms]
    padding = "longest" if has_mask else "max_length"
    options = {"padding": padding, "return_tensors": "pt", "return_attention_mask": True}
    expected = extractor(arrays, sampling_rate=16000, **options)
    torch.testing.assert_close(features, expected["input_values"], rtol=0, atol=1e-3 / (2 * extractor.std))
    assert torch.equal(mask, expected["attention_mask"] if has_mask else torch.ones(3, 100, dtype=torch.int64))


@pytest.mark.slow
@needs_exporter
@pytest.mark.parametrize("waveform_input", [False, True])
def test_mask_changes_nothing_for_models_that_were_trained_on_padding(tmp_path, waveform_input):
    """A short clip with a mask gives what `predict` gives, which pads as in training."""
    import soundfile

    saved(tmp_path / "model", SSASTForAudioClassification, id2label={0: "a", 1: "b", 2: "c"})
    soundfile.write(tmp_path / "short.wav", 0.1 * np.random.default_rng(0).standard_normal(6000), 16000)
    predict(str(tmp_path / "model"), [str(tmp_path / "short.wav")], str(tmp_path / "out.csv"))
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    export_onnx(tmp_path / "model", tmp_path / "onnx", attention_mask=True, waveform_input=waveform_input)
    said = infer(tmp_path / "onnx", tmp_path / "short.wav").stdout.split()
    logits = dict(zip(said[0:6:2], map(float, said[1:6:2]), strict=True))
    scores = np.exp([logits[name] for name in "abc"])
    assert said[0] == row["label"]
    assert scores.max() / scores.sum() == pytest.approx(float(row["score"]), abs=2e-3)


def test_filter_banks_of_frames_of_an_odd_length():
    extractor = SSASTFeatureExtractor(sampling_rate=11000, max_length=100)
    numbers = preprocessing_of(extractor, SSASTConfig(max_length=100, num_masked_patches=20), has_head=True)
    assert numbers.frame_length == 275
    waveform = 0.1 * torch.randn(1, 9000, generator=torch.Generator().manual_seed(0))
    expected = extractor(waveform[0].numpy(), sampling_rate=11000, return_tensors="pt")["input_values"]
    torch.testing.assert_close(FilterBanks(numbers)(waveform)[0], expected, rtol=0, atol=1e-3 / (2 * extractor.std))


def test_duplicates_are_found_without_looking_at_bits():
    targets = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(0))
    targets[0, 7] = targets[0, 3]
    targets[1, 20:] = 0.467
    targets[1, 30] += 1e-7
    assert torch.equal(first_alike_in_graph(targets), first_alike(targets))


def test_what_is_refused(tmp_path, monkeypatch):
    saved(tmp_path / "model", SSASTModel)
    cases = [({"opset": 11}, "opset 11 cannot be written"), ({"opset": 999}, "Choose one of these")]
    cases += [({"dtype": "int4"}, "int4"), ({"dtype": "int8", "pt2": True}, "model.pt2 is float32 or float16")]
    monkeypatch.setattr(torch, "__version__", "2.13.0")
    for options, message in cases:
        with pytest.raises(ConversionError, match=message):
            export_onnx(tmp_path / "model", tmp_path / "onnx", **options)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        export_onnx(tmp_path / "none", tmp_path / "onnx")
    with pytest.raises(FileExistsError, match="--overwrite"):
        export_onnx(tmp_path / "model", tmp_path / "model")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        export_onnx(tmp_path / "model", tmp_path / "file" / "onnx")
    with monkeypatch.context() as patch:  # as if somebody else owned it; root may write anywhere
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(PermissionError, match=f"no permission to write in {tmp_path}"):
            export_onnx(tmp_path / "model", tmp_path / "onnx")
    saved(tmp_path / "other", SSASTModel)
    with pytest.raises(FileExistsError, match=r"holds a model \(config.json\), which is not replaced"):
        export_onnx(tmp_path / "model", tmp_path / "other", overwrite=True)
    monkeypatch.setattr(onnxruntime, "__version__", "1.10.0")
    with pytest.raises(ConversionError, match=r"needs onnxruntime 1.18 or later, found 1.10.0"):
        export_onnx(tmp_path / "model", tmp_path / "onnx")
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(ConversionError, match=r"needs PyTorch 2.9 or later, found 2.6.0"):
        export_onnx(tmp_path / "model", tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_sizes_that_were_frozen_are_told(tmp_path):
    import onnx

    tensor = partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT)
    for shape, is_open in ((["batch", "frames", 128], True), ([2, "frames", 128], False), (["batch", 96, 128], False)):
        values = [tensor(name, shape=shape) for name in ("input_values", "logits")]
        node = onnx.helper.make_node("Identity", ["input_values"], ["logits"])
        graph = onnx.helper.make_graph([node], "graph", values[:1], values[1:])
        onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
        with nullcontext() if is_open else pytest.raises(ConversionError, match="input_values"):
            writing.check_sizes_are_open(tmp_path / "model.onnx")


def test_what_differs_on_clips_is_refused(tmp_path):
    scores = np.array([[0.0, 1.0, 0.5]])

    def report(**options) -> Report:
        return Report("SSASTForAudioClassification", "float32", 18, tmp_path, **{"waveform_input": True} | options)

    same = report()
    same.add_difference("logits", 1e-5)
    same.add_clip_difference("logits", 9e-3)  # of spectra that onnxruntime computes
    same.add_clip("dog", scores, scores + 1e-5)
    same.add_filter_banks(9e-4)
    same.refuse()
    for change, message in (
        (lambda each: each.add_clip("dog", scores, np.roll(scores, 1)), "The best label of dog is not PyTorch's"),
        (lambda each: each.add_clip_difference("logits", 2e-2), "on bundled clips"),
        (lambda each: each.add_filter_banks(2e-3), "Filter banks differ"),
    ):
        other = report()
        change(other)
        with pytest.raises(ConversionError, match=message):
            other.refuse()


@pytest.mark.parametrize(("dtype", "rounding"), [("float16", 0.009), ("int8", 0.04)])
def test_best_label_that_rounding_does_not_explain_is_refused(tmp_path, dtype, rounding):
    """On any scale of the logits."""
    for scale in (0.1, 100.0):
        report = Report("SSASTForAudioClassification", dtype, 18, tmp_path, waveform_input=False)
        nearly_tied = scale * np.array([[1.0, 1.0 - rounding, 0.0]])
        report.add_clip("dog", nearly_tied, nearly_tied[:, [1, 0, 2]])
        report.refuse()
        far_apart = scale * np.array([[1.0, 1.0 - 2 * rounding, 0.0]])
        report.add_clip("rain", far_apart, far_apart[:, [1, 0, 2]])
        with pytest.raises(ConversionError, match=f"The best label of rain is not PyTorch's.* in {dtype} .*--dtype"):
            report.refuse()


def test_opset_that_was_not_written_is_told(tmp_path):
    import onnx

    graph = onnx.helper.make_graph([], "nothing", [], [])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), tmp_path / "m.onnx")
    writing.check_opset(tmp_path / "m.onnx", 18)
    with pytest.raises(ConversionError, match=r"opset 21 was asked for.*Choose --opset 18"):
        writing.check_opset(tmp_path / "m.onnx", 21)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("Could not guard on u0", r"cannot export SSASTModel \(Could not guard"),
        ("can't allocate memory", "needs more"),
    ],
)
def test_what_the_exporter_raises_is_told(error, message):
    with pytest.raises(ConversionError, match=message), exporting("SSASTModel"):
        raise RuntimeError(error)


def test_filter_banks_that_are_not_finite_differ():
    expected = torch.zeros(2, 4)
    assert filter_bank_difference(torch.full((2, 4), float("nan")), expected) == float("inf")
    assert filter_bank_difference(expected + 0.5, expected) == 0.5


def test_nothing_is_kept_of_what_differs(tmp_path, monkeypatch, capsys):
    """As if the exporter had made a mistake."""
    from ssast_hf.conversion.exporting import report, run

    saved(tmp_path / "model", SSASTModel)
    monkeypatch.setattr(writing, "OLDEST_TORCH", "2.0")
    monkeypatch.setattr(run, "exported", lambda graph: None)
    monkeypatch.setattr(run, "write_onnx", lambda program, graph, path, opset, quantise: path.write_bytes(b"x"))
    monkeypatch.setattr(run, "compare_clips", lambda *arguments: None)
    monkeypatch.setattr(report, "version_of", lambda name: "1.0")
    cases = [(0.5, "float32", "pooler_output differs from PyTorch's by 5.0e-01")]
    cases += [(float("inf"), "float16", "pooler_output in float16 holds NaN or infinity")]
    for difference, dtype, message in cases:
        compare = lambda graph, path, report, size=difference: report.add_difference("pooler_output", size)  # noqa: E731
        monkeypatch.setattr(run, "compare", compare)
        assert cli.main(["export-onnx", str(tmp_path / "model"), str(tmp_path / "onnx"), "--dtype", dtype]) == 1
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
