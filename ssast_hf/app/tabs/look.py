"""The tab *Look inside*."""

import gradio as gr

from ..models import LOOK
from ..parts import NARROW, Shared, picture, whose
from ..showing import attended_place, show_attention
from ..sounds import frame_shift


ALL_HEADS = "mean of all"


def add_attention(shared: Shared, page: gr.Blocks):
    """Fill the tab."""
    first = next(each for each in shared.models.values() if LOOK in each.abilities)
    gr.Markdown("What one patch attends to, layer by layer. Click a patch, or move the sliders.", elem_classes="plain")
    with gr.Row():
        layer, head, second, mel = controls(first)
    button = gr.Button("Look", variant="primary")
    notice = gr.Markdown(elem_classes="plain")
    image = picture("Attention of the outlined patch", elem_id="attention")

    def show(title: str, path, begin, layer, head, second, mel) -> list:
        number = None if head == ALL_HEADS else int(head)
        embedder = shared.models[title].embedder
        sentence, drawn = show_attention(embedder, path, begin or 0, int(layer), number, second, mel)
        return [whose(title, path) + sentence, drawn]

    inputs = [shared.clip, shared.second, layer, head, second, mel]
    shared.empty([notice, image])
    events = [button.click, layer.release, head.input, second.release, mel.release]
    # What is moved while the picture before is being drawn counts, too.
    shared.tie(events, show, inputs, [notice, image], trigger_mode="always_last")

    def click(title: str, path, begin, layer, head, event: gr.SelectData) -> list:
        place = attended_place(shared.models[title].embedder, path, begin or 0, event.index)
        if place is None:
            return [gr.skip()] * 4
        return [*show(title, path, begin, layer, head, *place), *place]

    shared.tie([image.select], click, inputs[:4], [notice, image, second, mel], trigger_mode="always_last")

    def resize(title: str) -> list:
        chosen = shared.models[title]
        if LOOK not in chosen.abilities:
            return [gr.skip()] * 4
        return [gr.update(**fields) for fields in ranges(chosen)]

    shared.model.change(resize, shared.model, [layer, head, second, mel], api_visibility="private")


def ranges(model) -> list[dict]:
    """What can be chosen of a model: layers, heads, seconds, mel bins."""
    config, shift = model.embedder.config, frame_shift(model.embedder.feature_extractor)
    layers = config.num_hidden_layers
    seconds = round(config.max_length * shift, 2)
    heads = [ALL_HEADS, *(str(number) for number in range(1, config.num_attention_heads + 1))]
    return [
        # A slider has two ends at least.
        dict(maximum=max(layers, 2), value=layers, visible=layers > 1),
        dict(choices=heads, value=ALL_HEADS),
        dict(maximum=seconds, value=min(0.4, seconds)),
        dict(maximum=config.num_mel_bins - 1, value=config.num_mel_bins // 4),
    ]


def controls(model) -> list:
    """The four of them."""
    layer, head, second, mel = ranges(model)
    return [
        gr.Slider(minimum=1, step=1, label="Layer", min_width=NARROW // 2, **layer),
        gr.Radio(label="Head", min_width=NARROW // 2, **head),
        gr.Slider(minimum=0, step=0.01, label="Second of the patch in the part", min_width=NARROW // 2, **second),
        gr.Slider(minimum=0, step=1, label="Mel bin of the patch", min_width=NARROW // 2, **mel),
    ]
