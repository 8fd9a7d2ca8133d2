"""The main job from end to end, on the clips in the package."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import pipeline

from ..assets import bundled_clips, nano_model
from ..audio import load_audio
from ..conversion.original import convert_hf_to_original
from ..conversion.stock_ast import convert_hf_to_ast
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..hub.released import convert_checkpoint
from ..modeling_ssast import SSASTForPretraining
from ..storage.writing import check_output, written_whole
from ..training.plots import plot_reconstruction


def run_demo(output_dir="demo", checkpoint=None, steps: int = 60, overwrite: bool = False) -> list[str]:
    """
    Convert a checkpoint, continue pretraining in a process without this package, draw, export to stock AST, classify.

    Args:
        output_dir (`str` or `Path`, defaults to `"demo"`): The folder to write.
        checkpoint (`str` or `Path`, *optional*): An original pretraining checkpoint, or the name of a released one; if
            not given, the very small pretrained model in the package, in the original's layout.
        steps (`int`, defaults to 60): Pretraining steps on the bundled clips.
        overwrite (`bool`, defaults to `False`): Whether an earlier demonstration in `output_dir` is replaced.

    Returns:
        `list[str]`: A table of what was done.

    Raises:
        ImportError: If the packages of the `train` extra are missing.
        ValueError, OSError: As in the conversions.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    clips = {path.stem: load_audio(path) for path in bundled_clips()}
    folder = Path(output_dir)
    if folder.exists() and not overwrite:
        raise FileExistsError(f"{folder} exists. Choose another place, or pass --overwrite to replace what it holds.")
    rows = []
    if checkpoint is None:
        checkpoint = folder / "original.pth"
        convert_hf_to_original(nano_model(), checkpoint, overwrite)
        rows.append(("wrote an original checkpoint", "of the nano model in the package", checkpoint))

    converted, continued, exported = folder / "ssast", folder / "ssast-continued", folder / "ast"
    audit = convert_checkpoint(checkpoint, converted, overwrite=overwrite)
    rows.append(("converted it", audit[-1], converted))

    # The original's learning rate for base models, which harms no other.
    losses = continue_pretraining(converted, list(clips.values()), continued, steps, 1e-4, overwrite)
    first, last = losses[0], losses[-1]
    rows.append((f"continued for {steps} steps", f"loss {first['loss']:.2f} -> {last['loss']:.2f}", continued))

    picture = folder / "reconstruction.png"
    draw(continued, clips["rooster_16k_mono"], picture, f"A rooster, after {steps} more steps of pretraining")
    rows.append(("drew a reconstruction", "original, masked, reconstructed", picture))

    comparison = convert_hf_to_ast(continued, exported, overwrite=overwrite)
    rows.append(("exported to stock AST", comparison[-1], exported))

    # The dictionary is what the pipeline takes for audio that is already decoded.
    audio = {"raw": clips["rooster_16k_mono"], "sampling_rate": 16000}
    best = pipeline("audio-classification", model=str(exported))(audio)[0]
    rows.append(
        ("classified a clip", f"{best['label']}: {best['score']:.2f} (classifier untrained)", "stock pipeline")
    )
    widths = [max(len(str(row[column])) for row in rows) for column in range(3)]
    return ["", *("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)]


def continue_pretraining(converted: Path, clips: list, continued: Path, steps, learning_rate, overwrite) -> list[dict]:
    """Pretrain in a fresh process that loads the converted folder as a stranger would; returns the losses by step."""
    check_output(continued, overwrite)
    feature_extractor = SSASTFeatureExtractor.from_pretrained(converted)
    features = feature_extractor(clips, sampling_rate=16000, return_attention_mask=True, return_tensors="pt")
    script = Path(__file__).with_name("continue_pretraining.py")
    with tempfile.TemporaryDirectory() as scratch, written_whole(continued) as result:
        save_file(dict(features), Path(scratch, "features.safetensors"))
        command = [sys.executable, script, converted, Path(scratch, "features.safetensors"), result]
        options = ["--steps", str(steps), "--learning_rate", str(learning_rate)]
        if subprocess.run([*map(str, command), *options]).returncode:
            raise ChildProcessError("Continued pretraining failed; its error is above.")
        return json.loads((result / "losses.json").read_text())


def draw(model_dir: Path, clip, picture: Path, title: str):
    """Mask one clip, (num_samples,) at 16 kHz, and draw what the model makes of it."""
    model = SSASTForPretraining.from_pretrained(model_dir).eval()
    feature_extractor = SSASTFeatureExtractor.from_pretrained(model_dir)
    input_values = feature_extractor(clip, sampling_rate=16000, padding=False, return_tensors="pt")["input_values"]
    with torch.no_grad():
        outputs = model(input_values, generator=torch.Generator().manual_seed(0))
    plot_reconstruction(
        input_values[0], outputs.bool_masked_pos[0], outputs.reconstruction[0], model.config, picture, title
    )
