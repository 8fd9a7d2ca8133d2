"""Labels for sounds: a linear classifier on the first half of each clip, tried on the second by stock transformers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import pipeline

from ..conversion.stock_ast import convert_hf_to_ast
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..heads_ssast import SSASTForAudioClassification
from .clips import SAMPLING_RATE, Clip


# Frames of 10 ms that are labelled at once, a third of a second, and samples from one window to the next.
WINDOW, HOP = 32, SAMPLING_RATE // 20
# Weight of the squares of what is fitted.
RIDGE = 1e-3


@dataclass
class Guess:
    """What the second half of a clip was taken for, and how sure it was, from 0 to 1."""

    label: str
    score: float


def halves(clip: Clip, num_samples: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Windows of `num_samples` in the first half of a clip and in the second one; none where it is too short."""
    middle = len(clip.audio) // 2
    parts = (clip.audio[:middle], clip.audio[middle:])
    first, second = (
        [part[start : start + num_samples] for start in range(0, len(part) - num_samples + 1, HOP)] for part in parts
    )
    return first, second


def fit_classifier(model_dir: Path, clips: list[Clip], folder: Path) -> dict[str, list[np.ndarray]]:
    """
    Write a classifier of windows into `folder`, with the names of the clips as labels, fitted to their first halves.

    Returns:
        `dict[str, list[np.ndarray]]`: Windows of the second halves by name; too short clips are left out.
    """
    feature_extractor = SSASTFeatureExtractor.from_pretrained(
        model_dir, max_length=WINDOW, return_attention_mask=False
    )
    num_samples = feature_extractor.num_samples(WINDOW)
    windows = {clip.name: halves(clip, num_samples) for clip in clips}
    windows = {name: each for name, each in windows.items() if each[0] and each[1]}
    names = list(windows)
    torch.manual_seed(0)
    # Stock AST's pooling, so that the result can leave for it.
    model = SSASTForAudioClassification.from_pretrained(
        model_dir, dtype=torch.float32, pooling_mode="cls", id2label=dict(enumerate(names))
    ).eval()
    model.set_input_geometry(max_length=WINDOW)
    audio = [window for first, _ in windows.values() for window in first]
    labels = torch.tensor([i for i, (first, _) in enumerate(windows.values()) for _ in first])
    inputs = feature_extractor(audio, sampling_rate=SAMPLING_RATE, return_tensors="pt")["input_values"]
    with torch.no_grad():
        vectors = model.classifier.layernorm(model.base_model(inputs).pooler_output)
    dense = model.classifier.dense
    torch.nn.init.zeros_(dense.weight)
    optimizer = torch.optim.LBFGS(dense.parameters(), max_iter=200)

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(dense(vectors), labels) + RIDGE * dense.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    model.save_pretrained(folder)
    feature_extractor.save_pretrained(folder)
    return {name: second for name, (_, second) in windows.items()}


def classify(stock_dir: Path, windows: dict[str, list[np.ndarray]]) -> dict[str, Guess]:
    """What stock transformers' pipeline makes of windows by clip; the scores of a clip's windows are averaged."""
    classifier = pipeline("audio-classification", model=str(stock_dir), top_k=None)
    guesses = {}
    for name, audio in windows.items():
        # The dictionary is what the pipeline takes for audio that is already decoded.
        results = classifier([{"raw": window, "sampling_rate": SAMPLING_RATE} for window in audio])
        scores = dict.fromkeys(windows, 0.0)
        for result in results:
            for each in result:
                scores[each["label"]] += each["score"] / len(results)
        best = max(scores, key=lambda label: scores[label])
        guesses[name] = Guess(best, scores[best])
    return guesses


def export(classifier_dir: Path, stock_dir: Path, overwrite: bool) -> str:
    """The classifier as a stock AST folder; returns how far it agrees with its source."""
    report = convert_hf_to_ast(classifier_dir, stock_dir, overwrite=overwrite)
    return next(line for line in report if line.startswith("hidden states agree"))
