"""Write a model in the layout of the original code, bit for bit."""

from ..assets import named_model
from .options import add_overwrite


def add_arguments(parser):
    parser.add_argument("ssast_dir", help="a folder of a pretraining or classification model; or nano, bundled")
    parser.add_argument("output_path", metavar="output.pth", help="the file to write")
    add_overwrite(parser)


def run(arguments: dict) -> list[str]:
    from .original import convert_hf_to_original

    return convert_hf_to_original(**arguments | {"ssast_dir": named_model(arguments["ssast_dir"])})
