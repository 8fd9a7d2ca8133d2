"""The page itself: what it is wired to, and each tab once in a browser."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from browser import CHROMIUM, Browser
from headed import HEADS, save_headed

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.app.serving import serve
from ssast_hf.assets import nano_model
from ssast_hf.hub.fresh_space import ask_page, free_port


pytest.importorskip(
    "gradio", reason="gradio is in the extra `app`, beside the newest transformers: make test EXTRAS=dev,app"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of the page of the bundled model and of one of each head, which have learned nothing."""
    torch.manual_seed(0)
    folders = tmp_path_factory.mktemp("models")
    animals = folders / "animals"
    SSASTForAudioClassification.from_pretrained(nano_model(), id2label={0: "animal", 1: "b"}).save_pretrained(animals)
    SSASTFeatureExtractor.from_pretrained(nano_model()).save_pretrained(animals)
    for title in HEADS:
        save_headed(title, folders / title)
    port = free_port()
    lines = serve(["nano", str(animals), *(str(folders / title) for title in HEADS)], port=port)
    assert next(lines) == f"nano, animals, {', '.join(HEADS)}: http://127.0.0.1:{port}/ (Ctrl-C ends it)"
    yield f"http://127.0.0.1:{port}"
    lines.close()


@pytest.fixture(scope="module")
def page(address, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs Chromium: no package of Python")
    browser = Browser(tmp_path_factory.mktemp("browser"))
    browser.open(f"{address}/")
    browser.wait_for("!!document.querySelector('button[role=tab]')")
    yield browser
    browser.close()


def shows(page, text: str):
    """Wait until the page says something that can be seen."""
    page.wait_for(f"document.body.innerText.includes({text!r})")


def choose(page, number: int):
    """Another model, by the keyboard: so many further down the list."""
    page.value("document.querySelector('input[aria-label=Model]').focus()")
    page.wait_for("!!document.querySelector('ul[role=listbox] li.active')")
    for _ in range(number):
        page.press("ArrowDown")
    page.press("Enter")


def test_page_answers_the_question_that_a_space_is_asked(address):
    answer = ask_page(address, SimpleNamespace(poll=lambda: None))
    assert (answer["model"], answer["clip"], len(answer["vector"])) == ("nano", "rooster", 160)


def test_each_tab_once(page):
    shows(page, "Pretext accuracy of this clip")  # before anything is pressed
    source = "document.querySelector('#ranks img').src"
    before = page.value(source)
    page.value("document.querySelector('input[type=radio][value=random]').click()")
    page.click("Hide it, and guess")
    page.wait_for(f"{source} != {before!r}")
    page.click("Embed and compare", "button[role=tab]")
    page.click("Compare")
    shows(page, "dog and rooster: ")
    page.click("Look inside", "button[role=tab]")
    page.click("Look")
    shows(page, "gives ")
    choose(page, 1)  # it has a head, and none of pretraining
    page.click("Classify", "button[role=tab]")
    page.click("Ask")
    shows(page, "2 answers for 1.8 s.")
    page.value("HTMLAnchorElement.prototype.click = function () { window.taken = this.href }")  # no file is kept
    page.wait_for("!document.querySelector('#csv').disabled")
    page.click("Download as CSV")
    page.wait_for("!!window.taken")
    table = page.value("fetch(window.taken).then(reply => reply.text())")
    assert table.splitlines()[0] == "path,start,end,label,score"
    assert len(table.splitlines()) == 3
    assert page.complaints() == []
    # Nothing was asked of anybody else.
    names = page.value("performance.getEntriesByType('resource').map(each => each.name)")
    assert {name.split("/")[2] for name in names if name.startswith("http")} == {page.value("location.host")}


@pytest.mark.parametrize("title", HEADS)
def test_tab_of_every_head(page, address, title):
    page.open(f"{address}/")
    shows(page, "Pretext accuracy of this clip")
    choose(page, 2 + list(HEADS).index(title))
    page.click(title, "button[role=tab]")
    page.click("Ask")
    page.wait_for("!!document.querySelector('#csv') && !document.querySelector('#csv').disabled")
    shows(page, " for 1.8 s.")
    assert page.complaints() == []


def test_everything_is_reached_by_the_keyboard(page, address):
    page.open(f"{address}/")
    shows(page, "Pretext accuracy of this clip")
    source = "document.querySelector('#ranks img').src"
    before = page.value(source)
    page.value("document.querySelector('input[type=radio][value=random]').click()")
    tabs = "[...document.querySelectorAll('button[role=tab][aria-selected=true]')]"
    chosen = f"{tabs}.some(each => each.innerText.trim() == {{!r}})"
    answers = {
        "Hide it, and guess": f"{source} != {before!r}",
        "Embed and compare": chosen.format("Embed and compare"),
        "Compare": "document.body.innerText.includes('dog and rooster: ')",
        "Look inside": chosen.format("Look inside"),
        "Look": "document.body.innerText.includes('gives ')",
    }
    for text, answer in answers.items():
        for _ in range(100):
            page.press("Tab")
            if page.value("document.activeElement.innerText.trim()") == text:
                break
        else:
            pytest.fail(f"{text} is not reached by Tab")
        page.press("Enter")
        page.wait_for(answer)


def test_whatever_is_dropped_gets_an_answer_in_words(page, address, tmp_path):
    random = np.random.default_rng(0)
    soundfile.write(tmp_path / "short.wav", 0.1 * random.standard_normal(1600), 16000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000), 16000)
    soundfile.write(tmp_path / "stereo.wav", 0.1 * random.standard_normal((96000, 2)), 96000)
    soundfile.write(tmp_path / "long.wav", (1000 * random.standard_normal(16000 * 600)).astype(np.int16), 16000)
    (tmp_path / "text.wav").write_text("no sound at all")
    page.open(f"{address}/")
    shows(page, "Pretext accuracy of this clip")
    for name, answer in {
        "short.wav": "is 0.10 s long, too short for this model",
        "silence.wav": "This is silence, or nearly",
        "stereo.wav": "Its 2 channels were mixed down to one. It was resampled from 96,000 to 16,000 Hz.",
        "long.wav": "It is 10 min 0 s long; this is from 0.0 to 5.1 s.",
        "text.wav": "text.wav is no readable audio file",
    }.items():
        page.wait_for("!!document.querySelector('button[aria-label=Clear]')")
        page.value("document.querySelector('button[aria-label=Clear]').click()")
        # Without the button of the file before, which would be taken for that of the next one.
        page.wait_for("!document.querySelector('button[aria-label=Clear]')")
        page.wait_for("!!document.querySelector('input[type=file]')")
        page.upload("input[type=file]", tmp_path / name)
        page.wait_for("!!document.querySelector('button[aria-label=Clear]')")  # it has arrived
        page.click("Hide it, and guess")
        shows(page, answer)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_phone(page, address, scheme):
    page.ask("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        page.open(f"{address}/")
        shows(page, "Pretext accuracy of this clip")
        assert page.value("document.documentElement.scrollWidth") <= 400
        colours = "getComputedStyle(document.body).{}.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
        background, text = (page.value(colours.format(name)) for name in ("backgroundColor", "color"))
        assert (background < text) == (scheme == "dark")
    finally:
        page.ask("Emulation.clearDeviceMetricsOverride")
        page.ask("Emulation.setEmulatedMedia", features=[])
