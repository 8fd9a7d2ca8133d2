"""Tables of events in time."""

import json

import datasets
import numpy as np
import pytest
import soundfile

from ssast_hf.audio.events import load_events
from ssast_hf.audio.label_tables import LabelOptions


def load(folder, *rows: str):
    """A table with the columns path, onset, offset, label, who; of a recording of half a second."""
    soundfile.write(folder / "a.wav", np.zeros(4000), 8000)
    (folder / "events.csv").write_text("\n".join(["path,onset,offset,label,who", *rows]) + "\n")
    return load_events(str(folder / "events.csv"), LabelOptions("events", group_column="who"))


def test_rows_are_events_of_recordings(tmp_path):
    data = load(tmp_path, "a.wav,0.1,9,dog,x", "b.wav,,,,y", "a.wav,0.49,0.5,cat,x")
    # What goes on behind the end of the recording ends there.
    assert data.events == [[(0.1, 0.5, "dog"), (0.49, 0.5, "cat")], []]
    assert data.labels == [["cat", "dog"], []]
    assert (data.groups, data.rows.tolist()) == (["x", "y"], [1, 2])


def test_the_first_line_need_not_have_all_columns(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(4000), 8000)
    rows = ['{"path": "b.wav"}', '{"path": "a.wav", "onset": 0.1, "offset": 0.2, "label": "dog"}']
    (tmp_path / "events.jsonl").write_text("\n".join(rows))
    assert load_events(str(tmp_path / "events.jsonl"), LabelOptions("events")).events == [[], [(0.1, 0.2, "dog")]]


def test_columns_that_have_no_option_are_to_be_called_otherwise(tmp_path):
    (tmp_path / "events.csv").write_text("path,start_time,end_time,label\na.wav,0.1,0.2,dog\n")
    with pytest.raises(ValueError, match="Call the one that holds the begin of events, in seconds, 'onset'"):
        load_events(str(tmp_path / "events.csv"), LabelOptions("events"))


# Two recordings of half a second; nothing happens in the first.
EVENTS = [[], [(0.1, 0.2, "dog"), (0.15, 0.5, "cat")]]
LISTS = {
    "onset": [[], [0.1, 0.15]],
    "offset": [[], [0.2, 0.5]],
    "event_label": [[], ["dog", "cat"]],
    "who": ["x", "y"],
}


