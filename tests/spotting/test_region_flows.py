import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.datasets.synthetic import long_videos
from mer_jax.errors import UserError
from mer_jax.recordings import Recording
from mer_jax.spotting import evidence, region_flows
from mer_jax.video import to_gray

region_flows_module = sys.modules["mer_jax.spotting.region_flows"]
SIZE = (32, 32)


@pytest.fixture(scope="module")
def video():
    return long_videos.recordings(
        subjects=1, recordings_per_subject=1, seconds=3, micro=1, macro=0, size=SIZE, gray=True,
        amplitude=(2.0, 2.0), seed=3,
    )[0]  # fmt: skip


@pytest.mark.slow
def test_each_frame_is_the_flow_from_the_one_before(monkeypatch):
    y, x = np.mgrid[:32, :32]
    wave = lambda t: 120 + 60 * np.sin((x - 0.3 * t) / 3) * np.cos((y + 0.1 * t) / 4)
    frames = np.stack([wave(t) for t in range(21)]).round().astype(np.uint8)[..., None]
    short = Recording("toy", "s", "v", lambda i, j: frames[i:j], 21, 30.0)
    landmarks = np.random.default_rng(0).uniform(4, 28, (21, 68, 2)).astype(np.float32)
    got = region_flows(short, landmarks, size=SIZE, radius=2)
    assert got.shape == (21, 12, 2) and got.dtype == np.float32 and not got[0].any()
    gray = to_gray(jnp.asarray(frames))
    score = region_flows_module._compiled("horn_schunck", 2)
    for t in (1, 9, 20):
        pairs, marks = gray[None, t - 1 : t + 1], jnp.asarray(landmarks[None, t])
        np.testing.assert_allclose(got[t], score(pairs, marks)[0], atol=1e-6)
    monkeypatch.setattr(evidence, "_BLOCK", 7)
    again = region_flows(short, landmarks, size=SIZE, radius=2)
    np.testing.assert_array_equal(again, got)
    twice = frames.repeat(2, 1).repeat(2, 2)  # centers of pixels: 0 -> 0.5, 1 -> 2.5
    large = Recording("toy", "s", "v", lambda i, j: twice[i:j], 21, 30.0)
    again = region_flows(large, 2 * landmarks + 0.5, size=SIZE, radius=2)
    np.testing.assert_allclose(again, got, atol=1e-4)


def test_a_face_that_is_lost_is_logged(video, monkeypatch, caplog):
    marks = np.arange(136, dtype=np.float32).reshape(1, 68, 2)
    seen = iter([True] * 2 + [False] * 6 + [True] * 4 + [True] * 12)
    find = lambda frame: marks if next(seen) else marks[:0]
    monkeypatch.setattr(region_flows_module, "landmarker", lambda model: find)
    found = region_flows_module.landmarks(video, model="mine.dat")
    assert found.shape == (90, 68, 2) and (found == marks).all()
    assert "mine.dat finds no face between frames 8 and 64" in caplog.text
    caplog.clear()
    region_flows_module.landmarks(video, model="mine.dat")
    assert "finds no face" not in caplog.text


def test_landmarks_of_another_shape_are_refused(video):
    with pytest.raises(UserError, match=r"landmarks are \[68, 2\] or \[90, 68, 2\]"):
        region_flows(video, np.zeros((3, 68, 2)), size=SIZE)
    other = Recording("toy", "s", "v", lambda i, j: None, 9, 30.0)
    with pytest.raises(UserError, match="not rendered"):
        long_videos.landmarks(other)


@pytest.mark.slow
def test_landmarks_of_rendered_frames_are_where_the_face_is(video):
    """What `_source` finds at a landmark of any frame is that landmark of the neutral face."""
    found = long_videos.landmarks(video)
    assert found.shape == (90, 68, 2)
    rendered = video.read
    times = jnp.arange(0, 90, 10, dtype=jnp.int32)
    states = long_videos._states(rendered.script, times)
    scale = long_videos.scale(SIZE)
    neutral = np.asarray(long_videos.face.landmarks(rendered.neutral))
    source = jax.jit(long_videos._source)
    for row, t in enumerate(times):
        state = long_videos.State(*(x[row] for x in states))
        where = (found[t] - (np.array(SIZE, np.float32) - 1) / 2) / np.float32(scale)
        back = source(rendered.neutral, state, where.T[..., None])[..., 0].T
        np.testing.assert_allclose(back * scale, neutral * scale, atol=0.01)  # px
    (marked,) = video.intervals
    moved = np.abs(found[marked.apex] - found[marked.onset]).max()
    assert moved > 0.3  # px: the expression moves landmarks
