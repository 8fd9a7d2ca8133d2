"""
Embedding with `Embedder` against the loop that a user would write around stock AST, with the same weights.

    python benchmarks/embedding.py
    python benchmarks/embedding.py --only rates --sizes tiny --clips 64 --repeats 5

Clips are pieces of the bundled recordings, in memory: `mixed`, of 0.5 to 10 s, as many of each second; `octaves`, of
0.5 to 10 s, as many from 0.5 to 1 s as from 1 to 2 s and so on, as where most sounds are short; and `equal`, of 10 s.
The loop pads each to 10 s, as stock AST's feature extractor does; it takes 1 or 16 clips at a time. Base and tiny have
random weights; nano is the bundled model with its input lengthened to 10 s. In the defaults half an hour on two cores.

The tables: `rates`, clips per second; `data`, how much of the time goes into reading clips from files, when nothing
else reads them meanwhile; `types`, other data types on clips of 10 s, and the cosine to float32 of the embeddings of
mixed clips: the lowest, and the lowest after the mean over the clips was taken off; `memory`, of the process, while
10,000 short clips go through nano.
"""

import argparse
import importlib.util
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
from huggingface_hub.utils import tqdm
from timing import interleaved_medians, report
from transformers import ASTFeatureExtractor, ASTModel
from transformers.utils import logging

from ssast_hf import Embedder, SSASTConfig, SSASTFeatureExtractor, SSASTModel
from ssast_hf.assets import bundled_clips, nano_model
from ssast_hf.audio import load_audio
from ssast_hf.conversion import convert_hf_to_ast


RATE, LONGEST, SHORTEST, FRAMES = 16000, 160000, 8000, 1024
SETS = ["mixed", "octaves", "equal"]
# Width, layers, heads.
SIZES = {"base": (768, 12, 12), "tiny": (192, 12, 3), "nano": None}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--only", nargs="+", default=["rates", "data", "types", "memory"])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, help="clips that rates are of")
    parser.add_argument(
        "--dtypes", nargs="+", default=["float32"], help="of the Embedder in rates; the loop has float32"
    )
    parser.add_argument("--clips", type=int, default=32, help="clips of each kind, per run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory_clips", type=int, default=10_000)
    parser.add_argument("--threads", type=int, help="PyTorch's own choice if not given")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
    spread = {
        "mixed": np.linspace(SHORTEST, LONGEST, arguments.clips),
        "octaves": np.geomspace(SHORTEST, LONGEST, arguments.clips),
        "equal": np.full(arguments.clips, LONGEST),
    }
    sets = {name: cut(lengths) for name, lengths in spread.items()}
    print(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}, stock features by {stock_library()}")
    with tempfile.TemporaryDirectory() as scratch:
        folders = {size: make_model(size, Path(scratch, size)) for size in arguments.sizes}
        if "rates" in arguments.only:
            chosen = {name: sets[name] for name in arguments.sets}
            how = (chosen, arguments.dtypes, arguments.repeats)
            report([row for size in folders for row in rates(size, folders[size], *how)])
        if "data" in arguments.only:
            files = write_files(sets["mixed"], Path(scratch, "clips"))
            report([waiting(size, folders[size], files, arguments.repeats) for size in folders])
        if "types" in arguments.only:
            report([row for size in folders for row in types(size, folders[size], sets, arguments.repeats)])
        if "memory" in arguments.only:
            report(memory(make_model("nano", Path(scratch, "again")), arguments.memory_clips))


def stock_library() -> str:
    return "torchaudio" if importlib.util.find_spec("torchaudio") else "numpy"


def cut(lengths: np.ndarray) -> list[np.ndarray]:
    """Pieces of the bundled recordings, one after another, from random places; the same for every run."""
    random = np.random.default_rng(0)
    recording = np.concatenate([load_audio(path) for path in bundled_clips()])
    lengths = lengths.astype(int)
    starts = [int(random.integers(len(recording) - length + 1)) for length in lengths]
    clips = [recording[start : start + length].copy() for start, length in zip(starts, lengths, strict=True)]
    return [clips[i] for i in random.permutation(len(clips))]


def make_model(size: str, folder: Path) -> Path:
    """A folder of an encoder for inputs of 10 s, and in it another one of the same weights for stock AST."""
    if size == "nano":
        model = SSASTModel.from_pretrained(nano_model(), dtype=torch.float32)
        model.set_input_geometry(max_length=FRAMES)
        extractor = SSASTFeatureExtractor.from_pretrained(nano_model(), max_length=FRAMES)
    else:
        torch.manual_seed(0)
        width, layers, heads = SIZES[size]
        model = SSASTModel(
            SSASTConfig(
                hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * width
            )
        )
        extractor = SSASTFeatureExtractor(max_length=FRAMES)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    convert_hf_to_ast(folder, folder / "stock")
    return folder


