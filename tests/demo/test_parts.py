"""What the demonstration is made of, without a model."""

from html.parser import HTMLParser

import numpy as np
import pytest

from ssast_hf.demo import threads
from ssast_hf.demo.clips import load_clips, without_silence
from ssast_hf.demo.page import Row, write_page
from ssast_hf.demo.probe import Guess, halves


class Page(HTMLParser):
    """The tags of a page that are open, and all addresses in it."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.addresses, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "poster", "data")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_without_anything_else(tmp_path):
    clips = load_clips()
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"picture")
    rows = [Row(clip, 2.0, 1.0, [(clips[0], 0.5)], Guess("<b>rain", 0.6)) for clip in clips]
    rows[0].guess = None
    pictures = {"rooster": picture, "dog": picture}
    write_page(tmp_path / "index.html", "<script>alert(1)</script>.pth", 60, rows, pictures, picture)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    assert "script" not in page.tags
    assert "&lt;script&gt;alert(1)" in text
    assert "&lt;b&gt;rain 60%" in text
    assert len(page.addresses) == 8 + 2 + 3
    assert all(address.startswith("data:") for address in page.addresses)
    assert "url(" not in text
    assert "@import" not in text
    assert all(name in text for name in ("LibriSpeech", "Mihai Sorohan"))  # whose licence asks for it


def test_clips_are_halved_without_overlap_or_left_out():
    clips = {clip.name: clip for clip in load_clips()}
    assert halves(clips["trumpet"], 5360) == ([], [])
    first, second = halves(clips["rain"], 5360)
    assert first
    assert second
    middle = len(clips["rain"].audio) // 2
    np.testing.assert_array_equal(second[0], clips["rain"].audio[middle : middle + 5360])
    assert len(first) == (middle - 5360) // 800 + 1


def test_silence_is_cut_off_at_the_ends_alone():
    audio = np.concatenate([np.zeros(1600), np.ones(800), np.zeros(800), np.ones(800), np.zeros(4000)])
    assert len(without_silence(audio)) == 2400


@pytest.mark.parametrize(
    ("processors", "load", "wanted", "count"),
    [(2, 0.1, None, 2), (2, 7.0, None, 1), (64, 3.0, None, 4), (8, 6.2, None, 2), (8, 6.2, "5", 5), (1, 0.0, "x", 1)],
)
def test_threads_are_as_many_as_processors_are_idle(processors, load, wanted, count, monkeypatch):
    monkeypatch.setattr(threads, "count_processors", lambda: processors)
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert threads.choose_threads()[0] == count


def test_a_container_has_as_many_processors_as_it_may_use(monkeypatch, tmp_path):
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    assert threads.count_processors() == 16
    for text, count in {"max 100000": 16, "250000 100000": 2, "50000 100000": 1}.items():
        (tmp_path / "cpu.max").write_text(text)
        assert threads.count_processors() == count
