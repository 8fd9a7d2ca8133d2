"""HEAR's interface: shapes, types and times that it asks for."""

import torch

from ssast_hf.assets import nano_model
from ssast_hf.inference import Embedder, hear


def test_embeddings_have_the_form_that_is_asked_for():
    model = hear.load_model(str(nano_model()))
    assert isinstance(model, torch.nn.Module)
    audio = torch.rand(2, 3 * model.sample_rate, generator=torch.Generator().manual_seed(0)) * 2 - 1
    scenes = hear.get_scene_embeddings(audio, model)
    assert scenes.shape == (2, model.scene_embedding_size)
    embeddings, times = hear.get_timestamp_embeddings(audio, model)
    assert embeddings.shape == (*times.shape, model.timestamp_embedding_size)
    assert (times.diff() > 0).all()
    assert times.max() <= 3000
    for values in (scenes, embeddings, times):
        assert values.dtype == torch.float32
        assert not values.requires_grad
    expected = Embedder(nano_model())(audio[1])
    torch.testing.assert_close(scenes[1], torch.from_numpy(expected), atol=1e-6, rtol=0)
