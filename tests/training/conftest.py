"""What is trained, and on what."""

import numpy as np
import pytest
import soundfile

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.training import report


@pytest.fixture(autouse=True)
def no_curves(request, monkeypatch):
    """To draw them takes longer than most of these runs take to train; `curves` marks a test that is about them."""
    if request.node.get_closest_marker("curves") is None:
        monkeypatch.setattr(report, "plot_curves", lambda history, path: None)


@pytest.fixture
def audio_folder(tmp_path):
    """Twelve clips of 0.3 to 0.9 seconds; the model takes 0.65."""
    folder = tmp_path / "audio"
    folder.mkdir()
    random = np.random.RandomState(0)
    for i in range(12):
        soundfile.write(folder / f"{i:02d}.wav", 0.1 * random.randn(4800 + 800 * i), 16000)
    return folder


@pytest.fixture
def model_dir(model, tmp_path):
    """A saved model that never saw data."""
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return folder
