"""`ssast-hf explore`: the map, its page in a browser, what is listed, and a recording over time."""

import csv
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, browser_page, complaints_of
from playwright.sync_api import expect
from stored_parts import write_part

from ssast_hf.assets import bundled_clips
from ssast_hf.cli import main
from ssast_hf.inference.exploring.mapping import place_on_map
from ssast_hf.inference.exploring.run import explore


# Waits until it does, or has.
PLAYED = "player.currentTime > 0"
PLAYS = f"{PLAYED} || new Promise(answer => player.ontimeupdate = () => {PLAYED} && answer(true))"


def clip_rows(folder) -> list[tuple]:
    """24 clips of two kinds, of which two are the same and one is like no other; a few have files, one an odd name."""
    random = np.random.default_rng(0)
    kinds = np.eye(8)[[0, 1]] * 6
    vectors = np.concatenate([kind + random.normal(size=(12, 8)) for kind in kinds])
    vectors[13] = vectors[12] * 2
    vectors[23] = -6 * np.eye(8)[2]
    paths = [str(folder / f"clip {i}.flac") for i in range(23)] + [str(folder / "</script><b>odd.flac")]
    for path in (*paths[:12], paths[13]):
        shutil.copy(bundled_clips()[3], path)
    return [(path, 0.0, 0.5, vector) for path, vector in zip(paths, vectors, strict=True)]


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """A folder with the parts in `parts`, and what the command made of them in `page`; and what it printed."""
    folder = tmp_path_factory.mktemp("explored")
    rows = clip_rows(folder)
    write_part(folder / "parts", 0, rows[:20])
    write_part(folder / "parts", 1, rows[20:])
    labels = [f"clip {i}.flac,{'dog' if i < 12 else 'cat'}" for i in range(20)]
    (folder / "labels.csv").write_text("\n".join(["filename,category", *labels]))
    lines = list(explore(folder / "parts", folder / "page", folder / "labels.csv", max_megabytes=0.04))
    return folder, lines


def test_map_and_lists_are_written(explored):
    folder, lines = explored
    assert lines[0] == "24 of 24 clips, embedded by model at the level clip"
    assert "labels of 20 clips, 2 different ones" in lines
    assert (folder / "page" / "map.png").read_bytes().startswith(b"\x89PNG")
    (pair,) = csv.DictReader((folder / "page" / "duplicates.csv").open())
    assert pair["path"].endswith("clip 12.flac")
    assert pair["other_path"].endswith("clip 13.flac")
    assert float(pair["similarity"]) == pytest.approx(1)
    outliers = list(csv.DictReader((folder / "page" / "outliers.csv").open()))
    assert outliers[0]["path"].endswith("odd.flac")
    assert len(outliers) == 2


