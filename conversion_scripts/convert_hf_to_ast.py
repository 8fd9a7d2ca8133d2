"""
Export an SSAST model as a stock AST checkpoint, which loads without custom code.

    python conversion_scripts/convert_hf_to_ast.py ssast-tiny-patch-400 ast-tiny-patch-400

The same as `ssast-hf export-ast`; `--help` lists the options.
"""

import sys

from ssast_hf.cli import main


if __name__ == "__main__":
    sys.exit(main(["export-ast", *sys.argv[1:]]))
