"""
What the encoder's embeddings tell about sounds: a linear classifier on frozen features, five-fold cross-validation.

    python benchmarks/linear_probe.py --model_dir ssast_hf/assets/nano --data esc10/audio --labels esc10/esc10.csv

`--labels` is a CSV with the columns filename, fold and a label (`--label_column`). Compared are the given model, the
same model with random weights, and a classifier on the mean and standard deviation of each log-mel bin. All use the
same ridge classifier; its strength, and for the models the layer, are chosen on the training folds alone.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.utils import tqdm
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from timing import report

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTModel
from ssast_hf.audio import load_audio


ALPHAS = np.logspace(-2, 5, 15)


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--data", required=True, type=Path, help="folder of the audio files")
    parser.add_argument("--labels", required=True, type=Path, help="CSV with filename, fold and a label")
    parser.add_argument("--label_column", default="category")
    parser.add_argument("--random_seeds", type=int, default=3, help="how many random models to average")
    arguments = parser.parse_args()
    with arguments.labels.open(newline="") as file:
        table = list(csv.DictReader(file))
    paths = [arguments.data / row["filename"] for row in table]
    labels = np.array([row[arguments.label_column] for row in table])
    folds = np.array([int(row["fold"]) for row in table])
    feature_extractor = SSASTFeatureExtractor.from_pretrained(arguments.model_dir, return_attention_mask=True)
    clips = [load_audio(path, feature_extractor.sampling_rate) for path in tqdm(paths, desc="reading")]

    config = SSASTConfig.from_pretrained(arguments.model_dir)
    accuracies = {"pretrained": [probe(embed(trained(arguments.model_dir), feature_extractor, clips), labels, folds)]}
    accuracies["random weights"] = [
        probe(embed(untrained(config, seed), feature_extractor, clips), labels, folds)
        for seed in range(arguments.random_seeds)
    ]
    accuracies["log-mel statistics"] = [probe([statistics(feature_extractor, clips)], labels, folds)]
    rows = []
    for name, results in accuracies.items():
        per_fold = np.mean([accuracy for accuracy, _ in results], axis=0)
        rows.append(
            {
                "features": name,
                "accuracy": float(per_fold.mean()),
                "per fold": " ".join(f"{accuracy:.3f}" for accuracy in per_fold),
                "layers": " ".join(str(layer) for _, layers in results for layer in layers),
            }
        )
    report(rows)


def trained(model_dir) -> SSASTModel:
    return SSASTModel.from_pretrained(model_dir, dtype=torch.float32).eval()


def untrained(config: SSASTConfig, seed: int) -> SSASTModel:
    torch.manual_seed(seed)
    return SSASTModel(config).eval()


@torch.no_grad()
def embed(model: SSASTModel, feature_extractor, clips: list) -> list[np.ndarray]:
    """Mean of the valid patch tokens before the first and after every layer, each (num_clips, hidden_size)."""
    layers = []
    for start in tqdm(range(0, len(clips), 16), desc="embedding"):
        batch = feature_extractor(clips[start : start + 16], sampling_rate=16000, return_tensors="pt")
        outputs = model(**batch, output_hidden_states=True)
        valid = model.valid_patches(batch["input_values"], batch["attention_mask"]).float().unsqueeze(2)
        states = (*outputs.hidden_states[:-1], outputs.last_hidden_state)
        layers.append([((state[:, 2:] * valid).sum(dim=1) / valid.sum(dim=1)).numpy() for state in states])
    return [np.concatenate(parts) for parts in zip(*layers, strict=True)]


def statistics(feature_extractor, clips: list) -> np.ndarray:
    """Mean and standard deviation of each mel bin over time, (num_clips, 2 * num_mel_bins)."""
    rows = []
    for clip in clips:
        features = feature_extractor(clip, sampling_rate=16000, padding=False)["input_values"][0]
        rows.append(np.concatenate((features.mean(axis=0), features.std(axis=0))))
    return np.stack(rows)


def probe(layers: list[np.ndarray], labels, folds, tested=None) -> tuple[list[float], list[int]]:
    """Test accuracy of every fold, or of those `tested`, and the layer that was best on its training folds."""
    accuracies, chosen = [], []
    for fold in np.unique(folds) if tested is None else tested:
        train = folds != fold
        inner = PredefinedSplit(folds[train])
        scores = [cross_val_score(classifier(), layer[train], labels[train], cv=inner).mean() for layer in layers]
        best = int(np.argmax(scores))
        fitted = classifier().fit(layers[best][train], labels[train])
        accuracies.append(float((fitted.predict(layers[best][~train]) == labels[~train]).mean()))
        chosen.append(best)
    return accuracies, chosen


def classifier():
    return make_pipeline(StandardScaler(), RidgeClassifierCV(ALPHAS))


if __name__ == "__main__":
    main()
