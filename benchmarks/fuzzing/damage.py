"""Damage to bytes and to JSON, whatever they mean. Each function returns what it did and the result."""

import copy
import json


NUMBERS = (0, -1, 1, 2, 7, 2**31 - 1, 2**31, 2**63, 10**30, -(2**63), 0.5, 1e308, 1e-320, float("nan"), float("inf"))
TEXTS = (
    "",
    "x",
    "\0",
    "../../etc/passwd",
    "/dev/zero",
    "{{ 7 * 7 }}",
    "\ud800",
    "é" * 300,
    "x" * 100_000,
    "12",
    "true",
)
OTHERS = (None, True, False, [], {}, [1, [2, [3]]], {"a": {"b": None}}, [None] * 1000)
DEEP = 200_000  # far beyond what Python's own recursion allows


def anything(random):
    """Some value that JSON can hold, a new one each time."""
    return copy.deepcopy(random.choice(random.choice((NUMBERS, TEXTS, OTHERS))))


def damage_bytes(random, data: bytes) -> tuple[str, bytes]:
    """One or a few changes of bytes."""
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        name, data = random.choice(BYTE_CHANGES)(random, data)
        done.append(name)
    return ", ".join(done), data


def flip(random, data):
    if not data:
        return "empty", data
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 20))):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return "bits flipped", bytes(changed)


def flip_near_the_ends(random, data):
    """Where headers and directories are."""
    if not data:
        return "empty", data
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 4))):
        place = random.randrange(min(len(data), 128))
        changed[random.choice((place, -1 - place))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    return "bytes changed near the ends", bytes(changed)


def truncate(random, data):
    kept = random.choice((random.randrange(len(data) + 1), len(data) - 1 - random.randrange(64), random.randrange(64)))
    return f"cut to {max(kept, 0)} bytes", data[: max(kept, 0)]


def overwrite(random, data):
    start = random.randrange(len(data) + 1)
    run = random.choice((b"\0", b"\xff", b"(", b"]", random.randbytes(1))) * random.choice((1, 4, 8, 300))
    return f"{len(run)} bytes overwritten at {start}", data[:start] + run + data[start + len(run) :]


def insert(random, data):
    start = random.randrange(len(data) + 1)
    return f"bytes inserted at {start}", data[:start] + random.randbytes(random.choice((1, 4, 100))) + data[start:]


def remove(random, data):
    start = random.randrange(len(data) + 1)
    return f"bytes removed at {start}", data[:start] + data[start + random.choice((1, 4, 100)) :]


def repeat(random, data):
    start = random.randrange(len(data) + 1)
    piece = data[start : start + random.choice((4, 100, 5000))]
    return f"{len(piece)} bytes doubled at {start}", data[:start] + piece + data[start:]


def append(random, data):
    return "bytes appended", data + random.choice((b"\0" * 1000, data[:1000], random.randbytes(100)))


BYTE_CHANGES = (flip, flip, flip_near_the_ends, truncate, overwrite, insert, remove, repeat, append)


def damage_json(random, value, extra_keys=()) -> tuple[str, bytes]:
    """A JSON document with other values, keys too many or too few, or no JSON at all, encoded."""
    way = random.choice("value value value key key raw raw deep".split())
    if way == "deep":
        opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
        text = opening * DEEP + "1" + closing * DEEP
        if isinstance(value, dict) and random.random() < 0.5:
            text = json.dumps(value)[:-1] + f', "deep": {text}}}'
        return "deep JSON", text.encode()
    if way == "raw":
        data = json.dumps(value, indent=2).encode()
        name, data = random.choice(RAW_CHANGES)(random, data)
        return f"JSON, {name}", data
    value = json.loads(json.dumps(value))
    done = []
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.choice(list(containers(value)))
        if way == "key" and isinstance(place, dict) and extra_keys:
            key = random.choice((*extra_keys, *map(str, TEXTS[:4])))
            place[key] = anything(random)
        elif place:
            key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if random.random() < 0.2:
                del place[key]
                done.append(f"{key!r} removed")
                continue
            place[key] = anything(random)
        else:
            continue
        done.append(f"{key!r} = {str(place[key])[:40]!r}")
    return f"JSON: {', '.join(done)}", json.dumps(value).encode("utf-8", "surrogatepass")


def containers(value):
    """The dictionaries and lists in a JSON document that something can be changed in, the outermost most often."""
    if isinstance(value, (dict, list)):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from containers(child)


RAW_CHANGES = (
    damage_bytes,
    lambda random, data: ("empty", b""),
    lambda random, data: ("with a byte order mark", b"\xef\xbb\xbf" + data),
    lambda random, data: ("in UTF-16", data.decode().encode("utf-16")),
    lambda random, data: ("in Latin-1", data[:-1] + b', "\xe9": "\xe9"}'),
    lambda random, data: ("another document", json.dumps(anything(random)).encode("utf-8", "surrogatepass")),
    lambda random, data: ("a number of 10000 digits", data[:-1] + b', "n": ' + b"9" * 10000 + b"}"),
    lambda random, data: ("a key twice", data[:-1] + b"," + data[1:]),
)
