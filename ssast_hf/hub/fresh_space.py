"""The proof that a staged Space starts, and answers what this package does."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np

from ..app.asking import ask
from ..app.models import open_models
from .fresh_process import TOLERANCE, fresh_environment


# For a slow machine that has never imported PyTorch.
SECONDS = 600
LOOPBACK = "127.0.0.1"


def verify_space(model_dir: str, folder: Path) -> float:
    """
    Start the staged page in a process of its own, ask it once, and compare.

    Args:
        model_dir (`str`): The model as this package loads it.
        folder (`Path`): With `app.py`.

    Returns:
        `float`: The largest difference, relative to the largest number.

    Raises:
        ValueError: If it does not start, or answers otherwise.
    """
    expected = np.array(ask(open_models([model_dir], device="cpu"))["vector"])
    answer = np.array(answer_elsewhere(folder)["vector"])
    if answer.shape != expected.shape:
        raise ValueError(f"The staged page answers with {len(answer)} numbers, expected {len(expected)}.")
    difference = float(np.abs(answer - expected).max() / max(np.abs(expected).max(), 1e-30))
    if not difference <= TOLERANCE:
        raise ValueError(f"The staged page answers otherwise than this package, by {difference:.1e} (relative).")
    return difference


def answer_elsewhere(folder: Path) -> dict:
    """What the page in `folder` answers when `app.py` is run there in a process of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch, open(Path(scratch, "said"), "wb") as said:
        environment = fresh_environment(scratch) | {
            "GRADIO_SERVER_NAME": LOOPBACK,
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": scratch,
        }
        process = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment, stdout=said, stderr=said)
        try:
            return ask_page(f"http://{LOOPBACK}:{port}", process)
        except ValueError as error:
            process.kill()
            process.wait()
            last = Path(scratch, "said").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-20:]
            raise ValueError("\n".join([str(error), *last])) from error
        finally:
            process.kill()
            process.wait()


def ask_page(address: str, process: subprocess.Popen) -> dict:
    """Wait for a page and ask it; ValueError if its process ends or takes too long."""
    opener, until = build_opener(ProxyHandler({})), time.monotonic() + SECONDS
    while True:
        if process.poll() is not None:
            raise ValueError("The staged page does not start in a fresh process:")
        if time.monotonic() > until:
            raise ValueError(f"The staged page has not answered for {SECONDS} seconds:")
        with contextlib.suppress(OSError, HTTPException), opener.open(address, timeout=10):
            break
        time.sleep(0.3)
    try:
        headers = {"Content-Type": "application/json"}
        question = Request(f"{address}/gradio_api/call/ask", data=b'{"data": []}', headers=headers)
        with opener.open(question, timeout=SECONDS) as reply:
            number = json.load(reply)["event_id"]
        with opener.open(f"{address}/gradio_api/call/ask/{number}", timeout=SECONDS) as reply:
            said = reply.read().decode()
        _, found, content = said.partition("event: complete\ndata: ")
        if not found:
            raise ValueError(f"The staged page answers with an error: {said.strip()[:300]}")
        return json.loads(content.splitlines()[0])[0]
    except (OSError, HTTPException, LookupError, TypeError) as error:
        raise ValueError(f"The staged page starts, but does not answer ({error}):") from error


def free_port() -> int:
    """One that nobody uses now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return listener.getsockname()[1]
