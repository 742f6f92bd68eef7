import hashlib

import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.io import reading, saving


def test_an_error_leaves_the_earlier_file_and_no_temporary_one(tmp_path):
    path = saving.write(tmp_path / "new" / "a.txt", "first")
    for directory in (False, True):
        with pytest.raises(UserError, match="cannot be written"), saving.atomic(path) as temporary:
            temporary.mkdir() if directory else temporary.write_text("second")
            raise OSError("disk full")
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]
    assert path.read_text() == "first"


def test_a_directory_is_renamed_when_it_is_complete(tmp_path):
    with saving.atomic(tmp_path / "out") as temporary:
        temporary.mkdir()
        (temporary / "a").touch()
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]


def test_digest_is_sha256_of_the_bytes():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    parts = [array.T, array[:0], np.float32(2), np.array([True])]
    expected = hashlib.sha256("é".encode() + b"b" + b"".join(each.tobytes() for each in parts))
    assert saving.digest("é", b"b", *parts) == expected.hexdigest()


def test_the_home_folder_has_a_short_name(tmp_path, monkeypatch):
    """The shell does not expand it after --out=."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert saving.write("~/a/b.txt", "text") == tmp_path / "a" / "b.txt"
    assert reading.read_text("~/a/b.txt") == "text"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~$sheet.csv").write_text("open in a spreadsheet program")
    assert reading.read_text("~$sheet.csv") == "open in a spreadsheet program"
