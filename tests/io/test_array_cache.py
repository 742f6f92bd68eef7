import os
import subprocess
import sys

import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.io import array_cache
from mer_jax.io.array_cache import ArrayCache

A, B, C, D = (64 * name for name in "abcd")  # digests
ROW = {"flow": np.arange(6, dtype=np.float32).reshape(2, 3), "length": np.array(4, np.int32)}


@pytest.fixture
def cache(tmp_path):
    cache = ArrayCache(tmp_path, limit_bytes=1e9)
    cache.write("strcn_g", A, ROW)
    return cache


def test_a_row_comes_back_with_its_dtypes(cache):
    row = cache.read("strcn_g", A)
    assert set(row) == set(ROW)
    for name, value in ROW.items():
        assert row[name].dtype == value.dtype
        np.testing.assert_array_equal(row[name], value)
    assert cache.read("strcn_g", B) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "pickled"])
def test_a_damaged_file_is_missing_and_goes(cache, damage):
    path = cache.directory / "strcn_g" / f"{A}.npz"
    content = path.read_bytes()
    if damage == "foreign":  # whole, but another row's
        cache.write("strcn_g", B, ROW)
        path.with_name(f"{B}.npz").replace(path)
    elif damage == "pickled":
        np.savez(path, __name__=np.array(A), flow=np.array([{}], object))
    else:
        middle = len(content) // 2 - 120  # within the array's data
        at = content.find(ROW["flow"].tobytes()) + 5
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        cut = {"cut": content[:middle], "flipped": flipped, "empty": b""}
        path.write_bytes(cut[damage])
    assert cache.read("strcn_g", A) is None
    assert not path.exists()
    cache.write("strcn_g", A, ROW)
    assert cache.read("strcn_g", A) is not None


def test_the_rows_used_longest_ago_go_first(cache):
    for key, age in ((B, 300), (C, 200), (D, 100)):
        cache.write("psn", key, ROW)
        path = cache.directory / "psn" / f"{key}.npz"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    cache.read("psn", B)  # used now
    each = (cache.directory / "psn" / f"{B}.npz").stat().st_size
    ArrayCache(cache.directory, limit_bytes=2.5 * each).trim()
    assert [path.stem for path in sorted(cache.directory.glob("*/*.npz"))] == [B, A]


def test_usage_and_clear(cache):
    cache.write("psn", B, ROW)
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


def test_files_of_others_are_left_alone(cache):
    """The folder of the runs may have been given: it holds audit.npz of each."""
    foreign = [cache.directory / name for name in ("first/audit.npz", "strcn_g/.part-1.npz")]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(1000))
    assert sum(took.entries for took in array_cache.usage(cache.directory).values()) == 1
    ArrayCache(cache.directory, limit_bytes=1).trim()
    array_cache.clear(cache.directory)
    assert all(path.exists() for path in foreign) and cache.read("strcn_g", A) is None


def test_what_killed_processes_were_writing_goes_after_a_day(cache):
    script = (
        "import os, pathlib, sys; from mer_jax.io import large_arrays, saving;"
        "folder = pathlib.Path(sys.argv[1]); tempfile = large_arrays.tempfile;"
        "os.posix_fallocate = lambda *_: os._exit(9) if written else None; written = [];"
        "file = saving.atomic(folder / 'psn' / f'{0:064x}.npz').__enter__();"
        "file.write_bytes(bytes(1000)); written.append(file);"
        "large_arrays._mapped((9,), 'u1', 9, folder)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(cache.directory)]).returncode == 9
    torn = [*cache.directory.glob(".part-*"), *cache.directory.glob("psn/.part-*")]
    assert len(torn) == 2
    array_cache.clear(cache.directory)
    assert all(path.exists() for path in torn)  # another process may be writing them
    for path in torn:
        os.utime(path, (path.stat().st_mtime - 2 * 24 * 3600,) * 2)
    cache.trim()
    assert not any(path.exists() for path in torn)


def test_the_limit_holds_while_it_is_written_to(tmp_path):
    cache = ArrayCache(tmp_path, limit_bytes=10_000)
    for number in range(40):
        cache.write("psn", f"{number:064x}", {"row": np.zeros(300, np.float32)})
        (used,) = array_cache.usage(tmp_path).values()
        assert used.bytes < 11_000 + 1_500
    assert used.entries > 4
