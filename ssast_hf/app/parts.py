"""What the tabs share: models and the clip, and how functions are tied to them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


# Also where the page is built without being served.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from .models import Model
from .words import in_words


# One computation at a time: two would only wait for each other.
ONE_AT_A_TIME = dict(concurrency_limit=1, concurrency_id="model", api_visibility="private")
# What gradio replaces by that of each call.
PROGRESS = gr.Progress()
# Narrower than this, what stands side by side is put below each other.
NARROW = 300


@dataclass
class Shared:
    """
    Args:
        models (`dict[str, Model]`): By their titles.
        model, clip, second: The components that choose a model, a recording, and where in it to begin.
    """

    models: dict[str, Model]
    model: Any
    clip: Any
    second: Any

    def tie(self, events: list, function, inputs: list, outputs: list, **options):
        """Call a function with the title of the model and inputs on any of these events; errors are told in words."""
        return gr.on(
            events,
            in_words(function, len(outputs) - 1),
            [self.model, *inputs],
            outputs,
            **ONE_AT_A_TIME,
            **options,
        )

    def empty(self, outputs: list):
        """Take away what another model said; returns the event."""
        nothing = [None] * len(outputs)
        return gr.on(self.model.change, lambda: nothing, None, outputs, show_progress="hidden", **ONE_AT_A_TIME)


def whose(title: str, path) -> str:
    """How an answer begins: by which model, and of which recording, since another one may have been chosen since."""
    return f"*{title}, {Path(path).name}:* "


def picture(label: str, **options) -> gr.Image:
    """A place for a picture."""
    style = dict(type="numpy", format="png", interactive=False, buttons=["fullscreen"], min_width=NARROW)
    return gr.Image(label=label, **style | options)


def sound(label: str) -> gr.Audio:
    """A place for a sound to listen to."""
    return gr.Audio(label=label, interactive=False, min_width=NARROW, buttons=[])


def told(progress: gr.Progress, what: str):
    """A function that takes how much is done, from 0 to 1, and shows it."""
    return lambda share: progress(share, desc=what)
