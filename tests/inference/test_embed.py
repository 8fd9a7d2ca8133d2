"""The command `embed`: what it writes, that it goes on where it was, and what it says when it cannot."""

import csv
import json
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Audio, Dataset
from fresh import FreshProcess
from pyarrow import parquet

from ssast_hf import Embedder, SSASTConfig, SSASTFeatureExtractor
from ssast_hf.cli import main
from ssast_hf.inference.encoders import sha256_of_settings
from ssast_hf.storage.reading import sha256_of


RATE = 16000
# In samples; one patch takes 1520, and more than 10480 take several windows.
LENGTHS = (10480, 2000, 30000, 5555, 8000)


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples).astype(np.float32)


def save(model, folder: Path) -> Path:
    model.save_pretrained(folder)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture
def model_dir(model, tmp_path):
    return save(model, tmp_path / "model")


@pytest.fixture
def audio(tmp_path):
    """Five recordings; the third is long."""
    folder = tmp_path / "audio"
    folder.mkdir()
    for number, length in enumerate(LENGTHS):
        soundfile.write(folder / f"{number}.wav", noise(length, number), RATE, subtype="FLOAT")
    return folder


@pytest.fixture
def embed(model_dir, audio, tmp_path):
    """Runs the command; returns the folder."""

    def run(*options, sources=audio, model=model_dir, output="out", size=2, status=0) -> Path:
        output = tmp_path / output
        command = ["embed", sources, "--model", model, "--output", output, "--num_workers", 0, *options]
        command += [] if size is None else ["--recordings_per_part", size]
        assert main(list(map(str, command))) == status
        return output

    return run


def rows_of(output: Path) -> dict[str, np.ndarray]:
    """The columns of all parts."""
    table = parquet.read_table(output)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return columns | {"embedding": np.array(table["embedding"].to_pylist(), dtype=np.float32)}


def contents_of(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir()}


@pytest.mark.compatibility
@pytest.mark.parametrize("level", ["clip", "frame", "patch"])
def test_rows_are_what_the_embedder_says(embed, model_dir, audio, level):
    output = embed("--level", level)
    assert sorted(path.name for path in output.iterdir()) == [f"part-0000{number}.parquet" for number in range(3)]
    paths = [str(audio / f"{number}.wav") for number in range(5)]
    expected, times = Embedder(model_dir, level=level)(paths, return_times=True)
    rows = rows_of(output)
    assert list(dict.fromkeys(rows["path"])) == paths
    for number, path in enumerate(paths):
        of_path = rows["path"] == path
        found, start, end = (rows[name][of_path] for name in ("embedding", "start", "end"))
        wanted = expected[number]
        if level == "clip":
            assert (start[0], end[0]) == (0, LENGTHS[number] / RATE)
            wanted = wanted[None]
        elif level == "frame":
            np.testing.assert_allclose((start + end) / 2, times[number])
        else:
            np.testing.assert_array_equal(rows["frequency"][of_path], np.tile(np.arange(4), len(times[number])))
            np.testing.assert_allclose((start + end)[::4] / 2, times[number])
            wanted = wanted.swapaxes(0, 1).reshape(-1, 32)
        np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_part_says_what_it_was_made_of(embed, model_dir):
    schema = parquet.read_schema(embed("--level", "frame", "--layer", "1") / "part-00000.parquet")
    assert [str(kind) for kind in schema.types[:3]] == ["string", "double", "double"]
    assert schema.field("embedding").type.list_size == 32
    metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert metadata["ssast_hf.model"] == str(model_dir)
    assert metadata["ssast_hf.model_sha256"] == sha256_of(model_dir / "model.safetensors")
    settings = json.loads(metadata["ssast_hf.settings"])
    assert settings.items() >= {"level": "frame", "layer": 1, "pooling": None, "window": 0.655, "hop": 0.48}.items()


def test_bands_are_kept_whole_and_not_mixed_with_means(embed, capsys):
    schema = parquet.read_schema(embed("--pooling", "bands") / "part-00000.parquet")
    assert schema.field("embedding").type.list_size == 4 * 32
    embed(status=1)
    assert 'pooling "bands"' in capsys.readouterr().err


def make_source(kind: str, audio: Path) -> Path:
    """The same recordings as another kind of data set."""
    files, path = sorted(audio.iterdir()), audio.parent / f"clips.{kind}"
    if kind == "csv":
        path.write_text("path\n" + "".join(f"audio/{file.name}\n" for file in files))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"audio": str(file)}) + "\n" for file in files))
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            for file in files:
                archive.add(file, f"audio/{file.name}")
    else:
        table = Dataset.from_dict({"audio": [{"bytes": file.read_bytes(), "path": None} for file in files]})
        table.cast_column("audio", Audio(decode=False)).to_parquet(path)
    return path


def test_every_source_gives_the_same(embed, audio):
    expected = rows_of(embed())
    for kind in ("csv", "jsonl", "tar", "parquet"):
        source = make_source(kind, audio)
        for options in ((), ("--streaming",)):
            rows = rows_of(embed(*options, sources=source, output=f"{kind}{len(options)}"))
            np.testing.assert_array_equal(rows["embedding"], expected["embedding"])
            assert len(set(rows["path"])) == 5
    assert rows["path"][4] == f"{source}, row 4"


