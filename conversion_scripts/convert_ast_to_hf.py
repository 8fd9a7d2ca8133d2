"""
Make a stock AST checkpoint ready for SSAST pretraining, with fresh heads and mask token.

    python conversion_scripts/convert_ast_to_hf.py Simon-Kotchou/ssast-tiny-patch-audioset-16-16 ssast-tiny

The same as `ssast-hf import-ast`; `--help` lists the options.
"""

import sys

from ssast_hf.cli import main


if __name__ == "__main__":
    sys.exit(main(["import-ast", *sys.argv[1:]]))
