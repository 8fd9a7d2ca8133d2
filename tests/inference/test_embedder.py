"""Embeddings: the same for a clip whatever is beside it, of any length, on one time line."""

import pickle

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForPretraining,
    SSASTModel,
)
from ssast_hf.assets import nano_model
from ssast_hf.inference import Embedder, clips
from ssast_hf.inference.windowed import Piece


RATE = 16000


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples).astype(np.float32)


@pytest.fixture
def folder(model, tmp_path):
    """A saved model; one patch takes 8 frames, a full input 64, that is 0.655 s."""
    model.save_pretrained(tmp_path / "model")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


CLIPS = [noise(length, seed) for seed, length in enumerate((10480, 2000, 50000, 10480, 5555, 30000))]


@pytest.mark.parametrize("level", ["clip", "frame", "patch"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "bands", "statistics"])
def test_embedding_does_not_depend_on_the_batch(folder, level, pooling):
    embedder = Embedder(folder, level=level, pooling=pooling, batch_size=3)
    together, reversed_ = embedder(CLIPS), embedder(CLIPS[::-1])[::-1]
    threads = torch.get_num_threads()
    for number, clip in enumerate(CLIPS):
        torch.set_num_threads(1 + number % 2)
        alone = embedder(clip)
        for other in (together[number], reversed_[number]):
            assert other.dtype == np.float32
            np.testing.assert_allclose(other, alone, rtol=0, atol=1e-6)
    torch.set_num_threads(threads)


def test_short_clip_is_what_the_model_says_of_it(folder):
    model = SSASTModel.from_pretrained(folder).eval()
    inputs = SSASTFeatureExtractor.from_pretrained(folder)(
        CLIPS[1], RATE, return_attention_mask=True, return_tensors="pt"
    )
    with torch.no_grad():
        outputs = model(**inputs, output_hidden_states=True)
    steps = model.config.time_grid(int(inputs["attention_mask"].sum()))
    patches = outputs.last_hidden_state[0, 2:].unflatten(0, (4, 8))[:, :steps]
    expected = {"clip": outputs.pooler_output[0], "frame": outputs.frame_hidden_states[0, :steps], "patch": patches}
    for level, values in expected.items():
        np.testing.assert_allclose(Embedder(folder, level=level)(CLIPS[1]), values, atol=1e-6)
    first = outputs.hidden_states[1][0, :2].mean(0)
    np.testing.assert_allclose(Embedder(folder, pooling="cls", layer=1)(CLIPS[1]), first, atol=1e-6)


def test_statistics_are_those_of_the_time_steps_also_over_windows(folder):
    together = Embedder(folder, pooling="statistics", layer="all")(CLIPS)
    for clip, vectors in zip(CLIPS, together, strict=True):
        steps = Embedder(folder, level="frame", layer="all")(clip)
        expected = np.concatenate((steps.mean(axis=1), steps.std(axis=1)), axis=1)
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert Embedder(folder, pooling="statistics")([]).shape == (0, 64)


def test_bands_are_means_of_the_patches_of_each_frequency_also_over_windows(folder):
    together = Embedder(folder, pooling="bands", layer="all")(CLIPS)
    for clip, vectors in zip(CLIPS, together, strict=True):
        patches = Embedder(folder, level="patch", layer="all")(clip)  # (layers, frequency, time, D)
        np.testing.assert_allclose(vectors.reshape(3, 4, 32), patches.mean(axis=2), atol=1e-6)
    assert Embedder(folder, pooling="bands")([]).shape == (0, 128)


def test_all_layers_are_one_axis_more(folder):
    everything = Embedder(folder, level="frame", layer="all")(CLIPS[2])
    for layer in (0, 1, 2, -1):
        np.testing.assert_allclose(
            everything[layer], Embedder(folder, level="frame", layer=layer)(CLIPS[2]), atol=1e-6
        )


def test_long_recording_is_stitched_on_one_time_line(model, tmp_path):
    """Where tokens see nothing but themselves, and have no positions, windows make no difference."""
    encoder = model.base_model
    torch.nn.init.zeros_(encoder.embeddings.position_embeddings)
    for layer in encoder.encoder.layer:
        torch.nn.init.zeros_(layer.attention.output.dense.weight)
    encoder.save_pretrained(tmp_path)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path)
    clip = noise(RATE * 4)
    whole = Embedder(tmp_path, level="frame", window=60)(clip)
    for hop in (None, 0.08, 0.24, 0.64):
        frames, times = Embedder(tmp_path, level="frame", hop=hop)(clip, return_times=True)
        np.testing.assert_allclose(frames, whole, atol=1e-5)
        assert len(times) == len(frames)
        np.testing.assert_allclose(np.diff(times), 0.08)
    np.testing.assert_allclose(Embedder(tmp_path)(clip), whole.mean(0), atol=1e-5)


