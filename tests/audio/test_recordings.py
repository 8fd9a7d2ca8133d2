"""Every kind of data set gives the same recordings."""

import functools
import json
import tarfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, Dataset, IterableDataset, load_dataset

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.audio import load_audio
from ssast_hf.audio.audio_datasets import AudioDataset, AudioStream
from ssast_hf.audio.batches import Collator, EpochSampler
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.feature_statistics import compute_stats
from ssast_hf.audio.recordings import load_recordings
from ssast_hf.cli import main


@pytest.fixture
def folder(tmp_path):
    """Six clips of one second in two folders; the constant in a clip tells which it is."""
    for i in range(6):
        path = tmp_path / "audio" / "ab"[i % 2] / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(16000, i / 10), 16000, subtype="FLOAT")
    (tmp_path / "audio" / "notes.txt").write_text("no audio")
    return tmp_path / "audio"


@pytest.fixture
def cropper():
    return Cropper(SSASTFeatureExtractor(max_length=100), min_frames=16, seed=3)


def make_source(kind: str, folder):
    """A data set of the clips in `folder`, of another kind."""
    files = sorted(folder.rglob("*.wav"))
    parent = folder.parent
    relative = [str(path.relative_to(parent)) for path in files]
    if kind == "folder":
        return folder
    if kind == "pattern":
        return folder / "*" / "*.wav"
    path = parent / f"clips.{kind}"
    if kind == "json":  # as in the original code; labels are ignored
        path.write_text(json.dumps({"data": [{"wav": str(file), "labels": "/m/1"} for file in files]}))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({"audio_filepath": name, "duration": 1.0}) for name in relative))
    elif kind in ("csv", "tsv"):
        separator = {"csv": ",", "tsv": "\t"}[kind]
        path.write_text(
            "\n".join(separator.join(row) for row in [("id", "path"), *(("x", name) for name in relative)])
        )
    elif kind == "parquet":
        Dataset.from_list(
            [{"label": 1, "sound": {"bytes": file.read_bytes(), "path": None}} for file in files]
        ).to_parquet(path)
    elif kind == "hub":  # as data sets lie there: a column of type `Audio`, whatever its name
        sounds = Dataset.from_list([{"sound": {"bytes": file.read_bytes(), "path": file.name}} for file in files])
        sounds.cast_column("sound", Audio()).to_parquet(parent / "hub.parquet")
        return "owner/clips"
    elif kind == "tar":
        for number in range(2):
            with tarfile.open(parent / f"clips-{number}.tar", "w") as archive:
                for file in files[number::2]:
                    archive.add(file, file.name)
                    archive.add(folder / "notes.txt", f"{file.stem}.txt")
        return parent / "clips-*.tar"
    return path


def which(audio) -> float:
    return round(float(audio[0]), 1)


@pytest.mark.parametrize("kind", ["folder", "pattern", "json", "jsonl", "csv", "tsv", "parquet", "hub", "tar"])
@pytest.mark.parametrize("streaming", [False, True])
def test_every_kind_of_data_set_has_the_same_clips(kind, streaming, folder, cropper, monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # seconds, at the end of a stream
    column = "sound" if kind == "parquet" else None
    source = str(make_source(kind, folder))
    if kind == "hub":
        file = str(folder.parent / "hub.parquet")

        def from_file(name, config_name, split, streaming):
            assert (name, config_name, split) == (source, None, "train")
            return load_dataset("parquet", data_files=file, split=split, streaming=streaming)

        monkeypatch.setattr("ssast_hf.audio.tables.load_dataset", from_file)
    recordings = load_recordings(source, audio_column=column, streaming=streaming)
    if streaming:
        stream = iter(AudioStream(recordings, cropper, buffer_size=4))
        items = [next(stream) for _ in range(12)]
        assert sorted(which(item["audio"]) for item in items[6:]) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]  # the next epoch
    else:
        dataset = AudioDataset(recordings, cropper)
        items = [dataset[i] for i in range(len(dataset))]
        assert len(items) == 6
    assert sorted(which(item["audio"]) for item in items[:6]) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert all(item["skipped"] == [] for item in items)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("workers", [0, 2])
