import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ssast_hf import SSASTConfig
from ssast_hf.checkpoints.download import cache_path, download
from ssast_hf.checkpoints.records import released_checkpoints
from ssast_hf.cli import main
from ssast_hf.storage.urls import check_url, shown


class Server:
    """A file server on the loopback address that can break off, ignore ranges, redirect or answer with a page."""

    def __init__(self, content: bytes):
        self.content, self.break_after, self.ranges, self.redirect, self.page = content, None, True, None, False
        self.requests, self.drip = [], False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_GET(self):
                server.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.pth"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request):
        start = request.headers.get("Range")
        self.requests.append(start)
        if self.redirect:
            request.send_response(302)
            request.send_header("Location", self.redirect)
            request.end_headers()
            return
        if "absent" in request.path:
            request.send_error(404)
            return
        first = int(start.removeprefix("bytes=").removesuffix("-")) if start and self.ranges else 0
        if first >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if first else 200)
        request.send_header("Content-Type", "text/html" if self.page else "application/octet-stream")
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        request.send_header("Content-Length", str(len(self.content) - first))
        request.end_headers()
        if self.drip:  # a byte at a time, until nobody listens any more
            for byte in self.content[first:]:
                request.wfile.write(bytes([byte]))
                time.sleep(0.005)
        request.wfile.write(self.content[first : self.break_after])
        request.close_connection = True


@pytest.fixture
def server(original_file):
    server = Server(original_file.read_bytes())
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_download_resumes_where_it_broke_off(server, tmp_path):
    path = tmp_path / "file.pth"
    server.break_after = 1000
    with pytest.raises(OSError, match=f"after 1000 of {len(server.content)} bytes"):
        download(server.url, path)
    assert not path.exists()
    server.break_after = None
    download(server.url, path)
    assert path.read_bytes() == server.content
    assert server.requests == [None, "bytes=1000-"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("file")] == ["file.pth"]


def test_server_without_ranges_starts_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.pth.incomplete").write_bytes(b"x" * 1000)
    download(server.url, tmp_path / "file.pth")
    assert (tmp_path / "file.pth").read_bytes() == server.content


def test_leftover_longer_than_the_file_starts_again(server, tmp_path):
    (tmp_path / "file.pth.incomplete").write_bytes(b"x" * (len(server.content) + 1))
    download(server.url, tmp_path / "file.pth")
    assert (tmp_path / "file.pth").read_bytes() == server.content


def test_errors_name_the_link_and_what_to_do(server, tmp_path):
    with pytest.raises(OSError, match=r"404.*get .*absent.* pass its path"):
        download(server.url.replace("file", "absent"), tmp_path / "x")
    server.page = True
    server.page, content, server.content = False, server.content, b""
    with pytest.raises(OSError, match=r"416|broke off after 0"):
        download(server.url, tmp_path / "x")
    server.page, server.content = True, content
    with pytest.raises(OSError, match="web page"):
        download(server.url, tmp_path / "x")
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(OSError, match=r"broke off.*again"):
        download(server.url, tmp_path / "x")


def test_a_server_that_drips_is_given_up(server, tmp_path, monkeypatch):
    """However long each byte takes: here, two hundred a second are too few."""
    server.drip = True
    monkeypatch.setattr("ssast_hf.checkpoints.download.WINDOW_SECONDS", 1)
    with pytest.raises(OSError, match=r"the server sent \d+ bytes in 1 seconds, too few\. Run the command again"):
        download(server.url, tmp_path / "file.pth")
    arrived = (tmp_path / "file.pth.incomplete").stat().st_size
    assert 0 < arrived < 1000
    server.drip = False
    monkeypatch.undo()
    download(server.url, tmp_path / "file.pth")  # and goes on from there
    assert server.requests == [None, f"bytes={arrived}-"]
    assert (tmp_path / "file.pth").read_bytes() == server.content


