"""Which column of a table holds the recordings, and what its cells say."""

import json

import numpy as np
import pyarrow
from datasets import Audio, Features, Value

from ..storage.guards import UnreadableFile
from .decoding import COLUMNS


# What every stream consists of, so that streams from several kinds of sources can be one.
STREAMED = Features({"name": Value("string"), "path": Value("string"), "bytes": Value("large_binary")})
# Types of Arrow by their names; one whose rows are all empty is of none.
TEXT = ("string", "large_string", "string_view", "null")
BINARY = ("binary", "large_binary", "binary_view", "null")


def find_column(
    columns: list[str],
    wanted: str | None,
    source,
    usual: tuple[str, ...] = COLUMNS,
    content: str = "audio or paths",
    option: str = "--audio_column",
) -> str:
    """The name of the column that holds paths or audio, or something else that is usually called otherwise."""
    candidates = usual if wanted is None else (wanted,)
    for name in candidates:
        if name in columns:
            return name
    remedy = (
        f"Name the one that holds {content} with {option}."
        if option.startswith("--")
        else f"Call the one that holds {content}, {option!r}."
    )
    raise UnreadableFile(
        f"{source} has the columns {', '.join(map(repr, columns))}, none of them {' or '.join(candidates)}. {remedy}"
    )


def audio_column(schema: pyarrow.Schema, wanted: str | None, source) -> tuple[str, Audio | Value]:
    """
    The column of a table that holds paths or audio, and how to load it, undecoded.

    Args:
        schema (`pyarrow.Schema`): The table's. A column that a data set of the Hub describes as audio comes first.
        wanted (`str`, *optional*): The name of the column, if it is known.
        source (`str`): For messages.

    Raises:
        UnreadableFile: If there is none, or if it holds something else.
    """
    if wanted is None:
        wanted = described_audio(schema)
    name = find_column(schema.names, wanted, source)
    kind = schema.field(name).type
    value_kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if str(value_kind) in TEXT:
        return name, Value("large_string")
    if str(value_kind) in BINARY:
        return name, Value("large_binary")
    if pyarrow.types.is_struct(kind):
        types = {field.name: str(field.type) for field in kind}
        expected = {"bytes": BINARY, "path": TEXT}
        if types.keys() & expected and all(types[key] in expected[key] for key in types.keys() & expected):
            return name, Audio(decode=False)
    raise UnreadableFile(
        f"{source}: the column {name!r} is of type {kind}; expected paths (string), audio files (binary), or both "
        "(struct<bytes: binary, path: string>). Name another one with --audio_column."
    )


def described_audio(schema: pyarrow.Schema) -> str | None:
    """Which column a data set of the Hub describes as audio, if it has a description, and that is valid."""
    return next((name for name, kind in described(schema).items() if kind.get("_type") == "Audio"), None)


def described_classes(schema: pyarrow.Schema, column: str) -> list[str] | None:
    """The names of the classes that a column of numbers stands for, if a data set of the Hub describes it so."""
    kind = described(schema).get(column, {})
    if isinstance(kind.get("feature"), dict):  # of a list
        kind = kind["feature"]
    names = kind.get("names") if kind.get("_type") == "ClassLabel" else None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def described(schema: pyarrow.Schema) -> dict[str, dict]:
    """What a data set of the Hub says of its columns; nothing if it does not, or if that is not valid."""
    try:
        kinds = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: kind for name, kind in kinds.items() if isinstance(kind, dict)}
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def from_cell(value) -> dict:
    """`bytes` or `path` of a recording, from a path, an audio file or a structure of both; empty if it is neither."""
    if isinstance(value, str):
        return {"path": value or None}
    if isinstance(value, bytes):
        return {"bytes": value}
    return {"bytes": value.get("bytes"), "path": value.get("path") or None} if isinstance(value, dict) else {}


def first_content(cells: pyarrow.Array) -> dict | None:
    """The audio file in the first cell of a column, as a view in `bytes`, and its `path`; `None` if it holds none."""
    path = None
    if pyarrow.types.is_struct(cells.type):
        if cells.type.get_field_index("bytes") < 0 or not cells[0:1].is_valid()[0].as_py():
            return None
        if cells.type.get_field_index("path") >= 0:
            path = cells.field("path")[0].as_py() or None
        cells = cells.field("bytes")
    kind = str(cells.type)
    if kind not in ("binary", "large_binary") or not cells.slice(0, 1).is_valid()[0].as_py():
        return None
    _, offsets, data = cells.buffers()
    wide = np.int64 if kind == "large_binary" else np.int32
    begin, end = np.frombuffer(offsets, wide)[cells.offset : cells.offset + 2].tolist()
    return {"bytes": b"" if data is None else data.slice(begin, end - begin), "path": path}