class Page(HTMLParser):
    """Addresses in a page, the content of its scripts, and how many points it has."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses, self.scripts, self.points, self.is_script = [], [], 0, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        self.points += tag == "circle"
        self.is_script = tag == "script"

    def handle_data(self, text):
        if self.is_script:
            self.scripts.append(text)
            self.is_script = False


def test_page_needs_nothing_but_linked_sounds(explored):
    folder, lines = explored
    text = (folder / "page" / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.points == 24
    assert page.addresses == []
    assert len(page.scripts) == 2
    assert re.search("default-src 'none'.*script-src 'sha256-", text, flags=re.DOTALL)
    assert "script&gt;&lt;b&gt;odd.flac" in text  # among the outliers
    clips = json.loads(page.scripts[0])
    sounds = [clip["sound"] or "" for clip in clips]
    embedded = [sound for sound in sounds if sound.startswith("data:audio/mpeg;base64,")]
    linked = [sound for sound in sounds if sound.startswith("../clip%20")]
    assert embedded[-1:] == [sounds[13]]  # the duplicate, of those that are on this disk, comes first
    assert all(sound.endswith(".flac#t=0,0.5") for sound in linked)
    assert len(linked) + len(embedded) == 13
    assert sum(map(len, embedded)) <= 40000
    assert f"sound of {len(embedded)} clips in the page, {len(linked)} linked, 11 not found" in lines
    assert clips[12]["nearest"][0] == ["clip 13.flac", 1.0]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: no package of Python")
def test_page_in_a_browser(explored):
    """Points are there, the pointer over one names it, and a click plays it: sound in the page as well as linked."""
    folder, _ = explored
    with browser_page() as page:
        complaints = complaints_of(page)
        page.goto((folder / "page" / "index.html").resolve().as_uri())
        expect(page.locator("svg circle")).to_have_count(24)
        sounds = page.evaluate("clips.map(clip => clip.sound)")
        embedded = next(i for i, sound in enumerate(sounds) if sound and sound.startswith("data:"))
        linked = next(i for i, sound in enumerate(sounds) if sound and sound.startswith("../"))
        tip = page.locator("#tip")
        for number in (embedded, linked):
            point = page.locator(f"circle[data-clip='{number}']")
            point.evaluate("each => each.parentNode.append(each)")
            expect(tip).to_be_hidden()
            point.hover()
            label = "dog" if number < 12 else "cat"
            expect(tip).to_have_text(f"clip {number}.flac: {label}")
            expect(tip).to_be_visible()
            point.click()
            assert page.evaluate(PLAYS)
            assert page.evaluate("player.error") is None
            expect(page.locator("#label")).to_have_text(label)
            expect(page.locator("#nearest li")).to_have_count(5)
            page.locator("h1").hover()
            expect(tip).to_be_hidden()
        page.locator("button[data-clip='23']").click()  # of the outliers; there is no such file
        expect(page.locator("#player")).to_be_hidden()
        expect(page.locator("#name")).to_have_text("script><b>odd.flac")
        assert complaints == []


def test_map_is_the_same_every_time_and_keeps_like_together():
    random = np.random.default_rng(0)
    vectors = np.repeat(np.eye(6)[:2], 10, axis=0) + 0.1 * random.normal(size=(20, 6))
    places, method = place_on_map(vectors)
    assert method == "t-SNE"
    assert places.shape == (20, 2)
    assert (places.min(), places.max()) == pytest.approx((0, 1))
    np.testing.assert_array_equal(places, place_on_map(vectors)[0])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert distances[:10, :10].max() < distances[:10, 10:].min()
    assert np.isfinite(place_on_map(vectors[:3])[0]).all()


def test_umap_is_taken_where_it_is_installed(monkeypatch):
    class UMAP:
        def __init__(self, **options):
            self.options = options

        def fit_transform(self, points):
            assert self.options["n_neighbors"] < len(points)
            return points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    places, method = place_on_map(np.random.default_rng(0).normal(size=(25, 6)))
    assert (places.shape, method) == ((25, 2), "UMAP")


def test_recording_is_drawn_over_time(tmp_path, capsys):
    path = str(bundled_clips()[0])
    seconds = soundfile.info(path).duration
    edges = np.linspace(0, seconds, 9)
    vectors = np.random.default_rng(0).normal(size=(16, 4))
    steps = [(path, edges[i // 2], edges[i // 2 + 1], vector) for i, vector in enumerate(vectors)]  # of two patches
    write_part(tmp_path / "parts", 0, steps, level="patch")
    assert main(["explore", str(tmp_path / "parts"), "--output", str(tmp_path / "page")]) == 0
    assert [each.name for each in (tmp_path / "page").iterdir()] == ["recording.png"]
    assert (tmp_path / "page" / "recording.png").read_bytes().startswith(b"\x89PNG")
    assert main(["explore", str(tmp_path / "parts"), "--output", str(tmp_path / "page")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    options = ["--overwrite", "--recording", "elsewhere.wav"]
    assert main(["explore", str(tmp_path / "parts"), "--output", str(tmp_path / "page"), *options]) == 1
    assert "elsewhere.wav is not in" in capsys.readouterr().err


def test_nothing_to_map_is_said_in_a_line(tmp_path):
    vector = np.ones(4)
    write_part(tmp_path / "one", 0, [("a.wav", 0, 1, vector)])
    write_part(tmp_path / "equal", 0, [(f"{i}.wav", 0, 1, vector) for i in range(5)])
    write_part(tmp_path / "parts", 0, [(f"{i}.wav", 0, 1, row) for i, row in enumerate(np.eye(4))])
    (tmp_path / "labels.csv").write_text("path,label\nother.wav,dog\n")
    (tmp_path / "columns.csv").write_text("path,what\n0.wav,dog\n")
    cases = [
        (dict(folder="one"), "one holds 1 clip; a map takes at least 3"),
        (dict(folder="equal"), "All 5 embeddings in .*equal point the same way"),
        (dict(folder="nowhere"), "nowhere is no folder"),
        (dict(labels="labels.csv"), r"no label for any path in .*parts: it names .*other.wav, and there is 0\.wav"),
        (dict(labels="columns.csv"), "has the columns 'path', 'what', none of them label or .*--label_column"),
        (dict(recording="0.wav"), "one vector per clip; .*--level frame"),
        (dict(max_clips=2), "--max_clips must be at least 3, got 2"),
    ]
    for options, message in cases:
        given = {"folder": "parts", **options}
        given |= {name: tmp_path / given[name] for name in ("folder", "labels") if name in given}
        with pytest.raises((ValueError, OSError), match=message) as raised:
            list(explore(**given, output=tmp_path / "page"))
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "page").exists()
