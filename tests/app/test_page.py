"""The page itself: what it is wired to, and what people do with it, in a browser."""

import json
import re
import signal
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from browser import CHROMIUM, browser_page, choose, complaints_of, press, shows, turn_to
from headed import HEADS, save_headed
from playwright.sync_api import expect

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.app.models import open_models
from ssast_hf.app.serving import ended_by_signals, files_of_its_own, serve
from ssast_hf.assets import nano_model
from ssast_hf.hub.fresh_space import ask_page, free_port


pytest.importorskip(
    "gradio", reason="gradio is in the extra `app`, beside the newest transformers: make test EXTRAS=dev,app"
)
GUESSED = "Pretext accuracy of this clip"


def save_stranger(folder):
    """A model with code of its own, as far as the page looks at it; returns its folder."""
    folder.mkdir()
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForAudioClassification": "own.OwnClassifier"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto_map}))
    return folder


@contextmanager
def served(*models):
    """The address of a page of these models."""
    port = free_port()
    lines = serve([str(model) for model in models], port=port)
    while "Ctrl-C" not in next(lines):
        pass
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        lines.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of the page of the bundled model, of one of each head, which have learned nothing, and of one with own code."""
    torch.manual_seed(0)
    folders = tmp_path_factory.mktemp("models")
    animals = folders / "animals"
    SSASTForAudioClassification.from_pretrained(nano_model(), id2label={0: "animal", 1: "b"}).save_pretrained(animals)
    SSASTFeatureExtractor.from_pretrained(nano_model()).save_pretrained(animals)
    for title in HEADS:
        save_headed(title, folders / title)
    stranger = save_stranger(folders / "stranger")
    port = free_port()
    lines = serve(["nano", str(animals), *(str(folders / title) for title in HEADS), str(stranger)], port=port)
    assert "--trust_remote_code" in next(lines)
    assert next(lines) == f"nano, animals, {', '.join(HEADS)}, stranger: http://127.0.0.1:{port}/ (Ctrl-C ends it)"
    yield f"http://127.0.0.1:{port}"
    lines.close()


@pytest.fixture(scope="module")
def page(address):
    if CHROMIUM is None:
        pytest.skip("needs Chromium: no package of Python")
    with browser_page(viewport={"width": 1100, "height": 900}) as page:
        yield page


@pytest.fixture
def opened(page, address):
    """The page as it is when it opens."""
    page.goto(address)
    shows(page, GUESSED)  # before anything is pressed
    return page


def reach(page, there):
    """Press Tab until something has the focus, once it is shown: the tabs of a model that was chosen come later."""
    there.wait_for()
    for _ in range(150):
        page.keyboard.press("Tab")
        if there.count() and there.evaluate("each => each === document.activeElement"):
            return
    pytest.fail(f"{there} is not reached by Tab")


def picture(page, name: str):
    return page.locator(f"#{name} img")


def clear(page):
    """Take the clip away."""
    page.get_by_label("Clear").first.click()
    expect(page.get_by_label("Clear")).to_have_count(0)


def arrives(page):
    """Wait until the server has the clip that is given."""
    page.get_by_role("link", name="Download").first.wait_for()


def place_of(canvas) -> dict:
    """Where it is, once it stays there."""
    before, box = None, canvas.bounding_box()
    while box is None or box != before:
        canvas.page.wait_for_timeout(500)
        before, box = box, canvas.bounding_box()
    return box


def radio(page, name: str):
    return page.get_by_role("radio", name=name, exact=True)


def hidden(page) -> int:
    """How many patches the page says were hidden."""
    said = page.get_by_text("patches were hidden").inner_text()
    return int(re.search(r"(\d+) of \d+ patches", said)[1])


def test_page_answers_the_question_that_a_space_is_asked(address):
    answer = ask_page(address, SimpleNamespace(poll=lambda: None))
    assert (answer["model"], answer["clip"], len(answer["vector"])) == ("nano", "rooster", 160)


def test_files_of_a_page_end_with_it_and_not_with_another(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with files_of_its_own():
        (ours,) = tmp_path.iterdir()
        (ours / "clip.flac").touch()
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
        with files_of_its_own():
            assert len(list(tmp_path.iterdir())) == 2
        assert [each.name for each in ours.iterdir()] == ["clip.flac"]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "new"))
    with files_of_its_own():
        assert len(list((tmp_path / "new").iterdir())) == 1


def test_what_is_chosen_while_the_page_computes_counts():
    """gradio would skip it."""
    from ssast_hf.app.page import build_page  # here, as it needs gradio

    page = build_page(open_models([]))
    names = ("hide", "offer", "turn", "click", "show")
    asked = [(each.fn.__name__, each.trigger_mode) for each in page.fns.values() if each.fn]
    found = [(name, mode) for name, mode in asked if name in names]
    assert sorted(found) == sorted((name, "always_last") for name in [*names, "click"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_page_that_is_told_to_end_ends_as_after_ctrl_c(name):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), ended_by_signals():
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_each_tab_once(page, address):
    complaints = complaints_of(page)
    page.goto(address)
    shows(page, GUESSED)
    before = picture(page, "ranks").get_attribute("src")
    page.get_by_label("random").check()
    press(page, "Hide it, and guess")
    expect(picture(page, "ranks")).not_to_have_attribute("src", before)
    turn_to(page, "Embed and compare")
    press(page, "Compare")
    shows(page, "dog and rooster: ")
    turn_to(page, "Look inside")
    press(page, "Look")
    shows(page, "gives ")
    choose(page, "animals")  # it has a head, and none of pretraining
    turn_to(page, "Classify")
    press(page, "Ask")
    shows(page, "2 answers for 1.8 s.")
    with page.expect_download() as download:
        press(page, "Download as CSV")
    table = download.value.path().read_text().splitlines()
    assert table[0] == "path,start,end,label,score"
    assert len(table) == 3
    assert complaints == []
    # Nothing was asked of anybody else.
    names = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    assert {name.split("/")[2] for name in names if name.startswith("http")} == {address.split("/")[2]}


@pytest.mark.slow
@pytest.mark.parametrize("title", HEADS)
def test_tab_of_every_head(opened, title):
    complaints = complaints_of(opened)
    choose(opened, title)
    turn_to(opened, title)
    press(opened, "Ask")
    expect(opened.locator("#csv")).to_be_enabled()
    shows(opened, " for 1.8 s.")
    assert complaints == []


@pytest.mark.slow
def test_tab_that_is_open_stays_open_if_the_model_has_it(opened):
    tabs = opened.get_by_role("tab").filter(visible=True)
    selected = opened.get_by_role("tab", selected=True)
    choose(opened, "animals")
    expect(tabs).to_have_text(["Embed and compare", "Classify", "Look inside"])
    expect(selected).to_have_text("Embed and compare")
    turn_to(opened, "Look inside")
    choose(opened, "nano")
    expect(tabs).to_have_text(["Listen and hide", "Embed and compare", "Look inside"])
    expect(selected).to_have_text("Look inside")


def test_model_with_code_of_its_own_says_what_would_run(opened):
    choose(opened, "stranger")
    shows(opened, "OwnClassifier in own.py, OwnConfig in own.py")
    shows(opened, "--trust_remote_code")
    tabs = opened.get_by_role("tab").filter(visible=True)
    expect(tabs).to_have_count(0)
    choose(opened, "Events")
    expect(tabs).to_have_text(["Embed and compare", "Events", "Look inside"])


@pytest.mark.slow
def test_page_of_a_model_with_code_of_its_own_alone(page, tmp_path):
    """There is no tab then."""
    complaints = complaints_of(page)
    with served(save_stranger(tmp_path / "stranger")) as alone:
        page.goto(alone)
        shows(page, "OwnClassifier in own.py, OwnConfig in own.py")
        expect(page.get_by_role("tab").filter(visible=True)).to_have_count(0)
    assert [each for each in complaints if "ERR_CONNECTION" not in each] == []


@pytest.mark.slow
def test_page_begins_with_a_tab_that_its_first_model_has(page, tmp_path):
    """And with places that it has: clips of this one take 0.24 s."""
    config = SSASTConfig.from_pretrained(nano_model())
    short = SSASTForAudioClassification(SSASTConfig(**config.to_dict() | {"max_length": 24, "num_masked_patches": 2}))
    short.save_pretrained(tmp_path / "short")
    SSASTFeatureExtractor(max_length=24, return_attention_mask=True).save_pretrained(tmp_path / "short")
    with served(tmp_path / "short", "nano") as first:
        page.goto(first)
        expect(page.get_by_role("tab", selected=True)).to_have_text("Embed and compare")
        expect(page.get_by_role("button", name="Compare", exact=True)).to_be_visible()
        turn_to(page, "Look inside")
        press(page, "Look")
        expect(picture(page, "attention")).to_be_visible()


@pytest.mark.slow
def test_clips_and_hiding_by_the_keyboard(opened):
    """Every setting of the first tab, each reached by Tab alone."""
    first = picture(opened, "ranks").get_attribute("src")
    reach(opened, radio(opened, "rain"))
    opened.keyboard.press("Space")
    expect(radio(opened, "rain")).to_be_checked()
    expect(opened.get_by_role("link", name="Download")).to_have_attribute("href", re.compile("rain"))
    reach(opened, opened.get_by_label("random"))
    opened.keyboard.press("Space")
    expect(opened.get_by_label("random")).to_be_checked()
    reach(opened, opened.get_by_label("range slider for How much, in percent"))
    opened.keyboard.press("ArrowRight")
    reach(opened, opened.get_by_label("Seed"))
    opened.keyboard.type("7")
    reach(opened, opened.get_by_role("button", name="Hide it, and guess"))
    opened.keyboard.press("Enter")
    expect(picture(opened, "ranks")).not_to_have_attribute("src", first)
    expect(opened.get_by_text("patches were hidden")).to_contain_text("32 of 72 patches")
    place = picture(opened, "place").get_attribute("src")
    reach(opened, opened.get_by_label("range slider for Hidden place, by its number"))
    opened.keyboard.press("ArrowRight")
    expect(picture(opened, "place")).not_to_have_attribute("src", place)


@pytest.mark.slow
def test_other_tabs_by_the_keyboard(opened):
    reach(opened, opened.get_by_role("tab", name="Embed and compare"))
    opened.keyboard.press("Enter")
    dog = opened.get_by_role("checkbox", name="dog")
    reach(opened, dog)
    opened.keyboard.press("Space")  # not this one
    expect(dog).not_to_be_checked()
    reach(opened, opened.get_by_label("The clip above, too"))
    opened.keyboard.press("Space")
    reach(opened, opened.get_by_role("button", name="Compare", exact=True))
    opened.keyboard.press("Enter")
    shows(opened, "rooster and rooster_16k_mono.flac: ")
    reach(opened, opened.get_by_role("tab", name="Look inside"))
    opened.keyboard.press("Enter")
    reach(opened, opened.get_by_role("button", name="Look", exact=True))
    opened.keyboard.press("Enter")
    shows(opened, "gives ")
    for name, key in {
        "Layer": "ArrowLeft",
        "Second of the patch in the part": "End",
        "Mel bin of the patch": "End",
    }.items():
        before = picture(opened, "attention").get_attribute("src")
        reach(opened, opened.get_by_label(f"range slider for {name}"))
        opened.keyboard.press(key)
        reach(opened, opened.get_by_role("button", name="Look", exact=True))
        opened.keyboard.press("Enter")
        expect(picture(opened, "attention")).not_to_have_attribute("src", before)


@pytest.mark.slow
def test_answers_by_the_keyboard(opened, tmp_path):
    """And which part of a clip the other tabs show."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000 * 12)
    soundfile.write(tmp_path / "twelve.wav", noise, 16000)
    first = picture(opened, "ranks").get_attribute("src")
    clear(opened)
    opened.locator("input[type=file]").first.set_input_files(tmp_path / "twelve.wav")
    arrives(opened)
    expect(radio(opened, "rooster")).not_to_be_checked()  # it is not what is heard now
    reach(opened, opened.get_by_label("From second"))
    opened.keyboard.press("ControlOrMeta+a")
    opened.keyboard.type("2.5")
    reach(opened, opened.get_by_role("button", name="Hide it, and guess"))
    opened.keyboard.press("Enter")
    shows(opened, "It is 12.0 s long; this is from 2.5 to ")
    expect(picture(opened, "ranks")).not_to_have_attribute("src", first)
    reach(opened, radio(opened, "animals"))
    opened.keyboard.press("Space")
    reach(opened, opened.get_by_role("tab", name="Classify"))
    opened.keyboard.press("Enter")
    reach(opened, opened.get_by_role("button", name="Ask", exact=True))
    opened.keyboard.press("Enter")
    shows(opened, "answers for 12.0 s.")
    download = opened.get_by_role("button", name="Download as CSV")
    expect(download).to_be_enabled()
    reach(opened, download)
    with opened.expect_download() as downloaded:
        opened.keyboard.press("Enter")
    assert downloaded.value.path().read_text().startswith("path,start,end,label,score")


