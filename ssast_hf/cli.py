"""The `ssast-hf` command, the same as `python -m ssast_hf`: arguments in, a report or an error message out."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from . import __version__


# Subcommand -> the module that has its summary (the docstring), its `add_arguments(parser)` and its `run(arguments)`.
# These modules import nothing heavy before they run, so that help and errors of the command line come at once.
COMMANDS = {
    "convert": "hub.convert",
    "export-ast": "conversion.export_ast",
    "export-original": "conversion.export_original",
    "import-ast": "hub.import_ast",
    "pretrain": "training.pretrain",
    "stats": "audio.stats",
    "publish": "hub.publish",
    "convert-all": "hub.convert_all",
    "demo": "demo.demo",
}
# Commands that need more than the package's requirements, and the extra that brings it.
EXTRAS = {"pretrain": "train", "stats": "train", "demo": "train"}
# A command whose options a parser of its own reads, help included.
PASSED_ON = "pretrain"


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status: 0, or 1 after an error that the user can do something about."""
    command, arguments = parse(argv)
    quiet_transformers()
    try:
        for line in import_module(f".{COMMANDS[command]}", __package__).run(arguments):
            print(line)
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is not installed{advice(command)}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {message_of(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = "; the same command goes on from the last checkpoint" if command == "pretrain" else ""
        print(f"interrupted{again}", file=sys.stderr)
        return 130
    return 0


def parse(argv: list[str] | None = None) -> tuple[str, dict]:
    """The subcommand and the options that were given; the others keep the defaults of the functions. May exit."""
    parser = build_parser()
    known, rest = parser.parse_known_args(argv)
    arguments = {name: value for name, value in vars(known).items() if value is not None}
    command = arguments.pop("command")
    if command == PASSED_ON:
        arguments["options"] = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return command, arguments


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ssast-hf", description="SSAST checkpoints for HuggingFace transformers.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = import_module(f".{module}", __package__)
        summary = " ".join((command.__doc__ or "").split())
        command.add_arguments(commands.add_parser(name, help=summary, description=summary, add_help=name != PASSED_ON))
    return parser


def is_running() -> bool:
    """Whether this process is the command, and not a program that imports the package."""
    if sys.argv[:1] == ["-m"]:  # Python is looking for the module to run
        options = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
        return options[-1:] == [__package__] or f"-m{__package__}" in options
    return Path(sys.argv[0] if sys.argv else "").stem in ("ssast-hf", "ssast-hf-script")


def advice(command: str) -> str:
    """How to install what a command needs."""
    return f": pip install ssast_hf with its extra [{EXTRAS[command]}]." if command in EXTRAS else "."


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
