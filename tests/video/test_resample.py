"""Resampling in time against the SVD construction of TIM and MATLAB's rule written out by hand."""

import math

import jax
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.video.resample import (
    IMRESIZE_KERNELS,
    KERNELS,
    apply,
    matrix,
    resample,
)
from tests.twins.references import tim_by_svd

LENGTHS = [(10, 15), (23, 10), (60, 30), (30, 30), (7, 30), (100, 30), (1, 4), (6, 1), (2, 9)]


@pytest.mark.parametrize("length_in, length_out", [(10, 15), (23, 10), (40, 20), (5, 5)])
def test_tim_is_the_svd_construction(length_in, length_out):
    frames = np.random.default_rng(0).random((length_in, 9, 8, 1))
    ours = matrix(length_in, length_out).astype(np.float64) @ frames.reshape(length_in, -1)
    expected = tim_by_svd(frames, length_out).reshape(length_out, -1)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_tim_keeps_the_ends_and_returns_its_frames():
    np.testing.assert_allclose(matrix(12, 12), np.eye(12), atol=1e-6)
    np.testing.assert_allclose(matrix(12, 30)[[0, -1]], np.eye(12)[[0, -1]], atol=1e-6)


def kernel_at(name, x):
    a = abs(x)
    if name in ("box", "nearest"):
        return 1.0 if -0.5 <= x < 0.5 else 0.0
    if name in ("triangle", "bilinear"):
        return max(1 - a, 0.0)
    if name in ("cubic", "bicubic"):
        if a <= 1:
            return 1.5 * a**3 - 2.5 * a**2 + 1
        return -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2 if a <= 2 else 0.0
    lobes = int(name[-1])
    if a >= lobes:
        return 0.0
    if a == 0:
        return 1.0
    return math.sin(math.pi * x) * math.sin(math.pi * x / lobes) / (math.pi**2 * x**2 / lobes)


def matlab_row(name, n, m, i, antialias):
    """Row i (from 0) of imresize from n to m samples, tap by tap, counting from 1 as there."""
    scale = m / n
    shrink = scale < 1 and antialias and name != "nearest"
    width = {"box": 1, "nearest": 1, "lanczos3": 6}.get(name, 4)
    if name in ("triangle", "bilinear"):
        width = 2
    width = width / scale if shrink else width
    u = (i + 1) / scale + 0.5 * (1 - 1 / scale)
    left = math.floor(u - width / 2)
    row, total = [0.0] * n, 0.0
    back_and_forth = [*range(n), *reversed(range(n))]
    for tap in range(left, left + math.ceil(width) + 2):
        x = round(u - tap, 12)  # ties of a box as exact arithmetic has them
        weight = kernel_at(name, round(scale * x, 12)) * scale if shrink else kernel_at(name, x)
        row[back_and_forth[(tap - 1) % (2 * n)]] += weight
        total += weight
    return [weight / total for weight in row]


@pytest.mark.parametrize("kernel", IMRESIZE_KERNELS)
@pytest.mark.parametrize("antialias", [True, False])
def test_imresize(kernel, antialias):
    for n, m in LENGTHS:
        expected = [matlab_row(kernel, n, m, i, antialias) for i in range(m)]
        ours = matrix(n, m, kernel=kernel, antialias=antialias)
        np.testing.assert_allclose(ours, expected, atol=1e-6, err_msg=f"{n} to {m}")


@pytest.mark.parametrize(
    "kernel, lengths, row, expected",
    [
        # Twice as long: frame 1 lies 1/4 after frame 0, frame 0 lies 1/4 before it.
        ("triangle", (3, 6), 1, [0.75, 0.25, 0]),
        ("triangle", (3, 6), 0, [1, 0, 0]),  # 3/4 of frame 0 and 1/4 of its mirror image
        ("cubic", (4, 8), 3, [-0.0703125, 0.8671875, 0.2265625, -0.0234375]),
        ("box", (3, 6), 3, [0, 1, 0]),
        # Half as long: a triangle of width 4 between frames 0 and 1.
        ("triangle", (8, 4), 1, [0, 0.125, 0.375, 0.375, 0.125, 0, 0, 0]),
        ("triangle", (8, 4), 0, [0.5, 0.375, 0.125, 0, 0, 0, 0, 0]),
        ("box", (8, 4), 1, [0, 0, 0.5, 0.5, 0, 0, 0, 0]),
        ("nearest", (8, 4), 1, [0, 0, 0, 1, 0, 0, 0, 0]),  # half way: the later frame
    ],
)
def test_rows_by_hand(kernel, lengths, row, expected):
    np.testing.assert_allclose(matrix(*lengths, kernel=kernel)[row], expected, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_rows_sum_to_one(kernel):
    for n, m in LENGTHS:
        weights = matrix(n, m, kernel=kernel)
        assert weights.shape == (m, n) and weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


def test_which_of_the_eight_coincide():
    for n, m, classes in [(40, 30, 6), (20, 30, 5)]:
        rows = {matrix(n, m, kernel=kernel).tobytes() for kernel in IMRESIZE_KERNELS}
        assert len(rows) == classes


def test_resample_is_apply_of_matrix_for_clips_of_any_rank():
    clip = np.random.default_rng(1).random((9, 4, 5, 3), np.float32)
    out = jax.jit(lambda clip: resample(clip, 6, kernel="lanczos3"))(clip)
    weights = matrix(9, 6, kernel="lanczos3")
    expected = [sum(w * frame for w, frame in zip(row, clip)) for row in weights]
    np.testing.assert_allclose(out, expected, atol=1e-6)
    np.testing.assert_allclose(apply(weights, clip[:, 0, 0, 0]), out[:, 0, 0, 0], atol=1e-6)


def test_a_frame_of_weight_0_is_not_looked_at():
    clip = np.random.default_rng(0).random((7, 3, 2), np.float32)
    weights = np.zeros((4, 7), np.float32)
    weights[:, :5] = matrix(5, 4)
    expected = np.einsum("ot,t...->o...", weights[:, :5].astype(np.float64), clip[:5])
    clip[5:] = np.nan
    np.testing.assert_allclose(jax.jit(apply)(weights, clip), expected, atol=1e-6)
    slope = jax.grad(lambda clip: apply(weights, clip).sum())(clip)
    np.testing.assert_allclose(slope, np.broadcast_to(weights.sum(0)[:, None, None], clip.shape))


def test_mistakes():
    with pytest.raises(UserError, match="did you mean 'lanczos3'"):
        matrix(4, 5, kernel="lanczos")
    with pytest.raises(UserError, match="length_out is 0; it must be an integer, 1 or more"):
        matrix(4, 0)
