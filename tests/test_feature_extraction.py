from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ssast_hf import SSASTFeatureExtractor, feature_extraction_ssast
from ssast_hf.assets import bundled_clips
from ssast_hf.audio import load_audio


REFERENCES = np.load(Path(__file__).parent / "references" / "fbank_fixtures.npz")
PADDING = 4.2677393 / (2 * 4.5689974)  # what zeros become


@pytest.fixture
def extractor():
    return SSASTFeatureExtractor(max_length=64)


def clip(num_samples=8000, seed=0):
    return np.random.RandomState(seed).uniform(-0.5, 0.5, num_samples).astype(np.float32)


@pytest.mark.parametrize("name", REFERENCES.files)
def test_filter_banks_are_the_original_ones(name):
    path = next(path for path in bundled_clips() if path.stem == name)
    extractor = SSASTFeatureExtractor(do_normalize=False)
    ours = extractor(load_audio(path), sampling_rate=16000, padding=False)["input_values"][0]
    difference = np.abs(ours - REFERENCES[name])
    assert difference.max() < 2e-3
    assert difference.mean() < 2e-5


def test_normalisation_comes_after_padding(extractor):
    outputs = extractor(clip(), sampling_rate=16000, return_tensors="pt")["input_values"]
    assert outputs.shape == (1, 64, 128)
    raw = SSASTFeatureExtractor(do_normalize=False)(clip(), padding=False)["input_values"][0]
    assert raw.shape == (48, 128)
    np.testing.assert_allclose(outputs[0, :48], (raw + 4.2677393) / (2 * 4.5689974), rtol=1e-5, atol=1e-6)
    assert torch.equal(outputs[0, 48:], torch.full((16, 128), PADDING))


def test_cut_clip_is_the_start_of_the_whole(extractor):
    """Also the mean is that of the whole clip, as in the original."""
    long = clip(40000) + np.linspace(0, 0.4, 40000, dtype=np.float32)
    cut = extractor(long, return_tensors="np")["input_values"]
    whole = extractor(long, truncation=False, return_tensors="np")["input_values"]
    assert cut.shape == (1, 64, 128)
    assert whole.shape == (1, 248, 128)
    np.testing.assert_allclose(cut, whole[:, :64], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("padding", "lengths"),
    [("max_length", [64, 64]), ("longest", [48, 48]), (True, [48, 48]), (False, [48, 23]), ("do_not_pad", [48, 23])],
)
def test_padding(extractor, padding, lengths):
    outputs = extractor([clip(), clip(4000)], sampling_rate=16000, padding=padding, return_attention_mask=True)
    assert [len(values) for values in outputs["input_values"]] == lengths
    assert [mask.sum() for mask in outputs["attention_mask"]] == [48, 23]
    assert all(isinstance(values, np.ndarray) and values.dtype == np.float32 for values in outputs["input_values"])
    alone = extractor(clip(4000), padding=False)["input_values"][0]
    np.testing.assert_array_equal(outputs["input_values"][1][:23], alone)