def test_stream_is_divided_among_processes_and_workers(ranks, workers, folder, cropper):
    seen = []
    for rank in range(ranks):
        stream = AudioStream(load_recordings(str(folder), streaming=True), cropper, 1, rank, ranks)
        loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers)
        batches = iter(loader)
        items = [next(batches) for _ in range(6 // ranks)]
        assert [item["skipped"] for item in items] == [[]] * len(items)
        seen += [which(item["audio"]) for item in items]
    assert sorted(seen) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_worker_ahead_of_others_leaves_them_what_is_theirs(folder, cropper, monkeypatch):
    """The last clips of an epoch come from the slow one while the other is in the next epoch."""
    iterate = IterableDataset.__iter__

    def delayed(rows):
        if torch.utils.data.get_worker_info().id == 1:
            time.sleep(0.3)
        return iterate(rows)

    monkeypatch.setattr(IterableDataset, "__iter__", delayed)
    for seed in range(4):
        cropper.seed = seed
        stream = AudioStream(load_recordings(str(folder), streaming=True), cropper, buffer_size=2)
        options = {"num_workers": 2, "prefetch_factor": 5, "multiprocessing_context": "fork"}
        loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, **options))
        assert sorted(which(next(loader)["audio"]) for _ in range(6)) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_other_rates_and_stereo(tmp_path, cropper):
    time = np.arange(44100) / 44100
    stereo = np.stack((np.sin(2 * np.pi * 440 * time), np.zeros(44100)), axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 44100)
    audio = AudioDataset(load_recordings(str(tmp_path)), cropper)[0]["audio"]
    assert len(audio) == 16000
    assert np.abs(audio).max() == pytest.approx(0.5, abs=0.02)
    crossings = np.diff(np.sign(audio[1000:-1000])).astype(bool).sum()
    assert crossings == pytest.approx(2 * 440 * (len(audio) - 2000) / 16000, abs=2)


def test_short_clips_are_padded_with_a_mask(cropper):
    collate = Collator(SSASTFeatureExtractor(max_length=50))
    long, short = (
        {"audio": np.random.RandomState(0).randn(samples).astype(np.float32), "skipped": []}
        for samples in (8240, 4000)
    )
    batch = collate([long, short])
    assert batch["input_values"].shape == (2, 50, 128)
    assert batch["attention_mask"].sum(dim=1).tolist() == [50, 23]
    assert "attention_mask" not in collate([long, long])


def test_links_to_folders_are_followed_once(folder):
    (folder / "a" / "self").symlink_to(folder)
    (folder / "b" / "self").symlink_to(folder)
    (folder / "b" / "other").symlink_to(folder / "a")
    (folder / "outside").symlink_to(folder.parent)
    names = [recording["name"] for recording in load_recordings(str(folder))]
    assert sorted(name[-5:] for name in names) == [f"{i}.wav" for i in range(6)]
    assert names == [recording["name"] for recording in load_recordings(str(folder))]


def test_linked_recordings_have_two_names_and_broken_links_are_bad(folder, cropper):
    (folder / "again.wav").symlink_to(folder / "a" / "2.wav")
    (folder / "broken.wav").symlink_to(folder / "nowhere.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    dataset = AudioDataset(load_recordings(str(folder)), cropper)
    assert len(dataset) == 9
    assert which(dataset[0]["audio"]) == 0.2
    for i, name in enumerate(["broken.wav", "loop.wav"], start=1):
        bad, reason = dataset[i]["skipped"][0]
        assert bad == str(folder / name)
        assert name in reason


def test_entries_without_audio_are_named(tmp_path, cropper, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    Dataset.from_list([{"audio": {"bytes": b"x", "path": None}}, {"audio": None}]).to_parquet(tmp_path / "bad.parquet")
    item = AudioDataset(load_recordings(str(tmp_path / "bad.parquet")), cropper)[1]
    skipped = dict(item["skipped"])
    assert skipped[f"{tmp_path}/bad.parquet, row 1"].endswith("holds neither audio nor a path")
    assert skipped[f"{tmp_path}/bad.parquet, row 0"].endswith("(Format not recognised.)")


def test_absurd_samples_are_refused(tmp_path, cropper):
    audio = np.zeros(16000)
    audio[::1000] = 1e30
    soundfile.write(tmp_path / "loud.wav", audio, 16000, subtype="FLOAT")
    skipped = AudioDataset(load_recordings(str(tmp_path)), cropper)[0]["skipped"]
    assert "absurdly large" in skipped[0][1]


def test_flac_that_does_not_say_how_long_it_is(tmp_path, cropper):
    ramp = np.linspace(-0.9, 0.9, 16000)
    soundfile.write(tmp_path / "streamed.flac", ramp, 16000)
    content = bytearray((tmp_path / "streamed.flac").read_bytes())
    content[21] &= 0xF0  # the 36 bits of the number of samples
    content[22:26] = bytes(4)
    (tmp_path / "streamed.flac").write_bytes(content)
    skipped = AudioDataset(load_recordings(str(tmp_path)), cropper)[0]["skipped"]
    assert "does not say how long it is" in skipped[0][1]


def test_sampler_has_an_order_for_every_epoch():
    sampler = EpochSampler(50, seed=1)
    first = list(sampler)
    assert first == list(EpochSampler(50, seed=1))
    assert {epoch for epoch, _ in first} == {0}
    sampler.epoch = 1
    second = list(sampler)
    assert sorted(index for _, index in second) == list(range(50))
    assert [index for _, index in first] != [index for _, index in second]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "does not exist"),
        ("empty", "", "holds no audio"),
        ("clips.csv", "title,length\nx,1\n", "none of them audio or wav or path"),
        ("clips.csv", "path\n", "lists no files"),
        ("clips.csv", "path\nnowhere.wav\n", "None of the first files"),
        ("clips.json", b"\xff\xfe\xfa", "is not a manifest"),
        ("clips.parquet", "x", "not a readable parquet file"),
        ("clips.json", "{", "is not a manifest"),
        ("clips.json", "[" * 100_000, r"is not a manifest \(RecursionError.*Expected rows with a path each"),
        ("clips.json", '{"rows": []}', r"is not a manifest \(KeyError: 'data'\)"),
        ("clips.json", '{"data": {"wav": "x.wav"}}', "of type dict; expected rows with a path each"),
        ("clips.json", "1", "of type int"),
        ("clips.json", '["x.wav", 1]', "row 2 is of type int; expected rows with a path each"),
        ("clips.json", '[["x.wav"]]', "row 1 is of type list"),
        ("clips.json", '[{"path": 1}]', "row 1 has no 'path'"),
        ("clips.jsonl", '{"path": "x.wav"}\nnull', "row 2 is of type NoneType"),
        ("clips.jsonl", '{"path": "x.wav"}\n' + "[" * 100_000, "is not a manifest"),
        ("clips.csv", "path\n" + "x" * 200_000, "is not a manifest"),
        ("clips.csv", 'path,text\na.wav,"not closed\nb.wav,x\n', "is not a manifest.*unexpected end of data"),
        ("clips.xyz", "x", "is no data set"),
        ("clips.tar", "x", "not a whole tar archive without compression"),
    ],
)
def test_what_is_no_data_set_is_refused_by_name(name, content, message, tmp_path):
    path = tmp_path / name
    if content == "":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((ValueError, OSError), match=message) as error:
        load_recordings(str(path))
    assert name in str(error.value)


