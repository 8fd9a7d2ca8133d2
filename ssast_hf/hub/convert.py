"""Convert a checkpoint of the original code, lossless, for pretraining or classification."""

from ..conversion.options import add_audit_options, add_config_options, add_overwrite


def add_arguments(parser):
    parser.add_argument("checkpoint", help="a .pth file, or the name of a released one such as SSAST-Base-Patch-400")
    parser.add_argument("output_dir", help="the folder to write")
    parser.add_argument(
        "--url", help="get the named checkpoint from here, a link or a file, instead of from its recorded link"
    )
    add_overwrite(parser)
    add_audit_options(parser)
    add_config_options(
        parser,
        "num_masked_patches mask_strategy objective pooling_mode num_attention_heads num_mel_bins max_length "
        "frequency_stride time_stride",
    )


def run(arguments: dict) -> list[str]:
    from ..conversion.summary import run_with_summary, summary_of_conversion
    from .released import convert_checkpoint

    return run_with_summary(convert_checkpoint, summary_of_conversion, arguments, arguments["checkpoint"])