@pytest.mark.parametrize("at_once", [1 << 16, 100])
def test_many_clips_together_give_the_same_numbers(extractor, at_once, monkeypatch):
    monkeypatch.setattr(feature_extraction_ssast, "FRAMES_AT_ONCE", at_once)
    clips = [clip(num_samples, seed) + 0.1 * seed for seed, num_samples in enumerate((400, 4000, 8000, 10640))]
    clips.append(load_audio(bundled_clips()[0])[: extractor.num_samples(64)])
    expected = extractor(clips, sampling_rate=16000, return_tensors="pt")["input_values"]
    waveforms = torch.full((len(clips), 11000), torch.nan)  # what follows a clip does not matter
    for waveform, samples in zip(waveforms, clips, strict=True):
        waveform[: len(samples)] = torch.from_numpy(samples)
    together = extractor.extract(waveforms, torch.tensor([len(samples) for samples in clips]))
    torch.testing.assert_close(together, expected, rtol=0, atol=1e-4)
    # A call on another device, here on this one.
    frames = [extractor.num_frames(len(samples)) for samples in clips]
    arguments = ([torch.from_numpy(samples) for samples in clips], frames, frames, "cpu")
    for one, other in zip(extractor._together(*arguments), extractor._one_by_one(*arguments), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


class Operations(TorchDispatchMode):
    """How many operations compute something, and do not just look at a part of a tensor."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not function.is_view
        return function(*args, **kwargs or {})


def test_no_device_loops_over_clips(extractor):
    counts = []
    for batch_size in (2, 6):
        lengths = [48] * batch_size
        with Operations() as operations:
            extractor._together(list(torch.zeros(batch_size, 8000)), lengths, lengths, "cpu")
        counts.append(operations.count)
    assert counts[0] == counts[1]


def test_max_length_of_a_call(extractor):
    assert extractor(clip(), max_length=30, return_tensors="pt")["input_values"].shape == (1, 30, 128)


def test_attention_mask_is_off_by_default_and_configurable(extractor):
    assert set(extractor(clip())) == {"input_values"}
    extractor.return_attention_mask = True
    mask = extractor(clip(), return_tensors="pt")["attention_mask"]
    assert mask.dtype == torch.int64
    assert mask[0].tolist() == [1] * 48 + [0] * 16


@pytest.mark.parametrize(
    "batch",
    [
        lambda x: x,
        lambda x: x.tolist(),
        lambda x: torch.from_numpy(x),
        lambda x: x.astype(np.float64),
        lambda x: [x],
        lambda x: [x.tolist()],
        lambda x: (torch.from_numpy(x),),
        lambda x: x[None],
        lambda x: x[::-1].copy()[::-1],
        lambda x: x.astype(">f4"),
    ],
)
def test_forms_of_one_clip(extractor, batch):
    expected = extractor(clip(), return_tensors="pt")["input_values"]
    assert torch.equal(extractor(batch(clip()), return_tensors="pt")["input_values"], expected)


def test_rows_of_an_array_are_a_batch(extractor):
    rows = np.stack([clip(seed=seed) for seed in range(3)])
    outputs = extractor(rows, return_tensors="pt")["input_values"]
    assert torch.equal(outputs, extractor(list(rows), return_tensors="pt")["input_values"])


@pytest.mark.parametrize("audio", [torch.Tensor, lambda rows: rows])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_rows_is_a_batch(extractor, audio, count):
    rows = np.stack([clip(seed=seed) for seed in range(count)])
    options = {} if audio is torch.Tensor or count != 2 else {"is_batched": True}
    outputs = extractor(audio(rows), return_tensors="pt", **options)["input_values"]
    assert torch.equal(outputs, extractor(list(rows), return_tensors="pt")["input_values"])


def test_clips_below_one_patch_are_named_under_a_mask(extractor, caplog):
    clips = [clip(2800), clip(2799), clip(8000), clip(400)]
    extractor(clips, return_attention_mask=True)
    assert caplog.messages == []  # what is too short for the model is not known
    extractor = SSASTFeatureExtractor(min_frames=16)
    extractor(clips)
    assert caplog.messages == []
    extractor(clips[::2], return_attention_mask=True)
    assert caplog.messages == []
    extractor(clips, return_attention_mask=True)
    (message,) = caplog.messages
    assert "16 frames (175 ms): clip 1, 3 of the batch" in message
    caplog.clear()
    frames = SSASTFeatureExtractor(min_frames=2, return_attention_mask=True)
    frames(clips)
    assert "2 frames (35 ms): clip 3 of the batch" in caplog.text


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((8000, 2), dtype=np.float32), "stereo"),
        (np.zeros((2, 8000), dtype=np.float32), "pass is_batched=True, or a list"),
        (torch.zeros(8000, 2), "stereo"),
        ([np.zeros((2, 8000), dtype=np.float32)], "Mix the channels down"),
        (np.zeros((1, 2, 8000), dtype=np.float32), "mono"),
        (np.zeros(0, dtype=np.float32), "empty"),
        ([], "empty"),
        ([clip(), np.zeros(0, dtype=np.float32)], "Clip 1 has 0 samples"),
        (np.zeros(399, dtype=np.float32), "fewer than one frame of 400"),
        (np.zeros(8000, dtype=np.int16), "32768"),
        ([0] * 8000, "int64"),
        ([clip(), np.full(8000, np.nan, dtype=np.float32)], "Clip 1 holds NaN"),
        (np.array([0.1] * 8000 + [np.inf], dtype=np.float32), "infinite"),
        ([clip(), clip() * np.float32(1e19)], "Clip 1 holds NaN, infinite or absurdly large samples"),
        (np.full(8000, 1e300), "absurdly large"),
        (np.append(clip(40000), np.float32(np.nan)), "Clip 0 holds NaN"),  # where the clip is cut off
        (["a.wav"], "Clip 0"),
        ("a.wav", "got str"),
        (np.array(0.5), "empty"),
    ],
)
def test_bad_audio_gets_advice(extractor, audio, message):
    with pytest.raises(ValueError, match=message):
        extractor(audio, sampling_rate=16000)


def test_bad_arguments_get_advice(extractor):
    with pytest.raises(ValueError, match=r"soxr.resample\(audio, 44100, 16000\)"):
        extractor(clip(), sampling_rate=44100)
    with pytest.raises(ValueError, match='padding="longest"'):
        extractor([clip(), clip(4000)], padding=False, return_tensors="pt")
    for max_length in (0, -5, 10.5):
        with pytest.raises(ValueError, match=f"max_length must be a positive number of frames, got {max_length}"):
            extractor(clip(), max_length=max_length)
    with pytest.raises(ValueError, match="min_frames must be a whole number from 1"):
        SSASTFeatureExtractor(min_frames=0)
    with pytest.raises(ValueError, match="std must be a number from 1e-06"):
        SSASTFeatureExtractor(std=0.0)
    with pytest.raises(ValueError, match="'both'"):
        extractor(clip(), padding="both")


def test_round_trip(tmp_path):
    extractor = SSASTFeatureExtractor(max_length=77, mean=-5.0, return_attention_mask=True, min_frames=2)
    extractor.save_pretrained(tmp_path)
    loaded = SSASTFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.max_length, loaded.mean, loaded.return_attention_mask, loaded.min_frames) == (77, -5.0, True, 2)
    assert SSASTFeatureExtractor.from_pretrained(tmp_path, max_length=10).max_length == 10


def test_other_rates_and_formats_are_read(tmp_path):
    import soundfile

    stereo = np.stack([clip(44100), clip(44100, seed=1)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 44100, subtype="FLOAT")
    audio = load_audio(tmp_path / "stereo.wav")
    assert audio.shape == (16000,)
    assert audio.dtype == np.float32
    assert len(bundled_clips()) == 8
    (tmp_path / "no.wav").write_bytes(b"no audio")
    with pytest.raises(ValueError, match=r"no\.wav"):
        load_audio(tmp_path / "no.wav")


def test_pad_pads_frames_as_a_call_does():
    extractor = SSASTFeatureExtractor(mean=-5.0, std=3.0)
    clips = [np.random.RandomState(0).randn(samples).astype(np.float32) for samples in (8000, 4000)]
    options = {"return_attention_mask": True, "return_tensors": "np"}
    expected = extractor(clips, sampling_rate=16000, padding="longest", **options)
    alone = [extractor(clip, sampling_rate=16000, padding=False)["input_values"][0] for clip in clips]
    padded = extractor.pad({"input_values": alone}, padding=True, **options)
    np.testing.assert_allclose(padded["input_values"], expected["input_values"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(padded["attention_mask"], expected["attention_mask"])
    whole = extractor(clips, sampling_rate=16000, padding="max_length", max_length=60, **options)
    again = extractor.pad({"input_values": list(whole["input_values"])}, padding=True, **options)
    np.testing.assert_array_equal(again["attention_mask"], whole["attention_mask"])
    cut = extractor.pad({"input_values": alone}, padding="max_length", max_length=20, truncation=True)
    assert [len(values) for values in cut["input_values"]] == [20, 20]


def test_features_do_not_depend_on_the_number_of_threads():
    waveform = np.random.default_rng(5).uniform(-0.3, 0.3, 160000).astype(np.float32)
    threads, features = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        features.append(SSASTFeatureExtractor()(waveform, 16000, return_tensors="pt")["input_values"])
    torch.set_num_threads(threads)
    assert torch.equal(features[0], features[1])
    assert torch.equal(features[0], features[2])


@pytest.mark.parametrize("padding", [0, 1, "0", None])
def test_stored_padding_of_another_type_is_refused(padding):
    with pytest.raises(ValueError, match="padding must be"):
        SSASTFeatureExtractor(padding=padding)
