"""Magnification against Wu's recursion, written frame by frame over pyrtools' pyramids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from mer_jax.errors import UserError
from mer_jax.video.magnify import (
    bands,
    coefficients,
    combine,
    gains,
    magnify,
    stream_init,
    stream_step,
    temporal_matrix,
)
from tests.compiled import compiled
from tests.twins.references import recursion


def moving(length, height, width, channels, seed=0):
    """A texture that sways by a fraction of a pixel, with noise: [T, H, W, C] float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    clip = np.empty((length, height, width, channels))
    for t in range(length):
        shift = 0.4 * np.sin(0.5 * t)
        for c in range(channels):
            clip[t, ..., c] = 0.5 + 0.2 * np.sin((x + shift) / (3 + c)) * np.cos(y / (4 + c))
    return np.clip(clip + 0.01 * rng.standard_normal(clip.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    "shape, options",
    [
        ((9, 65, 97, 1), dict(alpha=10)),
        ((9, 65, 97, 3), dict(alpha=10, chroma=0.3)),
        ((5, 170, 139, 1), dict(alpha=8, exaggeration=2)),
        ((12, 22, 44, 1), dict(alpha=14, wavelength=4, r1=0.6, r2=0.2)),
    ],
)
def test_equals_the_recursion(shape, options):
    clip = moving(*shape)
    ours = np.asarray(compiled(magnify, saturate=False, **options)(clip))
    expected = recursion(clip, **options)
    assert np.abs(expected - clip).max() > 0.02  # the test can fail
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_array_equal(ours[0], clip[0])


@pytest.mark.parametrize(
    "size, exaggeration, expected",  # fine to coarse for alpha = 8, printed to three digits
    [
        ((64, 64), 2, [2.243, 6.485, 8]),
        ((64, 64), 1, [1.121, 3.243, 7.485]),
        ((128, 128), 2, [2.243, 6.485, 8, 8]),
        ((128, 128), 1, [1.121, 3.243, 7.485, 8]),
        ((170, 139), 2, [3.147, 8, 8, 8]),
        ((170, 139), 1, [1.573, 4.147, 8, 8]),
        ((192, 192), 2, [1.182, 4.364, 8, 8, 8]),
        ((192, 192), 1, [0.591, 2.182, 5.364, 8, 8]),
        ((280, 340), 2, [3.162, 8, 8, 8, 8]),
        ((280, 340), 1, [1.581, 4.162, 8, 8, 8]),
    ],
)
def test_gains(size, exaggeration, expected):
    found = gains(*size, alpha=8, exaggeration=exaggeration)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=6e-4)


def test_gains_are_never_negative():
    found = gains(64, 64, alpha=0.5, wavelength=64.0)
    assert found.min() == 0
    clip = moving(6, 64, 64, 1)
    assert np.isfinite(compiled(magnify, alpha=0.5, wavelength=64.0)(clip)).all()