def test_a_server_that_drips_its_headers_is_given_up(tmp_path, monkeypatch):
    def answer(connection):
        with contextlib.suppress(OSError):
            while True:
                connection.send(b"x")
                time.sleep(0.005)

    monkeypatch.setattr("ssast_hf.checkpoints.download.WINDOW_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=lambda: answer(listening.accept()[0]), daemon=True).start()
        with pytest.raises(OSError, match=r"bytes in 0\.2 seconds, too few"):
            download(f"http://127.0.0.1:{listening.getsockname()[1]}/x.pth", tmp_path / "x.pth")


def test_secrets_in_a_link_are_not_repeated(server, tmp_path):
    absent = server.url.replace("file", "absent")
    for url in (f"{absent}?token=secret", absent.replace("//", "//user:secret@"), f"{absent}?a b&token=secret"):
        with pytest.raises((OSError, ValueError), match="absent") as caught:
            download(url, tmp_path / "x")
        assert "secret" not in str(caught.value)
    assert shown("https://user:password@example.org:8080/a.pth?dl=1#x") == "https://example.org:8080/a.pth"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.pth",
        "ftp://example.org/a.pth",
        "file:///etc/passwd",
        "http://127.0.0.1.example.org/a",
        "a.pth",
    ],
)
def test_only_https_or_this_machine(url):
    with pytest.raises(ValueError, match="https only"):
        check_url(url)
    assert check_url("https://example.org/a.pth")
    assert check_url("http://127.0.0.1:80/a.pth")
    assert check_url("http://[::1]/a.pth")


def test_redirect_to_another_scheme_is_refused(server, tmp_path):
    server.redirect = "http://example.org/file.pth"
    with pytest.raises(ValueError, match="https only"):
        download(server.url, tmp_path / "x")


def test_conversion_by_name(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ssast_hf.checkpoints.download.HF_HOME", tmp_path / "home")
    name = "SSAST-Base-Patch-250"
    for output in ("first", "second"):
        assert main(["convert", name, str(tmp_path / output), "--url", server.url]) == 0
    assert len(server.requests) == 1  # the second time from the cache
    assert cache_path(name, server.url).read_bytes() == server.content
    assert "note     hidden_size is 64, the record of SSAST-Base-Patch-250 says 768" in capsys.readouterr().out
    config = SSASTConfig.from_pretrained(tmp_path / "first")
    assert config.num_masked_patches == round(250 / 512 * 64)  # the record's share of this small file's patches
    assert main(["convert", "SSAST-Base-Patch-400-Generative", str(tmp_path / "third"), "--url", server.url]) == 0
    assert SSASTConfig.from_pretrained(tmp_path / "third").objective == "generative"


def test_url_that_is_neither_a_link_nor_a_file(tmp_path, capsys):
    absent = str(tmp_path / "absent.pth")
    assert main(["convert", "SSAST-Tiny-Frame-400", str(tmp_path / "out"), "--url", absent]) == 1
    assert "absent.pth, the url of SSAST-Tiny-Frame-400, is neither a link nor a file" in capsys.readouterr().err


def test_damaged_download_is_not_kept(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ssast_hf.checkpoints.download.HF_HOME", tmp_path / "home")
    good, server.content = server.content, server.content[:5000]
    assert main(["convert", "SSAST-Tiny-Frame-400", str(tmp_path / "out"), "--url", server.url]) == 1
    server.content = good
    assert main(["convert", "SSAST-Tiny-Frame-400", str(tmp_path / "out"), "--url", server.url]) == 0


def test_records_are_complete():
    records = released_checkpoints()
    assert len(records) == 13
    for name, record in records.items():
        assert record["url"].startswith("https://")
        config = SSASTConfig(
            **{key: record[key] for key in ("hidden_size", "num_attention_heads", "patch_size", "num_masked_patches")}
        )
        assert config.num_patches == 512
        assert f"-{record['num_masked_patches']}" in name
        assert ("Frame" in name) == (record["patch_size"] == [128, 2])
