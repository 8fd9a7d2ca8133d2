"""Features that are computed once: those of the audio, whatever interrupts it, and of nothing else."""

import csv

import numpy as np
import pytest
import soundfile

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.audio import cached_features, load_audio
from ssast_hf.audio.audio_datasets import AudioDataset
from ssast_hf.audio.batches import Collator, EpochSampler
from ssast_hf.audio.cached_features import INDEX, CachedFeatures
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.lengths import measure
from ssast_hf.audio.recordings import load_recordings


@pytest.fixture
def folder(tmp_path):
    """Recordings of 0.3 to 2.7 s, one of them at another rate, and a file that is none."""
    audio = tmp_path / "audio"
    audio.mkdir()
    random = np.random.default_rng(0)
    for i in range(4):
        soundfile.write(audio / f"{i}.wav", 0.1 * random.standard_normal(4800 + 12801 * i), 16000)
    soundfile.write(audio / "other_rate.wav", 0.1 * random.standard_normal(30000), 22050)
    (audio / "zz.wav").write_bytes(b"nothing")
    return audio


@pytest.fixture
def extractor():
    return SSASTFeatureExtractor(num_mel_bins=32, max_length=64)


def filled(folder, cache_folder, extractor):
    recordings = load_recordings(str(folder))
    cropper = Cropper(extractor, 16, seed=5)
    cache = CachedFeatures(cache_folder, extractor)
    cache.fill(recordings, measure(recordings, 16000).samples, cropper.crop)
    return recordings, cropper, cache


def test_windows_are_those_of_the_audio_on_a_grid(folder, extractor, tmp_path, monkeypatch):
    monkeypatch.setattr(cached_features, "PIECE", 50)
    monkeypatch.setattr(cached_features, "CHUNK", 7)
    recordings, cropper, cache = filled(folder, tmp_path / "cache", extractor)
    dataset = AudioDataset(recordings, cropper, cache=cache)
    plain = SSASTFeatureExtractor(num_mel_bins=32, max_length=1000, do_normalize=False)
    for epoch in range(3):
        for index in range(len(dataset) - 1):
            recording, _, _, (begin, end, _) = dataset.find(epoch, index)
            if recording["name"].endswith("other_rate.wav"):
                continue  # resampled piece by piece, as windows are
            whole = plain(load_audio(recording["name"]), 16000, padding=False)["input_values"][0]
            expected = whole[begin // 160 :][: plain.num_frames(end - begin)]
            found = dataset[epoch, index]["features"]
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, atol=0.01)  # half precision, of numbers up to 16


def test_batches_are_as_the_feature_extractor_makes_them(folder, extractor, tmp_path):
    recordings, cropper, cache = filled(folder, tmp_path / "cache", extractor)
    kept, decoded = AudioDataset(recordings, cropper, cache=cache), AudioDataset(recordings, cropper)
    collate = Collator(extractor)
    found, expected = (collate([dataset[0]]) for dataset in (kept, decoded))  # one that is shorter than a window
    assert found.keys() == expected.keys()
    assert (found["attention_mask"] == expected["attention_mask"]).all()
    assert (found["input_values"] - expected["input_values"]).abs().max() < 2e-3


def test_unusable_recordings_are_replaced_and_told_of(folder, extractor, tmp_path):
    recordings, cropper, cache = filled(folder, tmp_path / "cache", extractor)
    dataset = AudioDataset(recordings, cropper, cache=cache)
    item = dataset[len(dataset) - 1]
    assert "zz.wav is no readable audio file" in item["skipped"][0][1]
    assert len(item["features"])


