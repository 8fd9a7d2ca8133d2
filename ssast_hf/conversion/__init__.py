"""Weights from one form into another: a file or a folder in, a folder or a file out. No network."""

from importlib import import_module


# What is public here, and the module that has it. Imported when it is asked for, because the command line reads the
# options of its commands from this folder and answers before PyTorch is imported.
FUNCTIONS = {
    "ConversionError": "folders",
    "convert_ast_to_hf": "stock_ast",
    "convert_hf_to_ast": "stock_ast",
    "convert_hf_to_original": "original",
    "convert_original_to_hf": "original",
    "export_onnx": "exporting.run",
}
__all__ = list(FUNCTIONS)


def __getattr__(name: str):
    if name not in FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{FUNCTIONS[name]}", __name__), name)
