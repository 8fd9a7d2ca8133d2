"""Tables of events in time."""

import numpy as np
import pytest
import soundfile

from ssast_hf.audio.events import load_events
from ssast_hf.audio.labelled import LabelOptions


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
