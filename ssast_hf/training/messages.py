"""What a run says besides its progress."""

import sys

from accelerate import PartialState


def say(text: str):
    """Tell once, not once per process."""
    if PartialState().is_main_process:
        print(text, file=sys.stderr)
