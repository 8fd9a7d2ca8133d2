"""
Convert a checkpoint of the original SSAST code to a folder for transformers' Auto classes.

    python conversion_scripts/convert_original_to_hf.py SSAST-Tiny-Patch-400 ssast-tiny-patch-400

The same as `ssast-hf convert`; `--help` lists the options.
"""

import sys

from ssast_hf.cli import main


if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
