"""The page: one clip, some models, a tab for each thing to do with them."""

from pathlib import Path

import gradio as gr

from ..assets import titled_clips
from .answering import TITLES
from .asking import QUESTION, ask
from .models import ANSWER, COMPARE, HIDE, LOOK, Model
from .parts import NARROW, ONE_AT_A_TIME, Shared
from .tabs.answer import add_answers
from .tabs.compare import add_comparison
from .tabs.hide import add_hiding
from .tabs.look import add_attention


TITLE = "What does it hear?"
PRIVATE = dict(api_visibility="private")  # of events
INTRODUCTION = (
    "An audio spectrogram transformer learned from sounds that nobody labelled: most of each was hidden, and it "
    "guessed what was there. Nothing that you record or drop here leaves the machine on which this page runs."
)
STYLE = """
.gradio-container { max-width: 76rem !important; margin: 0 auto !important }
.plain p { margin: .2rem 0 }
@media (max-width: 40rem) {
  .tabs { max-width: calc(100vw - 4rem) }
  .tab-container button { padding: 0 .4rem !important; font-size: .85rem !important }
}
"""


def look() -> dict:
    """Colours and fonts; these are the reader's own, since others would have to be fetched."""
    theme = gr.themes.Base(
        primary_hue="teal",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        # White on it is read by more people than on the theme's own.
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )
    return {"theme": theme, "css": STYLE}


def build_page(models: dict[str, Model]) -> gr.Blocks:
    """
    Args:
        models (`dict[str, Model]`): By their titles, at least one; the first is chosen.
    """
    clips = {title: str(path) for title, path in titled_clips().items()}
    first = next(iter(models))
    # Files that it writes are removed after a day.
    with gr.Blocks(title=f"ssast_hf: {TITLE}", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(f"# {TITLE}\n{INTRODUCTION}")
        with gr.Row():
            with gr.Column(min_width=NARROW):
                model = gr.Radio(list(models), value=first, label="Model", visible=len(models) > 1)
                picked = gr.Radio(list(clips), value=QUESTION, label="Pick a clip")
                second = gr.Number(
                    0, minimum=0, step=0.5, label="From second", info="of recordings longer than the model's window"
                )
            clip = gr.Audio(
                clips[QUESTION],
                sources=["upload", "microphone"],
                type="filepath",
                label="or drop or record one",
                buttons=["download"],  # not the one that would share it
                min_width=NARROW,
                scale=2,
            )
        notice = gr.Markdown(models[first].problem or "", elem_classes="plain", elem_id="notice")
        shared = Shared(models, model, clip, second)
        contents = {
            HIDE: ("Listen and hide", add_hiding),
            COMPARE: ("Embed and compare", add_comparison),
            ANSWER: (answer_title(models[first]), add_answers),
            LOOK: ("Look inside", add_attention),
        }
        known = [ability for ability in contents if any(ability in each.abilities for each in models.values())]
        # With no tab at all, gradio's list of them would fail in the browser.
        if known:
            begin_with = next((ability for ability in known if ability in models[first].abilities), None)
            with gr.Tabs(selected=begin_with) as all_tabs:
                tabs = {}
                for ability in known:
                    label, fill = contents[ability]
                    visible = shown_if(ability in models[first].abilities)
                    with gr.Tab(label, id=ability, visible=visible) as tabs[ability]:
                        fill(shared, page)
            turn_with_model(models, model, notice, all_tabs, tabs, begin_with)
        else:
            model.change(lambda title: models[title].problem, model, notice, **PRIVATE)

        picked.input(lambda title: (clips[title], 0), picked, [clip, second], **PRIVATE)
        # What is dropped, recorded or trimmed is none of these, which can then be picked again.
        titles = {Path(path).name: title for title, path in clips.items()}
        clip.change(lambda path: path and titles.get(Path(path).name), clip, picked, **PRIVATE)

        def asked() -> dict:
            return ask(models)

        gr.api(asked, api_name="ask", **{name: value for name, value in ONE_AT_A_TIME.items() if "api" not in name})
    return page


def turn_with_model(models: dict[str, Model], model, notice, all_tabs, tabs: dict, begin_with: str | None):
    """Show the tabs that the chosen model has. What is open stays open if that is among them."""
    opened = gr.State(begin_with)

    def remember(event: gr.SelectData) -> str:
        return list(tabs)[event.index]

    def choose(title: str, opened: str | None) -> list:
        chosen = models[title]
        shown: dict[str, dict] = {ability: {"visible": shown_if(ability in chosen.abilities)} for ability in tabs}
        if ANSWER in shown:
            shown[ANSWER]["label"] = answer_title(chosen)
        order = sorted(tabs, key=lambda ability: ability != opened)
        opened = next((each for each in order if each in chosen.abilities), None)
        updates = [gr.Tab(**fields) for fields in shown.values()]
        return [chosen.problem or "", opened, gr.Tabs(selected=opened), *updates]

    all_tabs.select(remember, None, opened, **PRIVATE)
    model.change(choose, [model, opened], [notice, opened, all_tabs, *tabs.values()], **PRIVATE)


def shown_if(wanted: bool) -> bool | str:
    """Of a tab: with `False`, gradio would show its title again."""
    return True if wanted else "hidden"


def answer_title(model: Model) -> str:
    """What the tab of a model's answers is called."""
    return TITLES[model.predictor.kind] if ANSWER in model.abilities else "Classify"