def test_remote_archives_come_over_https_only():
    with pytest.raises(ValueError, match=r"http://example\.org/a\.tar is not https"):
        load_recordings("http://example.org/a.tar", streaming=True)


def test_remote_archive_is_streamed(folder, cropper):
    make_source("tar", folder)
    handler = functools.partial(QuietHandler, directory=folder.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/clips-0.tar"
        stream = iter(AudioStream(load_recordings(url, streaming=True), cropper, buffer_size=1))
        seen = [which(next(stream)["audio"]) for _ in range(3)]
        server.shutdown()
    assert len(set(seen)) == 3


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_stats_are_those_of_the_features(folder, tmp_path, capsys):
    random = np.random.RandomState(0)
    for path in sorted(folder.rglob("*.wav")):
        soundfile.write(path, 0.1 * random.randn(random.randint(8000, 16000)), 16000, subtype="FLOAT")
    (folder / "broken.wav").touch()
    model_dir = tmp_path / "model"
    SSASTFeatureExtractor(max_length=100).save_pretrained(model_dir)
    extractor = SSASTFeatureExtractor(max_length=100, do_normalize=False)
    features = [
        extractor(load_audio(path), sampling_rate=16000, padding=False)["input_values"][0]
        for path in sorted(folder.rglob("*/*.wav"))
    ]
    values = np.concatenate(features).astype(np.float64)
    assert main(["stats", "--train_data", str(folder), "--model_name_or_path", str(model_dir), "--write"]) == 0
    printed = capsys.readouterr()
    assert "skipped" in printed.out
    assert "broken.wav" in printed.out
    assert "100%" in printed.err
    written = SSASTFeatureExtractor.from_pretrained(model_dir)
    assert written.mean == pytest.approx(values.mean(), abs=1e-5)
    assert written.std == pytest.approx(values.std(), abs=1e-5)
    assert written.max_length == 100


def test_stats_are_spread_over_long_recordings_within_a_bound(tmp_path):
    loudness = np.repeat([1.0, 0.01], 16000 * 30)  # the second half of the recording is almost silent
    noise = 0.1 * np.random.RandomState(0).randn(len(loudness))
    soundfile.write(tmp_path / "long.wav", loudness * noise, 16000)
    (report,) = compute_stats([str(tmp_path)], max_length=100, num_workers=0)
    assert "of 60 windows" in report or "of 61 windows" in report
    (bounded,) = compute_stats([str(tmp_path)], max_length=100, num_workers=0, max_hours=10 / 3600)
    assert "10 of 6" in bounded
    means = [float(text.split()[1].rstrip(",")) for text in (report, bounded)]
    assert means[0] == pytest.approx(means[1], abs=0.3)
