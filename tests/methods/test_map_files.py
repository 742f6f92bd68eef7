"""Flow maps as files: their form by NumPy, their motion by the rendered truth, their comparison."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mer_jax import datasets, methods
from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import synthetic
from mer_jax.errors import UserError
from mer_jax.methods import map_files, preprocessing

SCENES = synthetic.scenes(
    subjects=1, clips_per_subject=3, frames=(8, 12), noise=0.0, drift=0.0, blinks=0.0, flicker=0.0,
    amplitude=(1.5, 2.0),
)  # fmt: skip
LABELS = ["positive", "surprise", "negative"]


@pytest.fixture(scope="module")
def made():
    return map_files.make([scene.clip for scene in SCENES], frame_size=(64, 64))


def test_every_channel_fills_its_range():
    maps = np.random.default_rng(0).normal(size=(5, 6, 7, 3))
    maps[0, :, :, 1] = 4.0
    found = map_files.stretch(maps)
    for n in range(5):
        for c in range(3):
            plane = maps[n, :, :, c]
            span = plane.max() - plane.min()
            want = 255 * (plane - plane.min()) / span if span else 0 * plane
            assert_array_equal(found[n, :, :, c], np.round(want).astype(np.uint8))


@pytest.mark.slow
def test_the_maps_show_the_true_motion(made):
    """The rendered flow from onset to apex, averaged over blocks, correlates with u and v."""
    assert made.shape == (3, 28, 28, 3) and made.dtype == np.uint8
    assert (made.min((1, 2)) == 0).all() and (made.max((1, 2)) == 255).all()
    for scene, each in zip(SCENES, made):
        flow = scene.flow(scene.apex, scene.onset)
        for channel in range(2):
            true = synthetic_resize(flow[..., channel])
            if np.abs(true).max() > 1:
                assert np.corrcoef(true.ravel(), each[..., channel].ravel())[0, 1] > 0.75


def synthetic_resize(plane):
    import cv2

    return cv2.resize(plane, (28, 28), interpolation=cv2.INTER_AREA)


def test_what_is_written_is_read_and_compared(tmp_path, made):
    clips = [scene.clip for scene in SCENES]
    map_files.write(tmp_path, clips, LABELS, made)
    stored = datasets.load("flow_maps", tmp_path)
    assert [clip.emotion for clip in stored] == LABELS
    assert_array_equal(np.stack([clip.frames[0] for clip in stored]), made)
    same = map_files.compare(stored, stored)
    assert_allclose(same.correlation, 1)
    assert not same.difference.any() and (same.only_first, same.only_second) == (0, 0)
    assert "3 clips in both" in same.text()


def test_a_comparison_by_numpy(made):
    clips = [scene.clip for scene in SCENES]
    other = np.random.default_rng(1).integers(0, 256, made.shape).astype(np.uint8)
    other[0, ..., 2] = 7
    bare = {"content": "flow", "onset": 0, "apex": None, "offset": None}
    as_flow = lambda maps: [
        dataclasses.replace(c, read=in_memory(m[None]), **bare) for c, m in zip(clips, maps)
    ]
    second = [*as_flow(other)[:2], dataclasses.replace(as_flow(other)[2], name="elsewhere")]
    second[1] = dataclasses.replace(second[1], subject=second[1].subject.upper().replace("0", "00"))
    found = map_files.compare(as_flow(made), second)
    assert (len(found.keys), found.only_first, found.only_second) == (2, 1, 1)
    for n in range(2):
        for c in range(3):
            a, b = made[n, ..., c].ravel().astype(float), other[n, ..., c].ravel().astype(float)
            assert found.difference[n, c] == pytest.approx(np.abs(a - b).mean())
            want = np.corrcoef(a, b)[0, 1] if np.ptp(b) else 0
            assert found.correlation[n, c] == pytest.approx(want, abs=1e-12)
            cross = other[1 - n, ..., c].ravel()
            want = np.corrcoef(a, cross)[0, 1] if np.ptp(cross) else 0
            assert found.chance[n, c] == pytest.approx(want, abs=1e-12)
    with pytest.raises(UserError, match="no clip is in both"):
        map_files.compare(as_flow(made), second[2:])
    with pytest.raises(UserError, match="make them of one size"):
        map_files.compare(as_flow(made), as_flow(other[:, :14]))
    with pytest.raises(UserError, match="is a flow map already"):
        map_files.make(as_flow(made))


def test_what_moves_after_the_offset_is_not_the_apex():
    """Clips of SMIC-HS-E go on after their movement; there the head moved 2 px down."""
    rng = np.random.default_rng(0)
    plane = np.kron(rng.normal(size=(20, 20)), np.ones((4, 4)))
    at = lambda x, y: np.uint8(np.clip(128 + 40 * np.roll(plane, (y, x), (0, 1)), 0, 255))
    shifts = [(0, 3), (0, 0), (0, 0), (1, 0), (0, 0), (0, 2), (0, 2)]
    frames = np.stack([at(*shift)[8:72, 8:72] for shift in shifts])[..., None]
    clip = Clip("d", "s", "c", in_memory(frames), "anger", onset=1, offset=4)
    assert preprocessing.choose_apex(clip, frames, apex="given") == 3
    apex = methods.create("apex", [clip], size=(64, 64), subtract_onset=True).inputs[0]
    assert_allclose(apex[..., 0], (np.float32(frames[3]) - frames[1])[..., 0] / 255, atol=1e-6)
    flow = methods.create(
        "strcn_g", [clip], size=(64, 64), preset="tv_l1", alphas=(8.0,), percents=(100.0,)
    ).inputs
    assert np.median(flow[0, 0, ..., 0]) > 0.5 and abs(np.median(flow[0, 0, ..., 1])) < 0.2
    maps = methods.create("flow_maps", [clip], size=(8, 8), preset="tv_l1").inputs
    u, v = (float(np.median(maps[0, ..., c])) for c in (0, 1))
    assert u > 0.5 and abs(v) < 0.2, (u, v)


def test_clips_whose_names_give_one_file_have_two(tmp_path):
    names = [("s1", "a/b"), ("s1", "a-b"), ("s1", "2_x"), ("s1_2", "x"), ("s2", "other")]
    read = in_memory(np.zeros((2, 8, 8, 1), np.uint8))
    clips = [Clip("d", subject, name, read, "x") for subject, name in names]
    maps = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    map_files.write(tmp_path, clips, ["negative"] * 5, maps)
    found = datasets.load("flow_maps", tmp_path)
    assert [clip.name for clip in found] == [name for _, name in names]
    for clip, expected in zip(found, maps):
        np.testing.assert_array_equal(clip.frames[0], expected)
    assert (tmp_path / "maps" / "d_s2_other.png").is_file()


def test_levels_are_those_of_either_dtype():
    maps = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    make = lambda maps: [
        Clip("d", "s", f"c{n}", in_memory(each[None]), "x", content="flow")
        for n, each in enumerate(maps)
    ]
    found = map_files.compare(make(maps), make(maps.astype(np.float32) / 255))
    np.testing.assert_allclose(found.difference, 0, atol=1e-4)
    other = map_files.compare(make(maps), make(maps[::-1]))
    expected = np.abs(maps.astype(float) - maps[::-1]).mean((1, 2))
    np.testing.assert_allclose(other.difference, expected, rtol=1e-5)
