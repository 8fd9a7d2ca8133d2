"""Long recordings are many clips: every second once per epoch, at other places each time, in every process alike."""

import io
import tarfile

import numpy as np
import pytest
import soundfile
from datasets import Dataset
from torch.utils.data import DataLoader

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.audio.audio_datasets import AudioDataset, AudioStream
from ssast_hf.audio.bad_files import BadFiles
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.decoded import DecodedFiles
from ssast_hf.audio.held_out import hold_out
from ssast_hf.audio.lengths import measure
from ssast_hf.audio.recordings import load_recordings
from ssast_hf.audio.windows import Stretches, Windows


RATE = 16000


def make_cropper(seed=3, **options) -> Cropper:
    """Windows of half a second."""
    return Cropper(SSASTFeatureExtractor(max_length=100), 16, seed, **{"window_seconds": 0.5} | options)


def write_ramp(path, seconds: float, rate: int = RATE, **options) -> np.ndarray:
    """A recording whose samples say where they are."""
    ramp = np.linspace(-0.9, 0.9, round(seconds * rate))
    soundfile.write(path, ramp, rate, **options)
    return ramp.astype(np.float32)


def epoch_of(dataset: AudioDataset, epoch: int) -> list[np.ndarray]:
    return [dataset[epoch, i]["audio"] for i in range(len(dataset))]


@pytest.mark.parametrize("overlap", [0, 20, 79])
@pytest.mark.parametrize("samples", [84, 85, 100, 159, 160, 161, 240, 1000])
def test_windows_cover_everything_once(samples, overlap):
    windows = Windows(80, 80 - overlap, shortest=5)
    firsts = set()
    for position in (0, 0.2, 0.5, 0.8, 0.999):
        times = np.zeros(samples, dtype=int)
        for number in range(windows.count(np.array(samples))):
            begin, end = windows.place(samples, number, position)
            assert 0 <= begin < end <= samples
            assert 5 <= end - begin <= 80
            times[begin:end] += 1
            firsts |= {end} if number == 0 else set()
        if samples >= 85:  # less than the shortest window may be left out at the ends of a single one
            assert times.min() == 1
        if not overlap:
            assert (times > 1).sum() <= 2 * 5  # where a piece was too short to be a window
    assert len(firsts) > 1 or samples == 84 or overlap == 79


