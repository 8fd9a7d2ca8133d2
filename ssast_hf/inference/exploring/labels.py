"""Labels of embedded clips, from a table of somebody's."""

import csv
import os
from pathlib import Path

from ...audio.columns import find_column
from ...audio.labels import CLASS_COLUMNS
from ...storage.guards import reading


def read_labels(table, wanted: str | None = None) -> dict[str, str]:
    """
    Labels by path.

    Args:
        table (`str` or `Path`): A CSV file (or TSV, by its name) with a head, a column of paths (`path`, `file`,
            `filename`, ...), which may be relative to the table, and one of labels.
        wanted (`str`, *optional*): The name of that column.

    Returns:
        `dict[str, str]`: By the path as it stands there, by its full path, and by the name of the file, where no two
        files with different labels are called so.

    Raises:
        ValueError: If it is no such table.
        OSError: If there is none.
    """
    with (
        reading(table, "a table in UTF-8", "Save it again as CSV."),
        open(table, encoding="utf-8-sig", newline="") as file,
    ):
        reader = csv.DictReader(file, delimiter="\t" if str(table).lower().endswith(".tsv") else ",")
        rows = list(reader)
        names = list(reader.fieldnames or ())
    path_column = find_column(names, None, table)
    label_column = find_column(names, wanted, table, CLASS_COLUMNS, "labels", "--label_column")
    labels: dict[str, str] = {}
    ambiguous = set()
    for row in rows:
        path, label = row[path_column], row[label_column]
        if not path or not label:
            continue
        name = os.path.basename(path)
        if labels.get(name, label) != label:
            ambiguous.add(name)
        labels |= {os.path.abspath(Path(table).parent / path): label, name: label}
        labels[path] = label
    for name in ambiguous:
        del labels[name]
    return labels


def labels_of(paths, labels: dict[str, str], table, folder) -> list[str]:
    """The label of each path, empty where there is none; ValueError if no path has one."""
    found = [
        labels.get(path) or labels.get(os.path.abspath(path)) or labels.get(os.path.basename(path)) or ""
        for path in paths
    ]
    if not any(found):
        example = next(iter(labels), "nothing")
        raise ValueError(
            f"{table} has no label for any path in {folder}: it names {example}, and there is {paths[0]}."
        )
    return found