@pytest.mark.slow
def test_what_is_painted_is_hidden(opened):
    by_share = hidden(opened)
    opened.get_by_label("painted by hand").check()
    canvas = opened.locator("#paint canvas").first
    canvas.scroll_into_view_if_needed()
    box = place_of(canvas)
    across = [box["x"] + box["width"] * share for share in (0.3, 0.4, 0.5)]
    opened.mouse.move(across[0], box["y"] + box["height"] / 2)
    opened.mouse.down()
    for x in across[1:]:
        opened.mouse.move(x, box["y"] + box["height"] / 2, steps=5)
    opened.mouse.up()
    press(opened, "Hide it, and guess")
    expect(opened.get_by_text("patches were hidden")).not_to_contain_text(f"{by_share} of")
    assert 0 < hidden(opened) < by_share / 2


@pytest.mark.slow
def test_what_is_recorded_is_heard(opened):
    before = picture(opened, "ranks").get_attribute("src")
    clear(opened)
    opened.get_by_label("Record audio").click()
    press(opened, "Record")
    opened.get_by_role("button", name="Stop", exact=True).filter(visible=True).wait_for()
    opened.wait_for_timeout(1500)  # of what the browser has for a microphone, which beeps
    press(opened, "Stop")
    arrives(opened)
    press(opened, "Hide it, and guess")
    expect(picture(opened, "ranks")).not_to_have_attribute("src", before)
    shows(opened, GUESSED)


