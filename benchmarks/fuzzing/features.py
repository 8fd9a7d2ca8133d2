"""The feature extractor: what its `preprocessor_config.json` may say, and what it may be called with."""

import json
import math
from pathlib import Path

import numpy as np
import torch

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.conversion.folders import read_feature_extractor

from .damage import anything, damage_json
from .folder_damage import EXTRACTOR_KEYS
from .verdicts import CANARY, Trial


NAMES = {
    *EXTRACTOR_KEYS, "sampling rate", "preprocessor_config.json", "Clip ", "raw_speech", "padding", "truncation",
    "return_tensors", "TensorType",
}  # fmt: skip
# What is taken where the file says nothing.
FIELDS = {
    "sampling_rate": 16000, "num_mel_bins": 128, "max_length": 1024, "mean": -4.2677393, "std": 4.5689974,
    "do_normalize": True, "padding_value": 0.0, "padding": "max_length", "truncation": True,
}  # fmt: skip


def features(random, folder: Path, seeds: Path) -> Trial:
    source = folder / "input" / "preprocessor_config.json"
    source.write_bytes((seeds / "pretraining" / "preprocessor_config.json").read_bytes())
    fields = json.loads(source.read_text())
    way = random.choice("intact json json field field fields call call call code".split())
    call = {"sampling_rate": None, "return_tensors": "pt"}
    clips, description = [noise(random)], "noise"
    if way == "json":
        description, data = damage_json(random, fields, EXTRACTOR_KEYS)
        source.write_bytes(data)
    elif way == "field":
        key = random.choice(list(FIELDS))
        odd = (0, -1, 1, 1e-300, 10**9, 2**63, 10**30, float("nan"), "16000", "longest", True, False, None)
        fields[key] = random.choice((anything(random), *odd))
        description = f"{key} = {str(fields[key])[:40]}"
        source.write_text(json.dumps(fields))
    elif way == "fields":  # that are possible
        fields |= {
            "sampling_rate": random.choice((8000, 16000, 22050, 48000, 999)),
            "num_mel_bins": random.choice((1, 3, 32, 500)),
            "padding": random.choice(("max_length", "longest", "do_not_pad", True, False)),
            "truncation": random.choice((True, False)),
        }
        fields |= {
            "mean": random.uniform(-9, 9),
            "std": random.uniform(0.1, 9),
            "max_length": random.choice((1, 2, 64, 999)),
        }
        description = f"{fields['sampling_rate']} Hz, {fields['num_mel_bins']} bins, padding={fields['padding']}"
        source.write_text(json.dumps(fields))
    elif way == "call":
        description, clips, call = odd_call(random, call)
    elif way == "code":
        description = "code"
        text = f"open({str(folder / CANARY)!r}, 'w')\nclass Evil: pass\n"
        source.with_name("evil.py").write_text(text)
        source.with_name("feature_extraction_ssast.py").write_text(text)
        fields |= {"auto_map": {"AutoFeatureExtractor": "evil.Evil"}, "feature_extractor_type": "Evil"}
        source.write_text(json.dumps(fields))

    def run():
        extractor = read_feature_extractor(source.parent, SSASTFeatureExtractor)
        options = call | ({"sampling_rate": extractor.sampling_rate} if call["sampling_rate"] is None else {})
        return extractor(clips, **options)

    def check(batch):
        values = batch["input_values"]
        waves = (
            clips if isinstance(clips, list) and np.ndim(clips[0]) else list(clips) if np.ndim(clips) > 1 else [clips]
        )
        if len(values) != len(waves):
            return f"{len(values)} spectrograms of {len(waves)} clips"
        if way == "call":  # fields are those of the seed
            return None if all(np.isfinite(np.asarray(value)).all() for value in values) else "not finite"
        said = {key: json.loads(source.read_text("utf-8-sig")).get(key, FIELDS[key]) for key in FIELDS}
        return spectrogram_difference(values[0].numpy(), np.asarray(waves[0], dtype=np.float64), said)

    return Trial(f"{way}: {description}", run, check, NAMES, is_intact=way in ("intact", "fields"))


def noise(random) -> np.ndarray:
    samples = random.choice((1200, 4800, 16000))
    return np.random.default_rng(random.randrange(2**32)).uniform(-0.5, 0.5, samples).astype(np.float32)


