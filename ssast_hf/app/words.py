"""What goes wrong, said on the page and not in the terminal."""

from collections.abc import Callable
from functools import wraps

import torch

from ..storage.guards import is_out_of_memory


# What people can do something about.
EXPECTED = (ValueError, OSError, ImportError)


def in_words(function: Callable[..., list], count: int) -> Callable[..., list]:
    """
    A function behind the page that always answers: with a sentence, and `count` results, or `None` for each of them
    if it cannot.

    Args:
        function (`Callable`): Returns a list of a sentence, which may be empty, and the results.
        count (`int`): How many results.
    """

    @wraps(function)
    def answer(*arguments, **options) -> list:
        try:
            return function(*arguments, **options)
        except (*EXPECTED, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error):
                said = "The memory is full. Take a shorter clip, or start the page with another --device."
            elif isinstance(error, EXPECTED):
                said = str(error).strip() or type(error).__name__
            else:
                raise
            return [f"⚠️ {said}", *[None] * count]

    return answer
