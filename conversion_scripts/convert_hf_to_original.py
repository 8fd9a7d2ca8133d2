"""
Write an SSAST model in the layout of the original code, bit for bit.

    python conversion_scripts/convert_hf_to_original.py ssast-tiny-patch-400 SSAST-Tiny-Patch-400.pth

The same as `ssast-hf export-original`; `--help` lists the options.
"""

import sys

from ssast_hf.cli import main


if __name__ == "__main__":
    sys.exit(main(["export-original", *sys.argv[1:]]))
