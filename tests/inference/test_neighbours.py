"""`ssast-hf neighbours`: a query of the parts, or a file that is embedded as they were."""

import csv
import shutil

import numpy as np
import pytest
import soundfile
from stored_parts import write_part

from ssast_hf import Embedder, SSASTFeatureExtractor
from ssast_hf.assets import bundled_clips, nano_model
from ssast_hf.cli import main
from ssast_hf.inference.encoders import sha256_of_weights
from ssast_hf.inference.exploring.searching import find_neighbours


CLIPS = [str(path) for path in bundled_clips()]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The bundled clips, by the bundled model."""
    folder = tmp_path_factory.mktemp("parts")
    vectors = Embedder(nano_model(), pooling="cls")(CLIPS)
    rows = [(path, 0.0, soundfile.info(path).duration, vector) for path, vector in zip(CLIPS, vectors, strict=True)]
    facts = dict(model=nano_model(), sha256=sha256_of_weights(nano_model()), level="clip", pooling="cls", layer=-1)
    facts["configuration_sha256"] = Embedder(nano_model()).configuration_sha256
    write_part(folder, 0, rows[:5], **facts, window=None)
    write_part(folder, 1, rows[5:], **facts, window=None)
    return folder


def test_file_finds_itself_under_another_name(parts, tmp_path, capsys):
    """Embedded with the parts' model and settings: else the cosine would not be 1."""
    audio, rate = soundfile.read(CLIPS[2], dtype="float32")
    soundfile.write(tmp_path / "query.wav", audio, rate, subtype="FLOAT")
    table = tmp_path / "found.csv"
    assert main(["neighbours", str(parts), str(tmp_path / "query.wav"), "-k", "3", "--output", str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["path", "start", "end", "similarity"]
    assert lines[1].split() == [CLIPS[2], "0.00", f"{len(audio) / rate:.2f}", "1.0000"]
    assert len(lines) == 1 + 3 + 1
    rows = list(csv.reader(table.open()))
    assert [line.split() for line in lines[:-1]] == rows
    assert main(["neighbours", str(parts), CLIPS[0], "--output", str(table)]) == 1  # nothing is replaced unasked
    assert "--overwrite" in capsys.readouterr().err


def test_path_in_the_parts_needs_no_model(parts, monkeypatch):
    monkeypatch.setattr("ssast_hf.inference.exploring.searching.Embedder", None)
    lines = find_neighbours(parts, CLIPS[0])
    assert len(lines) == len(CLIPS)  # the head, and all but itself
    assert not any(line.startswith(CLIPS[0]) for line in lines)
    similarities = [float(line.split()[-1]) for line in lines[1:]]
    assert similarities == sorted(similarities, reverse=True)


def test_other_model_is_refused_by_name(parts, model, tmp_path):
    model.save_pretrained(tmp_path / "other")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "other")
    soundfile.write(tmp_path / "query.wav", np.zeros(16000), 16000)
    with pytest.raises(ValueError, match=r"was embedded by .*nano with the SHA-256 .*other has .*--model"):
        find_neighbours(parts, tmp_path / "query.wav", model=tmp_path / "other")


def test_same_weights_in_another_configuration_are_refused(parts, tmp_path):
    shutil.copytree(nano_model(), tmp_path / "other")
    SSASTFeatureExtractor.from_pretrained(nano_model(), do_normalize=False).save_pretrained(tmp_path / "other")
    soundfile.write(tmp_path / "query.wav", np.zeros(16000), 16000)
    with pytest.raises(ValueError, match=r"with another config.json or preprocessor_config.json than .*other has"):
        find_neighbours(parts, tmp_path / "query.wav", model=tmp_path / "other")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no audio", "no readable audio file"), (None, "is neither a file nor a path in the parts")],
    ids=["text", "missing"],
)
def test_query_without_audio_is_named(parts, tmp_path, content, message):
    query = tmp_path / "query.wav"
    if content is not None:
        query.write_bytes(content)
    with pytest.raises((ValueError, OSError), match=message) as raised:
        find_neighbours(parts, query)
    assert "query.wav" in str(raised.value)
