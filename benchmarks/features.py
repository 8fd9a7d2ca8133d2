"""
Feature extraction against stock AST's feature extractor without torchaudio (its numpy path), on the same clips.

    python benchmarks/features.py
"""

import argparse
import importlib.util
import os
import warnings

import numpy as np
import torch
from timing import interleaved_medians, report
from transformers import ASTFeatureExtractor

from ssast_hf import SSASTFeatureExtractor


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--clips", type=int, default=16, help="clips of 10 seconds per call")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count()])
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
    random = np.random.RandomState(0)
    clips = [random.uniform(-0.5, 0.5, 160000).astype(np.float32) for _ in range(arguments.clips)]
    extractors = {"ssast_hf": SSASTFeatureExtractor(), "stock": ASTFeatureExtractor()}
    outputs = {
        name: extractor(clips, sampling_rate=16000, return_tensors="pt")["input_values"]
        for name, extractor in extractors.items()
    }
    rows = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        medians = interleaved_medians(
            {
                name: lambda extractor=extractor: extractor(clips, sampling_rate=16000, return_tensors="pt")
                for name, extractor in extractors.items()
            },
            arguments.repeats,
        )
        rows.append(
            {
                "threads": threads,
                **{f"{name} ms/clip": 1000 * median / len(clips) for name, median in medians.items()},
                "ratio": medians["stock"] / medians["ssast_hf"],
                "largest difference": (outputs["ssast_hf"] - outputs["stock"]).abs().max().item(),
                "stock uses": "torchaudio" if importlib.util.find_spec("torchaudio") else "numpy",
            }
        )
    report(rows)


if __name__ == "__main__":
    main()