def test_windows_of_what_repeats_agree_at_their_seams(folder):
    """The period of the tone divides the hop, so that all windows hold the same."""
    tone = np.sin(2 * np.pi * 100 * np.arange(RATE * 3) / RATE).astype(np.float32)
    frames = Embedder(folder, level="frame", hop=0.32)(tone)
    np.testing.assert_allclose(frames[6:10], frames[10:14], atol=1e-4)


def test_seams_are_as_smooth_as_the_rest():
    embedder, recording = Embedder(nano_model(), level="frame"), noise(RATE * 40)
    steps = np.linalg.norm(np.diff(embedder(recording), axis=0), axis=1)
    seams = [window.first - 1 for window, _, _ in embedder.windows_of(len(recording), "noise")[1:]]
    assert len(seams) > 5
    assert steps[seams].mean() < 1.25 * np.delete(steps, seams).mean()


def test_times_are_the_centres_of_steps(folder):
    embedder = Embedder(folder, level="frame")
    frames, times = embedder(CLIPS[1], return_times=True)
    assert len(frames) == len(times) == 1
    assert times[0] == pytest.approx((7 * 0.010 + 0.025) / 2)
    _, several = embedder(CLIPS, return_times=True)
    assert [len(each) for each in several] == [len(each) for each in embedder(CLIPS)]


def test_every_kind_of_clip_gives_the_same(folder, tmp_path):
    soundfile.write(tmp_path / "a.wav", CLIPS[0], RATE, subtype="FLOAT")
    embedder, path = Embedder(folder), tmp_path / "a.wav"
    expected = embedder(CLIPS[0])
    row = {"array": CLIPS[0], "sampling_rate": RATE}
    for clip in (path, str(path), torch.from_numpy(CLIPS[0]), CLIPS[0].tolist(), row, {"path": str(path)}):
        np.testing.assert_allclose(embedder(clip), expected, atol=1e-6)
    np.testing.assert_allclose(embedder({"bytes": path.read_bytes(), "path": None}), expected, atol=1e-6)
    for table in ({"audio": [row, row]}, {"path": [str(path)] * 2}, {"path": np.array([str(path)] * 2, dtype=object)}):
        result = embedder(table)
        assert result.keys() == {*table, "embedding"}
        np.testing.assert_allclose(result["embedding"], [expected] * 2, atol=1e-6)
    assert len(embedder({"file": [path]}, return_times=True)["times"][0]) == 8
    assert embedder([]).shape == (0, 32)
    assert Embedder(folder, level="frame")([]) == []


def test_table_is_embedded_in_one_call(folder):
    """Who puts calls into a queue, as Ray does, must not meet one inside another."""
    begun = []

    class Queued(Embedder):
        def __call__(self, *arguments):
            begun.append(arguments)
            return super().__call__(*arguments)

    assert len(Queued(folder)({"audio": [CLIPS[0], CLIPS[1]]})["embedding"]) == 2
    assert len(begun) == 1


