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

from downstream import Study, weights_of
from evidence import heard
from open_audio_overlap import is_filled
from open_audio_parts.copyrights import is_free, read_stanzas, terms_of
from open_audio_parts.corpus import MOST, Source, make_source, weigh, write_lists
from open_audio_parts.folders import esc10, held_out_speakers, libri251
from open_audio_parts.instruments import variable_length
from open_audio_parts.packages import in_chunks
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
    source = Source("games", lambda: iter(pieces))
    rows = make_source("games", source, tmp_path, seen)
    assert [round(row["seconds"]) for row in rows] == [12, 180, 9]
    assert rows[2]["recording"] == "0.wav and 1 more"
    again = set()
    assert make_source("games", Source("games", pytest.fail), tmp_path, again) == rows
    assert again == seen
    assert not make_source("others", source, tmp_path, seen)
    weigh(rows)
    write_lists(rows, tmp_path)
    assert "games,sounds,0.0558,3,CC0,A" in (tmp_path / "training_data.csv").read_text()
    assert len(json.loads((tmp_path / "sources" / "games.json").read_text())["digests"]) == 4
    other = Source("another definition", lambda: iter(pieces[:1]))
    assert len(make_source("games", other, tmp_path, set())) == 1
    assert len(list((tmp_path / "audio" / "games").iterdir())) == 1


def test_chunks_of_telephone_speech_keep_their_terms():
    terms = {"a": ("CC0", "A", "speech"), "b": ("MIT", "B", "speech")}
    names = "aabab"
    contents = [b"1", b"2", b"3", b"1", b"4"]
    pieces = [
        Piece(content, f"{i}.g722", *terms[name])
        for i, (content, name) in enumerate(zip(contents, names, strict=True))
    ]
    found = list(in_chunks([*pieces, Piece(b"5", "5.wav", *terms["a"])]))
    assert [(piece.name, piece.content, piece.authors) for piece in found] == [
        ("5.wav", b"5", "A"),
        ("0.g722", b"12", "A"),
        ("2.g722", b"34", "B"),
    ]


def test_what_bundled_clips_are_cut_from_is_left_out(tmp_path):
    """The dog is number 118964 on Freesound, and the speech is by the reader 1447 of LibriSpeech."""
    tables = {
        "esc10": "filename,src_file,licence,author\n2-118964-A-0.flac,118964,CC0,a\n1-7-A-0.flac,7,CC0,b\n",
        "libri251": "filename,speaker\n1447-130550-0000.flac,1447\n19-198-0000.flac,19\n908-1-2.flac,908\n",
    }
    for name, table in tables.items():
        (tmp_path / name / "audio").mkdir(parents=True)
        (tmp_path / name / f"{name}.csv").write_text(table)
        for line in table.splitlines()[1:]:
            (tmp_path / name / "audio" / line.partition(",")[0]).write_bytes(b"audio")
    assert [piece.name for piece in esc10(tmp_path)] == ["esc10/1-7-A-0.flac"]
    assert "libri251/19-198-0000.flac" in [piece.name for piece in libri251(tmp_path)]
    assert "libri251/1447-130550-0000.flac" not in [piece.name for piece in libri251(tmp_path)]


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


def test_an_index_that_is_not_whole_is_not_touched(tmp_path):
    assert not is_filled(tmp_path)
    (tmp_path / "index.jsonl").write_text('{"version": 2}\n["a"')
    assert not is_filled(tmp_path)
    (tmp_path / "index.jsonl").write_text('{"version": 2}\n')
    assert is_filled(tmp_path)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("path,licence\nesc10/audio/1-100032-A-0.flac,CC0\nlibri251/audio/19-198-0000.flac,CC BY\n", {"sounds"}),
        ("path,licence\nlibri251/audio/908-1-2.flac,CC BY\n", {"readers"}),
        ("source,kind,hours\nlibri251,speech,1.0\n0ad-data,sounds,1.0\n", set()),
        ("source,kind,hours\nesc10,sounds,0.5\n", {"sounds"}),
        (None, set()),
    ],
)
def test_what_a_model_has_heard_by_its_list(table, expected, tmp_path):
    if table is not None:
        (tmp_path / "training_data.csv").write_text(table)
    assert heard(str(tmp_path), ["908"]) == expected


def test_folds_of_one_seed_are_no_runs(tmp_path):
    study = Study(tmp_path, "nano", [])
    common = {"metric": "accuracy", "way": "w", "labels": 1}
    study.found = [
        common | {"study": f"s, fold {fold}", "seed": seed, "value": 0.5 + 0.01 * seed + 0.1 * fold}
        for fold in (-1, 1)
        for seed in range(2)
    ]
    assert study.table()[-1] == "| s | accuracy | w | 1 | 0.505 | 0.441 to 0.569 | 2 seeds |"
    study.found = study.found[::2]
    assert study.table()[-1] == "| s | accuracy | w | 1 | 0.500 | 0.000 to 1.000 | 2 folds |"
    study.found = [common | {"study": "s", "seed": 0, "value": 0.5, "interval": [0.4, 0.7]}]
    assert study.table()[-1] == "| s | accuracy | w | 1 | 0.500 | 0.400 to 0.700 | its test |"


def test_what_is_finished_or_asked_for_twice_is_run_once(tmp_path, monkeypatch):
    ran = []

    def fine_tune(asked):
        ran.append(asked["command"])
        asked["folder"].mkdir(parents=True)
        figures = {"test": {"accuracy": {"value": 0.5, "interval_95": [0.4, 0.6]}}}
        (asked["folder"] / "metrics.json").write_text(json.dumps(figures))
        return asked["folder"]

    monkeypatch.setattr("downstream.fine_tune", fine_tune)
    for _ in range(2):
        study = Study(tmp_path, "nano", ["--max_steps", "1"])
        for seed in (0, 1, 1):
            study.ask("s", "w", 0, seed, "accuracy", ["--task", "classification"])
        study.run()
        assert [each["value"] for each in json.loads((tmp_path / "downstream.json").read_text())] == [0.5] * 3
    assert sorted(command[command.index("--seed") + 1] for command in ran) == ["0", "1"]


def test_other_weights_are_another_run(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"a")
    before = weights_of(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"b")
    assert weights_of(str(tmp_path)) != before
