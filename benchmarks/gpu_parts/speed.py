"""How fast a training step is, with what share of the device's own rate, and how many clips fit into its memory."""

import sys
from functools import partial

import torch
from pretraining_step import (
    BASELINE,
    CANDIDATES,
    CUDA_CANDIDATES,
    count_flops,
    make_candidate,
    make_input,
    make_models,
    make_step,
    matmul_rate,
    ratio,
)
from timing import interleaved_medians

from .setting import Setting


MODELS = (("base", "16x16"), ("base", "128x2"), ("tiny", "16x16"), ("tiny", "128x2"))
# First all that begins at once, then what is compiled for a minute each.
STEPS = (BASELINE, "one pass, sdpa", "one pass, bf16", "visible only, bf16")
COMPILED = ("one pass, bf16, compiled", "visible only, bf16, compiled")
# Clips of a step, where they fit.
BATCH_SIZES = {BASELINE: 16, "one pass": 64, "visible only": 128}
MANY = 1 << 14
# What the sections after this one take.
RESERVE = 150.0
QUICK = dict(num_hidden_layers=1, max_length=64)


def measure_speed(setting: Setting) -> list[dict]:
    """A row for each model and step; where something is missing in it, `note` says why."""
    size = 4096 if setting.is_cuda else 256
    rate = matmul_rate(setting.device, torch.bfloat16, size)
    baselines: dict[tuple, float] = {}
    rows = []
    plan = [(model, name) for names in (STEPS, COMPILED) for model in MODELS for name in names]
    if setting.is_quick:
        plan = [(MODELS[2], name) for name in (BASELINE, "one pass, sdpa", "visible only, bf16")]
    for model, name in plan:
        row = {"model": " ".join(model), "step": name}
        if setting.has_time(RESERVE):
            row |= measure_step(setting, *model, name, rate)
        else:
            row["note"] = "no time was left"
        if name == BASELINE:
            baselines[model] = row.get("clips/s")
        row["ratio"] = ratio(row.get("clips/s"), baselines.get(model))
        rows.append({key: row.get(key) for key in COLUMNS})
        print(f"{' '.join(model)}, {name}: {row.get('clips/s') or row.get('note')}", file=sys.stderr)
    return rows


COLUMNS = ("model", "step", "batch", "clips/s", "ratio", "of matmul", "peak bytes", "largest batch", "note")


def measure_step(setting: Setting, size: str, patch: str, name: str, rate: float) -> dict:
    """Clips per second and what else is in a row of one step."""
    settings = (CANDIDATES | CUDA_CANDIDATES)[name]
    fields = QUICK if setting.is_quick else {}
    config, model, state = make_models(size, patch, setting.device, **fields)
    if settings is not None:
        model = make_candidate(state, config, setting.device, **settings)
    del state
    flops = count_flops(model, make_input(config, 1, setting.device), settings)
    batch = 2 if setting.is_quick else BATCH_SIZES[name if name == BASELINE else name.split(",")[0]]
    make = partial(timed_step, setting, model, config, settings)
    while (seconds := make(batch)) is None:
        if batch == 1:
            return {"batch": 1, "note": "does not fit"}
        batch //= 2
    row = {"batch": batch, "clips/s": batch / seconds, "of matmul": batch * flops / seconds / rate}
    if setting.is_cuda:
        row["peak bytes"] = torch.cuda.max_memory_allocated()
        if not (settings or {}).get("compiled"):  # it would be compiled again for each batch
            row["largest batch"] = largest_batch(make, batch)
        torch.compiler.reset()
    return row


def timed_step(setting: Setting, model, config, settings: dict | None, batch: int, repeats: int = 10) -> float | None:
    """Seconds of a step, the median of several after half as many; `None` if so many clips do not fit."""
    repeats = 1 if setting.is_quick else repeats
    if setting.is_cuda:
        model.zero_grad()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        step = make_step(model, make_input(config, batch, setting.device), **(settings or {}))
        return interleaved_medians({"steps": step}, repeats, warmup=repeats // 2)["steps"]
    except torch.OutOfMemoryError:
        return None  # what is in the memory goes with this call


def largest_batch(make, fitting: int) -> int:
    """The largest batch for which `make` has seconds, within a sixteenth; so many clips fit."""
    too_many = 2 * fitting
    while too_many < MANY and make(too_many, repeats=1) is not None:
        fitting, too_many = too_many, 2 * too_many
    while too_many - fitting > max(fitting // 16, 1):
        middle = (fitting + too_many) // 2
        if make(middle, repeats=1) is None:
            too_many = middle
        else:
            fitting = middle
    return fitting
