"""What sentence-transformers finds in a saved folder, and what that makes of clips of unequal length."""

import json

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModel

from ssast_hf import Embedder, SSASTFeatureExtractor
from ssast_hf.assets import nano_model
from ssast_hf.configuration_ssast import SENTENCE_TRANSFORMERS


def test_saved_folder_says_what_to_load(model, tmp_path):
    model.save_pretrained(tmp_path)
    for folder in (tmp_path, nano_model()):
        for name, content in SENTENCE_TRANSFORMERS.items():
            assert json.loads((folder / name).read_text()) == content


def test_what_the_files_say_embeds_like_the_embedder(model, tmp_path):
    model.save_pretrained(tmp_path)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path)
    noise = np.random.default_rng(0)
    clips = [noise.uniform(-0.5, 0.5, length).astype(np.float32) for length in (10000, 3000, 5000)]
    said = json.loads((tmp_path / "sentence_bert_config.json").read_text())
    options = said["processing_kwargs"]["audio"]
    inputs = AutoFeatureExtractor.from_pretrained(tmp_path)(
        clips, sampling_rate=16000, padding=True, return_tensors="pt", **options
    )
    call = said["modality_config"]["audio"]
    with torch.no_grad():
        outputs = getattr(AutoModel.from_pretrained(tmp_path).eval(), call["method"])(**inputs)
    np.testing.assert_allclose(outputs[call["method_output_name"]], Embedder(tmp_path)(clips), atol=1e-6)
