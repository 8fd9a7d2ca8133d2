"""Recordings with events in time, from tables that have a row per event, or a row per recording with lists."""

import math

import numpy as np

from .label_tables import LabelOptions, LabelTable, read_table
from .labelled import LabelledData
from .labels import Event, in_order, text_of
from .lengths import measure
from .recordings import locate


# In which recordings are measured, in Hz; that of most models, whose lengths are kept then.
RATE = 16000


def load_events(source: str, options: LabelOptions, split: str = "train") -> LabelledData:
    """
    List recordings and the events in them. A row of a table of paths is an event, with an onset and an offset in
    seconds and a label; a recording without events has one row, without these. Or a row is a recording, and these are
    lists with an entry per event; it has to be so if the table holds the audio itself.

    Args:
        source (`str`): A manifest (CSV, TSV, JSONL or JSON); a parquet file, or a folder or pattern of some; or the
            name of a data set on the Hub.
        options ([`LabelOptions`]): How it is read.
        split (`str`, defaults to `"train"`): Of a data set on the Hub.

    Returns:
        [`LabelledData`] with `events`; labels are the names of the classes that a recording has.

    Raises:
        ValueError: If a row or a column is missing or makes no sense, such as an event behind the end of its
            recording; with the row or the column.
        OSError: If something cannot be read.
    """
    kind, files = locate(source)
    if kind in ("audio", "tar"):
        raise ValueError(
            f"{source}: events in time need a table (.csv, .tsv, .jsonl, .json, .parquet, or one on the Hub) with a "
            "row per event, or per recording."
        )
    table = read_table(source, kind, files, options, split)
    events_of = [events_in(table, row) for row in range(len(table))]
    rows_of = rows_of_recordings(table)
    if not any(events_of):
        raise ValueError(f"{table.labels.source}: no event in any row.")
    first = [rows[0] for rows in rows_of]
    recordings = table.recordings(first)
    events = [[event for row in rows for event in events_of[row]] for rows in rows_of]
    if not options.labels_alone:
        lengths = measure(recordings, RATE).samples / RATE
        check_lengths(lengths, rows_of, events_of, source)
        # Annotators' clocks may go on a little longer. What cannot be read has no length, and is told later.
        events = [
            [(begin, min(end, length or end), name) for begin, end, name in each]
            for each, length in zip(events, lengths.tolist(), strict=True)
        ]
    others = {name: [cells[row] for row in first] for name, cells in table.others.items()}
    return LabelledData(
        recordings,
        [in_order({name for *_, name in each}) for each in events],
        table.labels.names or in_order({name for each in events for *_, name in each}),
        source,
        np.array(first) + 1,
        others.get(options.group_column or ""),
        others.get(options.fold_column or ""),
        events,
    )


def events_in(table: LabelTable, index: int) -> list[Event]:
    """The events that a row of a table tells of: one, none, or those in its lists."""
    cells = [column[index] for column in (table.labels.cells, *table.times.values())]
    if not any(isinstance(cell, list) for cell in cells):
        event = event_of(table, index, *cells)
        if event is not None and table.files is None:
            raise ValueError(
                f"{table.source}, row {index + 1}: an event from {event[0]:g} to {event[1]:g} s, by itself. A row of "
                f"a table that holds the audio is a recording; put lists with an entry per event into "
                f"{table.labels.name}, {' and '.join(table.times)}."
            )
        return [] if event is None else [event]
    lists = [cell if isinstance(cell, list) else [] if text_of(cell) is None else [cell] for cell in cells]
    if len(set(map(len, lists))) > 1:
        counts = zip((table.labels.name, *table.times), map(len, lists), strict=True)
        told = ", ".join(f"{count} of {name}" for name, count in counts)
        raise ValueError(f"{table.source}, row {index + 1}: {told}; expected one of each per event.")
    events = [event_of(table, index, *each) for each in zip(*lists, strict=True)]
    return [event for event in events if event is not None]


def event_of(table: LabelTable, index: int, label, *times) -> Event | None:
    """An event from its cells, or entries of lists, in a row; `None` if these are empty."""
    place = f"{table.source}, row {index + 1}"
    name = text_of(label)
    if name is None:
        given = [pair for pair in zip(table.times, times, strict=True) if text_of(pair[1]) is not None]
        if given:
            raise ValueError(
                f"{place}: {given[0][0]} is {given[0][1]!r}, and {table.labels.name} is empty; add the label, or "
                "leave the times out if nothing happens in the recording."
            )
        return None
    begin, end = (seconds_in(cell, f"{place}: {column}") for column, cell in zip(table.times, times, strict=True))
    if not 0 <= begin < end:
        raise ValueError(
            f"{place}: an event from {begin:g} to {end:g} s; expected an onset from 0 up, and an offset behind it."
        )
    return begin, end, table.labels.name_of(index, name)


def seconds_in(cell, place: str) -> float:
    """A cell as a finite number."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place} is {cell!r}, which is no number of seconds.")
    return value


def rows_of_recordings(table: LabelTable) -> list[list[int]]:
    """The rows of each recording, in the order of the first ones; ValueError if their groups or folds differ."""
    if table.files is None:
        return [[row] for row in range(len(table))]
    rows_of: dict[str | int, list[int]] = {}
    for row, file in enumerate(table.files):
        rows_of.setdefault(file or row, []).append(row)
    for column, cells in table.others.items():
        for rows in rows_of.values():
            for row in rows:
                if cells[row] != cells[rows[0]]:
                    raise ValueError(
                        f"{table.source}, row {row + 1}: {column} is {cells[row]!r}, and {cells[rows[0]]!r} in row "
                        f"{rows[0] + 1} of the same recording; give all its rows the same."
                    )
    return list(rows_of.values())


def check_lengths(lengths: np.ndarray, rows_of: list[list[int]], events_of: list[list[Event]], source: str):
    """ValueError if an event begins behind the end of its recording, in seconds; 0 if that is not known."""
    for rows, length in zip(rows_of, lengths.tolist(), strict=True):
        onset, row = max(((begin, row) for row in rows for begin, *_ in events_of[row]), default=(0.0, 0))
        if 0 < length <= onset:
            raise ValueError(
                f"{source}, row {row + 1}: an event begins at {onset:g} s, and the recording has {length:.4g} s."
            )
