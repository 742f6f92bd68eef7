"""STLBP-IP against its definition written as loops, and against scikit-image over time."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from mer_jax.descriptors import stlbp_ip
from mer_jax.errors import UserError
from tests.descriptors.test_lbp import clip_of, edges, uniform_table, video


def normalized(counts):
    return counts / max(counts.sum(), 1)


def in_space(projection, span):
    """[T, n] -> the histogram of the one-dimensional codes, bit by bit."""
    half, counts = span // 2, np.zeros(2 ** (span - 1))
    for line in projection:
        for i in range(half, len(line) - half):
            around = [*line[i - half : i], *line[i + 1 : i + 1 + half]]
            counts[sum(2**p * (value >= line[i]) for p, value in enumerate(around))] += 1
    return normalized(counts)


def over_time(projection, neighbors, margin):
    """[T, n] and (t, s) of each bit -> the histogram of the uniform codes."""
    table, bins = uniform_table(len(neighbors))
    counts = np.zeros(bins)
    frames, side = margin
    for t in range(frames, projection.shape[0] - frames):
        for s in range(side, projection.shape[1] - side):
            code = sum(
                2**p * (projection[t + dt, s + ds] >= projection[t, s])
                for p, (dt, ds) in enumerate(neighbors)
            )
            counts[table[code]] += 1
    return normalized(counts)


def by_loop(levels, span, radii, blocks):
    rx, ry, rt = radii
    change = levels[1:].astype(int) - levels[0]
    # Four neighbors: right, up, left, down on an axis pair, as the angles of `lbp_top`.
    yt = [(rt, 0), (0, -ry), (-rt, 0), (0, ry)]
    xt = [(0, rx), (rt, 0), (0, -rx), (-rt, 0)]
    rows, columns = (edges(n, k) for n, k in zip(levels.shape[1:], blocks))
    found = []
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            part = change[:, top:bottom, left:right]
            horizontal, vertical = part.sum(2), part.sum(1)
            found += [
                in_space(horizontal, span),
                in_space(vertical, span),
                over_time(horizontal, yt, (rt, ry)),
                over_time(vertical, xt, (rt, rx)),
            ]
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("span", "radii", "blocks"), [(5, (2, 1, 3), (2, 3)), (9, (3, 3, 1), (1, 1))]
)
def test_it_is_the_loop(span, radii, blocks):
    levels = video((9, 15, 17), most=3)  # few levels: equal projections occur
    options = dict(span=span, radii=radii, blocks=blocks, points=4)
    found = jax.jit(lambda clip: stlbp_ip(clip, **options))(clip_of(levels))
    expected = by_loop(levels, span, radii, blocks).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=0)


@pytest.mark.filterwarnings("ignore:Applying .local_binary_pattern. to floating-point")
def test_over_time_it_is_scikit_images():
    levels = video((10, 16, 13), seed=1)
    change = levels[1:].astype(int) - levels[0]
    # Slices in which scikit-image's neighbors (row - R sin a, column + R cos a) are the plane's.
    yt, xt = change.sum(2).T / 13, change.sum(1)[::-1] / 16
    expected = []
    for image in (yt, xt):
        codes = local_binary_pattern(image, 8, 2, "default")[2:-2, 2:-2].astype(int)
        expected.append(np.bincount(codes.ravel(), minlength=256) / codes.size)
    options = dict(span=3, radii=(2, 2, 2), mapping="none", interpolate=True)
    found = jax.jit(lambda clip: stlbp_ip(clip, **options))(clip_of(levels))
    np.testing.assert_allclose(found[8:].reshape(2, 256), expected, atol=1e-6)


def test_only_the_real_frames_and_the_blocks_own_pixels_count():
    levels = video((9, 14, 12), seed=2)
    options = dict(span=5, radii=(2, 2, 1), blocks=(2, 1))
    describe = jax.jit(functools.partial(stlbp_ip, **options))
    short = jax.jit(functools.partial(stlbp_ip, **options))(clip_of(levels[:6]))
    np.testing.assert_array_equal(describe(clip_of(levels), length=np.int32(6)), short)
    assert not describe(clip_of(levels), length=np.int32(1)).any()
    other = levels.copy()
    other[:, 7:] = video((9, 7, 12), seed=3)
    first, second = np.split(np.asarray(describe(clip_of(levels))), 2)
    np.testing.assert_array_equal(describe(clip_of(other))[: len(first)], first)
    assert (describe(clip_of(other))[len(first) :] != second).any()


def test_sizes_and_mistakes():
    size = lambda **options: (
        jax.eval_shape(functools.partial(stlbp_ip, **options), jnp.zeros((12, 24, 20, 1))).shape
    )
    assert size() == (630,) and size(blocks=(2, 2), span=7) == (4 * (2 * 64 + 2 * 59),)
    for options in ({"blocks": (3, 1)}, {"radii": (3, 3, 6)}, {"radii": (10, 1, 1)}):
        with pytest.raises(UserError, match="too small"):
            size(**options)
    with pytest.raises(UserError, match="span is 4; it must be 3 or 5 or 7 or 9"):
        size(span=4)