@pytest.mark.slow
def test_clip_that_was_trimmed_can_be_picked_again(opened):
    source = opened.get_by_role("link", name="Download")
    opened.get_by_label("Trim audio to selection").click()
    press(opened, "Trim")
    expect(source).to_have_attribute("href", re.compile("audio.wav"))
    expect(radio(opened, "rooster")).not_to_be_checked()
    radio(opened, "rooster").check()
    expect(source).to_have_attribute("href", re.compile("rooster"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "samples", "rate", "answer"),
    [
        ("short.wav", 1600, 16000, "is 0.10 s long, too short for this model"),
        ("silence.wav", 16000, 16000, "This is silence, or nearly"),
        (
            "stereo.wav",
            (96000, 2),
            96000,
            "Its 2 channels were mixed down to one. It was resampled from 96,000 to 16,000 Hz.",
        ),
        ("long.wav", 16000 * 600, 16000, "It is 10 min 0 s long; this is from 0.0 to 5.1 s."),
        ("text.wav", None, None, "text.wav is no readable audio file"),
    ],
)
def test_whatever_is_dropped_gets_an_answer_in_words(opened, tmp_path, name, samples, rate, answer):
    if samples is None:
        (tmp_path / name).write_text("no sound at all")
    else:
        loudness = 0 if name == "silence.wav" else 0.1
        soundfile.write(tmp_path / name, loudness * np.random.default_rng(0).standard_normal(samples), rate)
    clear(opened)
    opened.locator("input[type=file]").first.set_input_files(tmp_path / name)
    arrives(opened)
    press(opened, "Hide it, and guess")
    shows(opened, answer)


