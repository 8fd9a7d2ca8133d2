"""Sounds of clips for a page: inside it as MP3 as long as there is room, then as links to the files."""

import io
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ...audio.decoding import audio_packages, decode_audio
from ...audio.opening import open_file
from ...storage.pages import embedded


SAMPLING_RATE = 16000
# Of a longer clip, its beginning is heard in the page.
MOST_SECONDS = 10.0


class Sounds:
    """
    Addresses of sounds, for the attribute `src`, and how many of which kind there were.

    Args:
        page (`Path`): The folder of the page, to which links are relative.
        max_bytes (`int`): Of addresses that hold the sound.
    """

    def __init__(self, page: Path, max_bytes: int):
        self.page = page
        self.free = max_bytes
        self.embedded = self.linked = self.missing = 0

    def address(self, path: str, start: float, end: float) -> str | None:
        """That of a clip from `start` to `end`, in seconds; `None` if there is no such file, or no audio in it."""
        if not Path(path).is_file():
            self.missing += 1
            return None
        if self.free > 0:
            try:
                content = as_mp3(path, start, min(end, start + MOST_SECONDS))
            except (ValueError, OSError):
                self.missing += 1
                return None
            result = embedded(content, ".mp3")
            if len(result) <= self.free:
                self.free -= len(result)
                self.embedded += 1
                return result
            self.free = 0
        self.linked += 1
        place = os.path.relpath(os.path.abspath(path), self.page).replace(os.sep, "/")
        return f"{quote(place)}#t={start:g},{end:g}"


def as_mp3(path: str, start: float, end: float) -> bytes:
    """A part of an audio file, from and to seconds, as an MP3 file at 16 kHz; errors as of `load_audio`."""
    soundfile, _ = audio_packages()
    begin, stop = round(start * SAMPLING_RATE), round(end * SAMPLING_RATE)
    with open_file(path) as file:
        audio = decode_audio(file, path, SAMPLING_RATE, begin, stop)
    if not len(audio):
        raise ValueError(f"{path} holds no audio")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(audio, -1, 1), SAMPLING_RATE, format="MP3")
    return buffer.getvalue()
