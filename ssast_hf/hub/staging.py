"""A clean folder for a repository from a model's folder, and the proof that it loads where this package is not."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

from ..checkpoints.origin import read_origin
from ..checkpoints.records import released_checkpoints
from ..configuration_ssast import AUTO_MAP, SSASTConfig
from ..conversion.folders import read_model
from ..conversion.original import EXTRAS_FILE, differences
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..storage.reading import weight_files
from . import load_as_stranger
from .cards import record_card, render_card
from .readme import check_metadata, combine, license_of, read_card


# Pictures that this package draws; others in the folder are nobody's business.
FIGURES = ("curves.png", "reconstruction.png")
# The same input in another process: sums may round otherwise, nothing more. Relative to an output's largest number.
TOLERANCE = 1e-4


def stage(
    model_dir, folder: Path, repo_id: str, license=None, datasets=None, base_model=None, record: dict | None = None
) -> SSASTConfig:
    """
    Write everything that a repository consists of, and nothing else of `model_dir`, into the new `folder`.

    Args:
        model_dir (`str` or `Path`): The folder of a saved model and its feature extractor.
        folder (`Path`): Where to write.
        repo_id, license, datasets, base_model: For the card, as in [`cards.render_card`].
        record (`dict`, *optional*): Record of the released checkpoint that it is. Without it, a folder whose weights
            are those of a converted released checkpoint, unchanged, is known as such.

    Returns:
        [`SSASTConfig`]: The configuration, which names the class of the model.

    Raises:
        ValueError, OSError: If something is missing or does not fit.
    """
    model_dir = Path(model_dir)
    config, state = read_model(model_dir)
    config.architectures = [architecture(state)]
    if not (model_dir / "preprocessor_config.json").exists():
        raise ValueError(
            f"{model_dir} has no preprocessor_config.json. Save the model's feature extractor beside it: "
            "SSASTFeatureExtractor(...).save_pretrained(folder)."
        )
    feature_extractor = SSASTFeatureExtractor.from_pretrained(model_dir)
    if feature_extractor.num_mel_bins != config.num_mel_bins:
        raise ValueError(
            f"preprocessor_config.json has num_mel_bins={feature_extractor.num_mel_bins}, config.json "
            f"{config.num_mel_bins}: this feature extractor does not belong to this model."
        )
    figures = find_figures(model_dir)
    origin = read_origin(model_dir)
    if record is None and origin is not None:
        record = released_checkpoints().get(origin["name"])
        if record is not None and differences(config, record):
            record = None  # the same weights with another configuration
    if record is None:
        rate = feature_extractor.sampling_rate
        card = render_card(config, repo_id, None, None, license, datasets, base_model, rate, figures)
    elif license or datasets or base_model:
        raise ValueError(
            f"{model_dir} holds {record['name']}, whose card names its authors' licence and data: leave out license, "
            "datasets and base_model."
        )
    else:
        card = record_card(record, repo_id, origin and origin["sha256"])
        license = license_of(card)
    readme = model_dir / "README.md"
    existing = read_card(readme) if readme.exists() else None
    card = combine(existing, card, str(readme), license)
    check_metadata(card, str(readme))

    folder.mkdir(parents=True)
    (folder / "README.md").write_bytes(card.encode("utf-8"))
    config.save_pretrained(folder)
    feature_extractor.save_pretrained(folder)
    package = Path(str(files(__package__)))
    for path in (
        *weight_files(model_dir),
        *model_dir.glob(EXTRAS_FILE),
        *package.glob("*_ssast.py"),
        *(package / "assets").glob("LICENSE*"),
    ):
        shutil.copy(path, folder)
    for name in figures:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(model_dir / name, folder / name)
    return config


def architecture(state: dict[str, torch.Tensor]) -> str:
    """Name of the class whose weights these are."""
    if any(key.startswith("classifier.") for key in state):
        return "SSASTForAudioClassification"
    return "SSASTForPretraining" if any(key.startswith("reconstruction_head.") for key in state) else "SSASTModel"


def find_figures(model_dir: Path) -> tuple[str, ...]:
    """Names of the pictures of a training run; of those drawn on the way, the last."""
    drawn = sorted(path.name for path in (model_dir / "figures").glob("step-*-clip-*.png"))
    last = [f"figures/{name}" for name in drawn if name.startswith(drawn[-1].split("-clip-")[0])]
    return (*(name for name in FIGURES if (model_dir / name).exists()), *last)


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
    model = getattr(transformers, auto_class).from_pretrained(model_dir, dtype=torch.float32)
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


def outputs_elsewhere(folder: Path, auto_class: str) -> dict[str, torch.Tensor]:
    """What `load_as_stranger.py` stores when it is run on `folder` in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "outputs.safetensors")
        # A home of its own, so that no code of an earlier model of this name is there; no token, no network.
        environment = os.environ | {"HF_HOME": scratch, "HF_MODULES_CACHE": scratch, "HF_HUB_OFFLINE": "1"}
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            environment.pop(name, None)
        script = Path(load_as_stranger.__file__).read_text(encoding="utf-8")
        command = [sys.executable, "-c", script, str(Path(folder).resolve()), auto_class, str(output)]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=scratch)
        if result.returncode:
            raise ValueError(f"The staged folder does not load in a fresh process:\n{result.stderr.strip()}")
        return load_file(output)
