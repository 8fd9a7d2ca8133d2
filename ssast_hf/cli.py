"""The `ssast-hf` command, the same as `python -m ssast_hf`: arguments in, a report or an error message out."""

import argparse
import errno
import multiprocessing
import os
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
    "export-onnx": "conversion.onnx_export",
    "import-ast": "hub.import_ast",
    "pretrain": "training.pretrain",
    "finetune": "training.finetune",
    "stats": "audio.stats",
    "embed": "inference.embed",
    "explore": "inference.explore",
    "neighbours": "inference.neighbours",
    "evaluate": "inference.evaluate",
    "predict": "inference.predict",
    "publish": "hub.publish",
    "convert-all": "hub.convert_all",
    "demo": "demo.demo",
    "app": "app.app",
}
# Commands that need more than the package's requirements, and the extra that brings it.
EXTRAS = dict.fromkeys("pretrain finetune stats embed explore neighbours evaluate predict demo".split(), "train")
EXTRAS |= {"export-onnx": "onnx", "app": "app"}
# What the same command does after Ctrl-C.
AGAIN = {
    "pretrain": "goes on from the last checkpoint",
    "finetune": "goes on from the last checkpoint",
    "embed": "embeds what is missing",
    "evaluate": "embeds what is missing",
}
# Commands that have a `check(arguments)`, too, of what can be told before PyTorch and transformers are imported.
CHECKED_EARLY = ("finetune", "evaluate")
# Commands whose options parsers of their own read, help included.
PASSED_ON = ("pretrain", "finetune")


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status: 0, or 1 after an error that the user can do something about."""
    command, arguments = parse(argv)
    quiet_transformers()
    return attempt(command, "run", arguments)


def begin():
    """What the command that is running does before PyTorch is imported: it may end here, with help or an error."""
    command, arguments = parse()
    is_worker = multiprocessing.current_process().name != "MainProcess"  # one that reads data, and imports this, too
    if command in CHECKED_EARLY and not is_worker and (status := attempt(command, "check", arguments)):
        sys.exit(status)


def attempt(command: str, function: str, arguments: dict) -> int:
    """Call a function of a command's module and print what it returns; the exit status, as in [`main`]."""
    try:
        for line in getattr(import_module(f".{COMMANDS[command]}", __package__), function)(arguments) or ():
            print(line, flush=True)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"error: {message_of(error, command)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = f"; the same command {AGAIN[command]}" if command in AGAIN else ""
        print(f"interrupted{again}", file=sys.stderr)
        return 130
    return 0


def parse(argv: list[str] | None = None) -> tuple[str, dict]:
    """The subcommand and the options that were given; the others keep the defaults of the functions. May exit."""
    parser = build_parser()
    known, rest = parser.parse_known_args(argv)
    arguments = {name: value for name, value in vars(known).items() if value is not None}
    command = arguments.pop("command")
    if command in PASSED_ON:
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
        has_help = name not in PASSED_ON
        command.add_arguments(commands.add_parser(name, help=summary, description=summary, add_help=has_help))
    return parser


def is_running() -> bool:
    """Whether this process is the command, and not a program that imports the package."""
    argv = getattr(sys, "argv", None) or [""]  # an embedded Python may have none
    if argv[0] == "-m":  # Python is looking for the module to run
        options = sys.orig_argv[1 : len(sys.orig_argv) - len(argv) + 1]
        return options[-1:] == [__package__] or f"-m{__package__}" in options
    # The names that pip gives it; a script or a folder of somebody else's may be called ssast-hf.py or ssast-hf.
    return Path(argv[0]).name in ("ssast-hf", "ssast-hf.exe", "ssast-hf-script.py") and not Path(argv[0]).is_dir()


def message_of(error: Exception, command: str) -> str:
    """What an error says, or how to install what it misses; of a process that read data, without the traceback."""
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith(__package__):
        extra = f"[{EXTRAS[command]}]" if command in EXTRAS else ""
        return f'{error.name.partition(".")[0]} is not installed: pip install "{__package__}{extra}"'
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
        return no_permission(Path(error.filename2 or error.filename))
    text = str(error) or type(error).__name__
    if "Original Traceback" not in text:
        return text
    return text.rstrip().rpartition("\n")[2].partition(": ")[2]  # after the name of its type


def no_permission(path: Path) -> str:
    """Which file or folder denies itself to whoever runs the command, and what to do."""
    if path.exists():
        may_read = os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK)
        what = "to write to" if may_read else "to read"
        return f"{path}: no permission {what} it. Allow it (chmod u+rw), or choose another place."
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return f"{path} cannot be written: no permission to write in {folder}. Allow it, or choose another place."


def quiet_transformers():
    """The reports say what was loaded and what was not; transformers' own bars and tables would bury them."""
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    # Stock AST's extractor says so of itself whenever it is made; one of Kaldi's 128 filters is indeed empty.
    warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
