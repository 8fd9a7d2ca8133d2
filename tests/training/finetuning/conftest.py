"""What is fine-tuned, and on what."""

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPretraining
from ssast_hf.audio import intervals
from ssast_hf.training.finetuning import report


@pytest.fixture
def short(request, monkeypatch):
    """Few draws; and no pictures, as in pretraining, where `curves` is no mark of a test."""
    monkeypatch.setattr(intervals, "DRAWS", 50)
    if request.node.get_closest_marker("curves") is None:
        for name in ("plot_curves", "plot_confusion"):
            monkeypatch.setattr(report, name, lambda *arguments: None)


@pytest.fixture
def sounds(tmp_path):
    """Two classes that are easy to tell apart, twelve clips each."""
    random = np.random.default_rng(0)
    times = np.arange(9000) / 16000
    for name, pitch in (("low", 300), ("high", 3000)):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for i in range(12):
            tone = np.sin(2 * np.pi * (pitch + 20 * i) * times) + 0.1 * random.standard_normal(len(times))
            soundfile.write(tmp_path / "sounds" / name / f"{name}-{i}.wav", 0.3 * tone[: 5000 + 300 * i], 16000)
    return tmp_path / "sounds"


@pytest.fixture
def frame_model_dir(tmp_path):
    """A saved model of frames, for texts, that never saw data."""
    torch.manual_seed(0)
    config = SSASTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, patch_size=[32, 2],
        num_mel_bins=32, max_length=64,
    )  # fmt: skip
    start = tmp_path / "frames"
    SSASTForPretraining(config).save_pretrained(start)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(start)
    return start
