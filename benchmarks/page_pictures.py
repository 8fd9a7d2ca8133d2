"""
Pictures of the page of `ssast-hf app` by a headless Chromium, for docs/app.md, and how long it takes to open.

    python benchmarks/page_pictures.py --output_dir docs/images

Needs Chromium and `pip install "ssast_hf[app]"`. The classifier on the pictures learned from the bundled clips alone,
and answers on these: it shows the page, and no quality of the model.
"""

import argparse
import base64
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.app.serving import serve
from ssast_hf.assets import nano_model, titled_clips
from ssast_hf.audio import load_audio
from ssast_hf.hub.fresh_space import free_port


sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import CHROMIUM, Browser


RATE = 16000
WIDE, PHONE, DARK = (1100, 900), (425, 1645), (800, 876)
SCALE = 0.8  # of the pictures
STEPS, LEARNING_RATE = 40, 1e-3
# Seconds of each clip in the recording that is asked about.
EACH = 9


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output_dir", required=True, type=Path)
    folder = parser.parse_args().output_dir
    if CHROMIUM is None:
        parser.error("needs Chromium, which is not on the PATH")
    clips = {title: load_audio(path) for title, path in titled_clips().items()}
    with tempfile.TemporaryDirectory() as scratch:
        model, recording = Path(scratch, "eight-sounds"), Path(scratch, "recording.wav")
        train(clips, model)
        soundfile.write(recording, np.concatenate([np.resize(clip, EACH * RATE) for clip in clips.values()]), RATE)
        port = free_port()
        lines = serve(["nano", str(model)], port=port)
        next(lines)
        browser = Browser(Path(scratch, "browser"))
        try:
            draw(Page(browser, f"http://127.0.0.1:{port}/"), folder, recording)
        finally:
            browser.close()
            lines.close()


def train(clips: dict[str, np.ndarray], folder: Path):
    """A classifier of the bundled clips, on random places of each."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    model = SSASTForAudioClassification.from_pretrained(nano_model(), id2label=dict(enumerate(clips)))
    extractor = SSASTFeatureExtractor.from_pretrained(nano_model())
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    for _ in range(STEPS):
        pieces = [np.roll(np.resize(clip, 5 * RATE), random.integers(5 * RATE)) for clip in clips.values()]
        inputs = extractor(pieces, sampling_rate=RATE, return_tensors="pt")
        model(**inputs, labels=torch.arange(len(clips))).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


class Page:
    """The page in a browser."""

    def __init__(self, browser: Browser, address: str):
        self.browser, self.address = browser, address

    def open(self, size: tuple[int, int], scheme: str = "light") -> float:
        """Open it in a window of that size; returns after how many seconds it had its first guess."""
        width, height = size
        options = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.ask("Emulation.setDeviceMetricsOverride", **options)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.ask("Emulation.setEmulatedMedia", features=features)
        begin = time.monotonic()
        self.browser.open(self.address)
        self.browser.wait_for("document.body.innerText.includes('Pretext accuracy of this clip')")
        seconds = time.monotonic() - begin
        wide = self.browser.value("document.documentElement.scrollWidth")
        if wide > width:
            raise SystemExit(f"The page is {wide} pixels wide in a window of {width}.")
        return seconds

    def wait_for(self, text: str):
        self.browser.wait_for(f"document.body.innerText.includes({text!r})")
        time.sleep(2)  # for what moves

    def save(self, path: Path, first: str | None = None, last: str | None = None, height: int | None = None):
        """From above the element that JavaScript gives, or the top, to below another one, or so many pixels."""
        top = 0 if first is None else self.browser.value(f"scrollY + {first}.getBoundingClientRect().top") - 8
        if height is None:
            height = self.browser.value(f"scrollY + {last}.getBoundingClientRect().bottom") + 8 - top
        width = self.browser.value("innerWidth")
        clip = {"x": 0, "y": max(top, 0), "width": width, "height": height, "scale": SCALE}
        found = self.browser.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
        print(path)


def labelled(text: str) -> str:
    """JavaScript of the box with that label, the last one that can be seen."""
    wanted = f"each.offsetParent && each.innerText.trim().startsWith({text!r})"
    return f"[...document.querySelectorAll('.block')].filter(each => {wanted}).pop()"


def draw(page: Page, folder: Path, recording: Path):
    seconds = [page.open(WIDE) for _ in range(2)]
    print(f"until the first guess is there: {seconds[0]:.1f} s, when it is opened again {seconds[1]:.1f} s")
    time.sleep(2)
    page.save(folder / "app-hide.png", last=labelled("The model's as sound"))
    heading = "[...document.querySelectorAll('h3')].find(each => each.innerText.startsWith('Which patch'))"
    page.save(folder / "app-ranks.png", first=heading, last="document.querySelector('main')")
    page.browser.click("Embed and compare", "button[role=tab]")
    page.browser.click("Compare")
    page.wait_for("dog and rooster: ")
    page.save(folder / "app-compare.png", last="document.querySelector('main')")
    page.browser.click("Look inside", "button[role=tab]")
    page.browser.click("Look")
    page.wait_for("gives ")
    page.save(folder / "app-look.png", last="document.querySelector('main')")
    for name, size, scheme in (("app-phone.png", PHONE, "light"), ("app-dark.png", DARK, "dark")):
        page.open(size, scheme)
        time.sleep(2)
        page.save(folder / name, height=size[1])
    page.open(WIDE)
    page.browser.value("document.querySelector('input[aria-label=Model]').focus()")
    page.browser.wait_for("!!document.querySelector('ul[role=listbox] li.active')")
    page.browser.press("ArrowDown")
    page.browser.press("Enter")
    page.browser.value("document.querySelector('button[aria-label=Clear]').click()")
    field = "document.querySelector('input[type=file][accept*=audio]')"
    page.browser.wait_for(f"!!{field}")
    found = page.browser.ask("Runtime.evaluate", expression=field)["result"]
    page.browser.ask("DOM.setFileInputFiles", files=[str(recording)], objectId=found["objectId"])
    page.browser.wait_for("document.body.innerText.includes('1:12')")
    page.browser.click("Classify", "button[role=tab]")
    page.browser.click("Ask")
    page.wait_for("for 1 min 12 s")
    page.save(folder / "app-answer.png", last="document.querySelector('main')")
    if complaints := page.browser.complaints():
        raise SystemExit(f"In the console: {complaints}")


if __name__ == "__main__":
    main()
