"""Download, convert and verify every released checkpoint, and publish them if asked."""

from ..conversion.options import add_overwrite
from .publish import add_private, show_transfers


def add_arguments(parser):
    parser.add_argument(
        "--output", dest="output_dir", required=True, help="the folder to write, one folder in it each"
    )
    parser.add_argument("--publish", action="store_true", help="publish each one")
    parser.add_argument("--namespace", help="user or organisation to publish to")
    add_private(parser)
    parser.add_argument("--checkpoints", help="a file like the package's checkpoints.json (default: that one)")
    add_overwrite(parser)


def run(arguments: dict):
    from .released import convert_all

    show_transfers()
    return convert_all(**arguments)
