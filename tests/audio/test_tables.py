"""Parquet files of every kind, read by index or as a stream: the same recordings."""

from itertools import islice

import datasets
import numpy as np
import pyarrow
import pytest
import soundfile
import torch
from pyarrow import parquet

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.audio.audio_datasets import AudioDataset, AudioStream
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.recordings import load_recordings


COUNT = 6


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def cropper():
    return Cropper(SSASTFeatureExtractor(max_length=50), min_frames=16, seed=3)


@pytest.fixture
def files(tmp_path):
    """Clips of half a second, of noise, as long as a crop or shorter: position makes no difference."""
    paths = [tmp_path / f"{i}.wav" for i in range(COUNT)]
    for i, path in enumerate(paths):
        soundfile.write(path, 0.1 * np.random.RandomState(i).randn(8000), 16000, subtype="FLOAT")
    return paths


def column(kind: str, files) -> pyarrow.Array:
    paths, contents = [str(path) for path in files], [path.read_bytes() for path in files]
    binary, string = pyarrow.binary(), pyarrow.string()
    both = pyarrow.struct([("bytes", binary), ("path", string)])
    return {
        "paths": lambda: pyarrow.array(paths),
        "large_string": lambda: pyarrow.array(paths, pyarrow.large_string()),
        "categories": lambda: pyarrow.array(paths).dictionary_encode(),
        "bytes": lambda: pyarrow.array(contents),
        "large_binary": lambda: pyarrow.array(contents, pyarrow.large_binary()),
        "struct": lambda: pyarrow.array([{"bytes": each, "path": "somewhere.wav"} for each in contents], both),
        "struct of paths": lambda: pyarrow.array([{"path": path} for path in paths], both),
        "struct of bytes": lambda: pyarrow.array([{"bytes": each} for each in contents]),
        "larger struct": lambda: pyarrow.array([{"bytes": each, "path": None, "rate": 16000} for each in contents]),
    }[kind]()


def write(path, audio: pyarrow.Array, row_group_size=None):
    labels = pyarrow.array(["a"] * len(audio)).dictionary_encode()  # which `datasets` alone cannot read
    parquet.write_table(pyarrow.table({"label": labels, "audio": audio}), path, row_group_size=row_group_size)
    return str(path)


def read(source: str, cropper, streaming: bool, count: int = COUNT) -> list[dict]:
    recordings = load_recordings(source, streaming=streaming)
    if streaming:
        return list(islice(AudioStream(recordings, cropper, buffer_size=3), count))
    return [AudioDataset(recordings, cropper)[i] for i in range(len(recordings))]


def samples(items) -> list[bytes]:
    assert [item["skipped"] for item in items] == [[]] * len(items)
    return sorted(np.asarray(item["audio"]).tobytes() for item in items)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        "paths",
        "large_string",
        "categories",
        "bytes",
        "large_binary",
        "struct",
        "struct of paths",
        "struct of bytes",
        "larger struct",
    ],
)
def test_every_kind_of_column_has_the_same_samples(kind, streaming, files, cropper, tmp_path):
    expected = sorted(soundfile.read(path, dtype="float32")[0].tobytes() for path in files)
    source = write(tmp_path / "clips.parquet", column(kind, files))
    assert samples(read(source, cropper, streaming)) == expected


