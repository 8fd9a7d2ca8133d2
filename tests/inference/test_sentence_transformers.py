"""What sentence-transformers finds in a saved folder, and what it makes of it."""

import json

import numpy as np
import pytest

from ssast_hf import Embedder, SSASTFeatureExtractor
from ssast_hf.assets import nano_model
from ssast_hf.configuration_ssast import SENTENCE_TRANSFORMERS


def test_saved_folder_says_what_to_load(model, tmp_path):
    model.save_pretrained(tmp_path)
    for folder in (tmp_path, nano_model()):
        for name, content in SENTENCE_TRANSFORMERS.items():
            assert json.loads((folder / name).read_text()) == content


def test_what_it_loads_embeds_like_the_embedder(model, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model.save_pretrained(tmp_path)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path)
    noise = np.random.default_rng(0)
    clips = [noise.uniform(-0.5, 0.5, length).astype(np.float32) for length in (10000, 3000, 5000)]
    loaded = sentence_transformers.SentenceTransformer(str(tmp_path))
    embeddings = loaded.encode([{"array": clip, "sampling_rate": 16000} for clip in clips])
    np.testing.assert_allclose(embeddings, Embedder(tmp_path)(clips), atol=1e-6)
