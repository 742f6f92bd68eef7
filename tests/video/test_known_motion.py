"""Rendered faces, of which the instants and the motion are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.registration

from mer_jax import faces
from mer_jax.datasets import synthetic
from mer_jax.datasets.synthetic import motion
from mer_jax.video import apex_index, magnify, pyramid, remove_global_motion
from mer_jax.video.magnify import temporal_matrix

LONGEST = 40


def gray(scene):
    """[LONGEST, H, W, 1], the last frame repeated."""
    frames = np.float32(scene.frames) / 255
    return np.concatenate([frames, np.repeat(frames[-1:], LONGEST - len(frames), 0)])


def without_eyes(scene):
    """[H, W]: 0 in a box around the eyes, 1 elsewhere."""
    out = np.ones(scene.size, np.float32)
    x, y, width, height = faces.both_eyes_box(scene.landmarks)
    out[max(0, int(y)) : int(y + height) + 1, int(x) : int(x + width) + 2] = 0
    return out


def found_in_time(find, scenes):
    """The share of the scenes whose apex is found within 2 frames."""
    find = jax.jit(find)
    apart = [int(find(gray(s), s.length, without_eyes(s))) - s.apex for s in scenes]
    return np.mean(np.abs(apart) <= 2)


def plain(clip, length, weights):
    return apex_index(clip, length=length)


def steady(clip, length, weights):
    return apex_index(remove_global_motion(clip, length=length, weights=weights), length=length)


@pytest.mark.slow  # renders 24 clips
def test_the_apex_of_a_still_head_is_found():
    scenes = synthetic.scenes(subjects=3, clips_per_subject=8, gray=True, drift=0, blinks=0)
    assert found_in_time(plain, scenes) >= 0.9


@pytest.mark.slow
def test_the_apex_of_a_head_that_drifts_and_blinks_is_found():
    scenes = synthetic.scenes(subjects=3, clips_per_subject=8, gray=True, amplitude=(1, 2))
    assert found_in_time(steady, scenes) >= 0.9
    assert found_in_time(plain, scenes) < 0.8


@pytest.mark.slow
def test_magnified_flow_is_alpha_fold():
    """In the coarsest live band, whose gain is alpha: 1 + alpha times what the filter lets pass."""
    calm = dict(drift=0, blinks=0, flicker=0, noise=0, gray=True, amplitude=(0.1, 0.15))
    scenes = synthetic.scenes(
        subjects=1, clips_per_subject=2, size=(128, 128), frames=(24, 24), **calm
    )
    magnified = jax.jit(lambda clip, alpha: magnify(clip, alpha=alpha, saturate=False))
    for scene in scenes:
        clip = np.float32(scene.frames) / 255
        profile = np.asarray(motion.profile(scene.take, np.arange(24, dtype=np.float32)))
        passed = temporal_matrix(24) @ profile
        t = int(passed.argmax())
        before = _coarse_flow(clip[[0, t]])
        for alpha in (2.0, 8.0):
            after = _coarse_flow(magnified(clip, alpha)[np.array([0, t])])
            grown = (before * after).sum() / (before**2).sum()
            # A little goes to the neighbouring bands, which have gains of their own.
            assert 0.8 < grown / (1 + alpha * passed[t] / profile[t]) < 1.02


@jax.jit
def _coarse_band(pair):
    *finer, band, rest = pyramid.build(pair)
    return pyramid.reconstruct((*map(jnp.zeros_like, finer), band, jnp.zeros_like(rest)))


def _coarse_flow(pair):
    """The flow between two frames [2, H, W, 1], of the last band above the residual alone."""
    first, second = np.asarray(_coarse_band(pair))[..., 0]
    return np.stack(skimage.registration.optical_flow_ilk(first, second, radius=16))
