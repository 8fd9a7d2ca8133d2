"""The `ssast-hf` command, the same as `python -m ssast_hf`: arguments in, a report or an error message out."""

import argparse
import sys
from contextlib import contextmanager

from . import __version__


# Options that set a field of the configuration. What a checkpoint itself determines must not contradict it.
CONFIG_OPTIONS = {
    "num_masked_patches": dict(type=int, help="patches to mask per full-length clip"),
    "mask_strategy": dict(choices=("cluster", "random", "original"), help="how masked patches are drawn"),
    "objective": dict(choices=("joint", "discriminative", "generative"), help="what continued pretraining trains"),
    "pooling_mode": dict(choices=("mean", "cls"), help="what pooler_output and the classifier see"),
    "num_attention_heads": dict(type=int, help="attention heads per layer (default: one per 64 dimensions)"),
    "num_mel_bins": dict(type=int, help="mel bins of the input (fine-tuned checkpoints; default 128)"),
    "max_length": dict(type=int, help="frames of the input (fine-tuned checkpoints: required)"),
    "frequency_stride": dict(type=int, help="mel bins between patches (fine-tuned checkpoints; default: the patch)"),
    "time_stride": dict(type=int, help="frames between patches (fine-tuned checkpoints; default: the patch)"),
}
IMPORT_OPTIONS = {
    name: CONFIG_OPTIONS[name] for name in ("num_masked_patches", "mask_strategy", "objective", "pooling_mode")
} | {"layer_norm_eps": dict(type=float, help="epsilon of the encoder's layer norms; SSAST was trained with 1e-6")}


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status: 0, or 1 after an error that the user can do something about."""
    parser = build_parser()
    known, rest = parser.parse_known_args(argv)
    arguments = vars(known)
    command = arguments.pop("command")
    if command == "pretrain":  # its options are those of transformers' Trainer, whose import takes seconds
        arguments["argv"] = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    # Options that were not given keep the defaults of the functions.
    given = {name: value for name, value in arguments.items() if value is not None}
    quiet_transformers()
    try:
        for line in COMMANDS[command](**given):
            print(line)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {message_of(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = "; the same command goes on from the last checkpoint" if command == "pretrain" else ""
        print(f"interrupted{again}", file=sys.stderr)
        return 130
    return 0


def message_of(error: Exception) -> str:
    """What an error says; of one in a process that read data, without the traceback in front."""
    text = str(error)
    return text.rstrip().rpartition("\n")[2] if "Original Traceback" in text else text


def quiet_transformers():
    """The reports say what was loaded and what was not; transformers' own bars and tables would bury them."""
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    # Stock AST's extractor says so of itself whenever it is made; one of Kaldi's 128 filters is indeed empty.
    warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ssast-hf", description="SSAST checkpoints for HuggingFace transformers.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=summary)

    command = add("convert", "Convert a checkpoint of the original code, lossless, for pretraining or classification.")
    command.add_argument("checkpoint", help="a .pth file, or the name of a released one such as SSAST-Base-Patch-400")
    command.add_argument("output_dir", help="the folder to write")
    command.add_argument(
        "--url", help="get the named checkpoint from here, a link or a file, instead of from its recorded link"
    )
    add_overwrite(command)
    add_config_options(command, CONFIG_OPTIONS)

    command = add("export-ast", "Export a model as a stock AST checkpoint, which needs no custom code.")
    command.add_argument("ssast_dir", help="a folder of a pretraining, base or classification model")
    command.add_argument("output_dir", help="the folder to write")
    command.add_argument(
        "--allow_pooling_change",
        action="store_true",
        help="export a mean-pooled classifier although stock AST pools otherwise, and print the change",
    )
    add_overwrite(command)

    command = add("export-original", "Write a model in the layout of the original code, bit for bit.")
    command.add_argument("ssast_dir", help="a folder of a pretraining or classification model")
    command.add_argument("output_path", metavar="output.pth", help="the file to write")
    add_overwrite(command)

    command = add("import-ast", "Make a stock AST checkpoint ready for pretraining, with fresh heads.")
    command.add_argument("ast_dir_or_repo", help="a folder, or a repository on the Hub")
    command.add_argument("output_dir", help="the folder to write")
    add_overwrite(command)
    add_config_options(command, IMPORT_OPTIONS)

    commands.add_parser(
        "pretrain",
        help="Pretrain from a checkpoint or from scratch on any audio; see ssast-hf pretrain --help.",
        add_help=False,
    )

    command = add(
        "stats",
        "Mean and standard deviation of a data set's log-mel features, over what is not padding, each clip cut to its "
        "first frames.",
    )
    command.add_argument("--train_data", nargs="+", required=True, help="as for pretrain, unless streamed")
    command.add_argument(
        "--model_name_or_path", help="a model whose feature extractor is used (default: the released)"
    )
    command.add_argument("--write", action="store_true", help="store the result in that folder's feature extractor")
    command.add_argument("--max_length", type=int, help="frames per clip (default: the feature extractor's)")
    command.add_argument("--num_workers", type=int, help="processes that read and decode (default: 2)")
    command.add_argument("--dataset_split", help="split of a data set on the Hub (default: train)")
    command.add_argument("--dataset_config_name", help="its configuration")
    command.add_argument("--audio_column", help="column of audio or paths (default: found by its usual names)")

    command = add("publish", "Publish a model on the Hub, so that it loads where this package is not installed.")
    command.add_argument("model_dir", help="a folder of a pretraining, base or classification model")
    command.add_argument("--repo_id", required=True, help="NAMESPACE/NAME; created if there is none")
    add_private(command)
    command.add_argument("--create_pr", action="store_true", help="open a pull request instead of committing")
    command.add_argument("--revision", help="branch to commit to, created if there is none (default: main)")
    command.add_argument("--dry_run", action="store_true", help="stage, verify and show the card; upload nothing")
    command.add_argument("--license", help="licence of the weights, as the Hub spells it, for example cc-by-4.0")
    command.add_argument("--datasets", nargs="+", help="data sets on the Hub that it was trained on")
    command.add_argument("--base_model", help="repository of the model that training began from")
    command.add_argument("--commit_message", help="title of the commit")

    command = add("convert-all", "Download, convert and verify every released checkpoint, and publish them if asked.")
    command.add_argument(
        "--output", dest="output_dir", required=True, help="the folder to write, one folder in it each"
    )
    command.add_argument("--publish", action="store_true", help="publish each one")
    command.add_argument("--namespace", help="user or organisation to publish to")
    add_private(command)
    command.add_argument("--checkpoints", help="a file like the package's checkpoints.json (default: that one)")
    add_overwrite(command)

    command = add("demo", "Convert, continue pretraining, draw, export and classify, on bundled clips.")
    command.add_argument("--output_dir", help="the folder to write (default: demo)")
    command.add_argument("--checkpoint", help="an original checkpoint (default: a small generated one)")
    command.add_argument("--steps", type=int, help="pretraining steps (default: 60)")
    add_overwrite(command)
    return parser


