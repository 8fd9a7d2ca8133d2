"""What the cells of a column of labels say: classes by name, several of them, numbers or text."""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

from ..storage.guards import reading, shortened_line
from .columns import find_column


# Onset and offset in seconds, and the name of the class.
Event = tuple[float, float, str]
# What a column of labels is usually called, in the order of preference, by what it holds.
CLASS_COLUMNS = tuple("label labels category class target speaker text".split())
USUAL = {
    "class": CLASS_COLUMNS,
    "classes": CLASS_COLUMNS,
    "speaker": ("speaker", "speaker_id", "label"),
    "events": ("event_label", "event", *CLASS_COLUMNS),
    "number": ("label", "target", "value", "score"),
    "text": ("text", "transcript", "transcription", "sentence", "label"),
}
# What stands between several labels in one cell.
SEPARATORS = (";", "|", ",")


@dataclass(frozen=True)
class LabelColumn:
    """
    A column of labels as it is read.

    Args:
        cells (`list`): One per row: text, numbers, lists of them, or `None` where there is none.
        source (`str`): Where it comes from, for messages.
        names (`list[str]`, *optional*): The classes, where the data say which there are.
        keys (`dict[str, str]`, *optional*): How cells call classes -> their names.
        origin (`str`): What says so, for messages.
        name (`str`): What the column is called, for messages.
    """

    cells: list
    source: str
    names: list[str] | None = None
    keys: dict[str, str] | None = None
    origin: str = ""
    name: str = "label"

    def error(self, index: int, fault: str) -> ValueError:
        return ValueError(f"{self.source}, row {index + 1}: {fault}")

    def name_of(self, index: int, key: str) -> str:
        """The name of what the cell of an index calls `key`; ValueError if it is no class."""
        if self.keys is None:
            return key
        if key not in self.keys:
            raise self.error(index, f"the label {key!r} is in no class of {self.origin}.")
        return self.keys[key]


def read_labels(column: LabelColumn, kind: str, separator: str | None = None) -> tuple[list, list[str]]:
    """
    The labels of recordings, and the names of the classes in an order that is always the same.

    Args:
        column ([`LabelColumn`]): The cells.
        kind (`str`): `"class"` or `"speaker"` for one class of each recording, `"classes"` for any number of them,
            `"number"`, or `"text"`.
        separator (`str`, *optional*): Between several labels in one cell; found if not given. `"none"` if cells are to
            be taken as they are.

    Returns:
        A list of names, of lists of names, of floats or of texts; and the names, none of numbers and texts.

    Raises:
        ValueError: If a cell is empty, holds no number, a class that is not known, or several where one is expected.
    """
    if kind == "number":
        return [number_in(column, i) for i in range(len(column.cells))], []
    if kind == "text":
        return [single(column, i, text_of(cell)) for i, cell in enumerate(column.cells)], []
    marks = marks_in(column) if separator is None else tuple({separator} - {"none"})
    whole: set[str] = set()
    if separator is None and kind != "classes" and column.keys is None:
        texts = {text for cell in column.cells if (text := text_of(cell)) is not None}
        whole = {text for text in texts if is_one_name(text, texts, kind)}
    known: dict[str, list[str]] = {}  # the parts of texts, of which large tables have few
    several = []
    for i, cell in enumerate(column.cells):
        parts = known.get(cell) if isinstance(cell, str) else None
        if parts is None:
            parts = parts_of(column, i, marks, whole)
            if isinstance(cell, str):
                known[cell] = parts
        several.append(parts)
    if kind == "classes" and not any(several):
        raise ValueError(f"{column.source} is empty in every row. Name the column of labels with --label_column.")
    labels: list = several
    if kind != "classes":
        for i, parts in enumerate(several):
            if len(parts) != 1:
                raise column.error(
                    i,
                    f"{len(parts)} labels, {', '.join(map(repr, parts))}, where one is expected. Several are for "
                    "--task multilabel; if it is one name, pass --label_separator none."
                    if parts
                    else "no label.",
                )
        labels = [parts[0] for parts in several]
    if column.names is not None:
        return labels, list(column.names)
    return labels, in_order({label for parts in several for label in parts})


def marks_in(column: LabelColumn) -> tuple[str, ...]:
    """The first of [`SEPARATORS`] that any cell has: one for the whole column, since names may have others in them."""
    texts = [cell for cell in column.cells if isinstance(cell, str) and cell.strip() not in (column.keys or ())]
    return next(((mark,) for mark in SEPARATORS if any(mark in text for text in texts)), ())


def parts_of(column: LabelColumn, index: int, marks: tuple[str, ...], whole: set[str]) -> list[str]:
    """The names of the classes in one cell, each once."""
    cell = column.cells[index]
    parts: list[str | None]
    if isinstance(cell, (list, tuple)):
        parts = [text_of(part) for part in cell]
    else:
        text = text_of(cell)
        is_whole = text is None or text in (column.keys or ())
        parts = [text] if is_whole else [*split(str(text), marks, whole)]
    found = list(dict.fromkeys(part for part in parts if part is not None))
    return list(dict.fromkeys(column.name_of(index, part) for part in found))


def is_one_name(text: str, texts: set[str], kind: str) -> bool:
    """
    Whether a text with commas is one name, such as "Speech, male", where one label is expected. It is not if its parts
    are the labels of other recordings, nor if nothing follows upon a comma but the next part, as in "dog,rain"; though
    speakers may be called so.
    """
    parts = {part.strip() for part in text.split(",") if part.strip()}
    return not texts.issuperset(parts) and (kind == "speaker" or re.search(r",\S", text) is None)


def split(text: str, marks: tuple[str, ...], whole: set[str]) -> list[str]:
    """The labels in the text of a cell, by the first of the marks in it; not by commas if it is one of `whole`."""
    mark = next((mark for mark in marks if mark in text), None)
    if mark is None or (mark == "," and text in whole):
        return [text]
    return [part.strip() for part in text.split(mark) if part.strip()]


def text_of(cell) -> str | None:
    """A cell as text; `None` if it is empty."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip() or None


def single(column: LabelColumn, index: int, text: str | None) -> str:
    if text is None:
        raise column.error(index, "no label.")
    return text


def number_in(column: LabelColumn, index: int) -> float:
    """A cell as a finite number."""
    text = single(column, index, text_of(column.cells[index]))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise column.error(index, f"{shortened_line(text)!r} is no number.")
    return value


def in_order(names: set[str]) -> list[str]:
    """Names of classes in an order that is always the same: whole numbers by size, else by their letters."""
    are_numbers = all(re.fullmatch(r"-?[0-9]{1,18}", name) for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if are_numbers else sorted(names)


def read_label_csv(path) -> tuple[list[str], dict[str, str]]:
    """
    The label CSV of the original code, with the columns index, mid and display_name: names in the order of the index,
    and how cells call them -> their names.

    Raises:
        ValueError: If it is none.
        OSError: If there is no such file.
    """
    with reading(path, "a label CSV", "Expected the columns index, mid and display_name."):
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        columns = list(rows[0])
        key = find_column(columns, None, path, ("mid", "display_name"), "names of classes", "mid")
        name = "display_name" if "display_name" in columns else key
        if "index" in columns:
            rows.sort(key=lambda row: int(row["index"]))
        keys = {row[name].strip(): row[name].strip() for row in rows}
        keys |= {row[key].strip(): row[name].strip() for row in rows}
    return list(dict.fromkeys(row[name].strip() for row in rows)), keys
