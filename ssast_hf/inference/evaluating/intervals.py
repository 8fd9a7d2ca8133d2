"""How sure a mean of few figures is."""

import numpy as np
from scipy.stats import t as student


def t_interval(values: np.ndarray, highest: float = 1.0, lowest: float = 0.0) -> tuple[float, float]:
    """95 % of the mean of two or more figures, by Student's distribution; within the lowest and highest possible."""
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    half = student.ppf(0.975, len(values) - 1) * error
    return max(float(mean - half), lowest), min(float(mean + half), highest)
