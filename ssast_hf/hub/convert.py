"""Convert a checkpoint of the original code, lossless, for pretraining or classification."""

from ..conversion.options import add_config_options, add_overwrite


def add_arguments(parser):
    parser.add_argument("checkpoint", help="a .pth file, or the name of a released one such as SSAST-Base-Patch-400")
    parser.add_argument("output_dir", help="the folder to write")
    parser.add_argument(
        "--url", help="get the named checkpoint from here, a link or a file, instead of from its recorded link"
    )
    add_overwrite(parser)
    add_config_options(
        parser,
        "num_masked_patches mask_strategy objective pooling_mode num_attention_heads num_mel_bins max_length "
        "frequency_stride time_stride",
    )


def run(arguments: dict) -> list[str]:
    from .released import convert_checkpoint

    return [*convert_checkpoint(**arguments), f"Written: {arguments['output_dir']}"]