def odd_call(random, call):
    """Arguments that are not what they should be, or that are, in another form."""
    wave = noise(random)
    forms = {
        "an array": wave, "float64": wave.astype(np.float64), "float16": wave.astype(np.float16),
        "a list": wave[:800].tolist(),
        "a tensor": torch.from_numpy(wave), "bfloat16": torch.from_numpy(wave).bfloat16(), "two": [wave, wave[:900]],
        "a batch": np.stack([wave] * 3), "big-endian": wave.astype(">f4"), "backwards": wave[::-1],
        "every other": wave[::2],
        "integers": (wave * 9).astype(np.int16), "booleans": wave > 0, "complex": wave + 1j,
        "stereo": np.stack([wave, wave]),
        "stereo in columns": np.stack([wave, wave], 1), "NaN": np.where(wave > 0.49, np.nan, wave),
        "infinite": np.full_like(wave, np.inf),
        "huge": wave * np.float32(3e38), "huge float64": wave.astype(np.float64) * 1e300, "tiny": wave * 1e-45,
        "short": wave[:399],
        "shortest": wave[:400], "nothing": [], "an empty array": wave[:0], "a number": 0.5,
        "a numpy number": np.float32(0.5),
        "None": None, "a text": "sound.wav", "bytes": b"sound", "a dictionary": {"array": wave}, "texts": ["a", "b"],
        "Nones": [None],
        "ragged": [[0.1] * 500, [0.1] * 600], "nested": [[[0.1] * 500]],
        "objects": np.array([wave, None], dtype=object),
        "a 3D array": np.zeros((2, 3, 500), np.float32), "masked": np.ma.masked_array(wave, wave > 0),
        "a generator": (x for x in wave),
        "mixed": [wave, [0.1] * 500, torch.zeros(700)], "one bad of two": [wave, None], "a tuple": (wave, wave),
        "dates": np.zeros(500, "M8[s]"),
        "sparse": torch.from_numpy(wave).to_sparse(), "on meta": torch.empty(500, device="meta"),
        "records": np.zeros(500, [("a", "f4")]),
        "with gradient": torch.from_numpy(wave).requires_grad_(), "silence": np.zeros(900, np.float32),
        "constant": np.ones(900, np.float32),
        "text of numbers": ["0.1"] * 500, "longdouble": wave.astype(np.longdouble), "zero-dimensional": np.array(0.5),
    }  # fmt: skip
    with np.errstate(all="ignore"):
        name = random.choice(list(forms))
    option = random.choice(
        (None, None, "padding", "max_length", "sampling_rate", "return_tensors", "truncation", "return_attention_mask")
    )
    values = {
        "padding": ("longest", "max_length", False, True, "x", None, 3, []),
        "max_length": (1, 2, 10, 5000, 0, -1, 2.5, "64", True, None, [], float("nan")),
        "sampling_rate": (8000, 16000, 16000.0, "16000", 0, -1, float("nan"), [], True),
        "return_tensors": ("np", "pt", None, "tf", "x", 3),
        "truncation": (True, False, None, 0, "x"),
        "return_attention_mask": (True, False, None, "x"),
    }
    if option is not None:
        call = call | {option: random.choice(values[option])}
    description = name if option is None else f"{name}, {option}={call[option]!r}"
    return description, forms[name], call


def spectrogram_difference(values: np.ndarray, wave: np.ndarray, fields: dict) -> str | None:
    """Whether (frames, mels) differ from a plain float64 computation, frame by frame and filter by filter."""
    rate, bins = fields["sampling_rate"], fields["num_mel_bins"]
    length, shift = int(rate * 0.025), int(rate * 0.01)
    count = 1 + (len(wave) - length) // shift
    count = min(count, fields["max_length"]) if fields["truncation"] else count
    frames = max(count, fields["max_length"]) if fields["padding"] == "max_length" else count
    if values.shape != (frames, bins):
        return f"shape {values.shape}, expected {(frames, bins)}"
    if not np.isfinite(values).all():
        return "not finite"
    if not (900 <= rate <= 200_000 and abs(fields["mean"]) < 100 and 0.01 < fields["std"] < 100):
        return None  # float32 does not hold what is to be compared
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))
    transform = 2 ** math.ceil(math.log2(length))
    filters = mel_filters(bins, transform, rate)
    wave = wave - wave.mean()
    floor = np.finfo(np.float32).eps
    logs = values.astype(np.float64)
    if fields["do_normalize"]:
        logs = logs * 2 * fields["std"] + fields["mean"]
    for number in range(count):
        frame = wave[number * shift : number * shift + length]
        frame = frame - frame.mean()
        frame = (frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])) * window
        energies = filters @ np.abs(np.fft.rfft(frame, transform)[:-1]) ** 2
        # What float32 rounds is relative to the largest energy. Normalised values carry it divided by `std`.
        allowed = 2e-3 * np.maximum(energies, floor) + 1e-4 * energies.max() + floor
        if (np.abs(np.exp(logs[number]) - np.maximum(energies, floor)) > allowed).any():
            return f"frame {number} differs"
    if not np.allclose(logs[count:], fields["padding_value"], rtol=1e-4, atol=1e-3):
        return "padding is not padding_value before normalisation"
    return None


def mel_filters(bins: int, transform: int, rate: int) -> np.ndarray:
    """Kaldi's triangles on the mel scale, (bins, transform / 2)."""
    mel = lambda hertz: 1127 * np.log1p(np.asarray(hertz) / 700)  # noqa: E731
    edges = np.linspace(mel(20.0), mel(rate / 2), bins + 2)
    place = mel(np.arange(transform // 2) * rate / transform)
    filters = np.zeros((bins, transform // 2))
    for number in range(bins):
        left, centre, right = edges[number : number + 3]
        filters[number] = np.clip(
            np.minimum((place - left) / (centre - left), (right - place) / (right - centre)), 0, None
        )
    return filters
