"""The graph as a file for onnxruntime."""

import logging
import math
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from packaging.version import Version
from torch import nn
from torch.export import ExportedProgram

from ...storage.guards import reason
from ..folders import ConversionError
from .graph import FeatureGraph, Graph, exported_features, exporting


# PyTorch writes operators of this version of ONNX, and onnxruntime has read the format of such files since then.
OLDEST_OPSET, OLDEST_ONNXRUNTIME, OLDEST_TORCH = 18, "1.18", "2.9"
# The first one with an operator for GELU.
WITH_GELU = 20
# As in the extra `onnx`.
OLDEST_ONNX, OLDEST_ONNXSCRIPT = "1.17", "0.5"
# Files of ONNX hold 2 GB; what is more lies in a second file.
MOST_BYTES = 1 << 30


def check_versions(opset: int):
    """ConversionError if a package, or the version of the operators, is too old; ImportError if one is missing."""
    import onnx
    import onnxruntime
    import onnxscript
    import soundfile  # noqa: F401

    for name, found, oldest in (
        ("PyTorch", torch.__version__, OLDEST_TORCH),
        ("onnx", onnx.__version__, OLDEST_ONNX),
        ("onnxruntime", onnxruntime.__version__, OLDEST_ONNXRUNTIME),
        ("onnxscript", onnxscript.__version__, OLDEST_ONNXSCRIPT),
    ):
        if Version(found) < Version(oldest):
            package = "torch" if name == "PyTorch" else name
            raise ConversionError(
                f'Exporting needs {name} {oldest} or later, found {found}: pip install --upgrade "{package}>={oldest}"'
            )
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise ConversionError(
            f"opset {opset} cannot be written: PyTorch makes operators of {OLDEST_OPSET} and later, and onnx "
            f"{onnx.__version__} knows them up to {newest}. Choose one of these; {OLDEST_OPSET} runs everywhere."
        )


def write_onnx(program: ExportedProgram, graph: Graph, path: Path, opset: int, quantise: bool):
    """Write `path`, in onnxruntime's 8 bit integers on request; ConversionError if a size was fixed on the way."""
    save_onnx(program, graph, graph.example(1, graph.model.config.patch_shape[1]), path, opset)
    if quantise:
        quantise_linear(path)


def write_features(graph: FeatureGraph, path: Path, opset: int):
    """The same of features alone."""
    inputs = graph.example(1, graph.filter_banks.numbers.min_frames)
    save_onnx(exported_features(graph), graph, inputs, path, opset)


def save_onnx(program: ExportedProgram, module: nn.Module, inputs: dict[str, torch.Tensor], path: Path, opset: int):
    """A program of `module`, whose inputs and outputs are named as there."""
    with torch.no_grad():
        names = list(module(**inputs))
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    with quiet(), exporting(path.name):
        if opset < WITH_GELU:
            program = program.run_decompositions({torch.ops.aten.gelu.default: fusible_gelu})
        written = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=names,
            external_data=size > MOST_BYTES,
            verbose=False,
        )
        written.save(path, external_data=size > MOST_BYTES)
    check_opset(path, opset)
    check_sizes_are_open(path)


def fusible_gelu(x: torch.Tensor, approximate: str = "none") -> torch.Tensor:
    """The same numbers by operators in an order that onnxruntime knows, and makes one of."""
    if approximate != "none":
        return NotImplemented  # it stays as it is
    return 0.5 * (x * (1 + torch.erf(x / math.sqrt(2))))


@contextmanager
def quiet():
    """Without the exporters' lines of progress, and their advice to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def check_opset(path: Path, opset: int):
    """ConversionError if onnxscript could not convert the operators to the version that was asked for."""
    import onnx

    (found,) = (each.version for each in onnx.load(path, load_external_data=False).opset_import if not each.domain)
    if found != opset:
        raise ConversionError(
            f"opset {opset} was asked for, and PyTorch {torch.__version__} writes this model in {found}; nothing was "
            f"written. Choose --opset {found}, or update onnxscript."
        )


def check_sizes_are_open(path: Path):
    """ConversionError unless every input takes any number of clips of any length."""
    import onnx

    for each in onnx.load(path, load_external_data=False).graph.input:
        for axis, name in ((0, "batch"), (1, "time")):
            size = each.type.tensor_type.shape.dim[axis]
            if size.HasField("dim_value"):
                raise ConversionError(
                    f"PyTorch {torch.__version__} fixed the {name} of {each.name} at {size.dim_value}; nothing was "
                    "written. Export with another version of PyTorch."
                )


def quantise_linear(path: Path):
    """
    Dynamic quantisation of linear layers, in place. Not of the filter banks, which compute in double precision, nor of
    a product with a vector, such as the query of attentive pooling, which onnxruntime does not run.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    weights = model.graph.initializer
    is_double = {each.name for each in weights if each.data_type == onnx.TensorProto.DOUBLE}
    is_vector = {each.name for each in weights if len(each.dims) == 1}
    kept = [
        node.name
        for node in model.graph.node
        if is_double.intersection(node.input) or (node.op_type == "MatMul" and is_vector.intersection(node.input))
    ]
    target = path.with_name("quantised.onnx")
    with quiet():
        quantize_dynamic(
            model,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            nodes_to_exclude=kept,
            per_channel=True,
            # The kernels for signed weights are twice as fast as those for unsigned ones on processors with VNNI. Of
            # seven bits, since on others sums of two products of eight bits overflow.
            weight_type=QuantType.QInt8,
            reduce_range=True,
        )
    target.replace(path)
    # Where the weights were in a second file, they are in this one now, a quarter of the size.
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)


def open_session(path: Path):
    """The file in onnxruntime; ConversionError if that does not take it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of many types, all its own
        raise ConversionError(
            f"onnxruntime {onnxruntime.__version__} does not take the file ({reason(error)}). Update it, or choose an "
            f"older --opset; {OLDEST_OPSET} is the oldest."
        ) from error