def source_of(kind: str, folder, monkeypatch, columns: dict = LISTS) -> str:
    """The same events, as rows or as lists, in tables of paths or with the audio."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
    files = [folder / f"{name}.wav" for name in "ab"]
    for i, file in enumerate(files):
        soundfile.write(file, np.full(4000, i / 10), 8000)
    if kind == "rows":
        rows = [{"path": "a.wav", "onset": None, "offset": None, "label": None, "who": "x"}]
        rows += [{"path": "b.wav", "onset": b, "offset": e, "label": name, "who": "y"} for b, e, name in EVENTS[1]]
        datasets.Dataset.from_list(rows).to_parquet(folder / "t.parquet")
        return str(folder / "t.parquet")
    names = [file.name for file in files]
    if kind == "json lists":
        lines = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        lines = [{"path": name} | line for name, line in zip(names, lines, strict=True)]
        (folder / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return str(folder / "t.jsonl")
    audio = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    rows = datasets.Dataset.from_dict(columns | ({"path": names} if kind == "lists" else {"audio": audio}))
    if kind == "paths on the hub":
        paths = datasets.Dataset.from_list(
            [
                {"path": str(file), "onset": onset, "offset": offset, "event_label": name, "who": who}
                for file, events, who in zip(files, EVENTS, "xy", strict=True)
                for onset, offset, name in events or [(None, None, None)]
            ]
        )
        monkeypatch.setattr("ssast_hf.audio.tables.load_dataset", lambda *args, **options: paths)
        return "org/sounds"
    if kind == "hub":
        rows = rows.cast_column("audio", datasets.Audio(decode=False))
        classes = datasets.ClassLabel(names=["dog", "cat", "cow"])
        numbers = [[classes.names.index(name) for name in each] for each in columns["event_label"]]
        rows = rows.remove_columns("event_label").add_column("event_label", numbers)
        rows = rows.cast_column("event_label", datasets.Sequence(classes))
        monkeypatch.setattr("ssast_hf.audio.tables.load_dataset", lambda *args, **options: rows)
        return "org/sounds"
    rows.to_parquet(folder / "t.parquet")
    return str(folder / "t.parquet")


@pytest.mark.parametrize("kind", ["rows", "json lists", "lists", "audio", "hub", "paths on the hub"])
def test_every_table_gives_the_same_events(kind, tmp_path, monkeypatch):
    data = load_events(source_of(kind, tmp_path, monkeypatch), LabelOptions("events", group_column="who"))
    assert data.events == EVENTS
    assert data.groups == ["x", "y"]
    assert data.names == (["dog", "cat", "cow"] if kind == "hub" else ["cat", "dog"])
    assert len(data.recordings) == 2
    assert data.rows.tolist() == [1, 2]
    name = "t.parquet, row 2" if kind == "audio" else "org/sounds, row 2" if kind == "hub" else "b.wav"
    assert data.name(1).partition(" (")[0].endswith(name)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("audio", {"onset": [[], [0.1]]}, "row 2: 2 of event_label, 1 of onset, 2 of offset; expected one of each"),
        ("audio", {"onset": [[], [0.1, 0.5]], "offset": [[], [0.2, 0.6]]}, "row 2: an event begins at 0.5 s"),
        ("audio", {"event_label": [[], ["dog", None]]}, "row 2: onset is 0.15, and event_label is empty"),
        (
            "audio",
            {"onset": [None, 0.1], "offset": [None, 0.2], "event_label": [None, "dog"]},
            "row 2: an event from 0.1 to 0.2 s, by itself.* put lists .* into event_label, onset and offset",
        ),
        ("lists", {"onset": [[], [0.1, float("nan")]]}, "row 2: onset is nan, which is no number of seconds"),
        ("lists", {"event_label": [[], []]}, "row 2: 0 of event_label, 2 of onset"),
        ("hub", {"onset": [[], [0.1, 0.9]]}, "sounds, row 2: an event from 0.9 to 0.5 s"),
    ],
)
def test_wrong_lists_are_told_with_their_row(kind, changes, message, tmp_path, monkeypatch):
    source = source_of(kind, tmp_path, monkeypatch, LISTS | changes)
    if kind == "audio" and "an event begins" not in message:  # what tells how long it is, is copied
        monkeypatch.setattr("ssast_hf.audio.label_tables.load_tables", lambda *args: pytest.fail("copies"))
    with pytest.raises(ValueError, match=message):
        load_events(source, LabelOptions("events"))


def test_empty_lists_may_stand_beside_what_pandas_leaves_empty(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(4000), 8000)
    rows = ['{"path": "b.wav", "onset": NaN, "offset": "", "label": []}']
    rows += ['{"path": "a.wav", "onset": [0.1], "offset": [0.2], "label": ["dog"]}']
    (tmp_path / "events.jsonl").write_text("\n".join(rows))
    assert load_events(str(tmp_path / "events.jsonl"), LabelOptions("events")).events == [[], [(0.1, 0.2, "dog")]]


def test_files_of_one_name_in_two_folders_are_two_recordings(tmp_path):
    for name, label in (("one", "dog"), ("two", "cat")):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "0.flac", np.zeros(4000), 8000)
        row = {"path": "0.flac", "onset": 0.1, "offset": 0.2, "label": label}
        datasets.Dataset.from_list([row]).to_parquet(tmp_path / name / "t.parquet")
    data = load_events(str(tmp_path / "*" / "t.parquet"), LabelOptions("events"))
    assert data.events == [[(0.1, 0.2, "dog")], [(0.1, 0.2, "cat")]]
    assert [data.name(i) for i in range(2)] == [str(tmp_path / name / "0.flac") for name in ("one", "two")]


def test_columns_of_all_files_have_the_same_names(tmp_path):
    soundfile.write(tmp_path / "0.flac", np.zeros(4000), 8000)
    for name, onset in (("a", "onset"), ("b", "start")):
        row = {"path": "0.flac", onset: 0.1, "offset": 0.2, "label": "dog"}
        datasets.Dataset.from_list([row]).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match=r"^\S+b\.parquet has a column 'start' where \S+a\.parquet has 'onset'"):
        load_events(str(tmp_path / "*.parquet"), LabelOptions("events"))


def test_events_are_checked_without_their_audio(tmp_path, monkeypatch):
    source = source_of("audio", tmp_path, monkeypatch)
    monkeypatch.setattr("ssast_hf.audio.label_tables.load_tables", lambda *args: pytest.fail("copies"))
    assert load_events(source, LabelOptions("events", labels_alone=True)).events == EVENTS


def test_numbers_in_rows_stand_for_the_classes_that_the_table_describes(tmp_path, monkeypatch):
    rows = datasets.Dataset.from_parquet(source_of("rows", tmp_path, monkeypatch))
    rows = rows.remove_columns("label").add_column("label", [None, 0, 1])
    rows.cast_column("label", datasets.ClassLabel(names=["dog", "cat"])).to_parquet(tmp_path / "numbers.parquet")
    data = load_events(str(tmp_path / "numbers.parquet"), LabelOptions("events"))
    assert data.events == EVENTS
    assert data.names == ["dog", "cat"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,0.2,0.3,,x", "row 2: onset is '0.2', and label is empty; add the label"),
        ("a.wav,,0.3,,x", "row 2: offset is '0.3', and label is empty"),
        ("a.wav,0.5,0.6,dog,x", "row 2: an event begins at 0.5 s, and the recording has 0.5 s"),
        ("a.wav,0.3,0.4,dog,y", "row 2: who is 'y', and 'x' in row 1 of the same recording"),
        ("a.wav,0.3,0.2,dog,x", "row 2: an event from 0.3 to 0.2 s"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_row(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "a.wav,0.1,0.2,dog,x", row)
