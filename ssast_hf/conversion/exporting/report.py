"""What was measured of an export: for people, for programs, and as a reason to refuse it."""

import json
import math
import platform
from importlib import import_module
from pathlib import Path

import numpy as np

from ..folders import ConversionError


# The largest accepted difference of outputs in float32, of log-mel filter banks, and of outputs computed from these.
TOLERANCE, FILTER_BANK_TOLERANCE, CLIP_TOLERANCE = 1e-4, 1e-3, 1e-2
# In the other types, how far a label that is best there may be below PyTorch's best: as a share of the widest range of
# logits on any clip.
ROUNDING = {"float16": 0.01, "int8": 0.05}
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime")


def version_of(package: str) -> str:
    """As it says itself: onnxruntime is installed under several names."""
    return import_module(package).__version__


class Report:
    """
    Args:
        model_class (`str`): What was exported.
        dtype (`str`): Of its weights in the file.
        opset (`int`): Of ONNX.
        folder (`Path`): Where the files are.
        waveform_input (`bool`): Whether outputs are computed from filter banks in the graph.
    """

    def __init__(self, model_class: str, dtype: str, opset: int, folder: Path, waveform_input: bool):
        self.model_class, self.dtype, self.opset, self.folder = model_class, dtype, opset, folder
        self.waveform_input = waveform_input
        self.batches: list[str] = []
        self.differences: dict[str, float] = {}
        self.clip_differences: dict[str, float] = {}
        self.filter_banks: float | None = None
        self.seconds: dict[str, float] = {}
        self.clips: dict[str, bool] = {}  # whether the best labels are the same
        self.losses: dict[str, float] = {}  # how far in PyTorch the best label of onnxruntime is below the best
        self.range = 0.0  # of the logits of a clip or time step, the widest
        # The largest accepted difference of outputs on clips.
        self.clip_tolerance = CLIP_TOLERANCE if waveform_input else TOLERANCE

    def add_difference(self, name: str, difference: float):
        """Of an output, in one of the batches."""
        self.differences[name] = max(self.differences.get(name, 0.0), difference)

    def add_clip_difference(self, name: str, difference: float):
        """Of an output, in one of the bundled clips."""
        self.clip_differences[name] = max(self.clip_differences.get(name, 0.0), difference)

    def add_filter_banks(self, difference: float):
        """Of log-mel filter banks, in one of the clips."""
        self.filter_banks = max(self.filter_banks or 0.0, difference)

    def add_clip(self, name: str, expected: np.ndarray, found: np.ndarray):
        """Logits (..., num_labels) in PyTorch and in onnxruntime, of a bundled clip."""
        self.clips[name] = bool((expected.argmax(axis=-1) == found.argmax(axis=-1)).all())
        chosen = np.take_along_axis(expected, found.argmax(axis=-1)[..., None], axis=-1)[..., 0]
        self.losses[name] = float((expected.max(axis=-1) - chosen).max())
        self.range = max(self.range, float(np.ptp(expected, axis=-1).max()))

    @property
    def sizes(self) -> dict[str, int]:
        """Of what was written, in bytes."""
        files = [*self.folder.glob("model.*"), *self.folder.glob("features.*")]
        return {path.name: path.stat().st_size for path in sorted(files, reverse=True)}

    def refuse(self):
        """ConversionError if anything is not finite, or in float32 differs by more than rounding."""
        for differences, tolerance, where in (
            (self.differences, TOLERANCE, ""),
            (self.clip_differences, self.clip_tolerance, " on bundled clips"),
        ):
            for name, difference in differences.items():
                if not math.isfinite(difference):
                    raise ConversionError(
                        f"{name} in {self.dtype} holds NaN or infinity, or has another shape than PyTorch's{where}; "
                        "nothing was written. Export with another --dtype, or check the weights."
                    )
                if self.dtype == "float32" and not difference <= tolerance:
                    raise ConversionError(
                        f"{name} differs from PyTorch's by {difference:.1e}{where}, more than {tolerance:.0e}, in "
                        f"onnxruntime {version_of('onnxruntime')}; nothing was written."
                    )
        if self.filter_banks is not None and not self.filter_banks <= FILTER_BANK_TOLERANCE:
            raise ConversionError(
                f"Filter banks differ from the feature extractor's by {self.filter_banks:.1e}, more than "
                f"{FILTER_BANK_TOLERANCE:.0e}; nothing was written."
            )
        explained = ROUNDING[self.dtype] * self.range if self.dtype in ROUNDING else 2 * self.clip_tolerance
        for name, loss in self.losses.items():
            if loss > explained:
                remedy = "Export with another --dtype" if self.dtype in ROUNDING else "Update it"
                raise ConversionError(
                    f"The best label of {name} is not PyTorch's, and more than rounding makes them differ, in "
                    f"{self.dtype} and onnxruntime {version_of('onnxruntime')}; nothing was written. "
                    f"{remedy}, or choose another --opset."
                )

    def lines(self) -> list[str]:
        """For the terminal."""
        sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in self.sizes.items())
        worst = max(self.differences, key=self.differences.__getitem__)
        return [
            f"model    {self.model_class}, {self.dtype}, opset {self.opset}: {sizes}",
            f"checked  {len(self.batches)} batches: at most {self.differences[worst]:.1e} from PyTorch ({worst})",
            *(
                [f"checked  best labels of {sum(self.clips.values())} of {len(self.clips)} clips"]
                if self.clips
                else []
            ),
            *([f"checked  filter banks within {self.filter_banks:.1e}"] if self.filter_banks is not None else []),
            "latency  " + ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in self.seconds.items()),
        ]

    def metrics(self) -> dict:
        """For programs."""
        return {
            "model_class": self.model_class,
            "dtype": self.dtype,
            "opset": self.opset,
            "bytes": self.sizes,
            "differences": self.differences,
            "differences_on_clips": self.clip_differences,
            "filter_bank_difference": self.filter_banks,
            "batches": self.batches,
            "seconds_at_batch_1": self.seconds,
            "same_best_label": self.clips,
            "versions": {name: version_of(name) for name in PACKAGES},
            "machine": platform.machine(),
        }

    def write(self):
        """`report.md` and `metrics.json`."""
        text = json.dumps(self.metrics(), indent=2, allow_nan=False) + "\n"
        (self.folder / "metrics.json").write_text(text, encoding="utf-8")
        (self.folder / "report.md").write_text("\n".join(self.page()) + "\n", encoding="utf-8")

    def page(self) -> list[str]:
        packages = ", ".join(f"{name} {version_of(name)}" for name in PACKAGES)
        lines = [
            f"# {self.model_class} for onnxruntime",
            "",
            f"Weights in {self.dtype}, opset {self.opset}; {packages}; {platform.machine()}.",
            "",
            "| file | MB |",
            "|---|---|",
            *(f"| {name} | {size / 1e6:.1f} |" for name, size in self.sizes.items()),
            "",
            "| one clip of full length | ms |",
            "|---|---|",
            *(f"| {name} | {1000 * seconds:.1f} |" for name, seconds in self.seconds.items()),
            "",
            "The largest differences from PyTorch in float32, relative to values above 1, on "
            f"{len(self.batches)} random batches (clips x frames: {', '.join(self.batches)}):",
            "",
            "| output | difference |",
            "|---|---|",
            *(f"| {name} | {difference:.1e} |" for name, difference in self.differences.items()),
        ]
        if self.clip_differences:
            lines += ["", "The same on the bundled clips:", "", "| output | difference |", "|---|---|"]
            lines += [f"| {name} | {difference:.1e} |" for name, difference in self.clip_differences.items()]
        if self.filter_banks is not None:
            whose = "the graph, written alone," if self.waveform_input else "features.onnx"
            lines += ["", f"Log-mel filter banks of {whose} are within {self.filter_banks:.1e} of the extractor's."]
        if self.clips:
            lines += [
                "",
                f"The best label is PyTorch's for {sum(self.clips.values())} of {len(self.clips)} clips:",
                "",
            ]
            lines += [f"- {name}: {'the same' if same else 'another one'}" for name, same in self.clips.items()]
        return lines
