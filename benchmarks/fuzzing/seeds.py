"""The intact inputs that everything else is made of, small enough for thousands of cases, the same each time."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from ssast_hf import SSASTConfig, SSASTForAudioClassification, SSASTForPretraining, SSASTModel
from ssast_hf.conversion import convert_hf_to_ast, convert_original_to_hf


# Options of the conversion that the small checkpoints need: they have fewer dimensions per head than the released.
OPTIONS = {"num_attention_heads": 4}
FINETUNED_OPTIONS = OPTIONS | {"num_mel_bins": 32, "max_length": 64, "pooling_mode": "cls"}
FOLDERS = ("pretraining", "classifier", "encoder", "shards")
# Suffix, format, subtype, channels and sampling rate of what libsndfile is given to read.
SOUNDS = (
    ("wav", "WAV", "PCM_16", 1, 16000),
    ("wav", "WAV", "PCM_U8", 2, 8000),
    ("wav", "WAV", "PCM_24", 2, 44100),
    ("wav", "WAV", "FLOAT", 1, 16000),
    ("wav", "WAVEX", "DOUBLE", 3, 48000),
    ("wav", "WAV", "IMA_ADPCM", 1, 16000),
    ("wav", "WAV", "ULAW", 1, 8000),
    ("wav", "RF64", "PCM_16", 1, 16000),
    ("flac", "FLAC", "PCM_16", 1, 16000),
    ("flac", "FLAC", "PCM_24", 2, 48000),
    ("ogg", "OGG", "VORBIS", 1, 16000),
    ("opus", "OGG", "OPUS", 1, 48000),
    ("mp3", "MP3", "MPEG_LAYER_III", 1, 16000),
    ("aiff", "AIFF", "PCM_16", 2, 22050),
    ("au", "AU", "PCM_16", 1, 16000),
    ("caf", "CAF", "PCM_16", 1, 16000),
    ("w64", "W64", "PCM_16", 1, 16000),
)


def state_dict(pretraining: bool) -> dict[str, torch.Tensor]:
    """A checkpoint in the original's layout: 16 dimensions, 2 layers, 4 x 8 patches, every number different."""
    width = 16
    shapes = {
        "v.cls_token": (1, 1, width),
        "v.dist_token": (1, 1, width),
        "v.pos_embed": (1, 34, width),
        "v.patch_embed.proj.weight": (width, 1, 8, 8),
        "v.patch_embed.proj.bias": (width,),
    }
    linears = {"v.head": (3, width), "v.head_dist": (3, width)}
    norms = ["v.norm"]
    for i in range(2):
        norms += [f"v.blocks.{i}.norm1", f"v.blocks.{i}.norm2"]
        linears[f"v.blocks.{i}.attn.qkv"] = (3 * width, width)
        linears[f"v.blocks.{i}.attn.proj"] = (width, width)
        linears[f"v.blocks.{i}.mlp.fc1"] = (2 * width, width)
        linears[f"v.blocks.{i}.mlp.fc2"] = (width, 2 * width)
    if pretraining:
        shapes["mask_embed"] = (1, 1, width)
        for head in ("cpredlayer", "gpredlayer"):
            linears |= {f"{head}.0": (width, width), f"{head}.2": (64, width)}
    else:
        norms.append("mlp_head.0")
        linears["mlp_head.1"] = (5, width)
    for name in norms:
        linears[name] = (width,)
    for name, shape in linears.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    generator = torch.Generator().manual_seed(0)
    state = {f"module.{key}": 0.1 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    if pretraining:
        state |= {"module.p_input_fdim": torch.tensor(32), "module.p_input_tdim": torch.tensor(64)}
    return state


def sound(channels: int, sampling_rate: int, seconds: float = 0.15) -> np.ndarray:
    """Noise that fades, (num_samples, channels), float64, the same each time."""
    samples = int(seconds * sampling_rate)
    noise = np.random.default_rng(sampling_rate + channels).uniform(-0.5, 0.5, (samples, channels))
    return noise * np.linspace(1, 0.1, samples)[:, None]


def make_seeds(folder: Path):
    """Write all of them: two checkpoints, a folder of each kind of model, a stock AST folder and sounds."""
    for name, options in (("pretraining", OPTIONS), ("classifier", FINETUNED_OPTIONS)):
        torch.save(state_dict(name == "pretraining"), folder / f"{name}.pth")
        convert_original_to_hf(folder / f"{name}.pth", folder / name, **options)
    convert_hf_to_ast(folder / "classifier", folder / "stock")
    SSASTModel.from_pretrained(folder / "pretraining").save_pretrained(folder / "encoder")
    SSASTForPretraining.from_pretrained(folder / "pretraining").save_pretrained(
        folder / "shards", max_shard_size="9KB"
    )
    for name in ("encoder", "shards"):
        (folder / name / "preprocessor_config.json").write_bytes(
            (folder / "pretraining" / "preprocessor_config.json").read_bytes()
        )
    assert SSASTConfig.from_pretrained(folder / "shards").num_patches == 32
    assert SSASTForAudioClassification.from_pretrained(folder / "classifier").config.num_labels == 5
    (folder / "sounds").mkdir()
    for number, (suffix, format, subtype, channels, rate) in enumerate(SOUNDS):
        path = folder / "sounds" / f"{number:02}.{suffix}"
        soundfile.write(path, sound(channels, rate), rate, format=format, subtype=subtype)
