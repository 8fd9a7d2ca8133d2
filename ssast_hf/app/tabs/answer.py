"""The tab of models with a head: classes, speakers, text, events or values."""

import tempfile
from pathlib import Path

import gradio as gr

from ..answering import show_answers
from ..parts import PROGRESS, Shared, picture, told, whose


HEADERS = ["from", "to", "label", "score"]


def add_answers(shared: Shared, page: gr.Blocks):
    """Fill the tab."""
    gr.Markdown("What the model's head says of the clip above, all of it, however long it is.", elem_classes="plain")
    button = gr.Button("Ask", variant="primary")
    notice = gr.Markdown(elem_classes="plain")
    image = picture("The answers", elem_id="answers")
    table = gr.Dataframe(headers=HEADERS, label="All answers", interactive=False, wrap=True, max_height=400)
    download = gr.DownloadButton("Download as CSV", interactive=False, elem_id="csv")

    # Of the last answer alone: gradio copies it to where the page may read before it lets the next one begin.
    scratch = tempfile.TemporaryDirectory(prefix="ssast_hf-")

    # Not called `ask`, as what a Space is asked: gradio names addresses after functions.
    def respond(title: str, path, progress=PROGRESS) -> list:
        sentence, drawn, rows, text = show_answers(
            shared.models[title].predictor, path, told(progress, "listening, window by window")
        )
        for earlier in Path(scratch.name).iterdir():
            earlier.unlink()
        file = Path(scratch.name, f"{Path(path).stem}.csv")
        file.write_text(text, encoding="utf-8")
        return [whose(title, path) + sentence, drawn, rows, str(file)]

    outputs = [notice, image, table, download]
    answered = shared.tie([button.click], respond, [shared.clip], outputs, show_progress_on=image)

    def offer(path: str | None):
        return gr.update(interactive=path is not None)

    for event in (answered, shared.empty(outputs)):
        event.then(offer, download, download, show_progress="hidden", api_visibility="private")
