"""Weights from outside: read as tables of numbers, never run, never taken damaged."""

import io
import pickle
import random
import zipfile

import numpy as np
import pytest

from mer_jax.cli.convert_weights import read_tensors
from mer_jax.errors import UserError
from mer_jax.models import pretrained
from tests.faults.spoiled import Harm


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".pt", ".bin", ""])
def test_a_pickle_that_runs_code_is_refused(tmp_path, suffix):
    struck = tmp_path / "struck"
    bare = tmp_path / f"bare{suffix}"
    bare.write_bytes(pickle.dumps({"a": Harm(struck)}))
    inside = tmp_path / f"inside{suffix}"
    with zipfile.ZipFile(inside, "w") as archive:  # as torch.save and np.savez wrap theirs
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Harm(struck)}))
        array = io.BytesIO()
        np.save(array, np.array([Harm(struck)], object), allow_pickle=True)
        archive.writestr("a.npy", array.getvalue())
    for path in (bare, inside):
        with pytest.raises(UserError):
            read_tensors(path)
    assert not struck.exists()
    pickle.loads(bare.read_bytes())  # what the same file does to a reader without care
    assert struck.exists()


def test_a_damaged_table_is_refused_or_the_same(tmp_path):
    path = tmp_path / "weights.npz"
    tensors = {"a": np.arange(300, dtype=np.float32), "b": np.ones((4, 5), np.float32)}
    np.savez(path, **tensors)
    whole, draw = path.read_bytes(), random.Random(0)
    for number in range(200):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content if number % 4 else content[: draw.randrange(len(content))])
        try:
            found = read_tensors(path)
        except UserError as error:
            assert "weights.npz" in str(error)
        else:
            for name, value in found.items():
                assert name not in tensors or np.array_equal(value, tensors[name])


def test_values_that_are_no_numbers(tmp_path):
    state = {name: np.zeros(3, "U5") for t in pretrained.table("alexnet") for name in t.theirs}
    with pytest.raises(UserError):
        pretrained.from_torch_state("alexnet", state)


def test_a_directory_of_converted_weights_that_is_damaged(tmp_path):
    weights = {"a": np.arange(3000, dtype=np.float32), "b.c": np.ones((4, 5), np.float32)}
    pretrained.save(tmp_path / "sound", weights)
    draw = random.Random(0)
    for file in sorted(p for p in (tmp_path / "sound").rglob("*") if p.is_file()):
        whole = file.read_bytes()
        for content in (b"", whole[: len(whole) // 2], _flipped(draw, whole), None):
            file.unlink() if content is None else file.write_bytes(content)
            try:
                found = pretrained.read(tmp_path / "sound")
            except UserError as error:
                assert "sound" in str(error)
            else:
                assert {n: v.tobytes() for n, v in found.items()} == {
                    n: v.tobytes() for n, v in weights.items()
                }, file
            file.write_bytes(whole)


def _flipped(draw: random.Random, content: bytes) -> bytes:
    out = bytearray(content)
    out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)
