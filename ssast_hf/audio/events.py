"""Recordings with events in time, from tables that have a row per event."""

import math
from pathlib import Path

import numpy as np
from datasets import Dataset

from .columns import find_column
from .labelled import LabelledData, LabelOptions, label_column, other_columns
from .labels import in_order, text_of
from .lengths import measure
from .recordings import Recordings, cells_of, check_names, files_of_manifest, locate, read_manifest


BEGINS, ENDS = ("onset", "start", "begin"), ("offset", "end")
# In which recordings are measured, in Hz; that of most models, whose lengths are kept then.
RATE = 16000


def load_events(source: str, options: LabelOptions, split: str = "train") -> LabelledData:
    """
    List recordings and the events in them. A row of the table has a path, an onset and an offset in seconds, and a
    label; a recording without events has one row, without these.

    Args:
        source (`str`): A manifest: CSV, TSV, JSONL or JSON.
        options ([`LabelOptions`]): How it is read.
        split (`str`): Has no meaning here.

    Returns:
        [`LabelledData`] with `events`; labels are the names of the classes that a recording has.

    Raises:
        ValueError: If a row or a column is missing or makes no sense, such as an event behind the end of its
            recording; with the row or the column.
        OSError: If something cannot be read.
    """
    kind, _ = locate(source)
    if kind != "manifest":
        raise ValueError(f"{source}: events in time need a table (.csv, .tsv, .jsonl, .json) with a row per event.")
    path = Path(source)
    rows = read_manifest(path)
    columns = list(rows[0])
    label = label_column(columns, options, path)
    begin = find_column(columns, None, path, BEGINS, "the begin of events, in seconds", "onset")
    end = find_column(columns, None, path, ENDS, "their end", "offset")
    others = {
        name: cells_of(rows, name, path, option) for name, option in other_columns(columns, options, path).items()
    }
    files = files_of_manifest(path, rows, options.audio_column, options.audio_dir)
    check_names(files, source)
    first: dict[str, int] = {}
    events: dict[str, list] = {}
    latest: dict[str, tuple[float, int]] = {}  # onset, and its row from 0
    for i, file in enumerate(files):
        first.setdefault(file, i)
        events.setdefault(file, [])
        for column, cells in others.items():
            if cells[i] != cells[first[file]]:
                raise ValueError(
                    f"{source}, row {i + 1}: {column} is {cells[i]!r}, and {cells[first[file]]!r} in row "
                    f"{first[file] + 1} of the same recording; give all its rows the same."
                )
        if (name := text_of(rows[i].get(label))) is not None:
            times = [seconds_in(rows[i].get(column), column, source, i) for column in (begin, end)]
            if not 0 <= times[0] < times[1]:
                raise ValueError(
                    f"{source}, row {i + 1}: an event from {times[0]:g} to {times[1]:g} s; expected an onset from 0 "
                    "up, and an offset behind it."
                )
            events[file].append((*times, name))
            latest[file] = max(latest.get(file, (0.0, i)), (times[0], i))
        elif given := [column for column in (begin, end) if text_of(rows[i].get(column)) is not None]:
            raise ValueError(
                f"{source}, row {i + 1}: {given[0]} is {rows[i][given[0]]!r}, and {label} is empty; add the label, or "
                "leave the times out if nothing happens in the recording."
            )
    labels = [in_order({name for *_, name in events[file]}) for file in first]
    names = in_order({name for each in labels for name in each})
    if not names:
        raise ValueError(f"{source} has no event: the column {label!r} is empty.")
    numbers = list(first.values())
    recordings = Recordings(Dataset.from_dict({"path": list(first)}), source)
    lengths = np.zeros(len(first), np.int64) if options.labels_alone else measure(recordings, RATE).samples
    for file, samples in zip(first, lengths, strict=True):
        onset, i = latest.get(file, (0.0, 0))
        if 0 < samples <= onset * RATE:  # 0 if it cannot be read, which is told later
            raise ValueError(
                f"{source}, row {i + 1}: an event begins at {onset:g} s, and the recording has {samples / RATE:.4g} s."
            )
        if samples > 0:  # annotators' clocks may go on a little longer
            length = float(samples) / RATE
            events[file] = [(begin, min(end, length), name) for begin, end, name in events[file]]

    def of_first_rows(column: str | None) -> list[str] | None:
        return None if column is None else [others[column][i] for i in numbers]

    return LabelledData(
        recordings,
        labels,
        names,
        source,
        np.array(numbers) + 1,
        of_first_rows(options.group_column),
        of_first_rows(options.fold_column),
        list(events.values()),
    )


def seconds_in(cell, column: str, source: str, index: int) -> float:
    """A cell as a finite number."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{source}, row {index + 1}: {column} is {cell!r}, which is no number of seconds.")
    return value
