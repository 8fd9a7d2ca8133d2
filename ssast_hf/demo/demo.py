"""Continue pretraining, compare, label and show it all on one page, on bundled clips."""

from ..conversion.options import add_overwrite


def add_arguments(parser):
    parser.add_argument("--output_dir", help="the folder to write (default: demo)")
    parser.add_argument(
        "--checkpoint", help="an original checkpoint, or the name of a released one (default: nano, the bundled model)"
    )
    parser.add_argument("--steps", type=int, help="pretraining steps (default: 60)")
    add_overwrite(parser)


def run(arguments: dict):
    from .walkthrough import run_demo

    return run_demo(**arguments)