def test_workers_change_nothing(embed):
    alone = embed()
    assert contents_of(embed("--num_workers", 2, output="helped")) == contents_of(alone)


def test_only_what_is_missing_is_done(embed, monkeypatch, capsys):
    output = embed()
    before = contents_of(output)
    (output / "part-00001.parquet").unlink()
    (output / ".part-00001.parquet.x").mkdir()  # of a run that was killed
    stamps = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    embed(size=None)
    assert contents_of(output) == before
    assert {name: (output / name).stat().st_mtime_ns for name in stamps} == stamps
    assert "3 others were there already" in capsys.readouterr().out
    monkeypatch.setattr(Embedder, "encode", None)
    assert contents_of(embed()) == before


def test_stream_goes_on_too(embed, audio, monkeypatch, capsys):
    source = make_source("tar", audio)
    output = embed("--streaming", sources=source)
    before = contents_of(output)
    (output / "part-00001.parquet").unlink()
    assert contents_of(embed("--streaming", sources=source)) == before
    monkeypatch.setattr(Embedder, "encode", None)
    embed("--streaming", sources=source)
    with tarfile.open(source, "a") as archive:
        archive.add(audio / "0.wav", "more.wav")
    embed("--streaming", sources=source, status=1)
    assert "part-00002.parquet was made of other recordings: number 6 of the sources is now" in capsys.readouterr().err


def test_killed_run_goes_on_with_the_same_result(embed, model_dir, audio, tmp_path):
    code = """
import os, signal, sys
from ssast_hf.cli import main
from ssast_hf.inference.encoders import sha256_of_settings
from ssast_hf.inference import Embedder
encode, calls = Embedder.encode, []
def encode_or_die(self, pieces):
    calls.append(pieces)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(self, pieces)
Embedder.encode = encode_or_die
main(sys.argv[1:])
"""
    output = tmp_path / "killed"
    command = ["embed", audio, "--model", model_dir, "--output", output, "--num_workers", 0]
    killed = FreshProcess(code, [*command, "--recordings_per_part", 1], tmp_path, has_package=True)
    killed.process.join()
    parts = list(output.glob("part-*.parquet"))
    assert 0 < len(parts) < 5
    for part in parts:
        parquet.read_table(part)
    embed(output="killed", size=None)
    assert contents_of(output) == contents_of(embed(size=1))


def test_recordings_at_the_end_are_added(embed, audio):
    output = embed()
    first = (output / "part-00001.parquet").stat().st_mtime_ns
    for name in ("5.wav", "6.wav"):
        soundfile.write(audio / name, noise(4000), RATE)
    embed()
    assert (output / "part-00001.parquet").stat().st_mtime_ns == first
    assert [Path(path).name for path in rows_of(output)["path"]] == [f"{number}.wav" for number in range(7)]


@pytest.mark.parametrize(("field", "is_counted"), [("event_threshold", False), ("layer_norm_eps", True)])
def test_only_fields_that_change_embeddings_make_parts_others(field, is_counted):
    digests = {sha256_of_settings({"config": SSASTConfig(**{field: value}).to_dict()}) for value in (0.1, 0.2)}
    assert len(digests) == 1 + is_counted


def test_parts_of_something_else_are_refused(embed, model, model_dir, audio, tmp_path, capsys):
    embed()
    embed("--layer", 1, status=1)
    assert "part-00000.parquet was made with layer 2; now it would be layer 1." in capsys.readouterr().err
    embed(size=3, status=1)
    assert "recordings_per_part 2; now" in capsys.readouterr().err
    embed("--dataset_split", "test", status=1)
    assert 'dataset_split "train"; now it would be dataset_split "test"' in capsys.readouterr().err
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64, do_normalize=False).save_pretrained(model_dir)
    embed(status=1)
    assert "configuration_sha256" in capsys.readouterr().err
    model.base_model.layernorm.bias.data += 1
    embed(model=save(model, tmp_path / "other"), status=1)
    error = capsys.readouterr().err
    assert "part-00000.parquet is of another model: " in error
    assert str(tmp_path / "other") in error
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(model_dir)
    (audio / "1.wav").rename(audio / "1b.wav")
    embed(status=1)
    assert "part-00000.parquet was made of other recordings" in capsys.readouterr().err
    (audio / "0.wav").unlink()
    embed(status=1)
    assert "other recordings" in capsys.readouterr().err