@torch.no_grad()
def stock_loop(extractor, model, batch_size: int, clips: list[np.ndarray]) -> np.ndarray:
    """What a user would write."""
    pooled = []
    for begin in range(0, len(clips), batch_size):
        inputs = extractor(clips[begin : begin + batch_size], sampling_rate=RATE, return_tensors="pt")
        pooled.append(model(**inputs).pooler_output)
    return torch.cat(pooled).numpy()


def rates(size: str, folder: Path, sets: dict, dtypes: list[str], repeats: int) -> list[dict]:
    extractor = ASTFeatureExtractor.from_pretrained(folder / "stock")
    model = ASTModel.from_pretrained(folder / "stock", dtype=torch.float32).eval()
    loops = {f"loop of {count}": partial(stock_loop, extractor, model, count) for count in (1, 16)}
    embedders = {dtype: Embedder(folder, dtype=dtype) for dtype in dtypes}
    rows = []
    for name, clips in sets.items():
        seconds = medians(loops | embedders, clips, repeats)
        rows += [
            {
                "size": size,
                "clips": name,
                "type": dtype,
                "Embedder, clips/s": len(clips) / seconds[dtype],
                **{f"{loop}, clips/s": len(clips) / seconds[loop] for loop in loops},
                **{f"ratio to {loop}": seconds[loop] / seconds[dtype] for loop in loops},
            }
            for dtype in dtypes
        ]
    return rows


def medians(functions: dict, clips: list, repeats: int) -> dict[str, float]:
    """Seconds of each function for all clips, in turns, after all have had the first ones."""
    for function in functions.values():
        function(clips[:2])
    return interleaved_medians({name: partial(each, clips) for name, each in functions.items()}, repeats, warmup=0)


def write_files(clips: list[np.ndarray], folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{i}.flac" for i in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        soundfile.write(path, clip, RATE)
    return paths


def waiting(size: str, folder: Path, files: list[Path], repeats: int) -> dict:
    functions = {"embedding": Embedder(folder), "reading": lambda paths: [load_audio(path) for path in paths]}
    seconds = medians(functions, files, repeats)
    return {
        "size": size,
        "embedding FLAC files, clips/s": len(files) / seconds["embedding"],
        "reading alone, clips/s": len(files) / seconds["reading"],
        "share of the time, %": 100 * seconds["reading"] / seconds["embedding"],
    }


def types(size: str, folder: Path, sets: dict, repeats: int) -> list[dict]:
    embedders = {"float32": Embedder(folder), "bfloat16": Embedder(folder, dtype="bfloat16")}
    absent = {}
    for name, change in {"compiled": compiled, "int8 weights": quantized}.items():
        embedder = Embedder(folder)
        try:
            change(embedder)
            embedder(sets["equal"][:4])
            embedders[name] = embedder
        except ImportError as error:
            absent[name] = f"not installed: {error.name}"
        except Exception as error:  # of a compiler that is missing, or versions that do not fit
            absent[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
    clips = sets["equal"][: -(-len(sets["equal"]) // 2)]
    seconds = medians(embedders, clips, repeats)
    exact = embedders["float32"](sets["mixed"])
    rows = []
    for name, embedder in embedders.items():
        values = exact if name == "float32" else embedder(sets["mixed"])
        rows.append(
            {
                "size": size,
                "type": name,
                "clips/s": len(clips) / seconds[name],
                "ratio to float32": seconds["float32"] / seconds[name],
                "cosine": lowest_cosine(values, exact),
                "cosine without mean": lowest_cosine(values - exact.mean(0), exact - exact.mean(0)),
            }
        )
    missing = dict.fromkeys(("clips/s", "ratio to float32", "cosine", "cosine without mean"), "-")
    return rows + [{"size": size, "type": f"{name} ({why})", **missing} for name, why in absent.items()]


def compiled(embedder: Embedder):
    embedder.encoder.compile(dynamic=True)


def quantized(embedder: Embedder):
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(embedder.encoder, Int8WeightOnlyConfig())


def lowest_cosine(values: np.ndarray, expected: np.ndarray) -> str:
    products = (values * expected).sum(1) / np.linalg.norm(values, axis=1) / np.linalg.norm(expected, axis=1)
    return f"{products.min():.6f}"


def memory(folder: Path, count: int) -> list[dict]:
    """What the process has for itself, as more and more clips of 0.5 to 2 s have gone through one embedder."""
    embedder, process, clips = Embedder(folder), psutil.Process(), cut(np.linspace(SHORTEST, LONGEST, 200))
    clips = [clip[: max(len(clip) // 5, SHORTEST)] for clip in clips]
    marks, rows = [max(count * part // 100, 200) for part in (10, 20, 40, 60, 80, 100)], []
    for done in tqdm(range(200, max(marks) + 1, 200), desc="memory"):
        embedder(clips)
        if done >= marks[len(rows)]:
            megabytes = process.memory_full_info().uss / 1e6
            change = 100 * (megabytes / rows[0]["MB"] - 1) if rows else 0.0
            rows.append({"clips": done, "MB": megabytes, "change, %": change})
    return rows


if __name__ == "__main__":
    main()
