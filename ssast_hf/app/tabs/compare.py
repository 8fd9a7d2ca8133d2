"""The tab *Embed and compare*."""

import gradio as gr

from ...assets import titled_clips
from ..comparing import show_comparison
from ..parts import NARROW, PROGRESS, Shared, picture, told


HEADERS = ["clip", "seconds", "nearest", "second", "third"]


def add_comparison(shared: Shared, page: gr.Blocks):
    """Fill the tab."""
    clips = {title: str(path) for title, path in titled_clips().items()}
    gr.Markdown(
        "Two clips or more: those ticked, those dropped, and on request the one above. From what a model makes of "
        "each, how alike they are: 1 points the same way, 0 is unrelated, seen from the mean of the bundled clips.",
        elem_classes="plain",
    )
    with gr.Row():
        ticked = gr.CheckboxGroup(list(clips), value=["dog", "rooster"], label="Bundled clips", min_width=NARROW)
        with gr.Column(min_width=NARROW):
            with_clip = gr.Checkbox(False, label="The clip above, too")
            dropped = gr.File(file_count="multiple", label="Drop your own", height=120)
    button = gr.Button("Compare", variant="primary")
    notice = gr.Markdown(elem_classes="plain")
    with gr.Row():
        over_time = picture("The first with each of the next, moment by moment", elem_id="over-time")
        table = gr.Dataframe(label="How alike they are as a whole", interactive=False, wrap=True, min_width=NARROW)
    nearest = gr.Dataframe(headers=HEADERS, label="Nearest", interactive=False, wrap=True)

    def compare(title: str, ticked, with_clip, clip, dropped, progress=PROGRESS) -> list:
        chosen = [(name, clips[name]) for name in ticked]
        paths = [*([clip] if with_clip and clip else []), *(dropped or [])]
        model = shared.models[title]
        sentence, *rest = show_comparison(lambda: model.comparison, [*chosen, *paths], told(progress, "listening"))
        return [f"*{title}:* {sentence}", *rest]

    inputs, outputs = [ticked, with_clip, shared.clip, dropped], [notice, over_time, table, nearest]
    shared.tie([button.click], compare, inputs, outputs, show_progress_on=over_time)
    shared.empty(outputs)
