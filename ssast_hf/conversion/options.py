"""Options of the command line that several commands share."""

import argparse


# Options that set a field of the configuration. What a checkpoint itself determines must not contradict it.
CONFIG_OPTIONS: dict[str, dict] = {
    "num_masked_patches": dict(type=int, help="patches to mask per full-length clip"),
    "mask_strategy": dict(choices=("cluster", "random", "original"), help="how masked patches are drawn"),
    "objective": dict(choices=("joint", "discriminative", "generative"), help="what continued pretraining trains"),
    "pooling_mode": dict(choices=("mean", "cls"), help="what pooler_output and the classifier see"),
    "layer_norm_eps": dict(type=float, help="epsilon of the encoder's layer norms; SSAST was trained with 1e-6"),
    "num_attention_heads": dict(type=int, help="attention heads per layer (default: one per 64 dimensions)"),
    "num_mel_bins": dict(type=int, help="mel bins of the input (fine-tuned checkpoints; default 128)"),
    "max_length": dict(type=int, help="frames of the input (required for fine-tuned checkpoints from elsewhere)"),
    "frequency_stride": dict(type=int, help="mel bins between patches (fine-tuned checkpoints; default: the patch)"),
    "time_stride": dict(type=int, help="frames between patches (fine-tuned checkpoints; default: the patch)"),
}


def add_config_options(parser: argparse.ArgumentParser, names: str):
    """Add those of [`CONFIG_OPTIONS`] whose names are listed, separated by spaces."""
    for name in names.split():
        parser.add_argument(f"--{name}", **CONFIG_OPTIONS[name])


def add_overwrite(parser: argparse.ArgumentParser):
    parser.add_argument("--overwrite", action="store_true", help="replace the output; other files in its folder stay")


def add_audit_options(parser: argparse.ArgumentParser):
    parser.add_argument("--verbose", action="store_true", help="print the whole audit: what became of every tensor")
    parser.add_argument("--audit_file", metavar="FILE", help="write the whole audit into this file")
