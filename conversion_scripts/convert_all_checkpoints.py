"""
Download, convert and verify every released checkpoint, with a model card each.

    python conversion_scripts/convert_all_checkpoints.py --output zoo

The same as `ssast-hf convert-all`; `--help` lists the options.
"""

import sys

from ssast_hf.cli import main


if __name__ == "__main__":
    sys.exit(main(["convert-all", *sys.argv[1:]]))