def test_a_recording_no_longer_than_a_window_is_one():
    windows = Windows(80, 80, shortest=5)
    assert windows.count(np.array([0, 1, 79, 80])).tolist() == [1, 1, 1, 1]
    assert windows.place(50, 0, 0.7) == (0, 80)


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_an_epoch_is_every_second_once(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    ramp = write_ramp(tmp_path / "long.wav", 4.3, subtype="FLOAT")
    source = tmp_path / "long.wav"
    if kind == "tar":
        source = tmp_path / "x.tar"
        with tarfile.open(source, "w") as archive:
            archive.add(tmp_path / "long.wav", "long.wav")
    if kind == "parquet":
        source = tmp_path / "x.parquet"
        Dataset.from_list([{"audio": (tmp_path / "long.wav").read_bytes()}]).to_parquet(source)
    dataset = AudioDataset(load_recordings(str(source)), make_cropper())
    assert len(dataset) == 9  # 8.6 windows' length, with a first and a last one that are shorter
    epochs = [epoch_of(dataset, epoch) for epoch in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.concatenate(epoch), ramp)
    assert len({len(epoch[0]) for epoch in epochs}) == 3
    loaded = DataLoader(dataset, batch_size=None, sampler=[(2, i) for i in range(9)], num_workers=1)
    for item, audio in zip(loaded, epochs[2], strict=True):
        np.testing.assert_array_equal(item["audio"], audio)


def test_a_stream_has_the_windows_of_a_recording_in_order(tmp_path):
    ramp = write_ramp(tmp_path / "long.wav", 4.3, subtype="FLOAT")
    rows = load_recordings(str(tmp_path), streaming=True)
    stream = iter(AudioStream(rows, make_cropper(), buffer_size=1))
    np.testing.assert_array_equal(np.concatenate([next(stream)["audio"] for _ in range(9)]), ramp)
    stream = iter(AudioStream(rows, make_cropper(), buffer_size=4))
    starts = [float(next(stream)["audio"][0]) for _ in range(9)]
    assert starts != sorted(starts)
    assert len(set(starts)) == 9


def test_overlap_and_other_rates(tmp_path):
    write_ramp(tmp_path / "long.flac", 2, rate=44100)
    dataset = AudioDataset(load_recordings(str(tmp_path)), make_cropper(overlap_seconds=0.25))
    starts = [window[0] for *_, window in (dataset.find(0, i) for i in range(len(dataset)))]
    assert set(np.diff(starts)[1:].tolist()) == {4000}
    middle = dataset[3]["audio"]
    assert len(middle) == 8000
    assert middle[100] == pytest.approx(-0.9 + 1.8 * (starts[3] + 100) / 32000, abs=1e-3)


def test_only_the_window_is_read(tmp_path, monkeypatch):
    write_ramp(tmp_path / "long.wav", 60)
    dataset = AudioDataset(load_recordings(str(tmp_path)), make_cropper())
    read = soundfile.SoundFile.read
    lengths = []

    def watched(self, *arguments, **options):
        lengths.append(len(block := read(self, *arguments, **options)))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    dataset[57]
    assert sum(lengths) <= 8002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_seconds": 3}, r"--window_seconds 3: expected 0\.175 s, one patch, to 1\.015 s, the 100 frames"),
        ({"window_seconds": 0.1}, "--window_seconds 0.1"),
        ({"overlap_seconds": 0.5}, "--window_overlap 0.5: expected 0 to less than the 0.5 s"),
        ({"overlap_seconds": -1}, "--window_overlap -1"),
    ],
)
def test_windows_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_cropper(**options)


def test_quiet_windows_are_left_out_and_listed_but_not_bad(tmp_path):
    random = np.random.RandomState(0)
    loud, quiet = (level * random.randn(5 * RATE) for level in (0.1, 1e-4))
    soundfile.write(tmp_path / "half.wav", np.concatenate((loud, quiet)), RATE)
    dataset = AudioDataset(load_recordings(str(tmp_path)), make_cropper(min_level=-60))
    items = [dataset[i] for i in range(len(dataset))]
    assert min(np.sqrt(np.mean(item["audio"] ** 2)) for item in items) > 0.01
    skipped = [skip for item in items for skip in item["skipped"]]
    assert 9 <= len(dict(skipped)) <= 11
    bad_files = BadFiles(tmp_path / "out" / "skipped_files.txt", max_fraction=0, total=1)
    for _ in range(2):  # each is listed once
        bad_files.add(skipped, len(items))
    assert bad_files.names() == set()
    lines = (tmp_path / "out" / "quiet_windows.txt").read_text().splitlines()
    assert len(lines) == len(dict(skipped)) == len(bad_files.quiet_names())
    assert lines[0].startswith(f"{tmp_path}/half.wav, window ")
    assert "dB, below --min_level -60" in lines[0]


