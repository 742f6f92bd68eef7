"""What every function of the package promises, driven over all of them from one table.

A row is a name and a call of the clip and its length, [T, H, W, C] -> array. vmap is a loop over
clips, jit changes nothing, frames past the length change nothing, gradients are finite, and neither
a grey nor a black clip makes a NaN. Integer frames are worth as much as floats in [0, 1], and what
cannot be frames is refused.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import video
from mer_jax.clips import to_float
from mer_jax.errors import UserError
from mer_jax.video import color, difference, pyramid
from mer_jax.video.flow import optical_flow
from mer_jax.video.magnify import bands, combine, magnify, stream_init, stream_step
from mer_jax.video.median import median_filter
from mer_jax.video.resample import apply, matrix, resample
from mer_jax.video.rpca import keep_quantiles, rpca
from mer_jax.video.strain import optical_strain, strain_tensor
from mer_jax.video.warp import prefilter, warp
from tests.compiled import compiled

T, H, W = 6, 20, 24
LENGTH = np.int32(T)  # as arrays hold it: one program a function
JITTER = np.zeros((4, T + 3), np.float32)  # a part of the frames, resampled
JITTER[:, [0, 2, 5]] = matrix(3, 4, kernel="box")

GAINS = jnp.array([2.0, 0.5])


def live(clip):
    def step(state, frame):
        return stream_step(state, frame, alpha=8.0)

    return jax.lax.scan(step, stream_init(clip[0]), clip[1:])[1]


def columns(clip):
    """The green channel as a matrix, one column a frame, for the functions of matrices."""
    return clip[..., 1].reshape(len(clip), -1).T


def last(clip, length):
    return clip[length - 1]


FUNCTIONS = {
    "magnify": lambda clip, length: magnify(clip, alpha=8.0),
    "bands": lambda clip, length: jnp.moveaxis(bands(clip), 1, 0),
    "stream": lambda clip, length: live(clip),
    "combine": lambda c, n: combine(
        c, jnp.stack([to_float(c - c[:1]), to_float(c)]), jnp.array([2.0, 0.5]), saturate=False
    ),
    "pyramid": lambda clip, length: pyramid.build(clip)[1],
    "reconstruct": lambda clip, length: pyramid.reconstruct(
        [2 * band for band in pyramid.build(clip)]
    ),
    "to_gray": lambda clip, length: color.to_gray(clip),
    "mix": lambda clip, length: color.mix(clip, color.YIQ_FROM_RGB[1:]),
    "difference_heatmap": lambda c, n: difference.difference_heatmap(c, length=n),
    "top_pixels": lambda c, n: difference.top_pixels(
        difference.difference_heatmap(c, length=n), num_pixels=99
    ),
    "apex_index": lambda c, n: difference.apex_index(c, length=n),
    "remove_global_motion": lambda c, n: difference.remove_global_motion(c, length=n),
    "resample": lambda clip, length: resample(clip, 9, kernel="lanczos2"),
    "jitter": lambda clip, length: apply(JITTER[:, : len(clip)], clip),
    "optical_flow": lambda c, n: optical_flow(
        c[0], last(c, n), preset="horn_schunck", warps=1, median=3
    ),
    "warp": lambda c, n: warp(prefilter(c[0]), last(c, n)[..., :2])[0],
    "median_filter": lambda c, n: median_filter(last(c, n)[..., 0], size=3),
    "rpca": lambda c, n: rpca(columns(c), max_iter=15)[1],
    "keep_quantiles": lambda c, n: keep_quantiles(columns(c)),
    "strain_tensor": lambda c, n: strain_tensor(last(c, n)[..., :2]),
    "optical_strain": lambda c, n: optical_strain(last(c, n)[..., :2]),
}
# Those that give a frame for a frame: of a padded clip the first T are the clip's.
BY_FRAME = {
    "magnify", "bands", "combine", "stream", "pyramid", "reconstruct", "to_gray", "mix",
    "remove_global_motion",
}  # fmt: skip
# Those that know no length: a ragged clip takes the matrix of its own length, as "jitter" does.
ONE_LENGTH = {"resample", "rpca", "keep_quantiles"}
NOT_DIFFERENTIABLE = {"top_pixels", "apex_index", "rpca"}  # indices; a loop of unknown length
# The flow interpolates, the retained part jumps at its quantiles, a median changes pixels: finite,
# but no oracle by steps.
NOT_SMOOTH = {"optical_flow", "keep_quantiles", "median_filter"}
# Flows are in px, whatever their dtype; the others are linear, or nearly: floats of any
# range are valid.
NO_PIXELS = {"warp", "strain_tensor", "optical_strain"}
ANY_RANGE = NO_PIXELS | {
    "pyramid", "reconstruct", "mix", "resample", "jitter", "rpca", "keep_quantiles",
    "median_filter",
}  # fmt: skip
ANY_AXES = ANY_RANGE | {"to_gray", "optical_flow", "stream"}
# Driven by other names, and those that take no clip: they make constants on the host.
ELSEWHERE = {"stream_init", "stream_step"}
CONSTANTS = {"core_region", "gains"}


class Function(NamedTuple):
    """A row, and what is compiled of it once for all tests."""

    name: str
    call: Callable
    compiled: Callable
    gradient: Callable | None  # of <weights, output> in the clip


# Made of the same parts as others, or long to compile.
VARIANTS = {"bands", "combine", "reconstruct", "mix", "top_pixels", "strain_tensor"}
VARIANTS |= {"optical_flow", "stream"}
EACH = [pytest.param(n, marks=pytest.mark.slow) if n in VARIANTS else n for n in FUNCTIONS]


@pytest.fixture(scope="module", params=EACH)
def function(request):
    name, call = request.param, FUNCTIONS[request.param]
    gradient = jax.jit(jax.grad(lambda clip, weights: jnp.vdot(weights, call(clip, T))))
    return Function(name, call, jax.jit(call), None if name in NOT_DIFFERENTIABLE else gradient)


def clips(count, seed=0):
    """Textures that brighten by 1 to 10 % from frame to frame: no difference is near zero."""
    rng = np.random.default_rng(seed)
    still = 0.1 + 0.7 * rng.random((count, 1, H, W, 3))
    moved = 0.1 * (0.5 + 0.5 * rng.random((count, T, H, W, 3)))
    return jnp.asarray(still + moved * np.linspace(0, 1, T)[:, None, None, None], jnp.float32)


def test_no_public_function_is_left_out():
    assert set(video.__all__) <= set(FUNCTIONS) | ELSEWHERE | CONSTANTS


@pytest.mark.slow
def test_jit_is_eager(function):
    (clip,) = clips(1)
    np.testing.assert_allclose(function.compiled(clip, LENGTH), function.call(clip, T), atol=2e-5)


def test_vmap_is_a_loop(function):
    batch = clips(2)
    length = jnp.array([T, T - 2], jnp.int32)
    together = jax.jit(jax.vmap(function.call))(batch, length)
    apart = [function.compiled(clip, n) for clip, n in zip(batch, length)]
    np.testing.assert_allclose(together, jnp.stack(apart), atol=2e-5)


def test_padding_changes_nothing(function):
    if function.name in ONE_LENGTH:
        pytest.skip("knows no length")
    (clip,) = clips(1)
    plain = function.compiled(clip, LENGTH)
    for padding in (jnp.repeat(clip[-1:], 3, axis=0), jnp.full((3, H, W, 3), jnp.nan)):
        long = function.compiled(jnp.concatenate([clip, padding]), LENGTH)
        if function.name in BY_FRAME:
            long = long[: len(plain)]
        np.testing.assert_allclose(long, plain, atol=2e-5)


def test_flat_clips_give_finite_values_and_gradients(function):
    for level in (0.0, 0.5, 1.0):
        clip = jnp.full((T, H, W, 3), level, jnp.float32)
        value = function.compiled(clip, LENGTH)
        assert jnp.isfinite(value).all(), level
        if function.gradient:
            assert jnp.isfinite(function.gradient(clip, jnp.ones_like(value))).all(), level


def test_gradients_are_finite_and_right(function):
    """The derivative along one direction, against a central difference."""
    if not function.gradient:
        pytest.skip("gives indices, or says that it has no derivative")
    (clip,) = clips(1, seed=1)
    value = function.compiled(clip, LENGTH)
    weights = jnp.asarray(np.random.default_rng(2).random(value.shape), jnp.float32)
    gradient = function.gradient(clip, weights)
    assert jnp.isfinite(gradient).all()
    if function.name in NOT_SMOOTH:
        return
    direction = np.random.default_rng(3).standard_normal(clip.shape).astype(np.float32)
    plus, minus = (function.compiled(clip + h * direction, LENGTH) for h in (1e-3, -1e-3))
    slope = float(jnp.vdot(weights, plus - minus)) / 2e-3
    # One scalar of many terms that cancel: measured against their size.
    size = float(jnp.linalg.norm(gradient) * np.linalg.norm(direction)) / np.sqrt(clip.size)
    assert slope == pytest.approx(float(jnp.vdot(gradient, direction)), abs=0.1 * size)


def test_integers_are_worth_as_much_as_floats(function):
    if function.name in NO_PIXELS:
        pytest.skip("takes flows, or numbers of any kind")
    levels = np.round(255 * np.asarray(clips(1)[0])).astype(np.uint8)
    expected = function.compiled(levels / np.float32(255), LENGTH)
    np.testing.assert_allclose(function.compiled(levels, LENGTH), expected, atol=1e-6)


def test_whole_numbers_of_px_are_a_flow():
    flow = np.random.default_rng(4).integers(-2, 3, (H, W, 2))
    (image,) = clips(1)[:, 0]
    for call in (strain_tensor, optical_strain, lambda flow: warp(prefilter(image), flow)[0]):
        program = jax.jit(call)
        np.testing.assert_array_equal(program(flow), program(flow.astype(np.float32)))
        with pytest.raises(UserError, match=r"expected \[(H, W|20, 24), 2\]"):
            call(np.moveaxis(flow, -1, 0))


def test_grey_levels_as_floats_are_refused(function):
    (clip,) = clips(1)
    if function.name in ANY_RANGE:
        assert jnp.isfinite(function.compiled(255 * clip, LENGTH)).all()
        return
    for made in (
        255 * clip,
        255 * np.asarray(clip, np.float64),
        (255 * clip).at[0, 0, 0].set(np.nan),
    ):
        with pytest.raises(UserError, match="divide them by 255"):
            function.call(made, T)
    with pytest.raises(UserError, match="dtype int32"):
        function.call((255 * clip).astype(jnp.int32), T)


def test_later_frames_are_looked_at_too():
    (clip,) = clips(1)
    state = stream_init(clip[0])
    for call in (lambda x: optical_flow(clip[0], x), lambda x: stream_step(state, x, alpha=8.0)):
        with pytest.raises(UserError, match="divide them by 255"):
            call(255 * clip[1])


def test_other_axes_are_refused(function):
    if function.name in ANY_AXES:
        pytest.skip("takes other axes")
    (clip,) = clips(1)
    for made, words in ((clip[..., 0], "None"), (clip[:0], "empty"), (clip[None], "T, H, W, C")):
        with pytest.raises(UserError, match=words):
            function.call(made, T)


CLIP = np.zeros((4, 12, 12, 3), np.float32)
SPOILED = np.array(CLIP)
SPOILED[2, 3, 3] = np.nan


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: resample(CLIP, 2.5), r"length is 2\.5; it must be an integer"),
        (lambda: resample(CLIP, "3"), "length is '3'; it must be an integer"),
        (lambda: resample(CLIP[:0], 3), "none of them empty"),
        (lambda: resample(np.float32(1), 3), r"expected \[T, \.\.\.\]"),
        (lambda: apply(JITTER, CLIP), r"frames of shape \(4, .*: expected \[9, \.\.\.\]"),
        (lambda: rpca(np.zeros(5)), r"matrix of shape \(5,\): expected \[P, T\]"),
        (lambda: rpca(np.zeros((5, 0))), "matrix of .* none of them empty"),
        (lambda: keep_quantiles(np.zeros(0)), "sparse of shape .* none of them empty"),
        (lambda: keep_quantiles(np.float32(1)), "sparse of shape"),
        (lambda: optical_strain(np.zeros((1, 1, 2))), "flow of .* H and W at least 2"),
        (lambda: strain_tensor(np.zeros((1, 5, 2)), scheme="central"), "H and W at least 2"),
        (lambda: optical_strain(np.zeros((0, 4, 2))), "none of them empty"),
        (lambda: color.to_gray(np.float32(1)), r"image of shape \(\): expected \[\.\.\., C\]"),
        (lambda: median_filter(CLIP[0]), r"image of .*: expected \[H, W\]"),
        (lambda: median_filter(np.zeros((8, 8), np.int32)), "image of dtype int32"),
        (
            lambda: warp(np.zeros((8, 9, 1)), np.zeros((9, 8, 2))),
            r"flow of .*: expected \[8, 9, 2\]",
        ),
        (lambda: prefilter(np.zeros((1, 5, 1))), "H and W at least 3"),
        (lambda: pyramid.down(np.zeros((4, 9, 1))), "H and W at least 5"),
        (lambda: combine(CLIP, CLIP[None], GAINS), r"gains of shape \(2,\): expected \[1\]"),
        (lambda: combine(CLIP, CLIP, GAINS), "bands of shape"),
        (lambda: difference.top_pixels(CLIP, num_pixels=3), r"heatmap of .*: expected \[H, W\]"),
        (lambda: difference.top_pixels(SPOILED[2, ..., 0], num_pixels=3), "row of .* 3 holds NaN"),
        (lambda: difference.apex_index(SPOILED), "frame 2 holds NaN"),
        (lambda: difference.apex_index(jnp.asarray(SPOILED), length=3), "frame 2 holds NaN"),
    ],
)
def test_wrong_arrays_are_one_sentence(call, words):
    with pytest.raises(UserError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones((3, 3)), r"weights of shape \(3, 3\): expected \[12, 12\]"),
        (-np.ones((12, 12)), "0 or more; some are negative"),
        (np.full((12, 12), np.nan), "or NaN"),
    ],
)
def test_wrong_weights_are_refused(weights, words):
    with pytest.raises(UserError, match=words):
        difference.remove_global_motion(CLIP, weights=weights)


def test_a_traced_clip_with_nan_has_no_apex():
    apex = jax.jit(jax.vmap(difference.apex_index))(np.stack([CLIP, SPOILED]))
    assert apex.tolist() == [0, -1]
    assert difference.apex_index(SPOILED, length=2) == 0  # NaN in the padding only


def test_what_was_magnified_and_not_saturated_may_go_on():
    (clip,) = clips(1)
    wild = compiled(magnify, alpha=14.0, exaggeration=4.0, saturate=False)(clip) + 2
    assert wild.max() > 2
    assert difference.apex_index(wild) == difference.apex_index(np.asarray(wild))
    for call in (difference.difference_heatmap, difference.remove_global_motion):
        assert np.isfinite(compiled(call)(wild)).all()
