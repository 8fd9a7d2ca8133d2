"""The rows of what `predict` writes."""

import csv
import json
from pathlib import Path

from .answers import Answer


class Table:
    """
    The rows of the output, in a file that grows as they come.

    Args:
        path (`Path`): Its suffix says whether it is CSV, or JSON line by line.
        file: Open to write text.
    """

    def __init__(self, path: Path, file):
        self.file = file
        self.writer = csv.writer(file, lineterminator="\n") if path.suffix == ".csv" else None
        self.count = 0
        if self.writer:
            self.writer.writerow(("path", *Answer._fields))
        self.mark()

    def add(self, name: str, answer: Answer):
        row = (round(answer.start, 4), round(answer.end, 4), answer.label, float(f"{answer.score:.6g}"))
        if self.writer:
            self.writer.writerow((name, *row))
        else:
            fields = dict(zip(("path", *Answer._fields), (name, *row), strict=True))
            # Names of files may be no text; escaped, they are valid JSON.
            is_text = not any("\ud800" <= each <= "\udfff" for each in name)
            self.file.write(json.dumps(fields, ensure_ascii=not is_text) + "\n")
        self.count += 1

    def mark(self):
        """What is there now is to stay."""
        self.place = self.file.tell(), self.count

    def go_back(self):
        """Forget the rows since the last mark."""
        self.file.seek(self.place[0])
        self.file.truncate()
        self.count = self.place[1]
