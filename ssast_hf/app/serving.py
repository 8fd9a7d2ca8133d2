"""The page on a port of this machine, from which nothing leaves it."""

import errno
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..assets import bundled_clips
from ..storage.guards import reason
from .models import open_models


HOST, PORT = "127.0.0.1", 7860
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_UPLOADED = "500mb"
TEMPORARY = "GRADIO_TEMP_DIR"  # a variable of the environment
# The browser may load from this page alone, whatever gradio's own pages would like to.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; worker-src 'self' blob:"
)


class WithPolicy:
    """What answers requests, with the policy in every answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, send_with_policy)


def serve(
    models: list[str] | None = None,
    host: str = HOST,
    port: int = PORT,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> Iterator[str]:
    """
    Show the page until Ctrl-C, or until it is told to end.

    Args:
        models (`list[str]`, *optional*): Folders, or names on the Hub; `nano` if there are none.
        host (`str`, defaults to this machine alone), port (`int`, defaults to 7860): Where to listen.
        device (`str`, *optional*): Where to compute; the accelerator if there is one, else the CPU.
        trust_remote_code (`bool`, defaults to `False`): Whether code that comes with a model may run.

    Yields:
        `str`: Lines for whoever started it.

    Raises:
        ValueError: If a model or an option cannot be used.
        OSError: If there is no such model, or if the port is taken.
        ImportError: If gradio is not installed.
    """
    # Read when gradio is imported; it would tell its makers, and ask them for its newest version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio  # noqa: F401  # or say at once that it is missing

    check_port(host, port)
    opened = open_models(models or [], device, trust_remote_code)
    for model in opened.values():
        if model.problem:
            yield model.problem
    from .page import build_page, look

    with files_of_its_own(), ended_by_signals():
        page = build_page(opened)
        reach_directly(host)
        try:
            address = launch(page, host, port, look())
            yield f"{', '.join(opened)}: {address} (Ctrl-C ends it)"
            if host not in LOOPBACK:
                yield f"Everybody who reaches this machine at {host} can use it, and the models on it."
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            yield "Ended."
        finally:
            page.close(verbose=False)


@contextmanager
def ended_by_signals():
    """A page that is told to end, or whose terminal closes, ends as after Ctrl-C, and its files with it."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # there is no SIGHUP in Windows
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
                before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def files_of_its_own():
    """
    A folder for what the page shows and is given, which ends with it. gradio's own would be that of all pages of this
    machine, and the first one that ends removes files from it that others have as well.
    """
    before = os.environ.get(TEMPORARY)
    if before:
        os.makedirs(before, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ssast_hf-", dir=before or None, ignore_cleanup_errors=True) as folder:
        os.environ[TEMPORARY] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[TEMPORARY]
            else:
                os.environ[TEMPORARY] = before


def launch(page, host: str, port: int, style: dict) -> str:
    """Start to answer; returns the address for a browser. OSError if gradio cannot."""
    try:
        _, address, _ = page.launch(
            server_name=f"[{host}]" if ":" in host else host,  # IPv6, as in an address
            server_port=port,
            quiet=True,
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            ssr_mode=False,
            pwa=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            max_file_size=MOST_UPLOADED,
            allowed_paths=[str(bundled_clips()[0].parent)],
            app_kwargs={"middleware": [(WithPolicy, (), {})]},
            **style,
        )
    except Exception as error:  # of many types; it asks itself over HTTP whether it is there
        raise OSError(
            f"The page does not start at {host}, port {port} ({reason(error)}). Choose others: --host, --port."
        ) from error
    return address


def reach_directly(host: str):
    """gradio asks itself over HTTP whether it is there, which no proxy of this machine's could answer."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), *LOOPBACK, host]))


def check_port(host: str, port: int):
    """ValueError if it is no port, OSError if nothing can listen there."""
    if not 1 <= port <= 65535:
        raise ValueError(f"--port must be a number from 1 to 65535; got {port}.")
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as listener:
            # As the server does: a port whose last connections are ending is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"Port {port} is in use, perhaps by a page like this one. Choose another: --port."
            ) from error
        raise OSError(
            f"Nothing can listen at {host}, port {port}: {error.strerror or error}. Choose others."
        ) from error
