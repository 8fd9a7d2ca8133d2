"""Tar archives and parquet files, against tarfile and pyarrow."""

import io
import json
import os
import tarfile
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet

from ssast_hf.audio.recordings import AUDIO_SUFFIXES

from .damage import anything, damage_bytes
from .lists import content_of, listed, sounds_in
from .verdicts import Trial


def archive(random, folder: Path, seeds: Path) -> Trial:
    place = folder / "input"
    paths = sounds_in(random, folder / "sounds", seeds, folder)
    files = [(path.name, content) for path in paths if (content := content_of(path)) is not None]
    files = files or [("0.wav", (seeds / "sounds" / "00.wav").read_bytes())]
    make = random.choice((tar, parquet))
    source, description, expected = make(random, place, files, folder)
    # The cache of the library is of this case alone.
    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    trial = listed(source, random, {name for name, _ in files} | {source.name, "audio", "The data set"}, expected)
    trial.description += description
    trial.is_intact = description == "intact" and all(path.parent.name == "sounds" for path in paths)
    return trial


def tar(random, place: Path, files, folder: Path):
    source = place / random.choice(("sounds.tar", "sounds.tar", "SOUNDS.TAR"))
    way = random.choice("intact bytes bytes head links names formats sparse gz twice folders size empty pax".split())
    format = random.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    description = way
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if way == "gz" else "w", format=format) as members:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if way == "names":
                info.name = random.choice(
                    ("../" * 5 + name, "/" + name, "x/" * 60 + name, "é\n" + name, name.upper(), "." + name)
                )
            elif way == "pax":
                info.pax_headers = {"size": random.choice(("0", "-1", "x", str(2**62))), "path": name}
            members.addfile(info, io.BytesIO(content))
            if way == "twice":
                members.addfile(info, io.BytesIO(content[::-1]))
            elif way in ("links", "folders"):
                other = tarfile.TarInfo(f"z{name}")
                other.type = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE))
                other.type = tarfile.DIRTYPE if way == "folders" else other.type
                other.linkname = random.choice((name, "/etc/passwd", "../x", ""))
                members.addfile(other)
    data = buffer.getvalue()
    if way == "bytes":
        description, data = damage_bytes(random, data)
    elif way == "head":
        field = random.choice(((100, 8), (124, 12), (124, 12), (136, 12), (156, 1), (257, 8), (345, 10)))
        text = random.choice(
            (
                b"7" * 12,
                b"0" * 12,
                b"\x80" + b"\xff" * 11,
                b"\x80" + b"\0" * 10 + b"\x10",
                b"x" * 12,
                b"-1 ",
                b"S" * 12,
            )
        )
        data = with_header(data, *field, text)
        description = f"header at {field[0]} is {text[: field[1]]!r}"
    elif way == "size":
        sizes = (
            b"00000000000",
            b"77777777777",
            b"%011o" % (len(files[0][1]) + 600),
            b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        )
        data = with_header(data, 124, 12, random.choice(sizes))
        description = "another size"
    elif way == "sparse":
        data = sparse(files[0][1], files[0][0])
    elif way == "empty":
        data = random.choice((b"", bytes(1024), bytes(10240), b"x" * 512))
    source.write_bytes(data)

    def expected():
        with tarfile.open(source) as members:
            for member in members:
                if member.isfile() and member.name.lower().endswith(AUDIO_SUFFIXES):
                    yield members.extractfile(member).read()

    return source, description, expected


def with_header(data: bytes, start: int, length: int, text: bytes) -> bytes:
    """The first member's header with another field and a right checksum."""
    head = bytearray(data[:512])
    head[start : start + length] = text[:length].ljust(length, b"\0")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[512:]


def sparse(content: bytes, name: str) -> bytes:
    """An old GNU sparse member: the first and the last half of a file with a hole between them."""
    half = len(content) // 2 // 512 * 512
    head = bytearray(512)
    head[:100] = name.encode().ljust(100, b"\0")
    head[100:108], head[124:136], head[156:157] = b"0000644\0", b"%011o\0" % len(content), b"S"
    head[257:265] = b"ustar  \0"
    for place, (start, size) in ((386, (0, half)), (410, (half + 4096, len(content) - half))):
        head[place : place + 12], head[place + 12 : place + 24] = b"%011o\0" % start, b"%011o\0" % size
    head[483:495] = b"%011o\0" % (len(content) + 4096)
    padding = bytes(-len(content) % 512)
    return with_header(bytes(head), 0, 0, b"") + content + padding + bytes(1024)


def parquet(random, place: Path, files, folder: Path):
    source = place / "sounds.parquet"
    way = random.choice("intact bytes bytes ends strings binary types nulls nested names many empty metadata".split())
    description = way
    cells = [{"bytes": content, "path": name} for name, content in files]
    column, kind = "audio", pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    contents = [content for _, content in files]
    if way == "strings":
        paths = [os.path.join(folder, "sounds", name) for name, _ in files]
        cells, kind, contents = paths, pyarrow.string(), [content_of(path) for path in paths]
    elif way == "binary":
        cells, kind = contents, pyarrow.binary()
    elif way == "types":
        cells, kind = random.choice(
            (([1, 2], pyarrow.int64()), ([[1.0]], pyarrow.list_(pyarrow.float32())), ([True], pyarrow.bool_()))
        )
        contents = [None] * len(cells)
    elif way == "nulls":
        empty = random.choice(
            (None, {"bytes": None, "path": None}, {"bytes": b"", "path": "x.wav"}, {"bytes": None, "path": "\0"})
        )
        cells, contents = [*cells, empty], [*contents, None]
    elif way == "nested":
        cells, kind = [[cell] for cell in cells], pyarrow.list_(kind)
        contents = [None] * len(cells)
    elif way == "names":
        column = random.choice(("", "x", "Audio", "audio.bytes", "bytes", "\0", "path"))
    elif way == "empty":
        cells, contents = [], []
    elif way == "many":
        kind = pyarrow.struct({"path": pyarrow.string(), "bytes": pyarrow.large_binary(), "array": pyarrow.float32()})
    table = pyarrow.table({"label": [0] * len(cells), column: pyarrow.array(cells, type=kind)})
    if way == "metadata":
        features = random.choice(
            (
                "x",
                "{}",
                json.dumps({"info": {"features": anything(random)}}),
                "[" * 100_000,
                json.dumps(
                    {
                        "info": {
                            "features": {
                                "audio": {
                                    "_type": random.choice(("Audio", "os.system", "Image", "", "Value", "ClassLabel"))
                                }
                            }
                        }
                    }
                ),
            )
        )
        table = table.replace_schema_metadata({"huggingface": features.encode("utf-8", "surrogatepass")})
    pyarrow.parquet.write_table(table, source, compression=random.choice(("none", "snappy", "zstd")))
    data = source.read_bytes()
    if way == "bytes":
        description, data = damage_bytes(random, data)
    elif way == "ends":
        length = int.from_bytes(data[-8:-4], "little")
        place_in_footer = len(data) - 8 - random.randrange(1, length)
        data = data[:place_in_footer] + random.randbytes(random.choice((1, 4))) + data[place_in_footer + 4 :]
        description = "footer changed"
    source.write_bytes(data)

    def expected():
        if way not in ("bytes", "ends"):
            return iter(contents)
        # What is damaged may be another column, which nobody reads.
        columns = pyarrow.parquet.read_schema(source).names
        name = column if column in columns else columns[-1]
        cells = pyarrow.parquet.read_table(source, columns=[name])[name].to_pylist()
        return iter([cell["bytes"] if isinstance(cell, dict) else cell for cell in cells])

    return source, description, expected
