"""A headless Chromium, asked over a pipe in its own protocol: no driver and no package is needed."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 120  # for an answer, on a busy machine
OPTIONS = (
    "--headless=new --remote-debugging-pipe --no-sandbox --disable-gpu --disable-dev-shm-usage --mute-audio "
    "--no-first-run --disable-extensions --disable-background-networking --hide-scrollbars --window-size=1100,900"
).split()


class Browser:
    """
    A tab of it.

    Args:
        folder (`Path`): Where it keeps its files.
    """

    def __init__(self, folder: Path):
        import fcntl  # not on Windows

        # It reads from descriptor 3 and writes to 4; ours are none of these.
        (theirs, mine), (answers, their_answers) = os.pipe(), os.pipe()
        ends = (mine, answers, theirs, their_answers)
        self.input, self.output, *passed = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in ends)
        for end in ends:
            os.close(end)
        for end in (self.input, self.output):
            os.set_inheritable(end, False)
        silent = os.open(os.devnull, os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, silent, each) for each in (0, 1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, end, each) for end, each in zip(passed, (3, 4), strict=True)]
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}"]
        self.process = os.posix_spawn(CHROMIUM, command, os.environ, file_actions=actions, setsid=True)
        for end in (silent, *passed):
            os.close(end)
        self.waiting, self.events, self.number, self.session = b"", [], 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log"):
            self.ask(f"{part}.enable")

    def message(self) -> dict:
        """The next message from it."""
        while b"\0" not in self.waiting:
            assert select.select([self.output], [], [], SECONDS)[0], "the browser does not answer"
            content = os.read(self.output, 1 << 16)
            assert content, "the browser ended"
            self.waiting += content
        text, _, self.waiting = self.waiting.partition(b"\0")
        return json.loads(text)

    def ask(self, method: str, **parameters) -> dict:
        self.number += 1
        session = {} if self.session is None else {"sessionId": self.session}
        text = json.dumps({"id": self.number, "method": method, "params": parameters} | session)
        os.write(self.input, text.encode() + b"\0")
        while (answer := self.message()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, path: Path | str):
        """Open a file, or an address, and wait until it is there."""
        self.events.clear()
        self.ask("Page.navigate", url=path if isinstance(path, str) else path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())

    def value(self, code: str):
        """What JavaScript gives."""
        answer = self.ask("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, code: str):
        """Until JavaScript gives something true."""
        until = time.monotonic() + SECONDS
        while not self.value(code):
            assert time.monotonic() < until, code
            time.sleep(0.05)

    def point_at(self, selector: str, click: bool = False):
        """Move the pointer to the middle of an element, and press it there on request."""
        self.value(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        box = self.value(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        kinds = ("mouseMoved", "mousePressed", "mouseReleased") if click else ("mouseMoved",)
        for kind in kinds:
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, text: str, role: str = "button"):
        """The button or tab that says so, as soon as it can be seen."""
        wanted = f"each.offsetParent && each.innerText.trim() == {text!r}"
        found = f"[...document.querySelectorAll({role!r})].find(each => {wanted})"
        # In one go: the page may draw itself anew in between.
        self.wait_for(f"(each => !!each && (each.click(), true))({found})")

    def upload(self, selector: str, path: Path):
        """Choose a file for an input, as a person does in the dialogue that it opens."""
        self.ask("DOM.enable")
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(path.resolve())])

    def press(self, key: str):
        """A key by its name, such as `ArrowDown`."""
        codes = {"Enter": 13, "ArrowDown": 40, "ArrowRight": 39, "Tab": 9}
        pressed = {"type": "keyDown", "text": "\r"} if key == "Enter" else {"type": "rawKeyDown"}
        for kind in (pressed, {"type": "keyUp"}):
            self.ask("Input.dispatchKeyEvent", **kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def complaints(self) -> list[str]:
        """What it wrote into its console: violations of the page's policy, files that are missing, errors."""
        entries = [e["params"]["entry"]["text"] for e in self.events if e["method"] == "Log.entryAdded"]
        called = [e["params"] for e in self.events if e["method"] == "Runtime.consoleAPICalled"]
        entries += [str(each["args"]) for each in called if each["type"] == "error"]
        return entries + [str(e["params"]) for e in self.events if e["method"] == "Runtime.exceptionThrown"]

    def screenshot(self, path: Path):
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        with contextlib.suppress(AssertionError, OSError):
            os.killpg(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        for end in (self.input, self.output):
            os.close(end)
