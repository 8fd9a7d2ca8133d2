"""What a training run leaves for people: a picture of its curves, and one page."""

import platform
from pathlib import Path
from urllib.parse import quote

import torch
import transformers

from .. import __version__
from .outcome import Outcome
from .pictures import picture
from .plots import plot_curves
from .trainer import METRICS


def write_report(
    trainer, command: str, outcome: Outcome, summary: str, data: dict, defaults: list[str], clips: list[str], bad_files
) -> list[str]:
    """
    Write `curves.png` and `report.md` into the output folder.

    Args:
        trainer ([`SSASTTrainer`]): Of the run.
        command (`str`): The command line.
        outcome ([`Outcome`]): Validation before and after.
        summary (`str`): The same as a sentence.
        data (`dict`): As in [`write_facts`].
        defaults (`list[str]`): Names of options that the command line left open.
        clips (`list[str]`): Names of the validation clips of which there may be pictures.
        bad_files ([`BadFiles`]): Recordings that could not be used.

    Returns:
        `list[str]`: What the command prints.
    """
    folder, args, state = Path(trainer.args.output_dir), trainer.args, trainer.state
    plot_curves(state.log_history, folder / "curves.png")
    rows = figures(state.log_history, outcome)
    model = trainer.accelerator.unwrap_model(trainer.model)
    config = model.config
    parameters = sum(parameter.numel() for parameter in model.parameters())
    skipped, quiet = len(bad_files.names()), len(bad_files.quiet_names())
    height, width = config.patch_shape
    used = used_defaults(trainer, defaults)
    notes = [f"{name}: {value}, as the command did not say" for name, value in used.items()]
    lines = [
        "# Pretraining report",
        "",
        f"{summary[:1].upper()}{summary[1:]}.",
        "",
        "```",
        command,
        "```",
        "",
        "What was used and is not in the command:" if notes + trainer.notes else "",
        "",
        *(f"- {note}" for note in [*notes, *trainer.notes]),
        "",
        "## The run",
        "",
        f"- model: {parameters:,} parameters, width {config.hidden_size}, {config.num_hidden_layers} layers, patches "
        f"of {height} x {width} (mel bins x frames), {config.num_masked_patches} of {config.num_patches} masked "
        f"({config.mask_strategy}), objective {config.objective}, decoder layers {config.decoder_num_hidden_layers}",
        f"- data: {data_in_words(data)}; recordings that could not be used: {skipped}"
        + (", listed in skipped_files.txt" if skipped else "")
        + (f"; windows below --min_level: {quiet}, listed in {bad_files.quiet_path.name}" if quiet else ""),
        f"- steps: {state.global_step}, of {args.train_batch_size} clips x {args.gradient_accumulation_steps} "
        f"accumulated x {max(args.world_size, 1)} processes; seed {args.seed}",
        f"- computed with ssast_hf {__version__}, transformers {transformers.__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}, on {args.device.type}",
        "",
        f"| {' | '.join(rows[0])} |",
        "|---" * len(rows[0]) + "|",
        *(f"| {' | '.join(row)} |" for row in rows[1:]),
        "",
        f"Accuracy by chance: {1 / config.num_masked_patches:.4f}. The loss is {loss_formula(config)}. Validation "
        "masks are the same every time.",
        "",
        "![curves](curves.png)",
    ]
    pictures = clips_before_and_after(folder, state.global_step, clips)
    (folder / "report.md").write_text("\n".join(lines + pictures) + "\n", encoding="utf-8")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    unusable = [f"{skipped} recordings could not be used; {bad_files.path} says why."] if skipped else []
    unusable += [f"{quiet} windows were below --min_level and left out; see {bad_files.quiet_path}."] if quiet else []
    written = f"Written: {folder} (the model, report.md, curves.png{', figures' if pictures else ''})"
    return [*table, *unusable, written, summary]


def used_defaults(trainer, names: list[str]) -> dict[str, str]:
    """What the options were that the command line left open."""
    values = {name: getattr(trainer.args, name) for name in names}
    if "load_best_model_at_end" in values:
        values["load_best_model_at_end"] = trainer.keeps_best
    if trainer.args.max_steps > 0:
        values.pop("num_train_epochs", None)
    return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in values.items()}


def figures(history: list[dict], outcome: Outcome) -> list[list[str]]:
    """A table of what was logged last, and of validation before, after, and of the result if that is another."""
    columns = {"before": outcome.before, "after": outcome.last}
    if outcome.result not in (outcome.before, outcome.last):
        columns["result"] = outcome.result
    titles = [f"validation {name}" + (f" (step {entry['step']})" if entry else "") for name, entry in columns.items()]
    rows = [["last logged", "training", *titles]]
    for name in [*METRICS, "masked_fraction", "clips_per_second", "learning_rate"]:
        trained = [entry[name] for entry in history if name in entry]
        cells = [f"{trained[-1]:.4g}" if trained else "-"]
        for entry in columns.values():
            value = (entry or {}).get(f"eval_{name}")
            cells.append("-" if value is None else f"{value:.4g}")
        if set(cells) != {"-"}:
            rows.append([name, *cells])
    return rows


def data_in_words(data: dict) -> str:
    """Sources, and how much there is, as far as it is known."""
    amount = [] if data["recordings"] is None else [f"{data['recordings']} recordings"]
    amount += [] if data["hours"] is None else [f"{data['hours']:.3g} hours"]
    text = ", ".join(data["sources"]) + (f" ({', '.join(amount)})" if amount else "")
    return text + (f"; {data['validation_recordings']} for validation" if data["validation_recordings"] else "")


def clips_before_and_after(folder: Path, step: int, clips: list[str]) -> list[str]:
    """Lines that show the validation clips before training and after so many steps."""
    lines = []
    for i, name in enumerate(clips):
        drawn = {"before training": picture(folder, 0, i), f"after {step} steps": picture(folder, step, i)}
        drawn = {when: path for when, path in drawn.items() if path.exists()}
        if drawn:
            shown = " | ".join(f"![{when}](figures/{quote(path.name)})" for when, path in drawn.items())
            lines += ["", f"### {name}", "", f"| {' | '.join(drawn)} |", "|---" * len(drawn) + "|", f"| {shown} |"]
    return ["", "## Validation clips", *lines] if lines else []


def loss_formula(config) -> str:
    """What the objective adds up, in words."""
    if config.objective != "joint":
        return f"the {config.objective} loss"
    return f"the discriminative loss + {config.generative_loss_weight:g} x the generative loss"
