"""
Run by `fresh_process.py` in a process of its own: load a folder as where this package is not installed, and store
what the model makes of one second of noise. Imports nothing of the package.
"""

import sys

import numpy as np
import torch
import transformers
from safetensors.torch import save_file


@torch.no_grad()
def outputs_of(model, feature_extractor) -> dict[str, torch.Tensor]:
    """Features and all outputs, with the same noise and the same mask each time, in float32."""
    rate = feature_extractor.sampling_rate
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, rate).astype(np.float32)
    inputs = feature_extractor(noise, sampling_rate=rate, return_attention_mask=True, return_tensors="pt")
    options: dict = {"generator": torch.Generator().manual_seed(0)} if hasattr(model, "draw_mask") else {}
    options |= {"return_dict": True, "output_hidden_states": False, "output_attentions": False}
    outputs = model.eval()(**inputs, **options)
    return {
        name: value.float().contiguous()
        for name, value in {**inputs, **outputs}.items()
        if isinstance(value, torch.Tensor)
    }


def main(folder: str, auto_class: str, output: str):
    feature_extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)
    save_file(outputs_of(model, feature_extractor), output)


if __name__ == "__main__":
    sys.modules["ssast_hf"] = None  # type: ignore[assignment]  # where it is installed: importing it fails
    main(*sys.argv[1:])
