"""The replica writer itself."""

import numpy as np
import pytest

from mer_jax.datasets import replica
from mer_jax.problems import UserError


def test_the_seed_decides_the_faces(tmp_path):
    films = [
        np.concatenate([c.frames for c in replica.write("mug", tmp_path / str(k), seed=seed)])
        for k, seed in enumerate((0, 0, 1))
    ]
    assert np.array_equal(films[0], films[1]) and not np.array_equal(films[0], films[2])


def test_the_face_moves_and_comes_back():
    frames = replica.draw(3, 9, (48, 40)).astype(int)
    assert frames.shape == (9, 48, 40, 3)
    change = np.abs(frames - frames[0]).mean((1, 2, 3))
    assert change.argmax() in (3, 4, 5) and change[-1] < 0.1 * change.max()
    assert replica.draw(3, 2, (8, 6), grey=True).shape == (2, 8, 6, 1)


def test_a_replica_does_not_mix_with_data(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="is not empty"):
        replica.write("casme2", tmp_path)


def test_unknown_names(tmp_path):
    with pytest.raises(UserError, match="unknown database 'casme4'"):
        replica.write("casme4", tmp_path)
    with pytest.raises(UserError, match="unknown release '2015'"):
        replica.write("casme2", tmp_path, release="2015")


@pytest.mark.parametrize("name", replica.databases())
def test_size_and_subjects(tmp_path, name):
    clips = replica.write(name, tmp_path, subjects=2, quirks=False, size=(16, 14))
    assert {clip.frames.shape[1:3] for clip in clips} == {(16, 14)}
    assert len({clip.person for clip in clips}) == (6 if name == "flow_maps" else 2)
