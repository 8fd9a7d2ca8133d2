"""Export a model for onnxruntime: `model.onnx`, what is needed beside it, and a report of the comparison."""

from ..assets import named_model
from .options import add_overwrite


def add_arguments(parser):
    parser.add_argument("model_dir", help="a folder of any model of this package; or nano, the bundled one")
    parser.add_argument("output_dir", help="the folder to write")
    parser.add_argument(
        "--attention_mask",
        action="store_true",
        help="an input that tells audio from padding, for clips of different lengths in a batch",
    )
    parser.add_argument(
        "--waveform_input",
        action="store_true",
        help="put the filter banks into the graph: it takes samples instead of spectrograms",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "int8"),
        help="of the weights (default float32); int8 quantises linear layers, and activations as they come",
    )
    parser.add_argument("--opset", type=int, help="the version of ONNX's operators (default 18, the least)")
    parser.add_argument("--pt2", action="store_true", help="also write model.pt2, for torch.export.load")
    add_overwrite(parser)


def run(arguments: dict) -> list[str]:
    from .exporting.run import export_onnx

    arguments["model_dir"] = named_model(arguments["model_dir"])
    return [*export_onnx(**arguments), f"Written: {arguments['output_dir']}"]
