"""The tab *Listen and hide*."""

import gradio as gr
import numpy as np

from ..hiding import CLUSTER, PAINTED, STRATEGIES
from ..parts import NARROW, ONE_AT_A_TIME, Shared, picture, sound, whose
from ..pictures import CANVAS
from ..showing import Shown, canvas_of, number_at, show_guess, show_place


HEADERS = ["rank", "second", "mel bins", "probability", "is it"]


def add_hiding(shared: Shared, page: gr.Blocks):
    """Fill the tab; it is also shown when the page opens."""
    with gr.Row():
        strategy = gr.Radio(STRATEGIES, value=CLUSTER, label="What to hide", scale=2, min_width=NARROW)
        share = gr.Slider(5, 95, value=40, step=5, label="How much, in percent", min_width=NARROW)
        seed = gr.Number(0, precision=0, minimum=0, maximum=2**31, label="Seed", min_width=120)
    # Of its own, so that it takes away nothing that is said of a guess.
    unpaintable = gr.Markdown(elem_classes="plain")
    editor = gr.ImageEditor(
        label="Paint over what is to be hidden",
        elem_id="paint",
        visible=False,
        type="numpy",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(default_size=40, colors=["#18b5a0"], color_mode="fixed"),
        canvas_size=CANVAS,
        fixed_canvas=True,
    )
    button = gr.Button("Hide it, and guess", variant="primary")
    notice = gr.Markdown(elem_classes="plain")
    with gr.Row():
        pictures = [picture("Original"), picture("What the model sees")]
    with gr.Row():
        pictures += [picture("What it makes of it"), picture("Where it is wrong (squared error)")]
    with gr.Row():
        sounds = [
            sound("The recording"),
            sound("Its spectrogram as sound"),
            sound("The model's as sound (approximate)"),
        ]
    gr.Markdown(
        "The model sees no phases, so sound is made from its picture by mel inversion and Griffin-Lim. The second "
        "player says what that alone does to a recording.",
        elem_classes="plain",
    )
    gr.Markdown(
        "### Which patch is which?\nFor each hidden place the discriminative head says which of the hidden patches "
        "belongs there. At the left, the rank of the right one: yellow is first."
    )
    facts = gr.Markdown(elem_classes="plain")
    with gr.Row():
        ranks = picture("Rank of the right patch (click one)", elem_id="ranks")
        where = picture("What it expects in the outlined place", elem_id="place")
    place = gr.Slider(1, 2, value=1, step=1, label="Hidden place, by its number")
    table = gr.Dataframe(headers=HEADERS, label="Its candidates, the likeliest first", interactive=False, wrap=True)
    state = gr.State()

    def hide(title: str, path, second, strategy, share, seed, drawn) -> list:
        shown = show_guess(
            *shared.models[title].pretraining,
            path,
            second or 0,
            strategy,
            share / 100,
            int(seed or 0),
            paint_of(drawn),
        )
        chosen = gr.update(maximum=max(shown.num_hidden, 2), value=1)
        facts = whose(title, path) + shown.facts
        return [shown.notice, *shown.pictures, *shown.sounds, facts, shown.ranks, chosen, shown, *at(shown, 1)]

    inputs = [shared.clip, shared.second, strategy, share, seed, editor]
    outputs = [notice, *pictures, *sounds, facts, ranks, place, state, where, table]
    # Here and below: what is chosen while the answer before is being made counts, too.
    shared.tie([button.click, page.load], hide, inputs, outputs, show_progress_on=pictures, trigger_mode="always_last")
    shared.empty([each for each in outputs if each is not place])

    def offer(title: str, path, second, strategy) -> list:
        is_painted = strategy == PAINTED
        value = canvas_of(*shared.models[title].pretraining, path, second or 0) if is_painted else None
        drawn = None if value is None else {"background": value, "layers": [], "composite": None}
        return ["", gr.update(visible=is_painted, value=drawn)]

    # Whatever decides which patches there are to paint on.
    events = [strategy.input, shared.model.change, shared.clip.change, shared.second.change]
    inputs = [shared.clip, shared.second, strategy]
    shared.tie(events, offer, inputs, [unpaintable, editor], trigger_mode="always_last")

    def turn(shown: Shown | None, number) -> list:
        return at(shown, number)

    hidden = ONE_AT_A_TIME | {"show_progress": "hidden", "trigger_mode": "always_last"}
    # As it is: gradio would refuse a number box that is being typed in.
    place.input(turn, [state, place], [where, table], preprocess=False, **hidden)

    def click(shown: Shown | None, event: gr.SelectData) -> list:
        number = None if shown is None else number_at(shown, event.index)
        return [gr.skip()] * 3 if number is None else [number, *at(shown, number)]

    ranks.select(click, state, [place, where, table], **hidden)


def at(shown: Shown | None, number) -> list:
    """Picture and table of a hidden place."""
    return [None, None] if shown is None else list(show_place(shown, int(number or 1) - 1))


def paint_of(drawn: dict | None) -> np.ndarray | None:
    """Where there is paint in what the editor returns, (height, width) bool."""
    layers = [] if drawn is None else [layer for layer in drawn["layers"] if layer is not None]
    return np.any([layer[:, :, 3] > 0 for layer in layers], axis=0) if layers else None