def test_the_gradient_of_gains_in_alpha():
    slope = jax.jit(jax.jacobian(lambda alpha: gains(64, 64, alpha=alpha)))(8.0)
    # Bounds rise by lambda_l / wavelength with alpha.
    np.testing.assert_allclose(slope, np.hypot(64, 64) / 3 / 16 / np.array([8, 4, 2]), rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_many_alphas_from_one_filtered_pyramid(channels):
    clip = moving(7, 33, 42, channels)
    levels = jax.jit(bands)(clip)
    assert levels.shape == (2, *clip.shape)

    @jax.jit
    @jax.vmap
    def fast(alpha):
        return combine(clip, levels, gains(33, 42, alpha=alpha))

    alphas = np.arange(5, 15, 3, dtype=np.float32)
    direct = jax.jit(jax.vmap(lambda alpha: magnify(clip, alpha=alpha)))(alphas)
    np.testing.assert_allclose(fast(alphas), direct, atol=1e-5)


@pytest.mark.parametrize(("channels", "fps"), [(3, None), (1, 100.0)])
def test_the_stream_is_the_closed_form(channels, fps):
    clip = moving(12, 45, 38, channels)
    options = dict(alpha=9.0, fps=fps, r1=0.3 if fps is None else 9.0, r2=0.1)

    @jax.jit
    def live(clip):
        step = lambda state, frame: stream_step(state, frame, **options)
        return jax.lax.scan(step, stream_init(clip[0]), clip[1:])[1]

    closed = np.asarray(compiled(magnify, **options)(clip))
    np.testing.assert_allclose(live(clip), closed[1:], atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_frame_reaches_no_earlier_one(bad):
    clip = moving(8, 11, 12, 1)
    spoiled = clip.copy()
    spoiled[6, 3, 4, 0] = bad
    options = dict(alpha=9.0, saturate=False)
    found, want = (np.asarray(compiled(magnify, **options)(made)) for made in (spoiled, clip))
    np.testing.assert_array_equal(found[:6], want[:6])
    assert np.isnan(found[6:]).all()

    step = lambda state, frame: stream_step(state, frame, **options)
    stream = jax.jit(lambda clip: jax.lax.scan(step, stream_init(clip[0]), clip[1:])[1])
    live = np.asarray(stream(spoiled))
    np.testing.assert_allclose(live[:5], found[1:6], atol=1e-5)
    assert not np.isfinite(live[5:]).all((1, 2, 3)).any()

    early = jax.jit(jax.grad(lambda clip: jnp.sum(magnify(clip, **options)[:6] ** 2)))
    np.testing.assert_array_equal(early(spoiled), early(clip))


def test_temporal_matrix_is_two_iir_filters():
    signal = np.random.default_rng(0).random(40)
    low = [
        scipy.signal.lfilter([r], [1, r - 1], signal, zi=[(1 - r) * signal[0]])[0]
        for r in (0.4, 0.05)
    ]
    matrix = temporal_matrix(40)
    np.testing.assert_allclose(matrix @ signal, low[0] - low[1], atol=1e-12)
    np.testing.assert_allclose(matrix.sum(1), 0, atol=1e-12)
    np.testing.assert_array_equal(matrix[0], 0)
    np.testing.assert_array_equal(np.triu(matrix, 1), 0)


def test_hz_are_where_a_low_pass_has_lost_3_db():
    fast, slow = coefficients(16.6, 1.63, fps=200.0)
    assert fast == pytest.approx(0.4, abs=1e-3) and slow == pytest.approx(0.05, abs=1e-4)
    for hz, r in zip((9.0, 2.5), coefficients(9.0, 2.5, fps=60.0)):
        _, response = scipy.signal.freqz([r], [1, r - 1], worN=[hz], fs=60.0)
        assert abs(response[0]) == pytest.approx(np.sqrt(0.5), rel=1e-9)


def test_saturation_is_that_of_ntsc2rgb():
    clip = np.clip(moving(8, 32, 32, 3) * 3 - 1, 0, 1)
    plain = np.asarray(compiled(magnify, alpha=14, saturate=False)(clip))
    assert plain.max() > 1.02 and plain.min() < -0.02
    expected = np.maximum(plain, 0)
    for pixel in np.ndindex(expected.shape[:-1]):
        if expected[pixel].max() > 1:
            expected[pixel] /= expected[pixel].max()
    np.testing.assert_allclose(compiled(magnify, alpha=14)(clip), expected, atol=1e-6)


def test_motion_grows_and_constant_clips_stay():
    clip = moving(10, 64, 64, 1)
    program = jax.jit(lambda clip, alpha: magnify(clip, alpha=alpha, saturate=False))
    small, large = (np.abs(program(clip, alpha) - clip) for alpha in (4.0, 8.0))
    assert large.mean() > 1.5 * small.mean()
    still = np.repeat(clip[:1], 10, axis=0)
    np.testing.assert_allclose(program(still, 8.0), still, atol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(r1=0.05, r2=0.4), "r2 < r1 <= 1 "),
        (dict(r1=1.5), "r2 < r1 <= 1 "),
        (dict(r1=20.0, r2=1.0, fps=30.0), "r1 <= 15 .*half of fps"),
    ],
)
def test_bands_that_are_none_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        magnify(np.zeros((3, 32, 32, 1), np.float32), alpha=8, **options)


def test_frames_that_are_none_are_refused():
    with pytest.raises(UserError, match="too small to magnify"):
        magnify(np.zeros((3, 9, 40, 1), np.float32), alpha=8)
    with pytest.raises(UserError, match=r"C = 1 \(gray\) or 3"):
        magnify(np.zeros((3, 32, 32, 2), np.float32), alpha=8)


def test_low_frequencies_lose_no_digits():
    """1 - cos w is 0 in float64 below 1e-8: the matrix was NaN."""
    for hz in (1e-4, 1e-6, 1e-8):
        slow = coefficients(0.4, hz, fps=200.0)[1]
        assert slow == pytest.approx(2 * np.pi * hz / 200, rel=1e-5)  # r = w for a small w
        assert np.isfinite(temporal_matrix(4, r1=0.4, r2=hz, fps=200.0)).all()
