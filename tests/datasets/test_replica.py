"""The replica writer itself."""

import pickle

import numpy as np
import pytest

from mer_jax.datasets import load, synthetic
from mer_jax.errors import UserError
from tests.datasets import replica


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
    assert replica.draw(3, 2, (8, 6), gray=True).shape == (2, 8, 6, 1)


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
    clips = replica.write(name, tmp_path, subjects=2, known_issues=False, size=(16, 14))
    assert {clip.frames.shape[1:3] for clip in clips} == {(16, 14)}
    assert len({clip.subject_key for clip in clips}) == (6 if name == "flow_maps" else 2)


def same_frames(clips):
    for clip in clips:
        again = pickle.loads(pickle.dumps(clip))
        assert again.key == clip.key and again.apex == clip.apex
        np.testing.assert_array_equal(again.frames, clip.frames)


@pytest.mark.parametrize("name", replica.databases())
def test_clips_pickle(tmp_path, name):
    same_frames(replica.write(name, tmp_path, subjects=1, size=(16, 14))[:2])
    same_frames(load(name, tmp_path)[:2])


def test_rendered_clips_pickle():
    same_frames(synthetic.clips(subjects=1, clips_per_subject=1, size=(16, 16), frames=(8, 8)))
