"""What a training run leaves for people: a picture of its curves, and one page."""

import platform
from pathlib import Path

import torch
import transformers

from .. import __version__
from .plots import plot_curves
from .trainer import METRICS


def write_report(trainer, command: str, sources: list[str], bad_files) -> list[str]:
    """Write `curves.png` and `report.md` into the output folder; returns what the command prints."""
    folder = Path(trainer.args.output_dir)
    history = trainer.state.log_history
    plot_curves(history, folder / "curves.png")
    names = [*METRICS, "masked_fraction", "clips_per_second", "learning_rate"]
    rows = [["last logged", "training", "validation"]]
    for name in names:
        values = [[entry[key] for entry in history if key in entry] for key in (name, f"eval_{name}")]
        if any(values):
            rows.append([name, *(f"{series[-1]:.4g}" if series else "-" for series in values)])
    model = trainer.accelerator.unwrap_model(trainer.model)
    config = model.config
    parameters = sum(parameter.numel() for parameter in model.parameters())
    skipped, quiet = len(bad_files.names()), len(bad_files.quiet_names())
    height, width = config.patch_shape
    lines = [
        "# Pretraining report",
        "",
        "```",
        command,
        "```",
        "",
        f"- model: {parameters:,} parameters, width {config.hidden_size}, {config.num_hidden_layers} layers, patches "
        f"of {height} x {width} (mel bins x frames), {config.num_masked_patches} of {config.num_patches} masked "
        f"({config.mask_strategy}), objective {config.objective}, decoder layers {config.decoder_num_hidden_layers}",
        f"- data: {', '.join(sources)}; recordings that could not be used: {skipped}"
        + (", listed in skipped_files.txt" if skipped else "")
        + (f"; windows below --min_level: {quiet}, listed in {bad_files.quiet_path.name}" if quiet else ""),
        f"- steps: {trainer.state.global_step}, of {trainer.args.train_batch_size} clips x "
        f"{trainer.args.gradient_accumulation_steps} accumulated x {max(trainer.args.world_size, 1)} processes; seed "
        f"{trainer.args.seed}",
        f"- computed with ssast_hf {__version__}, transformers {transformers.__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}, on {trainer.args.device.type}",
        "",
        f"| {' | '.join(rows[0])} |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows[1:]),
        "",
        f"Accuracy by chance: {1 / config.num_masked_patches:.4f}. The loss is {loss_formula(config)}. Validation "
        "masks are the same every time.",
        "",
        "![curves](curves.png)",
    ]
    pictures = sorted((folder / "figures").glob(f"step-{trainer.state.global_step:07d}-*.png"))
    lines += [f"\n![{path.stem}](figures/{path.name})" for path in pictures[:1]]
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    notes = [f"{skipped} recordings could not be used; {bad_files.path} says why."] if skipped else []
    notes += [f"{quiet} windows were below --min_level and left out; see {bad_files.quiet_path}."] if quiet else []
    return [*table, *notes, f"Written: {folder} (the model, report.md, curves.png{', figures' if pictures else ''})"]


def loss_formula(config) -> str:
    """What the objective adds up, in words."""
    if config.objective != "joint":
        return f"the {config.objective} loss"
    return f"the discriminative loss + {config.generative_loss_weight:g} x the generative loss"
