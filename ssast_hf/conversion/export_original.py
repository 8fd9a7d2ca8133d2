"""Write a model in the layout of the original code, bit for bit."""

from .options import add_overwrite


def add_arguments(parser):
    parser.add_argument("ssast_dir", help="a folder of a pretraining or classification model")
    parser.add_argument("output_path", metavar="output.pth", help="the file to write")
    add_overwrite(parser)


def run(arguments: dict) -> list[str]:
    from .original import convert_hf_to_original

    return convert_hf_to_original(**arguments)
