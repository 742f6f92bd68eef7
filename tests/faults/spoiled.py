"""Files as damage and malice leave them."""

import json
import os
import pathlib
import random
from typing import Any

# In the place of a value of JSON.
JUNK = (
    *(None, True, -1, 0, 2**31, 10**30, 10**400, 1.5, -0.5, 1e308),
    *("", "x", "\u202e<b>=1", "../x", "\0", "y" * 5000),
    *([], {}, [[]], [1, "a"], {"a": [None]}),
)
# In the place of a file of JSON, or of anything.
NO_JSON = (
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"{", b"[", b"null", b"3", b'"a"', b"[]", b"{}"),
    *(b"NaN", b'{"a": Infinity}', b"1e999", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000),
    b"\x80\x81 1 2\n",  # no UTF-8
    b"PK\x03\x04" + bytes(60),
    b"\x93NUMPY\x01\0" + bytes(60),
)


class Harm:
    """A pickle of this runs a command when it is loaded."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def corrupted(draw: random.Random, content: bytes) -> bytes:
    """Bits flipped, a piece cut out, doubled, or replaced by noise."""
    out = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(out) + 1)
        length = draw.randint(1, 30)
        piece = bytes(out[at : at + length])
        out[at : at + length] = draw.choice(
            [
                b"",
                piece * 2,
                draw.randbytes(length),
                bytes(b ^ 1 << draw.randrange(8) for b in piece),
            ]
        )
    return bytes(out)


def misshapen(draw: random.Random, content: bytes) -> bytes:
    """JSON, line by line or whole, with a value gone, one more, or junk in the place of one."""
    *before, text = content.decode().rstrip("\n").rsplit("\n", 1)
    try:
        value = json.loads(content)
        before = []
    except ValueError:
        value = json.loads(text)  # lines of JSON: the last one
    path = draw.choice(list(_places(value)))
    if not path:
        value = draw.choice(JUNK)
    else:
        at = value
        for key in path[:-1]:
            at = at[key]
        how = draw.randrange(4)
        if how == 0:
            del at[path[-1]]
        elif how == 1 and isinstance(at, list):
            at.append(draw.choice(JUNK))
        else:
            at[path[-1]] = draw.choice(JUNK)
    return "\n".join([*before, json.dumps(value), ""]).encode()


def _places(value: Any, path: tuple = ()):
    yield path
    keys = value if isinstance(value, dict) else range(len(value) if type(value) is list else 0)
    for key in keys:
        yield from _places(value[key], (*path, key))
