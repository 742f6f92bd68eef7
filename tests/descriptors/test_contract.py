"""What every descriptor promises, driven over all of them.

vmap is a loop, frames past the length change nothing, flat clips give numbers,
and so do gradients.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.datasets import synthetic
from mer_jax.descriptors import (
    bi_woof,
    color_levels,
    lbp_sip,
    lbp_tics,
    lbp_top,
    mdmo,
    region_flow,
    stlbp_ip,
)
from mer_jax.errors import UserError
from tests.compiled import compiled

T, H, W = np.int32(7), 24, 20  # a length as arrays hold it: one program a function


def test_flows_and_landmarks_without_a_number_are_refused(landmarks):
    flow, points = np.ones((2, H, W, 2), np.float32), np.asarray(landmarks)
    for spoiled, first in ((flow.copy(), 1), (points.copy(), 8)):
        spoiled[first] = np.nan
        of_flow = spoiled.ndim == 4
        flows, marks = (spoiled, points) if of_flow else (flow, spoiled)
        what = "flow 1" if of_flow else "landmark 8"
        with pytest.raises(UserError, match=f"{what} holds NaN"):
            mdmo(flows, marks)
        with pytest.raises(UserError, match="row 0 holds NaN" if of_flow else what):
            region_flow(flows[1], marks)
    flow[0, 3, 3] = np.inf
    with pytest.raises(UserError, match="row 3 holds NaN or infinity"):
        bi_woof(flow[0], blocks=(2, 2))
    with pytest.raises(UserError, match="landmarks are outside of the flow of 24 x 20 px"):
        mdmo(np.ones((2, H, W, 2)), points + 100)


def test_half_precision_has_the_levels_that_are_stored():
    levels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    for dtype in (jnp.bfloat16, jnp.float16):
        stored = jnp.asarray(levels / 255, dtype)
        found = color_levels(stored)
        np.testing.assert_array_equal(found, color_levels(stored.astype(jnp.float32)))
        assert dtype is jnp.bfloat16 or (found == levels).all()


def flow_like(clip):
    """Something of a flow's shape and size for each frame, 0 where the clip is flat in time."""
    return 10 * (clip - clip[:1])[..., :2]


@pytest.fixture(scope="module")
def landmarks():
    scene = synthetic.scenes(subjects=1, clips_per_subject=1, size=(H, W), frames=(8, 8))[0]
    return jnp.asarray(scene.landmarks)


NAMES = ("lbp_top", "lbp_sip", "lbp_tics", "stlbp_ip", "bi_woof", "mdmo")


@pytest.fixture(scope="module", params=NAMES)
def function(request, landmarks):
    """The call of a clip [T, H, W, C] and its length, and the call compiled once for all tests."""
    small = dict(radii=(1, 1, 2), blocks=(2, 3))
    call = {
        "lbp_top": lambda clip, n: lbp_top(clip, length=n, **small),
        "lbp_sip": lambda clip, n: lbp_sip(clip, length=n, **small),
        "lbp_tics": lambda clip, n: lbp_tics(clip, jnp.eye(3), length=n, **small),
        "stlbp_ip": lambda clip, n: stlbp_ip(clip, span=5, length=n, **small),
        "bi_woof": lambda clip, n: bi_woof(flow_like(clip)[n - 1]),
        "mdmo": lambda clip, n: mdmo(flow_like(clip), landmarks, length=n),
    }[request.param]
    return call, jax.jit(call)


def clips(count):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.integers(0, 256, (count, T, H, W, 3)) / 255, jnp.float32)


def test_vmap_is_a_loop(function):
    call, compiled = function
    batch, length = clips(2), jnp.array([T, T - 1], jnp.int32)
    together = jax.jit(jax.vmap(call))(batch, length)
    apart = [compiled(clip, n) for clip, n in zip(batch, length)]
    np.testing.assert_allclose(together, jnp.stack(apart), atol=1e-5)


def test_padding_changes_nothing(function):
    _, compiled = function
    (clip,) = clips(1)
    for padding in (jnp.repeat(clip[-1:], 3, axis=0), jnp.full((3, H, W, 3), jnp.nan)):
        found = compiled(jnp.concatenate([clip, padding]), T)
        np.testing.assert_allclose(found, compiled(clip, T), atol=1e-5)


def test_flat_clips_give_numbers_and_gradients_are_finite(function):
    call, compiled = function
    gradient = jax.jit(jax.grad(lambda clip: jnp.sum(call(clip, T) ** 2)))
    for clip in (*clips(1), *(jnp.full((T, H, W, 3), level) for level in (0.0, 0.5))):
        found = compiled(clip, T)
        assert found.dtype == jnp.float32 and found.ndim == 1
        assert jnp.isfinite(found).all()
        assert jnp.isfinite(gradient(clip)).all()


PATTERNS = {
    "lbp_top": lbp_top,
    "lbp_sip": lbp_sip,
    "lbp_tics": functools.partial(lbp_tics, colors=np.eye(3), points=4),
    "stlbp_ip": functools.partial(stlbp_ip, span=3, points=4),
}


@pytest.mark.parametrize("describe", PATTERNS.values(), ids=PATTERNS)
def test_integers_are_worth_as_much_as_floats(describe):
    small = dict(radii=(1, 1, 2), blocks=(2, 3))
    levels = np.random.default_rng(1).integers(0, 256, (T, H, W, 1), np.uint8)
    program = compiled(describe, **small)
    expected = program(levels / np.float32(255))
    for same in (levels, levels.astype(np.uint16) * 257, levels / 255):
        np.testing.assert_allclose(program(same), expected, atol=1e-6)
    for wrong in (levels.astype(np.float32), levels.astype(int), levels[..., 0], levels[:0]):
        with pytest.raises(UserError, match=r"^frames (of|from) "):
            describe(wrong, **small)


@pytest.mark.parametrize("describe", PATTERNS.values(), ids=PATTERNS)
def test_nan_is_refused(describe):
    clip = np.zeros((T, H, W, 1), np.float32)
    clip[4, 3, 3] = np.nan
    small = dict(radii=(1, 1, 1), blocks=(2, 3))
    with pytest.raises(UserError, match="frame 4 holds NaN"):
        describe(clip, length=5, **small)
    assert np.isfinite(compiled(describe, length=4, **small)(clip)).all()  # NaN in the padding only


def test_flows_are_px(landmarks):
    flows = np.random.default_rng(2).integers(-3, 4, (T, H, W, 2))
    same = map(compiled(bi_woof), (flows[1], flows[1].astype(np.float32)))
    np.testing.assert_array_equal(*same)
    for call, given in ((bi_woof, flows[1]), (lambda x: mdmo(x, landmarks), flows)):
        with pytest.raises(UserError, match=r"H, W, 2\]"):
            call(np.moveaxis(given, -1, 0))
