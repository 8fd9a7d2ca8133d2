"""How to get a released checkpoint: from its link or from the cache, and always the same bytes."""

import hashlib
import http.client
import io
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from huggingface_hub.constants import HF_HOME
from tqdm import tqdm

from ..storage.guards import writing
from ..storage.reading import CHUNK_BYTES, sha256_of
from ..storage.urls import check_url, shown


# The largest released file has 0.36 GB; whatever is far above is not one of them.
MAX_BYTES = 4 << 30
TIMEOUT_SECONDS = 60
# What a server must send in every minute, or 0.36 GB would take more than ten hours.
WINDOW_SECONDS, MIN_BYTES = 60, 600_000


def fetch(record: dict, url: str | None = None) -> tuple[Path, str]:
    """
    The file of a checkpoint, from the cache or downloaded to it, and its SHA-256.

    The checksum of a download is written down beside it, and enforced from then on.

    Args:
        record (`dict`): One of [`released_checkpoints`].
        url (`str`, *optional*): Where to download it from instead of its recorded link, or a local file, which is
            used where it is.

    Raises:
        ValueError: If the link is not https, or if the file does not have the checksum that is recorded.
        OSError: If the download fails; what has arrived is kept, and the next call continues.
    """
    url = url or record["url"]
    is_link = "://" in url
    path = cache_path(record["name"], url) if is_link else Path(url)
    if not is_link and not path.is_file():
        raise FileNotFoundError(f"{url}, the url of {record['name']}, is neither a link nor a file.")
    if not path.exists():
        download(url, path)
    recorded = checksum_path(path)
    is_recorded = is_link and recorded.exists()
    expected = record.get("sha256") or (recorded.read_text().strip() if is_recorded else None)
    actual = sha256_of(path)
    if expected is not None and actual != expected.lower():
        where = "its record" if record.get("sha256") else f"{recorded}, written when it was first downloaded"
        advice = ""
        if is_link:
            path.unlink()
            advice = " The download was removed; run the command again if it was damaged."
        raise ValueError(
            f"{record['name']} from {shown(url)} has the SHA-256 {actual}, expected {expected} according to {where}."
            f"{advice} If the file has changed, make sure that you trust it before you correct the recorded checksum."
        )
    if is_link and not is_recorded:
        partial = recorded.with_name(recorded.name + ".new")
        with writing(recorded):
            partial.write_text(actual + "\n")
            os.replace(partial, recorded)
    return path, actual


def forget(path: Path):
    """Remove a download that proved unreadable, and its checksum, so that the next call gets it anew."""
    if path.parent == Path(HF_HOME) / "ssast_hf":  # not a file that the user brought
        path.unlink()
        checksum_path(path).unlink(missing_ok=True)


def checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def cache_path(name: str, url: str) -> Path:
    """Where a download is kept: in `$HF_HOME/ssast_hf`, one file per name and link."""
    return Path(HF_HOME) / "ssast_hf" / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}.pth"


def download(url: str, path: Path):
    """
    Download to `path` with a progress bar. An interrupted download leaves `path` + `.incomplete`, which the next call
    continues if the server can.

    A server that sends less than 600 kB in a minute (10 kB/s) is given up, and so is one that sends nothing for a
    minute.

    Raises:
        ValueError: If the link, or what it redirects to, is neither https nor on this machine.
        OSError: If the server cannot be reached, is too slow, or does not deliver the whole file; or if the disk is
            full.
    """
    partial = path.with_name(path.name + ".incomplete")
    partial.parent.mkdir(parents=True, exist_ok=True)
    arrived = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(check_url(url), headers={"User-Agent": "ssast_hf"})
    if arrived:
        request.add_header("Range", f"bytes={arrived}-")
    advice = f"Run the command again to continue, or get {shown(url)} by other means and pass its path as the url."
    try:
        # Plain http stays on this machine, so it takes no proxy.
        proxies = {scheme: proxy for scheme, proxy in urllib.request.getproxies().items() if scheme != "http"}
        opener = urllib.request.build_opener(CheckedRedirects, Watched, urllib.request.ProxyHandler(proxies))
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            if response.headers.get_content_type() == "text/html":
                raise OSError(f"The link answers with a web page instead of a file; it may be suspended. {advice}")
            if response.status == http.client.PARTIAL_CONTENT:
                total = total_of_range(response, arrived)
            else:  # the server sends the whole file
                arrived = 0
                length = response.headers.get("Content-Length") or ""
                total = int(length) if length.isdigit() else None
            if total is not None and total > MAX_BYTES:
                raise OSError(f"{shown(url)} is {total / 1e9:.1f} GB, far more than any released checkpoint.")
            arrived = _receive(response, partial, arrived, total, path.name)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and arrived:
            partial.unlink()
            return download(url, path)
        raise OSError(f"The server answers {error.code} {error.reason}. {advice}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise OSError(
            f"The download broke off: {getattr(error, 'reason', error) or type(error).__name__}. {advice}"
        ) from error
    if arrived == 0 or (total is not None and arrived != total):
        raise OSError(f"The download broke off after {arrived} of {total} bytes. {advice}")
    os.replace(partial, path)


def _receive(response, partial: Path, arrived: int, total: int | None, name: str) -> int:
    """Append the response to `partial`, which holds `arrived` bytes that count; returns the bytes it holds then."""
    bar = tqdm(desc=name, initial=arrived, total=total, unit="B", unit_scale=True)
    with bar, writing(partial), partial.open("ab" if arrived else "wb") as file:
        while chunk := response.read1(CHUNK_BYTES):  # what is there, so that it is kept if no more comes
            arrived += file.write(chunk)
            bar.update(len(chunk))
            if arrived > MAX_BYTES:
                raise OSError(
                    f"{name} is larger than {MAX_BYTES / 1e9:.1f} GB, far more than any released checkpoint."
                )
    return arrived


def total_of_range(response, first: int) -> int | None:
    """Size of the whole file of a partial response; an OSError unless that begins where the file so far ends."""
    content_range = response.headers.get("Content-Range") or ""
    if not content_range.startswith(f"bytes {first}-"):
        raise OSError(f"The server was asked for bytes from {first} and sends {content_range or 'unknown ones'}.")
    total = content_range.rpartition("/")[2]
    return int(total) if total.isdigit() else None


class Pace(io.RawIOBase):
    """What a server sends, headers included, as long as it comes fast enough; a TimeoutError otherwise."""

    def __init__(self, raw: io.RawIOBase):
        self.raw, self.began, self.num_bytes = raw, time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int | None:
        count = self.raw.readinto(buffer)
        self.num_bytes += count or 0
        if time.monotonic() - self.began > WINDOW_SECONDS:
            if self.num_bytes < MIN_BYTES:
                raise TimeoutError(f"the server sent {self.num_bytes} bytes in {WINDOW_SECONDS} seconds, too few")
            self.began, self.num_bytes = time.monotonic(), 0
        return count

    def close(self):
        self.raw.close()
        super().close()


class WatchedResponse(http.client.HTTPResponse):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.fp = io.BufferedReader(Pace(self.fp.detach()))


class WatchedHTTP(http.client.HTTPConnection):
    response_class = WatchedResponse


class WatchedHTTPS(http.client.HTTPSConnection):
    response_class = WatchedResponse


class Watched(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Open connections as usual, but watch how fast they are."""

    def http_open(self, request):
        return self.do_open(WatchedHTTP, request)

    def https_open(self, request):
        return self.do_open(WatchedHTTPS, request)


class CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but only to where a download may start."""

    def redirect_request(self, request, response, code, message, headers, url):
        return super().redirect_request(request, response, code, message, headers, check_url(url))
