"""The corpus of open audio: what its terms allow, and what is left of a recording."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ssast_hf


sys.path.append(str(Path(ssast_hf.__file__).parents[1] / "benchmarks"))

from open_audio_parts.copyrights import is_free, read_stanzas, terms_of
from open_audio_parts.corpus import MOST, make_source, weigh, write_lists
from open_audio_parts.folders import held_out_speakers, libri251
from open_audio_parts.instruments import variable_length
from open_audio_parts.recordings import Piece, without_silence


NOTICE = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2001-2004, A. Author <a@example.org>
License: GPL-2+

Files: data/music/*
 data/a?b.ogg
Copyright: (c) 2010 B. Author
           2011, C. Author
License: CC-BY-SA-3.0
 Some text.

Files: data/music/other.ogg
Copyright: D. Author
License: GPL-3+

License: GPL-2+
 More text.
"""


@pytest.mark.parametrize(
    ("path", "licence", "authors"),
    [
        ("data/x.ogg", "GPL-2+", "A. Author"),
        ("data/music/deep/x.ogg", "CC-BY-SA-3.0", "B. Author; C. Author"),
        ("data/a b.ogg", "CC-BY-SA-3.0", "B. Author; C. Author"),
        ("data/music/other.ogg", "GPL-3+", "D. Author"),
    ],
)
def test_last_stanza_that_matches_counts(path, licence, authors):
    terms = terms_of(path, read_stanzas(NOTICE))
    assert (terms.licence, terms.authors) == (licence, authors)


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC0", True),
        ("CC0-1.0", True),
        ("CC-BY-SA-3.0+", True),
        ("CC-BY-3.0 or GPL-2", True),
        ("GPL-2+ OR CC-BY-SA-4.0", True),
        ("Expat", True),
        ("BSD-3-clause", True),
        ("CC-BY-3.0 and MIT", True),
        ("CC-BY-3.0 and GPL-2", False),
        ("CC-BY-NC-3.0", False),
        ("CC-BY-ND-4.0", False),
        ("GPL-3+", False),
        ("LGPL-2.1+", False),
        ("public-domain", False),
        ("", False),
    ],
)
def test_licences_that_may_train_a_published_model(licence, expected):
    assert is_free(licence) is expected


def test_pauses_are_left_out():
    tone = 0.1 * np.sin(np.arange(16000) / 5).astype(np.float32)
    audio = np.concatenate([np.zeros(32000), tone, np.zeros(3200), tone, np.full(80000, 1e-6)]).astype(np.float32)
    assert len(without_silence(audio)) == pytest.approx(16000 * (2.2 + 0.2), abs=640)
    assert not len(without_silence(np.zeros(16000, dtype=np.float32)))


def wav(audio) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, audio, 16000, format="WAV")
    return content.getvalue()


def test_a_source_is_made_once_without_duplicates_and_joined(tmp_path):
    random = np.random.default_rng(0)
    sounds = [wav(0.1 * random.standard_normal(16000 * seconds)) for seconds in (4, 5, 12, 200)]
    pieces = [Piece(sound, f"{i}.wav", "CC0", "A", "sounds") for i, sound in enumerate([*sounds, sounds[0]])]
    seen = set()
    rows = make_source("games", lambda: iter(pieces), tmp_path, seen)
    assert [round(row["seconds"]) for row in rows] == [12, 180, 9]
    assert rows[2]["recording"] == "0.wav and 1 more"
    again = set()
    assert make_source("games", pytest.fail, tmp_path, again) == rows
    assert again == seen
    assert not make_source("others", lambda: iter(pieces), tmp_path, seen)
    weigh(rows)
    write_lists(rows, tmp_path)
    assert "games,sounds,0.0558,3,CC0,A" in (tmp_path / "training_data.csv").read_text()
    assert len(json.loads((tmp_path / "sources" / "games.json").read_text())["digests"]) == 4


def test_weights_give_each_kind_its_share():
    rows = [{"kind": "speech", "source": "a", "seconds": 9000}] * 3 + [
        {"kind": "music", "source": "b", "seconds": 9000},
        {"kind": "music", "source": "c", "seconds": 1},
    ]
    rows = [dict(row) for row in rows]
    weigh(rows)
    speech, music = (
        sum(row["weight"] * row["seconds"] for row in rows if row["kind"] == kind) for kind in ("speech", "music")
    )
    assert speech / music == pytest.approx(0.25 / 0.12, rel=0.02)
    assert rows[-1]["weight"] == MOST


def test_a_fifth_of_the_readers_is_never_taken(tmp_path):
    folder = tmp_path / "libri251"
    (folder / "audio").mkdir(parents=True)
    speakers = [str(number) for number in range(100, 125)]
    for speaker in speakers:
        (folder / "audio" / f"{speaker}.flac").write_bytes(b"audio")
    lines = [f"{speaker}.flac,{speaker}" for speaker in reversed(speakers)]
    (folder / "libri251.csv").write_text("\n".join(["filename,speaker", *lines]) + "\n")
    assert held_out_speakers(tmp_path) == speakers[20:]
    assert sorted(piece.name for piece in libri251(tmp_path)) == [
        f"libri251/{speaker}.flac" for speaker in speakers[:20]
    ]


@pytest.mark.parametrize(("number", "expected"), [(0, [0]), (127, [127]), (128, [129, 0]), (16384, [129, 128, 0])])
def test_times_in_midi(number, expected):
    assert list(variable_length(number)) == expected
