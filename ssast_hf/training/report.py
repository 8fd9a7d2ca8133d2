"""What a training run leaves for people: pictures on the way, curves and one page at the end."""

import math
import platform
import time
from pathlib import Path

import torch
import transformers
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from transformers import TrainerCallback

from .. import __version__
from .pictures import plot_reconstruction
from .trainer import METRICS, fixed_randomness


NUM_PICTURES = 4
# Panels of the picture of curves: title and the names of what is drawn, with validation in the same panel.
PANELS = {
    "loss": ("loss",),
    "discriminative loss (nats)": ("discriminative_loss",),
    "generative loss": ("generative_loss",),
    "pretext accuracy": ("accuracy",),
    "prediction variance (0: collapsed)": ("prediction_variance",),
    "masked and duplicate patches": ("masked_fraction", "duplicate_fraction"),
    "clips per second": ("clips_per_second",),
    "learning rate": ("learning_rate",),
}


class Pictures(TrainerCallback):
    """
    Draws the same few validation clips with the same masks again and again, into `figures` in the output folder.

    Args:
        trainer ([`SSASTTrainer`]): Its model draws, its validation data are drawn.
    """

    def __init__(self, trainer):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if args.visualize_steps > 0 and (
            state.global_step % args.visualize_steps == 0 or state.global_step == state.max_steps
        ):
            before = time.perf_counter()
            self.draw(args, state)
            self.trainer.pause(before)

    @torch.no_grad()
    def draw(self, args, state):
        dataset, model = self.trainer.eval_dataset, self.trainer.model
        batch = self.trainer.data_collator([dataset[i] for i in range(min(NUM_PICTURES, len(dataset)))])
        inputs = {name: value.to(args.device) for name, value in batch.items() if name != "skipped"}
        config = self.trainer.accelerator.unwrap_model(model).config
        was_training = model.training
        model.eval()
        # All processes compute, since each may hold only a part of the weights; the first one draws.
        with fixed_randomness(args.seed, args.device), self.trainer.compute_loss_context_manager():
            outputs = model(**inputs)
        model.train(was_training)
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        lengths = inputs.get("attention_mask", torch.ones(inputs["input_values"].shape[:2])).sum(dim=1).long().tolist()
        for i, length in enumerate(lengths):
            frequency, time = config.grid_shape[0], config.time_grid(length)
            mask, patches = (
                values[i].cpu().unflatten(0, (frequency, -1))[:, :time].flatten(0, 1)
                for values in (outputs.bool_masked_pos, outputs.reconstruction)
            )
            path = folder / f"step-{state.global_step:07d}-clip-{i}.png"
            title = f"validation clip {i} after {state.global_step} steps"
            plot_reconstruction(inputs["input_values"][i, :length].cpu(), mask, patches, config, path, title)


def write_report(trainer, command: str, sources: list[str], bad_files) -> list[str]:
    """Write `curves.png` and `report.md` into the output folder; returns what the command prints."""
    folder = Path(trainer.args.output_dir)
    history = trainer.state.log_history
    plot_curves(history, folder / "curves.png")
    names = [*METRICS, "masked_fraction", "clips_per_second", "learning_rate"]
    rows = [["at the end", "training", "validation"]]
    for name in names:
        values = [[entry[key] for entry in history if key in entry] for key in (name, f"eval_{name}")]
        if any(values):
            rows.append([name, *(f"{series[-1]:.4g}" if series else "-" for series in values)])
    model = trainer.accelerator.unwrap_model(trainer.model)
    config = model.config
    parameters = sum(parameter.numel() for parameter in model.parameters())
    skipped = len(bad_files.names())
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
        + (", listed in skipped_files.txt" if skipped else ""),
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
    return [*table, f"Written: {folder} (the model, report.md, curves.png{', figures' if pictures else ''})"]


def loss_formula(config) -> str:
    """What the objective adds up, in words."""
    if config.objective != "joint":
        return f"the {config.objective} loss"
    return f"the discriminative loss + {config.generative_loss_weight:g} x the generative loss"


def plot_curves(history: list[dict], path):
    """
    Draw what was logged, training and validation.

    Args:
        history (`list[dict]`): `trainer.state.log_history`.
        path (`str` or `Path`): The PNG to write.
    """
    figure = Figure(figsize=(11, 2.6 * math.ceil(len(PANELS) / 2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(math.ceil(len(PANELS) / 2), 2)
    for axis, (title, names) in zip(axes.flat, PANELS.items(), strict=True):
        for name in names:
            for key, label in ((name, "training"), (f"eval_{name}", "validation")):
                points = [(entry["step"], entry[key]) for entry in history if key in entry]
                if points:
                    style = dict(marker="o", markersize=3) if key != name or len(points) < 20 else {}
                    axis.plot(*zip(*points, strict=True), label=f"{name.replace('_', ' ')}, {label}", **style)
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize="small")
    figure.savefig(Path(path), dpi=110)