def test_an_interrupted_cache_is_completed(folder, extractor, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    filled(folder, whole, extractor)
    filled(folder, part, extractor)
    lines = (part / INDEX).read_text().splitlines(keepends=True)
    (part / INDEX).write_text("".join(lines[:3]) + lines[3][:9])
    filled(folder, part, extractor)
    for name in (INDEX, cached_features.FEATURES):
        assert (part / name).read_bytes() == (whole / name).read_bytes()


def test_a_bad_recording_after_an_interruption_moves_no_other(folder, extractor, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    filled(folder, part, extractor)
    lines = (part / INDEX).read_text().splitlines(keepends=True)
    (part / INDEX).write_text("".join(lines[:3]))  # the features of the others are there, and no line tells of them
    (folder / "2.wav").write_bytes(b"nothing any more")
    filled(folder, part, extractor)
    filled(folder, whole, extractor)
    for name in (INDEX, cached_features.FEATURES):
        assert (part / name).read_bytes() == (whole / name).read_bytes()


def test_what_is_too_short_depends_on_the_patches_of_the_run(folder, extractor, tmp_path):
    soundfile.write(folder / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(1600), 16000)  # 8 frames
    recordings, cropper, cache = filled(folder, tmp_path / "cache", extractor)
    (place,) = (i for i in range(len(recordings)) if recordings[i]["name"].endswith("/a.wav"))
    index = int(AudioDataset(recordings, cropper, cache=cache).ends[place]) - 1
    skipped = AudioDataset(recordings, cropper, cache=cache)[index]["skipped"]
    assert "too short: 8 frames from second 0.0 on, one patch takes 16" in skipped[0][1]
    narrow = AudioDataset(recordings, Cropper(extractor, 2, seed=5), cache=cache)
    assert not narrow[int(narrow.ends[place]) - 1]["skipped"]


def test_a_disk_that_fails_is_no_fault_of_a_recording(folder, extractor, tmp_path):
    def fails(*_):
        raise OSError("the network is down")

    recordings = load_recordings(str(folder))
    cache = CachedFeatures(tmp_path / "cache", extractor)
    with pytest.raises(OSError, match="network is down"):
        cache.fill(recordings, measure(recordings, 16000).samples, fails)
    filled(folder, tmp_path / "cache", extractor)  # goes on


def test_a_cache_of_something_else_is_refused(folder, extractor, tmp_path):
    cache = tmp_path / "cache"
    filled(folder, cache, extractor)
    with pytest.raises(ValueError, match="num_mel_bins 32, now 64"):
        filled(folder, cache, SSASTFeatureExtractor(num_mel_bins=64))
    (folder / "00.wav").write_bytes((folder / "0.wav").read_bytes())
    with pytest.raises(ValueError, match=r"of other audio: it has .*/1.wav where this run has .*/00.wav"):
        filled(folder, cache, extractor)
    (folder / "00.wav").unlink()
    soundfile.write(folder / "1.wav", np.ones(9000), 16000)
    with pytest.raises(ValueError, match=r"/1.wav has changed since"):
        filled(folder, cache, extractor)
    with pytest.raises(ValueError, match="holds something else"):
        filled(folder, folder, extractor)


def test_gain_is_the_same_in_audio_and_features(folder, extractor, tmp_path):
    recordings, cropper, cache = filled(folder, tmp_path / "cache", extractor)
    decoded = AudioDataset(recordings, cropper, gain_jitter=12)
    kept = AudioDataset(recordings, cropper, cache=cache, gain_jitter=12)
    plain = AudioDataset(recordings, cropper)
    levels = []
    for epoch in range(4):
        audio = decoded[epoch, 0]["audio"]
        levels.append(audio.std() / plain[epoch, 0]["audio"].std())
        features = Collator(extractor)([{"audio": audio, "skipped": []}])["input_values"]
        assert (features - Collator(extractor)([kept[epoch, 0]])["input_values"]).abs().max() < 2e-3
    assert len(set(levels)) == 4
    assert 0.25 < min(levels)
    assert max(levels) < 4


def test_silence_stays_silent_when_it_is_made_louder(extractor, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(4000)
    soundfile.write(tmp_path / "a.wav", np.r_[noise, np.zeros(4000)], 16000)
    recordings, _, cache = filled(tmp_path, tmp_path / "cache", extractor)
    name = recordings[0]["name"]
    expected = SSASTFeatureExtractor(num_mel_bins=32, max_length=64, do_normalize=False)(
        4 * load_audio(name), 16000, padding=False
    )["input_values"][0]
    found = cache.window(name, 0, 8000, 400, gain=20 * np.log10(4))
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_weights_say_how_often_windows_are_drawn(tmp_path):
    weights = np.array([1.0] * 50 + [0.0] * 10 + [2.5] * 40)
    sampler, counts = EpochSampler(100, 3, weights), np.zeros(100)
    for epoch in range(20):
        sampler.epoch = epoch
        drawn = np.bincount([index for _, index in sampler], minlength=100)
        assert drawn.sum() == 100
        assert np.isin(drawn[60:], (1, 2)).all()
        counts += drawn
    assert not counts[50:60].any()
    np.testing.assert_allclose(counts / 20, weights * 100 / weights.sum(), atol=0.5)
    assert list(sampler) == list(sampler)
    equal = EpochSampler(100, 3, np.full(100, 0.7))
    assert sorted(index for _, index in equal) == list(range(100))


def test_weights_are_those_of_the_manifest(folder, extractor, tmp_path):
    manifest = tmp_path / "clips.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "often"])
        writer.writerows([f"audio/{i}.wav", 0.5 + i] for i in range(4))
    recordings = load_recordings(str(manifest), weight_column="often")
    dataset = AudioDataset(recordings, Cropper(extractor, 16, seed=5), weights=np.array(recordings.weights))
    assert [
        weight for weight, count in zip(recordings.weights, dataset.counts, strict=True) for _ in range(count)
    ] == (dataset.weights.tolist())
    manifest.write_text("path,often\naudio/1.wav,-1\n")
    with pytest.raises(ValueError, match="row 1 has the often '-1'"):
        load_recordings(str(manifest), weight_column="often")
    with pytest.raises(ValueError, match="is no manifest"):
        load_recordings(str(folder), weight_column="often")
