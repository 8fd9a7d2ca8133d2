"""
From waveform to label: this package's classifier in several forms against stock AST's classifier and its extractor.

    python benchmarks/inference.py
    python benchmarks/inference.py --sizes nano --batches 1 --repeats 3 --seconds 2
    python benchmarks/inference.py --batches 1 --shortest 0.5
    python benchmarks/inference.py --sizes --models fold-1 fold-2 --manifests fold-1.csv fold-2.csv

All forms of a size have the same weights, at random but for nano, and take turns in one run. A ratio is how often a
form answers while stock AST answers once. `stock 10x10` is stock AST with the patches that it has by default, and that
its published checkpoints have: they overlap, so there are more than twice as many. `stock, 1 BLAS thread` is stock AST
with numpy, in which its extractor computes, kept to one thread: numpy's threads and PyTorch's get into each other's
way in one process. The second ratio is to that. `int8` needs torchao, and is left out without it. Of ONNX, the filter
banks are in the graph. With `--shortest`, eight clips, their lengths evenly spread from that to `--seconds`, come one
at a time: stock AST pads them to its input, since it knows no mask; the others take them as they are, under a mask.

With `--models`, fine-tuned classifiers, and `--manifests`, the test clips of each, a table with the columns `path` and
`category`, the accuracy over all of them is measured in each form as well; not of stock AST, which pools otherwise.
"""

import argparse
import csv
import importlib.util
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from threadpoolctl import threadpool_limits
from timing import interleaved_medians, report
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification
from transformers.utils import logging

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.assets import bundled_clips, nano_model
from ssast_hf.audio import load_audio
from ssast_hf.conversion import convert_hf_to_ast, export_onnx


RATE = 16000
MIXED, SHORTEST = 8, 0.2
# Width, layers, heads.
SIZES = {"base": (768, 12, 12), "tiny": (192, 12, 3), "nano": None}
FORMS = "eager,sdpa,compiled,bf16,compiled bf16,int8,onnx float32,onnx float16,onnx int8".split(",")
ONE_THREAD = "stock, 1 BLAS thread"
ALWAYS = ("stock", ONE_THREAD, "stock 10x10", "eager")


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=SIZES)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip, and of the models' input")
    parser.add_argument("--shortest", type=float, help="seconds; eight clips from that to --seconds, one at a time")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, help="PyTorch's and onnxruntime's own choice if not given")
    parser.add_argument("--forms", nargs="+", choices=FORMS, help="only these, and eager, the reference of accuracy")
    parser.add_argument("--models", nargs="+", default=[], type=Path, help="fine-tuned classifiers")
    parser.add_argument("--manifests", nargs="+", default=[], type=Path, help="a table of test clips for each")
    parser.add_argument("--label_column", default="category")
    arguments = parser.parse_args()
    if len(arguments.models) != len(arguments.manifests):
        parser.error("--manifests needs one table for each of --models")
    if arguments.shortest is not None and (arguments.batches != [1] or arguments.shortest < SHORTEST):
        parser.error(f"--shortest is for --batches 1, and at least {SHORTEST} s: a patch")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
    print(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}, onnxruntime {onnxruntime.__version__}")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for size in arguments.sizes:
            folder = make_model(size, Path(scratch, size), arguments.seconds, is_padded=arguments.shortest is None)
            forms = forms_of(folder, arguments.forms, arguments.threads, with_stock=True)
            if arguments.shortest is not None:
                clips = cut(np.linspace(arguments.shortest, arguments.seconds, MIXED))
                rows += rates(size, forms, [[clip] for clip in clips], arguments.repeats)
            else:
                for batch in arguments.batches:
                    rows += rates(size, forms, [cut([arguments.seconds] * batch)], arguments.repeats)
        if rows:
            report(rows)
        if arguments.models:
            report(accuracies(arguments, Path(scratch)))


def cut(seconds) -> list[np.ndarray]:
    """Pieces of these lengths of the bundled recordings, one after another, from random places; the same each time."""
    random = np.random.default_rng(0)
    recording = np.concatenate([load_audio(path) for path in bundled_clips()])
    lengths = [int(each * RATE) for each in seconds]
    starts = [int(random.integers(len(recording) - length)) for length in lengths]
    return [recording[start : start + length].copy() for start, length in zip(starts, lengths, strict=True)]


