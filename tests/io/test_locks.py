import subprocess
import sys

import pytest

from mer_jax.errors import UserError
from mer_jax.io import locks

LOCK = (
    "import pathlib, sys; from mer_jax.io import locks;"
    "lock = locks.take(pathlib.Path(sys.argv[1]), 'busy'); print('locked', flush=True);"
    "sys.stdin.read()"
)


def test_it_is_refused_until_it_is_released(tmp_path):
    with locks.take(tmp_path / "lock", "in use"):
        with pytest.raises(UserError, match="in use"):
            locks.take(tmp_path / "lock", "in use")
        locks.take(tmp_path / "other", "in use").lock.release()
    locks.take(tmp_path / "lock", "in use").lock.release()


def test_a_killed_process_releases_it(tmp_path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match="in use"):
            locks.take(path, "in use")
        other.kill()
        other.wait()
        locks.take(path, "in use").lock.release()


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(UserError, match=r"lock: cannot be written \("):
        locks.take(tmp_path / "lock", "in use")