@pytest.mark.parametrize("streaming", [False, True])
def test_nothing_but_quiet_windows_is_an_error(streaming, tmp_path):
    soundfile.write(tmp_path / "quiet.wav", 0.01 * np.random.RandomState(0).randn(3 * RATE), RATE)
    recordings = load_recordings(str(tmp_path), streaming=streaming)
    cropper = make_cropper(min_level=-20)
    dataset = iter(AudioStream(recordings, cropper, 1)) if streaming else iter(AudioDataset(recordings, cropper))
    with pytest.raises(ValueError, match=r"windows in a row are too quiet; the loudest has -.* below --min_level -20"):
        next(dataset)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_recording_that_shrinks_while_it_is_read_is_bad_once(suffix, tmp_path):
    write_ramp(tmp_path / f"long.{suffix}", 10)
    soundfile.write(tmp_path / "other.wav", np.zeros(RATE // 2), RATE)
    dataset = AudioDataset(load_recordings(str(tmp_path)), make_cropper())
    content = (tmp_path / f"long.{suffix}").read_bytes()
    (tmp_path / f"long.{suffix}").write_bytes(content[: len(content) // 2])
    items = [dataset[i] for i in range(len(dataset))]
    skipped = dict(skip for item in items for skip in item["skipped"])
    assert list(skipped) == [str(tmp_path / f"long.{suffix}")]
    assert f"long.{suffix}" in skipped[str(tmp_path / f"long.{suffix}")]
    assert sum(not item["skipped"] for item in items) >= 8  # what is still there


def test_damage_to_a_long_recording_of_a_stream_is_told_once(tmp_path):
    write_ramp(tmp_path / "long.flac", 10)
    content = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "long.flac").write_bytes(content[: len(content) // 2])
    soundfile.write(tmp_path / "other.wav", np.zeros(RATE // 2), RATE)
    stream = iter(AudioStream(load_recordings(str(tmp_path), streaming=True), make_cropper(), 1))
    items = [next(stream) for _ in range(12)]
    assert 1 <= sum(len(item["skipped"]) for item in items) <= 2  # of one epoch, or of two


def test_mp3_is_decoded_once_as_far_as_it_fits(tmp_path, monkeypatch):
    for name, seconds in (("a", 3), ("b", 5), ("short", 0.4)):
        tone = 0.3 * np.sin(2 * np.pi * 220 / 48000 * np.arange(round(seconds * 48000)))
        soundfile.write(tmp_path / f"{name}.mp3", tone, 48000)
    recordings = load_recordings(str(tmp_path))
    cropper = make_cropper()
    lengths = measure(recordings, RATE)
    assert not lengths.is_entered.any()
    cropper.decoded = DecodedFiles(tmp_path / "decoded", RATE)
    said = cropper.decoded.choose(recordings, lengths, cropper.windows, 6 * 4 * RATE)
    assert said.startswith("2 long recordings are MP3")
    assert "1 of them are decoded once" in said
    assert "The others do not fit" in said
    monkeypatch.setattr("ssast_hf.audio.decoded.BLOCK", 30_000)  # decoded in many pieces
    directly = AudioDataset(recordings, make_cropper(), Stretches.whole(lengths.samples))
    dataset = AudioDataset(recordings, cropper, Stretches.whole(lengths.samples))
    for i in range(len(dataset)):
        one, other = directly[i]["audio"], dataset[i]["audio"]
        assert len(one) == len(other)
        assert np.abs(one - other)[50:-50].max() < 1e-3  # but for where resampling begins and ends
    decoded = [path for path in (tmp_path / "decoded").iterdir() if not path.suffix]
    assert len(decoded) == 1
    monkeypatch.setattr(DecodedFiles, "decode", None)
    dataset[len(dataset) // 2]


def test_lengths_are_kept_if_they_took_long(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("ssast_hf.audio.lengths.SLOW", 0)
    (tmp_path / "audio").mkdir()
    for i in range(3):
        write_ramp(tmp_path / "audio" / f"{i}.wav", 1 + i)
    (tmp_path / "audio" / "bad.wav").touch()
    recordings = load_recordings(str(tmp_path / "audio"))
    expected = [RATE, 2 * RATE, 3 * RATE, 0]
    assert measure(recordings, RATE).samples.tolist() == expected
    with monkeypatch.context() as patch:
        patch.setattr("ssast_hf.audio.lengths.measure_one", None)
        assert measure(load_recordings(str(tmp_path / "audio")), RATE).samples.tolist() == expected
    write_ramp(tmp_path / "audio" / "1.wav", 0.5)
    assert measure(recordings, RATE).samples.tolist()[1] == RATE // 2


WINDOWS = Windows(10 * RATE, 10 * RATE, 2800)


def test_many_recordings_are_held_out_whole():
    samples = np.full(40, 5 * RATE)
    train, validation = hold_out(samples, WINDOWS, 0.05, seed=1)
    assert sorted([*train.recordings, *validation.recordings]) == list(range(40))
    assert len(validation) == 2
    samples[:4] = 1800 * RATE  # as many windows as a hundred others
    train, validation = hold_out(samples, WINDOWS, 0.05, seed=1)
    assert sorted([*train.recordings, *validation.recordings]) == list(range(40))
    assert 1 <= WINDOWS.count(validation.samples).sum() <= 0.06 * WINDOWS.count(samples).sum()
    samples[0] = 0  # unusable: no validation consists of such
    for seed in range(20):
        assert 0 not in hold_out(samples, WINDOWS, 0.05, seed)[1].recordings


@pytest.mark.parametrize("seconds", [[15], [60], [3600], [86400], [1800, 1800, 1800], [3600, 5]])
def test_few_recordings_are_held_out_by_time(seconds):
    samples = RATE * np.array(seconds)
    train, validation = hold_out(samples, WINDOWS, 0.05, seed=1)
    assert len(train) == len(samples)
    assert validation.samples.sum() >= 0.05 * samples[validation.recordings].sum()
    assert validation.samples.sum() <= max(0.5 * samples.sum(), 20 * RATE)
    for stretch in range(len(validation)):  # each begins where training ends
        recording = validation.recordings[stretch]
        assert train.begins[recording] == 0
        assert train.samples[recording] == validation.begins[stretch]
        assert validation.begins[stretch] + validation.samples[stretch] == samples[recording]


def test_no_window_reaches_into_what_is_held_out(tmp_path):
    ramp = write_ramp(tmp_path / "short.wav", 0.9, subtype="FLOAT")
    recordings, cropper = load_recordings(str(tmp_path)), make_cropper()
    parts = hold_out(np.array([len(ramp)]), cropper.windows, 0.05, seed=0)
    train, validation = (np.concatenate(epoch_of(AudioDataset(recordings, cropper, part), 1)) for part in parts)
    np.testing.assert_array_equal(np.concatenate((train, validation)), ramp)


def test_groups_are_held_out_together(tmp_path):
    rows = [("path", "speaker")]
    for i in range(12):
        write_ramp(tmp_path / f"{i}.wav", 0.4)
        rows.append((f"{i}.wav", "abc"[i % 3]))
    (tmp_path / "clips.csv").write_text("\n".join(",".join(row) for row in rows))
    recordings = load_recordings(str(tmp_path / "clips.csv"), group_column="speaker")
    train, validation = hold_out(measure(recordings, RATE).samples, WINDOWS, 0.05, 0, recordings.groups)
    assert len(validation) == 4
    assert len({i % 3 for i in validation.recordings.tolist()}) == 1
    assert not {i % 3 for i in validation.recordings.tolist()} & {i % 3 for i in train.recordings.tolist()}
    with pytest.raises(ValueError, match="1 group is too little to train and validate on; pass --validation_data"):
        hold_out(np.full(12, RATE), WINDOWS, 0.05, 0, ["a"] * 12)
    with pytest.raises(ValueError, match=r"clips\.csv: row 1 has no 'singer'"):
        load_recordings(str(tmp_path / "clips.csv"), group_column="singer")
    with pytest.raises(ValueError, match=r"--group_column speaker: .* is no manifest"):
        load_recordings(str(tmp_path), group_column="speaker")


def test_empty_cells_of_a_table_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(RATE), RATE, format="WAV")
    Dataset.from_dict({"audio": [None, b"", sound.getvalue()]}).to_parquet(tmp_path / "x.parquet")
    recordings = load_recordings(str(tmp_path / "x.parquet"))
    assert [recording["name"][-5:] for recording in recordings] == ["row 0", "row 1", "row 2"]
    assert measure(recordings, RATE).samples.tolist() == [0, 0, RATE]
