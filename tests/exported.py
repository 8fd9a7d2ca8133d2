"""Tiny models to export, whose answers differ from clip to clip."""

import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor
from ssast_hf.conversion.exporting.writing import OLDEST_TORCH


needs_exporter = pytest.mark.skipif(
    torch.__version__ < OLDEST_TORCH, reason=f"PyTorch {torch.__version__} cannot export, and says so"
)
LABELS = {0: "dog", 1: "rain", 2: "clock"}


def saved(folder, model_class, extractor=None, **fields):
    """A tiny model of 8 x 6 patches that answers differently to different clips."""
    options = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_length": 96,
        "num_masked_patches": 20,
        "id2label": LABELS,
    }
    torch.manual_seed(0)
    model = model_class(SSASTConfig(**options | fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    SSASTFeatureExtractor(max_length=96, mean=-6.979, std=5.249, **extractor or {}).save_pretrained(folder)
    return model
