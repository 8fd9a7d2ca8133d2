"""Side-by-side timing: the candidates take turns, so that a noisy machine slows all of them alike."""

import json
import statistics
import time

from huggingface_hub.utils import tqdm


def interleaved_medians(candidates: dict, repeats: int, warmup: int = 1) -> dict[str, float]:
    """Median seconds of each function in `candidates`, called in turn `repeats` times after `warmup` rounds."""
    seconds = {name: [] for name in candidates}
    for round_index in tqdm(range(warmup + repeats), desc="rounds"):
        for name, function in candidates.items():
            time.sleep(0.2)  # threads of the candidate before may spin a while and take the cores
            start = time.perf_counter()
            function()
            if round_index >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(rows: list[dict]):
    """Print a table, then the same as one line of JSON."""
    print(table(rows))
    print(json.dumps(rows))


def table(rows: list[dict]) -> str:
    """The rows as text, with the keys of the first one as headings."""
    columns = list(rows[0])
    cells = [[f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(columns, *cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (columns, *cells)
    )
