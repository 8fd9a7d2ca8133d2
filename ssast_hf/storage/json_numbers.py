"""Figures as JSON, which knows no NaN and no infinity."""

import json
import math


def as_json(figures: dict) -> str:
    """With `null` for numbers that are none."""
    return json.dumps(without_nan(figures), indent=1, allow_nan=False) + "\n"


def without_nan(value):
    """The same, in lists and dictionaries of any depth, with `None` for such numbers."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
