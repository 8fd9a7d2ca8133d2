"""How fast a training step is, with what share of the device's own rate, and how many clips fit into its memory."""

import sys

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
RESERVE = 120.0
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
    while True:
        try:
            step = make_step(model, make_input(config, batch, setting.device), **(settings or {}))
            if setting.is_cuda:
                torch.cuda.reset_peak_memory_stats()
            repeats = 1 if setting.is_quick else 10
            seconds = interleaved_medians({name: step}, repeats, warmup=repeats // 2)[name]
            break
        except torch.OutOfMemoryError:
            if batch == 1:
                return {"batch": 1, "note": "does not fit"}
            batch //= 2
            model.zero_grad()
            torch.cuda.empty_cache()
    row = {"batch": batch, "clips/s": batch / seconds, "of matmul": batch * flops / seconds / rate}
    if setting.is_cuda:
        row["peak bytes"] = torch.cuda.max_memory_allocated()
        if not (settings or {}).get("compiled"):  # it would be compiled again for each batch
            row["largest batch"] = largest_batch(model, config, settings, batch)
        del step, model
        torch.compiler.reset()
        torch.cuda.empty_cache()
    return row


def largest_batch(model, config, settings: dict | None, fitting: int) -> int:
    """The largest batch that fits into the memory of the GPU, within a sixteenth."""

    def fits(batch: int) -> bool:
        torch.cuda.empty_cache()
        try:
            make_step(model, make_input(config, batch, "cuda"), **(settings or {}))()
        except torch.OutOfMemoryError:
            model.zero_grad()
            return False
        return True

    too_many = 2 * fitting
    while too_many < MANY and fits(too_many):
        fitting, too_many = too_many, 2 * too_many
    while too_many - fitting > max(fitting // 16, 1):
        middle = (fitting + too_many) // 2
        if fits(middle):
            fitting = middle
        else:
            too_many = middle
    return fitting
