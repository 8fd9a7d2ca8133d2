"""The proof that a folder loads where this package is not installed, and computes the same there."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

from ..configuration_ssast import AUTO_MAP, SSASTConfig
from ..feature_extraction_ssast import SSASTFeatureExtractor
from . import load_as_stranger


# The same input in another process: sums may round otherwise, nothing more. Relative to an output's largest number.
TOLERANCE = 1e-4


def verify(model_dir, folder: Path, config: SSASTConfig) -> float:
    """
    Load the staged `folder` in a process in which this package cannot be imported, with the code in it, and compare
    what it computes with what this package makes of `model_dir`.

    Returns:
        `float`: The largest difference, relative to the largest number of each output.

    Raises:
        ValueError: If it does not load, or if an output differs.
    """
    auto_class = next(name for name, target in AUTO_MAP.items() if target.endswith("." + config.architectures[0]))
    model = getattr(transformers, auto_class).from_pretrained(model_dir, dtype=torch.float32, trust_remote_code=False)
    expected = load_as_stranger.outputs_of(model, SSASTFeatureExtractor.from_pretrained(model_dir))
    outputs = outputs_elsewhere(folder, auto_class)
    if outputs.keys() != expected.keys():
        raise ValueError(f"The staged folder gives {sorted(outputs)}, expected {sorted(expected)}.")
    largest = 0.0
    for name, values in expected.items():
        difference = ((outputs[name] - values).abs().max() / values.abs().max().clamp(min=1e-30)).item()
        if not difference <= TOLERANCE:  # NaN, too
            raise ValueError(f"{name} of the staged folder differs by {difference:.1e} (relative) from {model_dir}'s.")
        largest = max(largest, difference)
    return largest


def fresh_environment(scratch: str) -> dict[str, str]:
    """
    Variables of a process as on a machine that has never seen a model: no token, no network, a home of its own, so
    that no code of an earlier model of this name is there. Code beside its program comes first. It computes on the
    processor, as what it is compared with, and leaves nothing in the folder that is to be uploaded.
    """
    environment = os.environ | {
        "HF_HOME": scratch,
        "HF_MODULES_CACHE": scratch,
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "PYTHONSAFEPATH"):
        environment.pop(name, None)
    return environment


def outputs_elsewhere(folder: Path, auto_class: str) -> dict[str, torch.Tensor]:
    """What `load_as_stranger.py` stores when it is run on `folder` in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "outputs.safetensors")
        script = Path(load_as_stranger.__file__).read_text(encoding="utf-8")
        command = [sys.executable, "-c", script, str(Path(folder).resolve()), auto_class, str(output)]
        result = subprocess.run(command, capture_output=True, text=True, env=fresh_environment(scratch), cwd=scratch)
        if result.returncode:
            raise ValueError(f"The staged folder does not load in a fresh process:\n{result.stderr.strip()}")
        return load_file(output)
