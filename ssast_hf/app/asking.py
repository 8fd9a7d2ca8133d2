"""One question to a model on the page, without a browser: is it there, and does it compute what it should?"""

from ..assets import titled_clips
from .comparing import hear
from .models import COMPARE, Model


# Which bundled clip is asked about.
QUESTION = "rooster"


def ask(models: dict[str, Model]) -> dict:
    """
    The first model's name and, if it encodes, its vector of a bundled clip, as a list of numbers.
    """
    title, model = next(iter(models.items()))
    if COMPARE not in model.abilities:
        return {"model": title, "clip": QUESTION, "vector": []}
    heard = hear(model.embedder, str(titled_clips()[QUESTION]), QUESTION, lambda share: None)
    return {"model": title, "clip": QUESTION, "vector": heard.whole.tolist()}
