"""Pickles written by hand: code, depth, sizes, and what a pickle of tensors never has."""

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

from .zips import entries_of, written_zip


class Call:
    """Unpickling this calls a function."""

    def __init__(self, function, *arguments, state=None):
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self):
        return (self.function, self.arguments) if self.state is None else (self.function, self.arguments, self.state)


def code(random, canary: Path) -> tuple[str, object]:
    """Something whose unpickling would run code, which creates the canary."""
    write = f"open({str(canary)!r}, 'w').close()"
    return random.choice(
        (
            ("os.system", Call(os.system, f"touch '{canary}'")),
            ("exec", Call(exec, write)),
            ("eval", Call(eval, write)),
            ("open", Call(open, str(canary), "w")),
            ("os.mkdir", Call(os.mkdir, str(canary))),
            ("getattr", Call(getattr, Path(canary), "touch")),
            ("torch.save", Call(torch.save, 1, str(canary))),
            ("numpy.save", Call(np.save, str(canary), [1])),
            ("a state with code", Call(OrderedDict, state={"__setstate__": Call(os.system, f"touch '{canary}'")})),
        )
    )


def hostile_pickle(random, seed: bytes, canary: Path) -> tuple[str, bytes]:
    """A file whose pickle was written by hand."""
    entries = entries_of(seed)
    (name,) = (name for name in entries if name.endswith("data.pkl"))
    depth = 100_000
    huge = random.choice((2**31 - 1, 2**40, 2**62))
    what, stream = random.choice(
        (
            ("code", pickle.dumps(code(random, canary)[1], protocol=2)),
            ("code, protocol 0", pickle.dumps(code(random, canary)[1], protocol=0)),
            ("code by name", b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."),
            ("deep lists", b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."),
            ("deep dictionaries", b"\x80\x02" + b"}X\x01\0\0\0a" * depth + b"}" + b"s" * depth + b"."),
            ("deep tuples", b"\x80\x02)" + b"\x85" * depth + b"."),
            ("only marks", b"\x80\x02" + b"(" * depth + b"t" * depth + b"."),
            ("a huge bytearray", b"\x80\x02c__builtin__\nbytearray\n\x8a\x08" + struct.pack("<q", huge) + b"\x85R."),
            ("a huge bytearray, at once", b"\x80\x05\x96" + struct.pack("<Q", huge) + b"x."),
            ("huge bytes", b"\x80\x04\x8e" + struct.pack("<Q", huge) + b"x."),
            ("a huge text", b"\x80\x04\x8d" + struct.pack("<Q", huge) + b"x."),
            ("a huge number", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"1."),
            ("a long number", b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6 + b"."),
            ("a far memo", b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"."),
            ("a missing memo", b"\x80\x02h\x07."),
            ("an empty stack", b"\x80\x02."),
            ("an unknown protocol", b"\x80\xff}."),
            ("an extension", b"\x80\x02\x82\x01."),
            ("another persistent id", b"\x80\x02U\x03abcQ."),
            ("no stop", b"\x80\x02}"),
            ("nothing", b""),
            ("itself", b"\x80\x02}q\x00X\x01\0\0\0ah\x00s."),
            ("many references", b"\x80\x02]q\x00" + b"(h\x00h\x00h\x00h\x00lq\x00" * 40 + b"."),
            ("a huge tensor size", pickled_size(huge)),
        )
    )
    if random.random() < 0.3:
        return f"{what}, no archive", stream
    entries[name] = stream
    return what, written_zip(list(entries.items()))


def pickled_size(huge: int) -> bytes:
    return b"\x80\x02}X\x01\0\0\0actorch\nSize\n((\x8a\x08" + struct.pack("<q", huge) + b"ttRs."
