"""An exported file in onnxruntime beside the same model in PyTorch."""

import statistics
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from ...assets import bundled_clips
from ...configuration_ssast import SSASTConfig
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ...heads_ssast import SSASTHeadModel
from ...modeling_ssast import SSASTForPretraining
from ...storage.guards import is_out_of_memory, reason
from ..folders import PLAIN, ConversionError
from .graph import Graph
from .numbers import Preprocessing
from .report import Report
from .writing import open_session, quiet


# Batches to compare, and the largest of them.
NUM_BATCHES, LARGEST_BATCH = 20, 4
# Calls that are timed; the median counts.
NUM_CALLS = 7
# 80 dB of energy, in units of the natural logarithm.
QUIET = 18.4
# Scores of what cannot be, such as a character in padding.
LOWEST = np.finfo(np.float16).min
# Outputs that count patches which are told apart; rounding decides where two fit equally well.
COUNTED = ("accuracy",)


@contextmanager
def comparing():
    """What PyTorch cannot compute for want of memory becomes a ConversionError."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ConversionError(
            f"Comparing the file with PyTorch, on up to {LARGEST_BATCH} clips of twice the model's length, needs more "
            "memory than there is; nothing was written. Export on a machine with more of it."
        ) from error


@torch.no_grad()
def compare(graph: Graph, path: Path, report: Report):
    """
    Differences on random batches, of one patch, of a whole clip, of twice that, and of any length between: relative
    to values above 1. And how long one clip of full length takes.
    """
    session = open_session(path)
    config = graph.model.config
    for seed, (size, length) in enumerate(batches_of(config, config.patch_shape[1])):
        report.batches.append(f"{size} x {length}")
        inputs = graph.example(size, length, seed)
        found = run(session, inputs)
        for name, value in graph(**inputs).items():
            if name not in COUNTED:
                report.add_difference(name, difference_of(found[name], value.numpy()))
    inputs = graph.example(1, config.max_length)
    report.seconds["PyTorch in float32"] = seconds_of(lambda: graph(**inputs))
    report.seconds["onnxruntime"] = seconds_of(lambda: run(session, inputs))


@torch.no_grad()
def compare_program(graph: Graph, path: Path, report: Report):
    """Differences of the exported program, as it is on disk, on as many such batches, but of two patches and more."""
    program, config = torch.export.load(path).module(), graph.model.config
    for seed, shape in enumerate(batches_of(config, config.patch_shape[1] + config.time_stride)):
        inputs = graph.example(*shape, seed)
        found = program(**inputs)
        for name, value in graph(**inputs).items():
            if name not in COUNTED:
                report.add_difference(f"{name} of {path.name}", difference_of(found[name].numpy(), value.numpy()))


def batches_of(config: SSASTConfig, shortest: int) -> list[tuple[int, int]]:
    """Clips and frames: of the shortest length, of a whole clip, of twice that, and of lengths between."""
    whole = max(config.max_length, shortest)
    longest = 2 * whole
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(shortest, longest + 1, (NUM_BATCHES,), generator=generator).tolist()
    sizes = torch.randint(1, LARGEST_BATCH + 1, (NUM_BATCHES,), generator=generator).tolist()
    lengths[:3], sizes[:3] = [shortest, whole, longest], [1, 2, 1]
    return list(zip(sizes, lengths, strict=True))


@torch.no_grad()
def compare_clips(
    graph: Graph, extractor: SSASTFeatureExtractor, numbers: Preprocessing, folder: Path, report: Report
):
    """
    On the bundled clips: how far the filter banks, as a graph of their own, are from the feature extractor's; and but
    for pretraining models, how far outputs are from those of the extractor and the model in PyTorch; and of a model
    with labels whether the best one, of the clip or of every time step, is the same. Clips that are shorter than a
    patch are left out.
    """
    if not (folder / "features.onnx").exists():  # of a pretraining model that takes spectrograms
        return
    session, features_session = open_session(folder / "model.onnx"), open_session(folder / "features.onnx")
    for clip in bundled_clips():
        waveform = read_clip(clip, numbers.sampling_rate)
        if len(waveform) < numbers.min_samples:  # shorter than a patch
            continue
        with quiet():  # that clips are cut is no news here
            features = extractor(
                waveform.numpy(),
                sampling_rate=numbers.sampling_rate,
                padding="max_length" if numbers.pad_to else False,
                truncation=numbers.cut_to is not None,
                return_attention_mask=False,
                return_tensors="pt",
            )["input_values"]
        own = torch.from_numpy(run(features_session, {"waveform": waveform.unsqueeze(0)})["input_values"])
        # In units of the logarithm again.
        report.add_filter_banks(filter_bank_difference(*(2 * numbers.std * each for each in (own, features))))
        if isinstance(graph.model, SSASTForPretraining):  # asks for a mask, too
            continue
        inputs = {"input_values": features} if graph.filter_banks is None else {"waveform": waveform.unsqueeze(0)}
        if graph.has_mask:
            inputs["attention_mask"] = torch.ones(next(iter(inputs.values())).shape[:2], dtype=torch.int64)
        found = run(session, inputs)
        mask = torch.ones(features.shape[:2], dtype=torch.int64) if graph.has_mask else None
        expected = graph.model(features, attention_mask=mask, **PLAIN)
        for name, values in found.items():
            report.add_clip_difference(name, difference_of(values, expected[name].numpy()))
        # Numbers that are no labels have no best one.
        if isinstance(graph.model, SSASTHeadModel) and graph.model.config.problem_type != "regression":
            report.add_clip(clip.name, expected.logits.numpy(), found["logits"])


def filter_bank_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """
    The largest difference of log-mel values (..., mels), but for what is [`QUIET`] below the loudest of its frame: in
    single precision, Kaldi's own numbers are no better there. Infinite if there is NaN.
    """
    is_heard = expected > expected.amax(dim=-1, keepdim=True) - QUIET
    difference = torch.where(is_heard, (found - expected).abs(), 0.0)
    return difference.nan_to_num(nan=float("inf"), posinf=float("inf")).max().item()


def run(session, inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The outputs by name; ConversionError if onnxruntime cannot compute them."""
    import onnxruntime

    names = [each.name for each in session.get_outputs()]
    try:
        outputs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    except Exception as error:  # of many types, all its own
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items())
        raise ConversionError(
            f"onnxruntime {onnxruntime.__version__} takes the file and does not run it on {shapes} ({reason(error)}); "
            "nothing was written. Export with another --dtype or --opset, or update it."
        ) from error
    return dict(zip(names, outputs, strict=True))


def difference_of(found: np.ndarray, expected: np.ndarray) -> float:
    """
    The largest one, relative to expected values above 1; infinite if a shape differs, or if there is NaN. What is as
    low as float16 goes stands for minus infinity, and is the same as anything below.
    """
    if found.shape != expected.shape:
        return float("inf")
    if expected.dtype == bool:
        return float((found != expected).any())
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    is_lowest = np.isfinite(found) & (found <= LOWEST) & (expected <= LOWEST)
    difference = np.where(is_lowest, 0.0, np.abs(found - expected) / np.maximum(np.abs(expected), 1.0))
    return float("inf") if np.isnan(difference).any() else float(difference.max(initial=0.0))


def seconds_of(function) -> float:
    """The median of some calls after one that is not timed."""
    function()
    seconds = []
    for _ in range(NUM_CALLS):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def read_clip(path: Path, sampling_rate: int) -> torch.Tensor:
    """Mono samples (num_samples,) of a recording at that rate, resampled by its spectrum, as `infer.py` does."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    count = round(len(samples) * sampling_rate / rate)
    resampled = np.fft.irfft(np.fft.rfft(samples.mean(axis=1)), count) * (count / len(samples))
    return torch.from_numpy(resampled.astype(np.float32))
