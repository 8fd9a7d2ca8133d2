"""The main job from end to end, on the clips in the package."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..assets import nano_model
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..hub.released import convert_checkpoint
from ..storage.writing import check_output, written_whole
from .clips import HELD_OUT, SAMPLING_RATE, Clip, load_clips
from .compare import Viewer, draw_before_after, draw_losses
from .page import Row, write_page
from .probe import classify, export, fit_classifier
from .threads import choose_threads


# Frames that are learned from at once: the clips are no longer than two seconds.
NUM_FRAMES = 192
# The original's for base models, which harms no other.
LEARNING_RATE = 1e-4


def run_demo(output_dir="demo", checkpoint=None, steps: int = 60, overwrite: bool = False) -> Iterator[str]:
    """
    Take a model, continue pretraining in a process without this package, compare before and after on clips that were
    held out, label sounds with stock transformers, and put all of it on one page.

    Args:
        output_dir (`str` or `Path`, defaults to `"demo"`): The folder to write.
        checkpoint (`str` or `Path`, *optional*): An original pretraining checkpoint, or the name of a released one,
            which is converted; if not given, or `nano`, the very small pretrained model in the package, as it is.
        steps (`int`, defaults to 60): Pretraining steps on six of the bundled clips.
        overwrite (`bool`, defaults to `False`): Whether an earlier demonstration in `output_dir` is replaced.

    Yields:
        `str`: What is about to be done, and what was, line by line.

    Raises:
        ImportError: If the packages of the `train` extra are missing.
        ValueError, OSError: As in the conversions.
    """
    began = time.perf_counter()
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    folder = Path(output_dir)
    if folder.exists() and not overwrite:
        raise FileExistsError(f"{folder} exists. Choose another place, or pass --overwrite to replace what it holds.")
    clips = load_clips()
    learned = [clip for clip in clips if not clip.is_held_out]
    held_out = sorted((clip for clip in clips if clip.is_held_out), key=lambda clip: HELD_OUT.index(clip.name))
    is_nano = checkpoint is None or (str(checkpoint) == "nano" and not Path(checkpoint).exists())
    name = "The bundled nano model" if is_nano else str(checkpoint)
    threads, why = choose_threads()
    torch.set_num_threads(threads)
    duration = "about a minute" if is_nano else "a minute or more, by the size of the model,"
    yield (
        f"{name} will learn from {len(learned)} clips of sound for {steps} steps. Before and "
        f"after are compared on {len(held_out)} others, and all of it becomes a page."
    )
    yield (
        f"This takes {duration} on two idle processors; threads: {threads} ({why}). "
        f"{'Nothing is' if is_nano or Path(checkpoint).exists() else 'The checkpoint is'} downloaded."
    )

    continued, stock = folder / "ssast-continued", folder / "ast"
    if is_nano:
        model = nano_model()
        before = Viewer(model)
        yield f"1 of 5  loaded: {before.model.num_parameters() / 1e6:.1f} million parameters  {model}"
    else:
        model = folder / "ssast"
        audit = convert_checkpoint(checkpoint, model, overwrite=overwrite)
        before = Viewer(model)
        yield f"1 of 5  converted: {next(line for line in audit if 'accounted for' in line)}  {model}"
        yield f"        the next step takes about {expected_minutes(before.model.num_parameters(), steps):.2g} minutes"

    losses = continue_pretraining(model, learned, continued, steps, threads, overwrite)
    first, last = losses[0]["loss"], losses[-1]["loss"]
    yield f"2 of 5  learned: loss {first:.2f} -> {last:.2f} on clips that it heard  {continued}"

    after = Viewer(continued)
    looks = {clip.name: (before.look(clip), after.look(clip)) for clip in clips}
    pictures = {clip.name: folder / f"{clip.name}.png" for clip in held_out}
    for clip in held_out:
        draw_before_after(clip, *looks[clip.name], after.model.config, pictures[clip.name])
    changes = [f"{clip.title} {looks[clip.name][0].loss:.2f} -> {looks[clip.name][1].loss:.2f}" for clip in held_out]
    yield f"3 of 5  compared: loss on clips that it did not hear: {', '.join(changes)}  {pictures[held_out[0].name]}"

    with written_whole(folder / "classifier") as place:
        windows = fit_classifier(continued, clips, place)
    agreement = export(folder / "classifier", stock, overwrite)
    guesses = classify(stock, windows)
    right = sum(guess.label == name for name, guess in guesses.items())
    sample = guesses[held_out[0].name]
    yield (
        f"4 of 5  labelled by stock AST: the {held_out[0].title} is {sample.label} ({sample.score:.0%}); "
        f"{right} of {len(guesses)} right, by chance 1  {stock}"
    )

    curve, page = folder / "losses.png", folder / "index.html"
    draw_losses(losses, curve)
    alike = after.alike(clips)
    rows = [
        Row(
            clip,
            looks[clip.name][0].loss,
            looks[clip.name][1].loss,
            [(clips[j], alike[i, j].item()) for j in alike[i].argsort(descending=True).tolist() if j != i][:2],
            guesses.get(clip.name),
        )
        for i, clip in enumerate(clips)
    ]
    write_page(page, name, steps, rows, pictures, curve)
    yield f"5 of 5  {agreement}. It took {time.perf_counter() - began:.0f} s."
    yield f"Now open {page} in a browser: pictures, sounds, neighbours and labels."


def expected_minutes(num_parameters: int, steps: int) -> float:
    """How long learning takes on two idle processors, by what tiny and base models took (docs/benchmarks.md)."""
    return (10 + steps * (0.1 + 0.0215e-6 * num_parameters)) / 60


def continue_pretraining(
    model: Path, clips: list[Clip], continued: Path, steps: int, threads: int, overwrite: bool
) -> list[dict]:
    """Pretrain in a fresh process that loads the model's folder as a stranger would; returns the losses by step."""
    check_output(continued, overwrite)
    feature_extractor = SSASTFeatureExtractor.from_pretrained(model, max_length=NUM_FRAMES)
    audio = [clip.audio[: feature_extractor.num_samples(NUM_FRAMES)] for clip in clips]
    features = feature_extractor(audio, sampling_rate=SAMPLING_RATE, return_attention_mask=True, return_tensors="pt")
    script = Path(__file__).with_name("continue_pretraining.py")
    with tempfile.TemporaryDirectory() as scratch, written_whole(continued) as result:
        save_file(dict(features), Path(scratch, "features.safetensors"))
        command = [sys.executable, script, model, Path(scratch, "features.safetensors"), result]
        options = ["--steps", str(steps), "--learning_rate", str(LEARNING_RATE)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        if subprocess.run([*map(str, command), *options], env=environment).returncode:
            raise ChildProcessError("Continued pretraining failed; its error is above.")
        return json.loads((result / "losses.json").read_text())
