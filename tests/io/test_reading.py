import io
import zipfile

import msgspec
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.io import reading


class Content(msgspec.Struct):
    a: float
    b: dict[str, list[int]] = {}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "line 1 is not JSON"),
        (b'{"a": 1,\n"b": ]}', "line 2 is not JSON"),
        (b"\xff\xfe{", "is not UTF-8 text (byte 0)"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "has a number that cannot be used (Exceeds the limit"),
        (b'{"a": NaN}', "has a number that cannot be used (NaN is too large, or no number)"),
        (b'{"a": 1e999}', "has a number that cannot be used (1e999 is too large, or no number)"),
        (b'{"a": -9223372036854775808}', "is too large, or no number"),
        (b'{"b": {}}', "is damaged (Object missing required field `a`"),
        (b'{"a": 1, "b": {"c": [1, "x"]}}', "is damaged (b[...][1]: Expected `int`, got `str`)"),
    ],
)
def test_what_is_wrong_with_json_is_named(tmp_path, content, text):
    path = tmp_path / "given.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        reading.load_json(path, Content)
    message = str(error.value)
    assert message.startswith(str(path)) and text in message


def claim(shape: str) -> bytes:
    """The header of an array of that shape, and 64 bytes of its values."""
    header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + bytes(64)


def npy(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def test_arrays_that_match_are_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(6).reshape(2, 3), b=1.5)
    for shape in ((2, 3), (None, 3), (2, ...), (...,)):
        found = reading.load_arrays(path, {"a": ("i", shape), "b": ("f", ())})
        np.testing.assert_array_equal(found["a"], [[0, 1, 2], [3, 4, 5]])
    for shape in ((2,), (3, 3), (2, 3, None), (2, 3, 1, ...), ()):
        with pytest.raises(UserError, match=r"a.npz is damaged \(a is int64 of shape \(2, 3\)"):
            reading.load_arrays(path, {"a": ("i", shape)})


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x93NUMPY", npy(np.array([{}], object)), npy(np.ones(16, np.float32))),
        *(claim(shape) for shape in ("(17,)", "(2**40,)", "(-1, 12)", "'a'", "(" * 9000)),
        *(claim("(4294967296, 4294967296)"), claim("(1099511627776,)")),
    ],
)
def test_a_damaged_archive_is_one_sentence(tmp_path, content):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(UserError, match=r"a.npz is damaged"):
        reading.load_arrays(path, {"a": ("i", (16,))})
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a.npz is damaged"):
        reading.load_arrays(path, {"a": ("i", (16,))})
