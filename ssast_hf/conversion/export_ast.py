"""Export a model as a stock AST checkpoint, which needs no custom code."""

from ..assets import named_model
from .options import add_audit_options, add_overwrite


def add_arguments(parser):
    parser.add_argument("ssast_dir", help="a folder of a pretraining, base or classification model; or nano, bundled")
    parser.add_argument("output_dir", help="the folder to write")
    parser.add_argument(
        "--allow_pooling_change",
        action="store_true",
        help="export a mean-pooled classifier although stock AST pools otherwise, and print the change",
    )
    add_overwrite(parser)
    add_audit_options(parser)


def run(arguments: dict) -> list[str]:
    from .stock_ast import convert_hf_to_ast
    from .summary import run_with_summary, summary_of_change

    arguments["ssast_dir"] = named_model(arguments["ssast_dir"])
    return run_with_summary(convert_hf_to_ast, summary_of_change, arguments, arguments["ssast_dir"])