@pytest.mark.parametrize("kind", ["paths", "bytes", "struct"])
@pytest.mark.parametrize(("parts", "row_group_size"), [(1, 1), (1, 6), (3, 1), (2, 3)])
@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (2, 0), (2, 2)])
def test_stream_is_divided(kind, parts, row_group_size, ranks, workers, files, cropper, tmp_path):
    (tmp_path / "parts").mkdir()
    for part in range(parts):
        write(tmp_path / "parts" / f"{part}.parquet", column(kind, files[part::parts]), row_group_size)
    items = []
    for rank in range(ranks):
        recordings = load_recordings(str(tmp_path / "parts"), streaming=True)
        stream = AudioStream(recordings, cropper, 2, rank, ranks)
        loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers))
        # With three files for two processes each of these reads all, and takes every other row.
        items += islice(loader, COUNT // ranks)
    assert samples(items) == sorted(soundfile.read(path, dtype="float32")[0].tobytes() for path in files)


@pytest.mark.parametrize("streaming", [False, True])
def test_relative_paths_are_relative_to_the_current_folder(streaming, files, cropper, tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    source = write(tmp_path / "tables" / "clips.parquet", pyarrow.array([path.name for path in files]))
    monkeypatch.chdir(tmp_path)
    assert len(samples(read(source, cropper, streaming))) == COUNT
    monkeypatch.chdir("/")
    assert "0.wav" in {name for name, _ in read(source, cropper, streaming, 1)[0]["skipped"]}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", ["paths", "bytes", "struct", "categories"])
def test_empty_rows_are_named_by_their_number(kind, streaming, files, cropper, tmp_path):
    audio = column(kind, files[:2])
    kind = audio.type.value_type if kind == "categories" else audio.type
    rows = pyarrow.concat_arrays([audio.cast(kind), pyarrow.nulls(1, kind)])
    source = write(tmp_path / "clips.parquet", rows, row_group_size=1)
    stream = AudioStream(load_recordings(source, streaming=True), cropper, 1)
    items = list(islice(stream, 3)) if streaming else [AudioDataset(load_recordings(source), cropper)[2]]
    skipped = dict(skip for item in items for skip in item["skipped"])
    name = f"{source}, row 2"
    assert skipped == {name: f"{name} holds neither audio nor a path"}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([1, 2], "int64"),
        ([[0.5], [0.25]], "list<"),
        ([{"path": 1}] * 2, "struct<path: int64>"),
        ([{"x": 1}], "struct"),
    ],
)
def test_columns_of_other_types_are_refused_by_name(rows, kind, streaming, tmp_path):
    source = write(tmp_path / "clips.parquet", pyarrow.array(rows))
    with pytest.raises(ValueError, match=rf"clips\.parquet: the column 'audio' is of type {kind}.*expected paths"):
        load_recordings(source, streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_tables_without_rows_are_refused(streaming, tmp_path):
    source = write(tmp_path / "clips.parquet", pyarrow.array([], pyarrow.string()))
    with pytest.raises(ValueError, match=r"clips\.parquet holds no recordings"):
        load_recordings(source, streaming=streaming)


def test_files_that_differ_in_kind_are_named(files, tmp_path):
    write(tmp_path / "0.parquet", column("paths", files))
    write(tmp_path / "1.parquet", column("bytes", files))
    with pytest.raises(ValueError, match=r"1\.parquet has 'audio', Value\('large_binary'\).*0\.parquet has"):
        load_recordings(f"{tmp_path}/*.parquet")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_table_that_is_damaged_inside_is_named(streaming, files, cropper, tmp_path):
    write(tmp_path / "0.parquet", column("bytes", files[:1]))
    damaged = write(tmp_path / "1.parquet", column("bytes", files))
    page = parquet.read_metadata(damaged).row_group(0).column(1).dictionary_page_offset
    with open(damaged, "r+b") as file:
        file.seek(page)
        file.write(bytes(100))
    with pytest.raises(ValueError, match=r"(1\.parquet is not a readable parquet file|not readable parquet data)"):
        read(f"{tmp_path}/*.parquet", cropper, streaming)


def test_a_column_that_is_described_as_audio_comes_first(files, cropper, tmp_path):
    rows = {"path": ["nowhere.wav"] * COUNT, "sound": [{"bytes": file.read_bytes(), "path": None} for file in files]}
    table = datasets.Dataset.from_dict(rows).cast_column("sound", datasets.Audio())
    table.to_parquet(tmp_path / "clips.parquet")
    for streaming in (False, True):
        assert len(samples(read(f"{tmp_path}/clips.parquet", cropper, streaming))) == COUNT


def test_streams_of_several_sources_are_one(files, cropper, tmp_path):
    sources = [write(tmp_path / "0.parquet", column("paths", files[:2])), str(files[2])]
    sources.append(write(tmp_path / "1.parquet", column("bytes", files[3:])))
    streams = [load_recordings(source, streaming=True) for source in sources]
    items = list(islice(AudioStream(datasets.concatenate_datasets(streams), cropper, buffer_size=1), COUNT))
    assert len(set(samples(items))) == COUNT
