"""The command `predict`, and the `Predictor`: answers of all heads, on the time line of recordings of any length."""

import csv
import io
import json
import sys
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from datasets import Dataset
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, Wav2Vec2CTCTokenizer, pipeline

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForPretraining,
    SSASTForXVector,
)
from ssast_hf.audio.decoded import DecodedFiles
from ssast_hf.cli import main
from ssast_hf.inference import Predictor
from ssast_hf.inference.predicting.answers import Answer, EventAnswers, TextAnswers, TimeLine
from ssast_hf.inference.predicting.heads import load_head
from ssast_hf.inference.predicting.table import Table
from ssast_hf.inference.stitching import Window


RATE = 16000
SECONDS = (2.1, 0.3, 0.65)  # a window has 0.655 s
NAMES = {0: "rain", 1: "dog", 2: "a, b"}


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Louder and softer by turns."""
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, int(RATE * seconds)).astype(np.float32)
    return wave * (0.1 + np.abs(np.sin(np.arange(len(wave)) / 1500, dtype=np.float32)))


@pytest.fixture
def save(tmp_path):
    """Makes a tiny model with a head, and returns its folder."""

    def make(model_class, extractor=None, **fields):
        torch.manual_seed(0)
        config = SSASTConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=64,
            patch_size=[32, 2],
            num_mel_bins=32,
            max_length=64,
            id2label=NAMES,
            **fields,
        )
        model = model_class(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        folder = tmp_path / model_class.__name__
        model.save_pretrained(folder)
        options = {"return_attention_mask": True} | (extractor or {})
        SSASTFeatureExtractor(num_mel_bins=32, max_length=64, **options).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def recogniser(save, tmp_path):
    folder = save(
        SSASTForCTC, {"padding": "longest", "truncation": False}, vocab_size=12, pad_token_id=0, xvector_output_dim=8
    )
    vocabulary = {name: i for i, name in enumerate(["<pad>", "|", "<unk>", *"abcdefghi"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    options = {"pad_token": "<pad>", "bos_token": None, "eos_token": None}
    Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), **options).save_pretrained(folder)
    return folder


@pytest.fixture
def audio(tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    for number, seconds in enumerate(SECONDS):
        soundfile.write(folder / f"{number}.wav", noise(seconds, number), RATE, subtype="FLOAT")
    return folder


def predict(model, *sources, output, **options) -> int:
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return main(list(map(str, ["predict", model, *sources, "--output", output, "--num_workers", 0, *words])))


def rows_of(path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.compatibility
def test_classes_of_files(save, audio, tmp_path, capsys, monkeypatch):
    model, output = save(SSASTForAudioClassification), tmp_path / "out.csv"
    assert predict(model, audio, output=output, batch_size=4) == 0
    assert capsys.readouterr().out == f"3 recordings, 3.05 s, 6 rows: {output}\n"
    rows = rows_of(output)
    assert list(rows[0]) == ["path", "start", "end", "label", "score"]
    spans = [(row["path"][-5], float(row["start"]), float(row["end"])) for row in rows]
    # Of windows that overlap by a quarter, and of clips their whole length.
    assert spans[:4] == [("0", 0, 0.655), ("0", 0.48, 1.135), ("0", 0.96, 1.615), ("0", 1.44, 2.1)]
    assert spans[4:] == [("1", 0, 0.3), ("2", 0, 0.65)]
    # As the pipeline says of each clip alone.
    classify = pipeline("audio-classification", model=str(model))
    for number, row in zip((1, 2), rows[4:], strict=True):
        (best,) = classify(noise(SECONDS[number], number), top_k=1)
        assert row["label"] == best["label"]
        assert float(row["score"]) == pytest.approx(best["score"], abs=1e-5)

    # Standard input names files; what cannot be used is listed.
    (audio / "text.wav").write_text("no audio")
    lines = "\n".join(map(str, [audio / "2.wav", audio / "missing.wav", audio / "text.wav"]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    table = tmp_path / "out.jsonl"
    assert predict(model, "-", audio / "1.wav", output=table, top_k=3) == 0
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert [row["path"][-5] for row in rows] == ["2"] * 3 + ["1"] * 3
    assert sum(row["score"] for row in rows[:3]) == pytest.approx(1, abs=1e-5)
    bad = (tmp_path / "out_skipped_files.txt").read_text().splitlines()
    assert [line.split("\t")[0][-11:] for line in bad] == ["missing.wav", "io/text.wav"]
    assert "2 could not be used" in capsys.readouterr().out


def test_table_inside_the_folder_that_is_predicted_can_be_written_again(save, audio, tmp_path):
    model, output = save(SSASTForAudioClassification), audio / "out.csv"
    assert predict(model, audio, output=output) == 0
    first = output.read_text()
    command = ["predict", model, audio, "--output", output, "--num_workers", 0, "--overwrite"]
    assert main(list(map(str, command))) == 0
    assert output.read_text() == first


def test_names_that_are_no_text_are_valid_json(tmp_path):
    name = "caf\udce9.wav"  # of a byte that is no UTF-8
    with (tmp_path / "out.jsonl").open("w", encoding="utf-8", errors="surrogateescape") as file:
        table = Table(tmp_path / "out.jsonl", file)
        table.add(name, Answer(0.0, 1.0, "dog", 0.5))
        table.add("été.wav", Answer(0.0, 1.0, "dog", 0.5))
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["path"] for line in lines] == [name, "été.wav"]
    assert "été" in lines[1]
    assert DecodedFiles(tmp_path, RATE).path_of(name).parent == tmp_path


def test_columns_and_rows_of_data_sets_are_clips(save, audio):
    """A column is a sequence, and no list."""
    predictor = Predictor(save(SSASTForAudioClassification))
    paths = sorted(map(str, audio.iterdir()))[:2]
    rows = [{"array": soundfile.read(path, dtype="float32")[0], "sampling_rate": RATE} for path in paths]
    table = Dataset.from_dict({"path": paths, "audio": rows})
    assert predictor(table["path"]) == predictor(paths)
    assert len(predictor(table["audio"])) == 2
    for row in ({"audio": rows[0], "label": 1}, {"audio": rows[0], "path": "elsewhere.wav"}):
        assert predictor(row) == predictor(rows[0])


def test_nothing_is_written_of_a_run_that_fails(save, audio, tmp_path, capsys):
    model, output = save(SSASTForAudioClassification), tmp_path / "out.csv"
    # Says that it is longer than it is, which shows when its windows are read.
    (audio / "0.wav").unlink()
    soundfile.write(audio / "0.flac", noise(2.1), RATE)
    content = (audio / "0.flac").read_bytes()
    (audio / "0.flac").write_bytes(content[: len(content) // 2])
    before = sorted(tmp_path.iterdir())
    assert predict(model, audio, output=output, on_bad_file="error") == 1
    assert "0.flac" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
    assert predict(model, audio, output=output) == 0
    assert {row["path"][-5] for row in rows_of(output)} == {"1", "2"}  # nor the half of a recording
    assert predict(model, audio, output=output) == 1
    assert "exists" in capsys.readouterr().err
    assert predict(model, audio / "none.wav", output=tmp_path / "b.csv") == 1
    assert "None of the 1 recordings can be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    "extractor",
    [{}, {"return_attention_mask": False}, {"return_attention_mask": False, "padding": "longest"}],
)
def test_answers_do_not_depend_on_the_batch(save, extractor):
    model = save(SSASTForAudioClassification, extractor, pooling_mode="cls")
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.3, 0.65, 1.0, 0.31, 0.7, 0.3))]
    for window in (None, 0.8):
        predictor = Predictor(model, top_k=3, batch_size=4, window=window)
        for clip, answers in zip(clips, predictor(clips), strict=True):
            for one, other in zip(predictor(clip), answers, strict=True):
                assert one["label"] == other["label"]
                assert one["score"] == pytest.approx(other["score"], abs=1e-6)


@pytest.mark.compatibility
def test_several_labels_values_and_speakers(save, audio, tmp_path, capsys):
    clip = noise(0.5)
    model = save(SSASTForAudioClassification, problem_type="multi_label_classification")
    scores = {row["label"]: row["score"] for row in Predictor(model, top_k=3)(clip)}
    chosen = sorted(scores.values())[1]
    above = Predictor(model, threshold=chosen)(clip)
    assert [row["label"] for row in above] == [max(scores, key=scores.__getitem__)]
    assert {row["label"] for row in Predictor(model)(clip)} == {name for name, p in scores.items() if p > 0.5}
    assert predict(model, audio, output=tmp_path / "n.csv", threshold=0.99999) == 0
    assert "3 of them without an answer above 0.99999 (--threshold)" in capsys.readouterr().out

    model = save(SSASTForAudioClassification, problem_type="regression")
    values = {row["label"]: row["score"] for row in Predictor(model)(clip)}
    head = load_head(model, torch.device("cpu"), torch.float32)
    expected = head.logits([clip])[0].tolist()
    assert values == dict(zip(NAMES.values(), expected, strict=True))
    with pytest.raises(ValueError, match="top_k is for models that answer with labels or speakers"):
        Predictor(model, top_k=1)

    model = save(SSASTForXVector)
    speakers = Predictor(model, top_k=3)(clip)
    cosines = load_head(model, torch.device("cpu"), torch.float32).logits([clip])[0]
    assert [row["score"] for row in speakers] == sorted(cosines.tolist(), reverse=True)


@pytest.mark.compatibility
def test_text_is_that_of_the_pipeline(recogniser, audio, tmp_path):
    output = tmp_path / "out.csv"
    assert predict(recogniser, audio, output=output, timestamps="clip", window=2.2) == 0
    transcribe = pipeline("automatic-speech-recognition", model=str(recogniser))
    clips = [noise(seconds, number) for number, seconds in enumerate(SECONDS)]
    texts = [transcribe(clip.copy())["text"] for clip in clips]
    assert [row["label"] for row in rows_of(output)] == texts
    words = Predictor(recogniser, window=2.2)(clips)
    assert [" ".join(row["label"] for row in rows) for rows in words] == [" ".join(text.split()) for text in texts]
    characters = Predictor(recogniser, window=2.2, timestamps="char")(clips[0])
    chunks = transcribe(clips[0].copy(), return_timestamps="char")["chunks"]
    expected = [chunk for chunk in chunks if chunk["text"] != " "]
    assert [row["label"] for row in characters] == [chunk["text"] for chunk in expected]
    times = [(row["start"], row["end"]) for row in characters]
    # The pipeline counts tokens of 20 ms from 0; their centres are 7.5 ms later.
    np.testing.assert_allclose(times[:-1], [chunk["timestamp"] for chunk in expected[:-1]], atol=0.0081)
    assert times[-1][1] == 2.1
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(times))
    (recogniser / "vocab.json").unlink()
    with pytest.raises(ValueError, match=r"has no vocab.json. Save the tokenizer"):
        Predictor(recogniser)


@pytest.mark.compatibility
@pytest.mark.parametrize("problem_type", [None, "multi_label_classification"])
def test_events_cover_long_recordings(save, problem_type):
    model = save(SSASTForAudioFrameClassification, problem_type=problem_type)
    clip = noise(2.1)
    clip[np.arange(len(clip)) // 3000 % 2 == 0] = 0
    predictor = Predictor(model, window=0.5, hop=0.3)
    events = predictor(clip)
    assert [row["start"] for row in events] == sorted(row["start"] for row in events)
    # Step by step, from the windows that cover it.
    config, extractor = predictor.config, predictor.feature_extractor
    num_steps = config.time_grid(extractor.num_frames(len(clip)))
    scores = np.zeros((num_steps, 3))
    for window, begin, end in predictor.windows_of(len(clip), "clip"):
        logits = predictor.head.logits([clip[begin:end]])[0].detach()
        values = logits.softmax(dim=1) if problem_type is None else logits.sigmoid()
        scores[window.first : window.last] = values[window.first - window.start : window.last - window.start]
    is_on = scores > 0.5 if problem_type else scores == scores.max(axis=1, keepdims=True)
    centres = predictor.times_of(len(clip))
    found = np.zeros_like(is_on)
    for row in events:
        label = list(NAMES.values()).index(row["label"])
        steps = (centres > row["start"]) & (centres < row["end"])
        found[steps, label] = True
        assert row["score"] == pytest.approx(scores[steps, label].mean(), abs=1e-5)
    assert (found == is_on).all()
    assert len(events) > 3
    if problem_type is None:
        assert (events[0]["start"], events[-1]["end"]) == (0, 2.1)


def test_runs_go_on_from_window_to_window():
    line = TimeLine(0.1, 0.05, 6, 0.7)
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.9], [0.7, 0.1], [0.2, 0.8], [0.1, 0.6]])
    windows = [Window(0, 3, 0, 2), Window(1, 6, 2, 6)]
    answers = EventAnswers(line, ["a", "b"], False, 0.5)
    rows = [row for window in windows for row in answers.add(window, (0, 0), scores[window.first : window.last])]
    rows += answers.finish()
    assert [(row.label, round(row.start, 6), round(row.end, 6)) for row in rows] == [
        ("a", 0, 0.4),
        ("b", 0.2, 0.3),
        ("b", 0.4, 0.7),
    ]
    assert [row.score for row in rows] == pytest.approx([0.75, 0.9, 0.7])


def test_text_of_tokens_across_windows(recogniser):
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(recogniser)
    tokens = tokenizer.convert_tokens_to_ids(["<pad>", *"aa", "<pad>", "a", "|", "|", *"bb", "<pad>"])
    scores = np.array([(token, 0.5 if token else 0.9) for token in tokens])
    line = TimeLine(0.02, 0.0175, 10, 0.2)

    def rows(unit):
        answers = TextAnswers(line, tokenizer, 0, unit)
        for first, last in ((0, 2), (2, 8), (8, 10)):
            yield from answers.add(Window(first, last, first, last), (0, 0), scores[first:last])
        yield from answers.finish()

    words = list(rows("word"))
    assert [(row.label, round(row.start, 4), round(row.end, 4)) for row in words] == [
        ("aa", 0.0275, 0.1075),
        ("b", 0.1475, 0.1875),
    ]
    assert [row.label for row in rows("char")] == ["a", "a", "b"]
    assert [tuple(row) for row in rows("clip")] == [(0, 0.2, "aa b", 0.5)]


@pytest.mark.compatibility
@pytest.mark.parametrize("patch_time", [8, 2])
def test_stock_ast(tmp_path, patch_time):
    """Of a frame model kernels are square, and zero but for the first columns."""
    torch.manual_seed(0)
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    geometry = dict(num_mel_bins=32, max_length=64 + 8 - patch_time, patch_size=8, frequency_stride=8, time_stride=2)
    model = ASTForAudioClassification(ASTConfig(**sizes, **geometry, id2label=NAMES)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    projection = model.audio_spectrogram_transformer.embeddings.patch_embeddings.projection
    projection.weight.data[..., patch_time:] = 0
    model.save_pretrained(tmp_path / "ast")
    ASTFeatureExtractor(num_mel_bins=32, max_length=model.config.max_length).save_pretrained(tmp_path / "ast")
    predictor = Predictor(tmp_path / "ast", top_k=3)
    clips = [noise(0.5), noise(0.3), noise(1.5)]
    answers = predictor(clips)
    classify = pipeline("audio-classification", model=str(tmp_path / "ast"))
    for clip, rows in zip(clips[:2], answers, strict=False):
        expected = classify(clip.copy(), top_k=3)
        assert [row["label"] for row in rows] == [row["label"] for row in expected]
        np.testing.assert_allclose(
            [row["score"] for row in rows], [row["score"] for row in expected], atol=1e-6, rtol=0
        )
    assert answers[2][0]["end"] == pytest.approx(0.655)
    assert answers[2][-1]["end"] == 1.5
    with pytest.raises(ValueError, match="longer than the input"):
        Predictor(tmp_path / "ast", window=2.0)


def test_models_without_a_head_are_told_what_to_do(save, audio, tmp_path, capsys):
    model = save(SSASTForPretraining)
    assert predict(model, audio, output=tmp_path / "out.csv") == 1
    error = capsys.readouterr().err
    assert f"ssast-hf finetune --model_name_or_path {model}" in error
    assert not (tmp_path / "out.csv").exists()
