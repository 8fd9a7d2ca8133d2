"""HTML pages that need nothing else: pictures, sounds and code are in them, and they ask nobody."""

import base64
import hashlib
from html import escape
from pathlib import Path


KINDS = {".png": "image/png", ".flac": "audio/flac", ".wav": "audio/wav", ".mp3": "audio/mpeg"}
STYLE = """
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #222;
  background: #fff }
h1, h2 { line-height: 1.2 } h1 { margin-bottom: .2rem } h2 { margin-top: 2.2rem }
.lead { font-size: 1.1rem; color: #555; margin-top: 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid #ddd; vertical-align: middle }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap } audio { width: 15rem; height: 2rem }
figure { margin: 1.2rem 0 } figcaption { color: #555 } img { max-width: 100%; height: auto }
small { color: #555; font-size: .85rem }
"""


def embedded(content: bytes, suffix: str) -> str:
    """A file's content as an address that holds it; the suffix of its name, such as `.png`, says what it is."""
    return f"data:{KINDS[suffix]};base64,{base64.b64encode(content).decode()}"


def embedded_file(path: Path) -> str:
    """A file as an address that holds it."""
    return embedded(path.read_bytes(), path.suffix)


def document(title: str, body: str, style: str = "", script: str = "", media: str = "data:") -> str:
    """
    A page whose policy lets it load nothing from elsewhere, and run no code but `script`.

    Args:
        title (`str`): Text.
        body (`str`): HTML, in which whatever comes from others is escaped.
        style (`str`, *optional*): CSS beyond [`STYLE`].
        script (`str`, *optional*): JavaScript, run at the end.
        media (`str`, defaults to `"data:"`): From where sounds may come, in the words of a policy.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    code = f"; script-src 'sha256-{digest}'" if script else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; media-src {media}; style-src 'unsafe-inline'{code}">
<title>{escape(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
{body}
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""