def test_other_rates_are_resampled(folder):
    tone = np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE).astype(np.float32)
    embedder = Embedder(folder)
    half = embedder({"array": tone[::2], "sampling_rate": RATE // 2})
    assert np.corrcoef(half, embedder(tone))[0, 1] > 0.9
    np.testing.assert_array_equal(half, embedder(tone[::2], sampling_rate=RATE // 2))


def test_it_can_be_pickled(folder):
    embedder = Embedder(folder, level="frame")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedder))(CLIPS[0]), embedder(CLIPS[0]))


def test_results_are_float32_whatever_the_weights_are(model, tmp_path):
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path)
    exact, rough = Embedder(tmp_path)(CLIPS[0]), Embedder(tmp_path, dtype="bfloat16")(CLIPS[0])
    assert exact.dtype == rough.dtype == np.float32
    assert 0 < np.abs(exact - rough).max() < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "token"}, "level must be one of 'clip', 'frame', 'patch'; got 'token'"),
        ({"pooling": "max"}, "pooling must be one of 'mean', 'cls', 'bands', 'statistics'"),
        ({"layer": 3}, "layer must be one of -3 to 2; got 3"),
        ({"layer": True}, "layer must be"),
        ({"window": 0.05}, r"window must be at least one patch, 0.095 seconds; got 0.05"),
        ({"hop": 1.0}, r"hop must be from one step, 0.08 s, to one window, 0.64 s; got 1.0"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "abacus"}, "device must be one of PyTorch"),
        ({"dtype": "int8"}, "dtype must be one of 'float32', 'bfloat16', 'float16'; got 'int8'"),
        ({"layer": "sum"}, "layer must be one of -3 to 2; got 'sum'"),
    ],
)
def test_options_that_cannot_be_are_named(folder, options, message):
    with pytest.raises(ValueError, match=message):
        Embedder(folder, **options)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros(1000, np.float32), "Clip 1 has 1000 samples; one patch takes 1520 at 16000 Hz"),
        (np.zeros(4000, np.int16), "Clip 1 has the shape .* int16"),
        (np.zeros((2, 2, 10), np.float32), "Clip 1 has the shape"),
        (np.full(4000, np.nan, np.float32), "Clip 1 holds NaN"),
        (np.full(4000, 1e30, np.float32), "Clip 1 holds NaN, infinite or absurdly large"),
        ({"sampling_rate": 16000}, "Clip 1 has 'sampling_rate'; expected array, bytes or path"),
        (None, "Clip 1"),
    ],
)
def test_clip_that_cannot_be_is_named(folder, clip, message):
    with pytest.raises(ValueError, match=message):
        Embedder(folder)([CLIPS[0], clip])


def test_folder_that_is_no_encoder_is_refused(folder, model, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        Embedder(tmp_path / "nowhere")
    state = {key: value for key, value in model.state_dict().items() if "encoder.layer.1" not in key}
    SSASTForPretraining(model.config).save_pretrained(tmp_path / "part", state_dict=state)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "part")
    with pytest.raises(ValueError, match=r"lacks weights of an encoder, such as encoder.layer.1"):
        Embedder(tmp_path / "part")


def test_pieces_come_in_order_and_few_at_once(folder, monkeypatch):
    monkeypatch.setattr("ssast_hf.inference.windowed.LOOK_AHEAD", 2)
    embedder = Embedder(folder, batch_size=2)
    read = []

    def pieces():
        for number, clip in enumerate(CLIPS):
            read.append(number)
            samples = None if number == 1 else clip[:10480]
            yield Piece(number, embedder.windows_of(len(clip[:10480]), "clip")[0][0], samples)

    for place, (piece, result) in enumerate(embedder.encode_in_order(pieces())):
        assert piece.clip == place
        assert len(read) <= place + 4
        if place == 1:
            assert not result.size
        else:
            np.testing.assert_allclose(embedder.join([result]), embedder(CLIPS[place][:10480]), atol=1e-6)


def test_file_is_read_window_by_window(folder, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.flac", CLIPS[2], RATE)
    soundfile.write(tmp_path / "other.wav", CLIPS[2], 22050)
    lengths = []

    def load_window(recording, sampling_rate, begin, end, *rest):
        lengths.append(end - begin)
        return original(recording, sampling_rate, begin, end, *rest)

    original = clips.load_window
    monkeypatch.setattr(clips, "load_window", load_window)
    embedder = Embedder(folder, level="frame")
    whole, _ = soundfile.read(tmp_path / "long.flac", dtype="float32")
    np.testing.assert_allclose(embedder(tmp_path / "long.flac"), embedder(whole), atol=1e-6)
    frames, times = embedder(tmp_path / "other.wav", return_times=True)
    assert len(frames) == len(times)
    assert np.corrcoef(frames.ravel(), embedder(whole, sampling_rate=22050).ravel())[0, 1] > 0.99
    assert max(lengths) < 12000


def test_pooling_of_a_head_is_no_pooling_of_the_encoder(folder, tmp_path):
    config = SSASTConfig.from_pretrained(folder, pooling_mode="attentive")
    SSASTForAudioClassification.from_pretrained(folder, config=config).save_pretrained(tmp_path / "head")
    SSASTFeatureExtractor.from_pretrained(folder).save_pretrained(tmp_path / "head")
    expected = Embedder(folder, pooling="mean")(CLIPS[0])
    np.testing.assert_allclose(Embedder(tmp_path / "head")(CLIPS[0]), expected, rtol=0, atol=1e-6)
