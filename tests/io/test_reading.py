import pytest

from mer_jax.errors import UserError
from mer_jax.io import reading


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "line 1 is not JSON"),
        (b'{"a": 1,\n"b": ]}', "line 2 is not JSON"),
        (b"\xff\xfe{", "is not UTF-8 text (byte 0)"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "holds a number that cannot be used (Exceeds the limit"),
        (b'{"a": NaN}', "holds a number that cannot be used (NaN is no number)"),
        (b'{"a": 1e999}', "a is inf"),
        (b'{"b": 1}', "has no a"),
    ],
)
def test_what_is_wrong_with_json_is_named(tmp_path, content, text):
    path = tmp_path / "given.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        reading.load_json(path, {"a": float})
    message = str(error.value)
    assert message.startswith(str(path)) and text in message
