"""What a run says besides its progress."""

import sys
import warnings

from accelerate import PartialState
from transformers.utils import logging


def say(text: str):
    """Tell once, not once per process."""
    if PartialState().is_main_process:
        print(text, file=sys.stderr)


def quiet_libraries():
    """Let what a run begins with be known, and nothing be told that is so in every run."""
    logging.set_verbosity_warning()
    # DDP says so of a convolution with a single channel in. It costs a copy of that one gradient.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
