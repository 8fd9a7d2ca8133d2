"""Manifests and folders of sounds, against Python's own readers."""

import csv
import io
import json
import os
from pathlib import Path

from ssast_hf.audio.recordings import AUDIO_SUFFIXES

from .damage import TEXTS, anything, damage_bytes, damage_json
from .lists import content_of, listed, sounds_in
from .verdicts import CANARY, Trial, names_in


def manifest(random, folder: Path, seeds: Path) -> Trial:
    place = folder / "input"
    paths = sounds_in(random, place / "sounds", seeds, folder)
    if random.random() < 0.15:
        return sound_folder(random, folder, place / "sounds")
    column = random.choice(("wav", "path", "file_name", "audio"))
    names = [os.path.relpath(path, place) if random.random() < 0.9 else str(path) for path in paths]
    suffix = random.choice((".json", ".json", ".jsonl", ".csv", ".tsv"))
    rows = [{"label": "a, \tb", column: name} for name in names]
    source = place / f"list{suffix}"
    way = random.choice("intact damage damage bytes values values columns kinds paths encoding".split())
    if way == "values":
        rows[random.randrange(len(rows))][column] = anything(random)
    elif way == "columns":
        odd = random.choice(
            ({}, {"x": "y"}, {column: None}, {"label": 1}, {f" {column}": names[0]}, {column.upper(): names[0]})
        )
        rows.insert(random.choice((0, len(rows))), odd)
    elif way == "kinds":
        rows = random.choice(
            (names, [names], rows + [names[0]], [], [[]], rows + [None], [[row] for row in names], {})
        )
    elif way == "paths":
        odd = random.choice(
            (*TEXTS, ".", "..", "~", f"./sounds/../{names[0]}", "file://" + names[0], "https://x/y.wav", "sounds")
        )
        rows.insert(random.choice((0, len(rows))), {column: odd, "label": 1})
    text = encode(random, suffix, rows)
    data = text.encode("utf-8", "surrogatepass")
    description = ""
    if way == "bytes":
        description, data = damage_bytes(random, data)
    elif way == "damage" and suffix == ".json":
        description, data = damage_json(random, json.loads(text))
    elif way == "damage":
        description, text = damage_lines(random, text, suffix)
        data = text.encode("utf-8", "surrogatepass")
    elif way == "encoding":
        description = random.choice(("utf-8-sig", "utf-16", "latin-1", "utf-32"))
        data = (text + ("é" if suffix in (".csv", ".tsv") else "")).encode(description, "replace")
    source.write_bytes(data)

    def expected():
        for row in rows_of(source):
            # Which of the columns it is, is known here; in another a path can only be by accident.
            value = row.get(column, row.get("path")) if isinstance(row, dict) else row
            yield content_of(os.path.join(place, value)) if isinstance(value, str) else None

    said = {name for row in rows if isinstance(row, dict) for name in row.values() if isinstance(name, str) and name}
    trial = listed(
        source, random, {*map(os.path.basename, names), "sounds", f"{place}/"} | said | names_in(place), expected
    )
    trial.description += f"{way} {description}"
    trial.is_intact = way == "intact" and all(path.parent.name == "sounds" for path in paths)
    return trial


def encode(random, suffix: str, rows) -> str:
    """Rows as a manifest of that suffix; what a table cannot hold becomes text."""
    if suffix == ".json":
        return json.dumps({"data": rows} if random.random() < 0.5 else rows)
    if not isinstance(rows, list):
        rows = [rows]
    if suffix == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows)
    columns = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t" if suffix == ".tsv" else ",")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row.get(key, "") for key in columns] if isinstance(row, dict) else [row])
    return buffer.getvalue()


def damage_lines(random, text: str, suffix: str) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    number = random.randrange(len(lines))
    changes = {
        "empty lines": ["\n", *lines, "\n\n"],
        "a line twice": [*lines, lines[number]],
        "a line less": lines[:number] + lines[number + 1 :],
        "a quote": [*lines[:number], '"', *lines[number:]],
        "a long field": [*lines, "x" * 200_000 + "\n"],
        "more fields": [*lines, ",".join("abcdefgh") + "\t" * 9 + "\n"],
        "zeros": [*lines[:number], "\0\n", *lines[number:]],
        "no line break": [line.rstrip() for line in lines],
        "carriage returns": [line.replace("\n", "\r") for line in lines],
        "other line breaks": [line.replace("\n", "\u2028\x85\x0b\n") for line in lines],
        "deep JSON": [*lines, "[" * 200_000 + "]" * 200_000 + "\n"],
        "nothing": [],
        "no header": lines[1:],
        "a header of numbers": ["1,2,3\n", *lines[1:]],
        "the header twice": [lines[0], *lines],
    }
    name = random.choice(list(changes))
    return name, "".join(changes[name])


def rows_of(source: Path) -> list:
    """The rows of a manifest by Python's own readers."""
    text = source.read_bytes().decode("utf-8-sig")
    if source.suffix == ".json":
        rows = json.loads(text)
        return rows["data"] if isinstance(rows, dict) else rows
    if source.suffix == ".jsonl":
        return [json.loads(line) for line in io.StringIO(text, newline=None) if line.strip()]
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t" if source.suffix == ".tsv" else ","))
    header, *rows = (row for row in table if row)
    return [dict(zip(header, row, strict=False)) for row in rows]


def sound_folder(random, folder: Path, place: Path) -> Trial:
    """A folder of sounds, with what should not count and links that go in circles."""
    way = random.choice("plain hidden circle outside dangling odd deep script".split())
    if way == "hidden":
        (place / ".hidden.wav").write_bytes(b"x")
    elif way == "circle":
        (place / "again").symlink_to(place)
    elif way == "outside":
        (folder / "outside").mkdir()
        (place / "outside").symlink_to(folder / "outside")
    elif way == "dangling":
        (place / "z.wav").symlink_to("nowhere")
    elif way == "odd":
        (place / "a\n\x1b[31mé.wav").write_bytes(b"x")
    elif way == "deep":
        deep = place.joinpath(*["d"] * 60)
        deep.mkdir(parents=True)
        (deep / "z.wav").write_bytes(b"")
    elif way == "script":
        (place / f"{place.name}.py").write_text(f"open({str(folder / CANARY)!r}, 'w')")

    def expected():
        seen = set()  # a link to a folder that is listed anyway adds nothing
        for parent, folders, files in os.walk(place, followlinks=True):
            seen.add(os.path.realpath(parent))
            folders[:] = sorted(each for each in folders if os.path.realpath(os.path.join(parent, each)) not in seen)
            for name in sorted(files):
                if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith("."):
                    yield content_of(os.path.join(parent, name))

    trial = listed(place, random, names_in(place), expected)
    trial.description += f"folder, {way}"
    return trial
