"""The zip archive around the weights: entries too short, deflated, twice, renamed, and headers that lie."""

import contextlib
import io
import struct
import warnings
import zipfile
import zlib
from functools import lru_cache

from .damage import damage_bytes


def entries_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written_zip(entries: list[tuple[str, bytes]], compression=zipfile.ZIP_STORED) -> bytes:
    """An archive with right checksums, whatever is in it; names may occur twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            with without_warning():
                archive.writestr(name, content)
    return buffer.getvalue()


@contextlib.contextmanager
def without_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that occur twice
        yield


def damage_zip(random, seed: bytes) -> tuple[str, bytes]:
    entries = list(entries_of(seed).items())
    numbers = [i for i, (name, _) in enumerate(entries) if "/data/" in name]
    i = random.choice((random.choice(numbers), random.randrange(len(entries))))
    name, content = entries[i]
    way = random.choice(
        "shortened lengthened deflated all-deflated doubled doubled renamed removed moved folder byteorder prefix "
        "comment directory bomb empty changed swapped".split()
    )
    compression = zipfile.ZIP_STORED
    if way == "shortened":
        entries[i] = (name, content[: random.choice((0, 1, len(content) // 2, max(len(content) - 4, 0)))])
    elif way == "lengthened":
        entries[i] = (name, content + random.randbytes(random.choice((1, 4, 64))))
    elif way == "deflated":
        return f"{name} deflated", partly_deflated(entries, i)
    elif way == "all-deflated":
        compression = random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    elif way == "doubled":
        other = random.choice((content, random.randbytes(len(content)), b""))
        entries.insert(random.choice((0, len(entries))), (name, other))
    elif way == "renamed":
        stem = name.rpartition("/")[0]
        entries[i] = (
            random.choice((f"{stem}/999", f"../{name}", f"/{name}", name.upper(), f"{name}\0x", "x")),
            content,
        )
    elif way == "removed":
        del entries[i]
    elif way == "moved":
        random.shuffle(entries)
    elif way == "folder":
        entries = [(each.replace("/", "/deeper/", 1), data) for each, data in entries]
    elif way == "byteorder":
        entries = [(each, b"big" if each.endswith("byteorder") else data) for each, data in entries]
        if not any(each.endswith("byteorder") for each, _ in entries):
            entries.append((entries[0][0].partition("/")[0] + "/byteorder", b"big"))
    elif way == "prefix":
        return "bytes before the archive", random.randbytes(random.choice((1, 64, 1000))) + seed
    elif way == "comment":
        return "archive in the archive's comment", with_comment(seed, seed[-min(len(seed), 60000) :])
    elif way == "directory":
        start = seed.rfind(b"PK\x01\x02") if random.random() < 0.5 else seed.find(b"PK\x01\x02")
        field = start + random.choice((6, 8, 10, 16, 20, 24, 28, 30, 32, 42))  # method, checksum, sizes, place
        return f"directory changed at {field}", seed[:field] + random.randbytes(random.choice((1, 4))) + seed[
            field + 4 :
        ]
    elif way == "bomb":
        return f"{name} of a gigabyte, deflated", bomb(entries, i)
    elif way == "empty":
        entries = []
    elif way == "changed":
        done, content = damage_bytes(random, content)
        entries[i] = (name, content)
        name = f"{name}: {done}"
    elif way == "swapped":
        k = random.choice(numbers)
        entries[i], entries[k] = (name, entries[k][1]), (entries[k][0], content)
    return f"{way} {name}", written_zip(entries, compression)


def partly_deflated(entries, number: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, (name, content) in enumerate(entries):
            archive.writestr(name, content, zipfile.ZIP_DEFLATED if i == number else zipfile.ZIP_STORED)
    return buffer.getvalue()


def with_comment(archive: bytes, comment: bytes) -> bytes:
    end = archive.rfind(b"PK\x05\x06")
    return archive[: end + 20] + struct.pack("<H", len(comment)) + comment


BOMB_BLOCKS, BOMB_BLOCK = 20, 1 << 26


@lru_cache(maxsize=1)
def bomb_stream() -> tuple[bytes, int]:
    """A deflated stream of 1.3 GB of zeros, and their checksum."""
    block = bytes(BOMB_BLOCK)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(BOMB_BLOCKS):
        checksum = zlib.crc32(block, checksum)
    return piece * BOMB_BLOCKS + packer.flush(zlib.Z_FINISH), checksum


def bomb(entries, number: int) -> bytes:
    """One entry claims and holds 1.3 GB. Written as stored, then its headers are changed to deflated."""
    stream, checksum = bomb_stream()
    entries = [(name, stream if i == number else content) for i, (name, content) in enumerate(entries)]
    archive = bytearray(written_zip(entries))
    with zipfile.ZipFile(io.BytesIO(archive)) as reader:
        info = reader.infolist()[number]
    size = BOMB_BLOCKS * BOMB_BLOCK
    fields = struct.pack("<HIIIII", 8, 0, checksum, len(stream), size, 0)
    method, sums = fields[:2], fields[6:18]
    local = info.header_offset
    archive[local + 8 : local + 10], archive[local + 14 : local + 26] = method, sums
    central = archive.find(b"PK\x01\x02")
    for _ in range(number):
        name, extra, comment = struct.unpack("<HHH", archive[central + 28 : central + 34])
        central += 46 + name + extra + comment
    archive[central + 10 : central + 12], archive[central + 16 : central + 28] = method, sums
    return bytes(archive)
