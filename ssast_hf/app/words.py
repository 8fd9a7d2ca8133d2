"""What goes wrong, said on the page and not in the terminal."""

from collections.abc import Callable
from functools import wraps

import torch


# What people can do something about.
EXPECTED = (ValueError, OSError, ImportError, MemoryError)


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
        except torch.OutOfMemoryError as error:
            return [f"⚠️ The memory is full ({str(error).splitlines()[0]}) Take a shorter clip.", *[None] * count]
        except EXPECTED as error:
            return [f"⚠️ {str(error).strip() or type(error).__name__}", *[None] * count]

    return answer
