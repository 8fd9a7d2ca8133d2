"""Other models than square patches side by side: frames, overlapping strides, and windows longer than in training."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTModel
from ssast_hf.inference import Embedder


RATE = 16000
GEOMETRIES = {
    "frames": {"patch_size": [32, 2]},
    "overlap": {"patch_size": 8, "frequency_stride": 5, "time_stride": 3},
    "wide": {"patch_size": [4, 16], "time_stride": 8},
}
CLIPS = [
    np.random.default_rng(seed).uniform(-0.3, 0.3, length).astype(np.float32)
    for seed, length in enumerate((2800, 9000, 40000, 3200, 10640, 6000))
]


@pytest.fixture
def save(tmp_path):
    """A saved encoder of random weights, 64 frames long, on request without positions and attention."""

    def make(name: str, is_position_free: bool = False):
        torch.manual_seed(3)
        config = SSASTConfig(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=48,
            num_mel_bins=32,
            max_length=64,
            num_masked_patches=1,
            **GEOMETRIES[name],
        )
        model = SSASTModel(config)
        torch.nn.init.normal_(model.embeddings.position_embeddings, std=0 if is_position_free else 1)
        if is_position_free:
            for layer in model.encoder.layer:
                torch.nn.init.zeros_(layer.attention.output.dense.weight)
        model.save_pretrained(tmp_path / name)
        SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


@pytest.mark.parametrize("window", [None, 3.0])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_embedding_does_not_depend_on_the_batch(save, name, window):
    """Nor do position embeddings that are stretched to a clip that is longer than those in training."""
    embedder = Embedder(save(name), level="patch", window=window, batch_size=4)
    order = [3, 0, 5, 2, 1, 4]
    together, shuffled = embedder(CLIPS), embedder([CLIPS[i] for i in order])
    for i, clip in enumerate(CLIPS):
        for other in (together[i], shuffled[order.index(i)]):
            np.testing.assert_allclose(other, embedder(clip), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_bands_are_as_many_as_patches_above_each_other(save, name):
    embedder, patches = Embedder(save(name), pooling="bands"), Embedder(save(name), level="patch")
    expected = [patches(clip).mean(axis=1).flatten() for clip in CLIPS]
    np.testing.assert_allclose(embedder(CLIPS), expected, atol=1e-6)
    assert embedder([]).shape == (0, {"frames": 1, "overlap": 5, "wide": 8}[name] * 24)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_windows_make_no_difference_where_tokens_see_themselves_alone(save, name):
    folder = save(name, is_position_free=True)
    whole, times = Embedder(folder, level="frame", window=60)(CLIPS[2], return_times=True)
    stitched, same = Embedder(folder, level="frame", hop=0.2)(CLIPS[2], return_times=True)
    np.testing.assert_allclose(stitched, whole, atol=1e-5)
    np.testing.assert_array_equal(times, same)
    assert len(times) == len(whole)


def test_window_longer_than_in_training_is_what_the_model_says_of_it(save):
    folder = save("overlap")
    inputs = SSASTFeatureExtractor.from_pretrained(folder)(CLIPS[2], RATE, truncation=False, return_tensors="pt")
    with torch.no_grad():
        expected = SSASTModel.from_pretrained(folder)(inputs["input_values"]).frame_hidden_states[0]
    np.testing.assert_allclose(Embedder(folder, level="frame", window=3)(CLIPS[2]), expected, atol=1e-6)


def test_times_are_of_the_rate_that_frames_are_cut_at(save):
    folder = save("frames")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64, sampling_rate=11025).save_pretrained(folder)
    _, times = Embedder(folder, level="frame")(np.tile(CLIPS[2], 10)[: 11025 * 30], return_times=True)
    np.testing.assert_allclose(np.diff(times), 2 * 110 / 11025)


def test_layers_are_summed_as_a_head_has_learned_it(save):
    folder = save("frames")
    with pytest.raises(ValueError, match=r'has no layer_weights; layer="weighted" needs the 3 of a model'):
        Embedder(folder, layer="weighted")
    state = {key: tensor.clone() for key, tensor in load_file(folder / "model.safetensors").items()}
    weights = torch.tensor([0.5, -1.0, 2.0])
    save_file(state | {"layer_weights": weights}, folder / "model.safetensors", {"format": "pt"})
    inputs = SSASTFeatureExtractor.from_pretrained(folder)(CLIPS[1], RATE, padding=False, return_tensors="pt")
    with torch.no_grad():
        states = SSASTModel.from_pretrained(folder)(**inputs, output_hidden_states=True).hidden_states
    shares = weights.softmax(0)
    expected = sum(share * state for share, state in zip(shares, states, strict=True))[0, 2:].mean(0)
    np.testing.assert_allclose(Embedder(folder, layer="weighted")(CLIPS[1]), expected, atol=1e-6)
    save_file(state | {"layer_weights": torch.ones(2)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"has \(2,\) layer_weights"):
        Embedder(folder, layer="weighted")


def test_no_clips_have_the_axes_of_some(save):
    folder = save("frames")
    assert Embedder(folder, layer="all")([]).shape == (0, 3, 24)
    assert Embedder(folder, layer="all")(CLIPS[:1]).shape == (1, 3, 24)