@pytest.mark.slow
def test_ten_minutes_are_compared_and_classified(opened, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000 * 600)
    soundfile.write(tmp_path / "long.wav", noise, 16000)
    choose(opened, "animals")
    clear(opened)
    opened.locator("input[type=file]").first.set_input_files(tmp_path / "long.wav")
    arrives(opened)
    turn_to(opened, "Embed and compare")
    opened.get_by_label("The clip above, too").check()
    press(opened, "Compare")
    opened.get_by_role("row", name="long.wav 600.0").wait_for()
    turn_to(opened, "Classify")
    press(opened, "Ask")
    shows(opened, "answers for 10 min 0 s.")


@pytest.mark.slow
def test_nothing_is_to_be_downloaded_without_an_answer(opened, tmp_path):
    choose(opened, "animals")
    turn_to(opened, "Classify")
    expect(opened.locator("#csv")).to_be_disabled()
    press(opened, "Ask")
    expect(opened.locator("#csv")).to_be_enabled()
    (tmp_path / "text.wav").write_text("no sound at all")
    clear(opened)
    opened.locator("input[type=file]").first.set_input_files(tmp_path / "text.wav")
    arrives(opened)
    press(opened, "Ask")
    shows(opened, "text.wav is no readable audio file")
    expect(opened.locator("#csv")).to_be_disabled()


@pytest.mark.slow
def test_answers_say_whose_they_are(opened):
    """So that those of another clip or model are not taken for those of the one that is chosen now."""
    shows(opened, "nano, rooster_16k_mono.flac:")
    choose(opened, "animals")
    turn_to(opened, "Classify")
    press(opened, "Ask")
    shows(opened, "animals, rooster_16k_mono.flac:")
    expect(opened.locator("#csv")).to_be_enabled()
    choose(opened, "Who is it")  # which has no such answers yet
    expect(opened.locator("#csv")).to_be_disabled()
    expect(opened.get_by_text(" answers for ")).to_have_count(0)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_phone(page, address, scheme):
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme=scheme)
    try:
        page.goto(address)
        shows(page, GUESSED)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        colours = "getComputedStyle(document.body).{}.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
        background, text = (page.evaluate(colours.format(name)) for name in ("backgroundColor", "color"))
        assert (background < text) == (scheme == "dark")
    finally:
        page.set_viewport_size({"width": 1100, "height": 900})
        page.emulate_media(color_scheme="null")