def add_private(command: argparse.ArgumentParser):
    command.add_argument("--private", action="store_true", help="create repositories as private")


def add_overwrite(command: argparse.ArgumentParser):
    command.add_argument("--overwrite", action="store_true", help="replace the output; other files in its folder stay")


def add_config_options(command: argparse.ArgumentParser, options: dict[str, dict]):
    for name, option in options.items():
        command.add_argument(f"--{name}", **option)


def convert(**arguments):
    from .conversion.original import convert_original_to_hf

    return [*convert_original_to_hf(**arguments), f"Written: {arguments['output_dir']}"]


def export_ast(**arguments):
    from .conversion.stock_ast import convert_hf_to_ast

    return [*convert_hf_to_ast(**arguments), f"Written: {arguments['output_dir']}"]


def export_original(**arguments):
    from .conversion.original import convert_hf_to_original

    return convert_hf_to_original(**arguments)


def import_ast(**arguments):
    from .conversion.stock_ast import convert_ast_to_hf

    return [*convert_ast_to_hf(**arguments), f"Written: {arguments['output_dir']}"]


def pretrain(argv):
    with naming_the_extra():
        from .training.pretrain import main

    return main(argv)


def stats(**arguments):
    with naming_the_extra():
        from .audio.feature_statistics import compute_stats

    return compute_stats(**arguments)


@contextmanager
def naming_the_extra():
    """Says how to install what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed: pip install ssast_hf with its extra [train].") from error


def publish(**arguments):
    from .hub.upload import publish

    show_transfers()
    return publish(**arguments)


def convert_all(**arguments):
    from .hub.released import convert_all

    show_transfers()
    return convert_all(**arguments)


def show_transfers():
    """Bars for what is uploaded, which are hidden together with those of loading."""
    from huggingface_hub.utils import enable_progress_bars

    enable_progress_bars()


def demo(**arguments):
    from .demo.walkthrough import run_demo

    return run_demo(**arguments)


COMMANDS = {
    "convert": convert,
    "export-ast": export_ast,
    "export-original": export_original,
    "import-ast": import_ast,
    "pretrain": pretrain,
    "stats": stats,
    "publish": publish,
    "convert-all": convert_all,
    "demo": demo,
}
