"""
Whether recordings that a model is evaluated on occur in a corpus: for the loudest second of each, the most similar
second of the corpus, by the correlation of their log-mel features: found by averages over 40 ms and four mel bins,
then compared frame by frame.

    python benchmarks/open_audio_overlap.py --clips esc10/esc10.csv --corpus corpus/manifest.csv --cache features

`--cache` is the folder that `ssast-hf pretrain --cache_features` filled for this corpus. As a control, the same is
done for seconds of the corpus itself, moved by 10 ms and at another level: so much correlation would a copy have.
Clips shorter than a second are left out.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from timing import report
from tqdm import tqdm

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.audio import load_audio
from ssast_hf.audio.cached_features import INDEX, CachedFeatures


# Frames and mel bins that are averaged, and averaged frames that are compared: a second.
POOLED, LENGTH = 4, 25
BLOCK = 4096
CONTROLS = 50


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument(
        "--clips", type=Path, required=True, help="table with a column filename, beside a folder audio"
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--cache", type=Path, required=True, help="folder of its features")
    parser.add_argument("--most", type=int, default=8, help="how many of the most similar to print")
    arguments = parser.parse_args()
    extractor = SSASTFeatureExtractor(do_normalize=False)
    folder = arguments.cache / "training"
    if not is_filled(folder):
        parser.error(
            f"--cache {arguments.cache}: {folder / INDEX} is missing or not complete; pretrain fills it first."
        )
    cache = CachedFeatures(folder, extractor)
    lines = cache.read_index()
    cache.remember(lines)
    with arguments.corpus.open(encoding="utf-8") as file:
        root = arguments.corpus.parent
        recordings = {
            (root / row["path"]).resolve(): f"{row['source']}: {row['recording']}" for row in csv.DictReader(file)
        }
    with arguments.clips.open(encoding="utf-8") as file:
        listed = [row["filename"] for row in csv.DictReader(file)]
    names, queries, fine = [], [], []
    for name in tqdm(listed, desc="clips"):
        audio = load_audio(arguments.clips.parent / "audio" / name)
        features = extractor(audio, 16000, padding=False, truncation=False, return_tensors="np")["input_values"][0]
        if len(features) < POOLED * LENGTH:
            continue
        names.append(name)
        begin = loudest(pooled(features))
        queries.append(pooled(features)[begin : begin + LENGTH])
        fine.append(features[POOLED * begin : POOLED * (begin + LENGTH)])
    if len(names) < len(listed):
        print(f"{len(listed) - len(names)} of {len(listed)} clips are shorter than a second and left out.")
    if not names:
        return
    values = cache.values()
    random = np.random.default_rng(0)
    for begin in random.integers(len(values) - 200, size=CONTROLS):
        fine.append(values[begin + 1 : begin + 1 + POOLED * LENGTH].astype(np.float32) + 1.0)
        queries.append(pooled(fine[-1]))
    _, where = most_similar(normalised(np.stack(queries)), values)
    best = np.array([correlation(query, values, place) for query, place in zip(fine, where, strict=True)])
    ends = np.cumsum([count for *_, count, _ in lines])
    rows = []
    for i in np.argsort(-best[: len(names)])[: arguments.most]:
        path = Path(lines[int(np.searchsorted(ends, where[i], side="right"))][0]).resolve()
        similar = recordings.get(path, str(path))
        rows.append({"clip": names[i], "correlation": float(best[i]), "most similar": similar})
    report(rows)
    found, control = best[: len(names)], best[len(names) :]
    for name, part in (("clips", found), ("copies, as a control", control)):
        low, middle, high = np.percentile(part, (5, 50, 95))
        print(f"{name}: correlation {low:.3f}, {middle:.3f}, {high:.3f} (5 %, 50 %, 95 %), at most {part.max():.3f}")


def is_filled(folder: Path) -> bool:
    """Whether a cache has an index to its end: reading one that has not would write to it."""
    index = folder / INDEX
    return index.is_file() and index.read_bytes().endswith(b"\n")


def pooled(features: np.ndarray) -> np.ndarray:
    """Features (num_frames, 128), averaged over frames and mel bins, (num_frames / 4, 32)."""
    count = len(features) // POOLED
    values = features[: count * POOLED].astype(np.float32)
    return values.reshape(count, POOLED, -1, POOLED).mean(axis=(1, 3))


def loudest(features: np.ndarray) -> int:
    """Where the second of most energy begins, in averaged frames."""
    return int(np.convolve(features.mean(axis=1), np.ones(LENGTH), "valid").argmax())


def correlation(query: np.ndarray, values: np.ndarray, place: int) -> float:
    """The highest correlation of a second, not averaged, with what begins around a frame of the corpus."""
    begin = max(place - 2 * POOLED, 0)
    part = values[begin : place + 2 * POOLED + len(query)].astype(np.float32)
    seconds = np.stack([part[i : i + len(query)] for i in range(len(part) - len(query) + 1)])
    return float((normalised(seconds) @ normalised(query[None])[0]).max())


def normalised(seconds: np.ndarray) -> np.ndarray:
    """
    Of seconds (n, LENGTH, bins) rows of norm 1, so that their products are correlations. The mean over time of each
    bin is taken off: the colour of a noise, which all rain shares, says nothing about copies.
    """
    rows = (seconds - seconds.mean(axis=1, keepdims=True)).reshape(len(seconds), -1)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def most_similar(queries: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest correlation of each query with a second of the corpus, and that second's first frame."""
    best, where = np.full(len(queries), -1.0), np.zeros(len(queries), dtype=np.int64)
    step = BLOCK * POOLED
    for begin in tqdm(range(0, len(values) - POOLED * LENGTH, step), desc="corpus"):
        part = pooled(values[begin : begin + step + POOLED * LENGTH])
        seconds = np.lib.stride_tricks.sliding_window_view(part, LENGTH, axis=0).transpose(0, 2, 1)
        products = normalised(np.ascontiguousarray(seconds)) @ queries.T
        place = products.argmax(axis=0)
        found = products[place, np.arange(len(queries))]
        better = found > best
        best[better], where[better] = found[better], begin + POOLED * place[better]
    return best, where


if __name__ == "__main__":
    main()
