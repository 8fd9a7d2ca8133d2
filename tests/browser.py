"""The Chromium of this machine, headless, by playwright."""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Page, expect, sync_playwright


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 120  # for an answer, on a busy machine
# A microphone that beeps, and that every page may use.
OPTIONS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--mute-audio"]

# Of gradio, whenever a file is uploaded; nothing is missing.
ON_UPLOAD = "Method not implemented."


@contextlib.contextmanager
def browser_page(**options) -> Iterator[Page]:
    """A page in a browser of its own; options are those of playwright's `Browser.new_page`."""
    expect.set_options(timeout=1000 * SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, timeout=1000 * SECONDS)
        page = browser.new_page(**options)
        page.set_default_timeout(1000 * SECONDS)
        yield page
        browser.close()


def complaints_of(page: Page) -> list[str]:
    """
    Grows by what the page writes into its console from now on: violations of its policy, files that are missing,
    warnings, errors.
    """
    complaints: list[str] = []

    def hear(said):
        if said.type in ("error", "warning") and said.text != ON_UPLOAD:
            complaints.append(said.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def shows(page: Page, text: str):
    """Wait until it says something that can be seen."""
    expect(page.get_by_text(text).filter(visible=True).first).to_be_visible()


def press(page: Page, text: str):
    """A button."""
    page.get_by_role("button", name=text, exact=True).filter(visible=True).click()


def turn_to(page: Page, title: str):
    """A tab."""
    page.get_by_role("tab", name=title).click()


def choose(page: Page, title: str):
    """Another model of the page of `ssast-hf app`."""
    page.get_by_role("radio", name=title, exact=True).check()
