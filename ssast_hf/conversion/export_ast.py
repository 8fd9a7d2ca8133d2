"""Export a model as a stock AST checkpoint, which needs no custom code."""

from .options import add_overwrite


def add_arguments(parser):
    parser.add_argument("ssast_dir", help="a folder of a pretraining, base or classification model")
    parser.add_argument("output_dir", help="the folder to write")
    parser.add_argument(
        "--allow_pooling_change",
        action="store_true",
        help="export a mean-pooled classifier although stock AST pools otherwise, and print the change",
    )
    add_overwrite(parser)


def run(arguments: dict) -> list[str]:
    from .stock_ast import convert_hf_to_ast

    return [*convert_hf_to_ast(**arguments), f"Written: {arguments['output_dir']}"]
