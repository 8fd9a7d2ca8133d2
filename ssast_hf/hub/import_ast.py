"""Make a stock AST checkpoint ready for pretraining, with fresh heads."""

from functools import partial
from pathlib import Path

from ..conversion.options import add_audit_options, add_config_options, add_overwrite


def add_arguments(parser):
    parser.add_argument("ast_dir_or_repo", help="a folder, or a repository on the Hub")
    parser.add_argument("output_dir", help="the folder to write")
    add_overwrite(parser)
    add_audit_options(parser)
    add_config_options(parser, "num_masked_patches mask_strategy objective pooling_mode layer_norm_eps")


def run(arguments: dict) -> list[str]:
    from ..conversion.stock_ast import convert_ast_to_hf
    from ..conversion.summary import run_with_summary, summary_of_change
    from ..storage.writing import check_output

    source, output_dir = arguments.pop("ast_dir_or_repo"), arguments["output_dir"]
    check_output(output_dir, arguments.get("overwrite", False), source)  # before anything is downloaded
    return run_with_summary(partial(convert_ast_to_hf, folder_of(source)), summary_of_change, arguments, source)


def folder_of(ast_dir_or_repo: str) -> Path:
    """
    The folder of a stock AST checkpoint, fetched from the Hub if it is the name of a repository.

    Raises:
        OSError: If it is neither, or if the Hub cannot be reached or has no such repository.
    """
    source = Path(ast_dir_or_repo)
    if source.is_dir():
        return source
    if source.exists() or ast_dir_or_repo.count("/") != 1:
        raise FileNotFoundError(f"{ast_dir_or_repo} is neither a folder nor the name of a repository (owner/name).")
    from huggingface_hub import snapshot_download

    files = ["config.json", "preprocessor_config.json", "*.safetensors"]
    try:
        return Path(snapshot_download(ast_dir_or_repo, allow_patterns=files))
    except OSError as error:
        raise OSError(f"{ast_dir_or_repo} could not be fetched from the Hub: {error}") from error