def test_bad_files_are_listed_and_left_out(embed, audio, capsys):
    (audio / "1b.wav").write_bytes(b"no audio")
    soundfile.write(audio / "2b.wav", noise(1000), RATE)
    long = (audio / "2.wav").read_bytes()
    (audio / "2c.wav").write_bytes(long[: len(long) // 2])  # as long as it is, whatever its header says
    output = embed()
    listed = [line.split("\t") for line in (output / "_skipped_files.txt").read_text().splitlines()]
    assert [Path(name).name for name, _ in listed] == ["1b.wav", "2b.wav"]
    assert "1000 samples; one patch takes 1520" in listed[1][1]
    assert len(rows_of(output)["path"]) == 6
    assert "2 could not be used" in capsys.readouterr().out
    embed("--on_bad_file", "raise", output="strict", status=1)
    assert "1b.wav" in capsys.readouterr().err
    embed("--max_bad_fraction", 0.1, output="fraction", status=1)
    assert "1 of 8 recordings" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["clip", "frame"])
def test_recording_that_ends_early_is_listed(embed, audio, level):
    path = audio / "9.flac"
    soundfile.write(path, noise(80000), RATE)
    path.write_bytes(path.read_bytes()[:90000])
    output = embed("--level", level)
    (listed,) = (output / "_skipped_files.txt").read_text().splitlines()
    assert listed.startswith(f"{path}\t")
    rows = rows_of(output)
    ends = rows["end"][rows["path"] == str(path)]
    assert (0 < ends.max() < 5) if level == "frame" else not len(ends)


def test_long_mp3_is_decoded_once(embed, model_dir, audio, monkeypatch):
    soundfile.write(audio / "9.mp3", noise(48000), RATE)
    output = embed()
    expected = Embedder(model_dir)(audio / "9.mp3")
    np.testing.assert_allclose(rows_of(output)["embedding"][-1], expected, atol=1e-4)
    assert not list(output.glob(".decoded*"))
    monkeypatch.setattr("ssast_hf.inference.embedding.reading.room_in", lambda folder: 0)
    np.testing.assert_allclose(rows_of(embed(output="full"))["embedding"][-1], expected, atol=1e-4)


def test_no_room_to_decode_is_no_bad_file(embed, model_dir, audio):
    """Others may take what was free when it was asked for."""
    resource = pytest.importorskip("resource", reason="Windows limits no sizes of files")
    soundfile.write(audio / "9.mp3", noise(96000), RATE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))  # 384,000 bytes, decoded
    try:
        output = embed()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (output / "_skipped_files.txt").exists()
    expected = Embedder(model_dir)(audio / "9.mp3")
    np.testing.assert_allclose(rows_of(output)["embedding"][-1], expected, atol=1e-4)


def test_layers_by_learned_weights_need_some(embed, capsys):
    embed("--layer", "weighted", status=1)
    assert "has no layer_weights" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        embed("--layer", "last")
    assert "expected a number or weighted, got 'last'" in capsys.readouterr().err


def test_one_file_for_numpy(embed, audio, capsys):
    expected = rows_of(embed("--level", "frame"))
    (audio / "bad.wav").write_bytes(b"")
    packed = embed("--level", "frame", output="all.npz")
    arrays = np.load(packed)
    for name, column in expected.items():
        np.testing.assert_array_equal(arrays[name], column)
    plain = embed("--level", "frame", output="all.npy")
    np.testing.assert_array_equal(np.load(plain, mmap_mode="r"), expected["embedding"])
    with open(f"{plain}.rows.csv", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == expected["path"].tolist()
    for path in (packed, plain):
        assert "bad.wav" in Path(f"{path}_skipped_files.txt").read_text()
        assert not Path(f"{path}.parts").exists()
    embed(output="all.npz", status=1)
    assert "all.npz exists" in capsys.readouterr().err


def test_full_disk_leaves_what_is_written(embed, monkeypatch, capsys):
    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.fsync", fsync)
        output = embed(status=1)
    assert sorted(path.name for path in output.iterdir()) == ["part-00000.parquet"]
    error = capsys.readouterr().err
    assert "part-00001.parquet could not be written: No space left on device." in error
    assert "The same command goes on; parts that are whole stay, 1 so far." in error
    assert len(list(embed().iterdir())) == 3


def test_folder_in_use_is_refused(embed, tmp_path, capsys):
    code = """
import sys, time
from ssast_hf.storage.locks import LockedFolder
with LockedFolder(sys.argv[1], "--output"):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = FreshProcess(code, [tmp_path / "out"], tmp_path, has_package=True)
    while "held" not in ((holder.scratch / "stdout").read_text() if (holder.scratch / "stdout").exists() else ""):
        assert holder.is_running()
        time.sleep(0.05)
    embed(status=1)
    assert f"out is in use by another run (process {holder.process.pid} on " in capsys.readouterr().err
    holder.kill()
    embed()
    assert not (tmp_path / "out" / "_lock").exists()


def test_what_cannot_be_is_told_in_one_line(embed, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for options, message in (
        ({"sources": tmp_path / "empty"}, "empty holds no audio"),
        ({"sources": tmp_path / "nowhere"}, "nowhere does not exist"),
        ({"model": tmp_path / "nothing"}, "nothing is neither a folder nor"),
        ({"size": 0}, "--recordings_per_part must be at least 1"),
        ({"output": "audio/0.wav"}, "0.wav is a file"),
    ):
        embed(**options, status=1)
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    for options, message in (
        (("--window", 0.05), "window must be at least one patch"),
        (("--layer", 7), "layer must be one of -3 to 2; got 7"),
        (("--device", "abacus"), "device must be one of PyTorch"),
    ):
        embed(*options, status=1)
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
