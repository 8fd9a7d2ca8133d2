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
    assert data.events == [[(0.1, 9.0, "dog"), (0.49, 0.5, "cat")], []]
    assert data.labels == [["cat", "dog"], []]
    assert (data.groups, data.rows.tolist()) == (["x", "y"], [1, 2])


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
