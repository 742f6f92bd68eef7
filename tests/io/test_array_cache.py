import os

import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.io import array_cache
from mer_jax.io.array_cache import ArrayCache

ROW = {"flow": np.arange(6, dtype=np.float32).reshape(2, 3), "length": np.array(4, np.int32)}


@pytest.fixture
def cache(tmp_path):
    cache = ArrayCache(tmp_path, limit_bytes=1e9)
    cache.write("strcn_g", "a", ROW)
    return cache


def test_a_row_comes_back_with_its_dtypes(cache):
    row = cache.read("strcn_g", "a")
    assert set(row) == set(ROW)
    for name, value in ROW.items():
        assert row[name].dtype == value.dtype
        np.testing.assert_array_equal(row[name], value)
    assert cache.read("strcn_g", "b") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "pickled"])
def test_a_damaged_file_is_missing_and_goes(cache, damage):
    path = cache.directory / "strcn_g" / "a.npz"
    content = path.read_bytes()
    if damage == "foreign":  # whole, but another row's
        cache.write("strcn_g", "b", ROW)
        path.with_name("b.npz").replace(path)
    elif damage == "pickled":
        np.savez(path, __name__=np.array("a"), flow=np.array([{}], object))
    else:
        middle = len(content) // 2 - 120  # within the array's data
        at = content.find(ROW["flow"].tobytes()) + 5
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        cut = {"cut": content[:middle], "flipped": flipped, "empty": b""}
        path.write_bytes(cut[damage])
    assert cache.read("strcn_g", "a") is None
    assert not path.exists()
    cache.write("strcn_g", "a", ROW)
    assert cache.read("strcn_g", "a") is not None


def test_the_rows_used_longest_ago_go_first(cache):
    for key, age in (("b", 300), ("c", 200), ("d", 100)):
        cache.write("psn", key, ROW)
        path = cache.directory / "psn" / f"{key}.npz"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    cache.read("psn", "b")  # used now
    each = (cache.directory / "psn" / "b.npz").stat().st_size
    ArrayCache(cache.directory, limit_bytes=2.5 * each).trim()
    assert [path.stem for path in sorted(cache.directory.glob("*/*.npz"))] == ["b", "a"]


def test_usage_and_clear(cache):
    cache.write("psn", "b", ROW)
    assert {name: took.entries for name, took in array_cache.usage(cache.directory).items()} == {
        "psn": 1,
        "strcn_g": 1,
    }
    with pytest.raises(UserError, match="has no 'pns'; it has psn, strcn_g"):
        array_cache.clear(cache.directory, group="pns")
    assert list(array_cache.clear(cache.directory, group="psn")) == ["psn"]
    assert list(array_cache.usage(cache.directory)) == ["strcn_g"]
    array_cache.clear(cache.directory)
    assert array_cache.usage(cache.directory) == {}
    assert array_cache.usage(cache.directory / "nowhere") == {}