def make_model(size: str, folder: Path, seconds: float, is_padded: bool) -> Path:
    """A folder of a classifier of ten classes that pools as stock AST does, and pads as it does or masks padding."""
    frames = max(int(100 * seconds) // 16 * 16, 32)
    torch.manual_seed(0)
    labels = {number: f"class {number}" for number in range(10)}
    if size == "nano":
        model = SSASTForAudioClassification.from_pretrained(nano_model(), id2label=labels, pooling_mode="cls")
        model.set_input_geometry(max_length=frames)
    else:
        width, layers, heads = SIZES[size]
        fields = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        config = SSASTConfig(
            **fields, intermediate_size=4 * width, max_length=frames, id2label=labels, pooling_mode="cls"
        )
        model = SSASTForAudioClassification(config)
    model.save_pretrained(folder)
    how = {} if is_padded else {"padding": "longest", "return_attention_mask": True}
    SSASTFeatureExtractor(max_length=frames, **how).save_pretrained(folder)
    return folder


def forms_of(folder: Path, only: list[str] | None, threads: int | None, with_stock: bool, beside=None) -> dict:
    """Name -> a function of a list of clips that returns the class of each."""
    scratch = folder if beside is None else beside
    extractor = SSASTFeatureExtractor.from_pretrained(folder)

    def load(attention: str, dtype=torch.float32):
        return SSASTForAudioClassification.from_pretrained(folder, attn_implementation=attention, dtype=dtype).eval()

    def stock():
        if not (scratch / "stock").exists():
            convert_hf_to_ast(folder, scratch / "stock")
        model = ASTForAudioClassification.from_pretrained(scratch / "stock", dtype=torch.float32).eval()
        return in_pytorch(model, ASTFeatureExtractor.from_pretrained(scratch / "stock"))

    def stock_with_one_thread():
        classify = stock()

        def limited(clips: list[np.ndarray]) -> np.ndarray:
            with threadpool_limits(1, user_api="blas"):
                return classify(clips)

        return limited

    def stock_by_default():
        config = ASTConfig.from_pretrained(scratch / "stock", frequency_stride=10, time_stride=10)
        return in_pytorch(
            ASTForAudioClassification(config).eval(), ASTFeatureExtractor.from_pretrained(scratch / "stock")
        )

    def int8():
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        model = load("sdpa")
        quantize_(model, Int8WeightOnlyConfig())
        return in_pytorch(model, extractor)

    def exported(dtype: str):
        target = scratch / f"onnx-{dtype}"
        export_onnx(folder, target, waveform_input=True, dtype=dtype)
        return in_onnxruntime(target / "model.onnx", threads)

    makers = {
        "stock": stock,
        ONE_THREAD: stock_with_one_thread,
        "stock 10x10": stock_by_default,
        "eager": lambda: in_pytorch(load("eager"), extractor),
        "sdpa": lambda: in_pytorch(load("sdpa"), extractor),
        "compiled": lambda: in_pytorch(torch.compile(load("sdpa")), extractor),
        "bf16": lambda: in_pytorch(load("sdpa", torch.bfloat16), extractor),
        "compiled bf16": lambda: in_pytorch(torch.compile(load("sdpa", torch.bfloat16)), extractor),
        "int8": int8,
        "onnx float32": lambda: exported("float32"),
        "onnx float16": lambda: exported("float16"),
        "onnx int8": lambda: exported("int8"),
    }
    if not with_stock:
        del makers["stock"], makers[ONE_THREAD], makers["stock 10x10"]
    if importlib.util.find_spec("torchao") is None:
        del makers["int8"]
    return {name: make() for name, make in makers.items() if only is None or name in (*only, *ALWAYS)}


def in_pytorch(model, extractor):
    @torch.inference_mode()
    def classify(clips: list[np.ndarray]) -> np.ndarray:
        inputs = extractor(clips, sampling_rate=RATE, return_tensors="pt")
        return model(**inputs).logits.argmax(dim=1).numpy()

    return classify


def in_onnxruntime(path: Path, threads: int | None):
    options = onnxruntime.SessionOptions()
    # Its threads would go on turning for a while, in the time of the form that comes next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options)

    def classify(clips: list[np.ndarray]) -> np.ndarray:
        return session.run(["logits"], {"waveform": np.stack(clips)})[0].argmax(axis=1)

    return classify


def rates(size: str, forms: dict, batches: list[list[np.ndarray]], repeats: int) -> list[dict]:
    """Milliseconds per clip of each form, and how it compares with stock AST."""
    count = sum(map(len, batches))
    medians = interleaved_medians(
        {name: lambda classify=classify: [*map(classify, batches)] for name, classify in forms.items()},
        repeats,
        warmup=1,
    )
    return [
        {
            "size": size,
            "batch": len(batches[0]),
            "form": name,
            "ms/clip": 1000 * seconds / count,
            "x stock": medians["stock"] / seconds,
            "x with 1 BLAS thread": medians[ONE_THREAD] / seconds,
        }
        for name, seconds in medians.items()
    ]


def accuracies(arguments, scratch: Path) -> list[dict]:
    """Per cent of all test clips that each form gets right, and by how many points it differs from the first."""
    right: dict[str, int] = {}
    clips = 0
    for number, (model, manifest) in enumerate(zip(arguments.models, arguments.manifests, strict=True)):
        target = scratch / f"fine-tuned-{number}"
        target.mkdir()
        forms = forms_of(model, arguments.forms, arguments.threads, with_stock=False, beside=target)
        label2id = SSASTConfig.from_pretrained(model).label2id
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        clips += len(rows)
        for row in rows:
            wave = load_audio(manifest.parent / row["path"])
            for name, classify in forms.items():
                right[name] = right.get(name, 0) + int(classify([wave])[0] == label2id[row[arguments.label_column]])
    points = {name: 100 * count / clips for name, count in right.items()}
    first = next(iter(points.values()))
    return [{"form": name, "clips": clips, "accuracy": p, "points": p - first} for name, p in points.items()]


if __name__ == "__main__":
    main()
