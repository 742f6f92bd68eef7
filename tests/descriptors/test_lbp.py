"""Binary patterns against the definitions written as loops, and against scikit-image by plane."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from mer_jax.clips import resize
from mer_jax.descriptors import lbp_sip, lbp_top
from mer_jax.errors import UserError


def video(shape, seed=0, most=256):
    return np.random.default_rng(seed).integers(0, most, shape)


def clip_of(levels):
    return jnp.asarray(levels[..., None] / 255, jnp.float32)


def edges(size, count):
    return [i * size // count for i in range(count + 1)]


def uniform_table(points):
    """Ojala's table: codes of at most two changes in ascending order, all others last."""
    bins, table = 0, {}
    for code in range(2**points):
        bits = [code >> p & 1 for p in range(points)]
        if sum(bits[p] != bits[p - 1] for p in range(points)) <= 2:
            table[code] = bins
            bins += 1
    return [table.get(code, bins) for code in range(2**points)], bins + 1


def top_by_loop(levels, radii, points, blocks, mapping, interpolate, length=None):
    """Pixel by pixel, in the words of the MATLAB code; exact integers until the division."""
    frames, height, width = levels.shape
    frames = frames if length is None else length
    rx, ry, rt = radii
    border = max(rx, ry)
    if mapping == "uniform":
        table, bins = uniform_table(points)
    else:
        table, bins = range(2**points), 2**points
    counts = np.zeros((*blocks, 3, bins))

    def value(t, y, x):
        if not interpolate:
            t, y, x = (math.floor(part + 0.5) for part in (t, y, x))
            return levels[t, y, x]
        found = 0.0
        t, y, x = (round(part, 9) for part in (t, y, x))
        for ct in {math.floor(t), math.ceil(t)}:
            for cy in {math.floor(y), math.ceil(y)}:
                for cx in {math.floor(x), math.ceil(x)}:
                    share = (1 - abs(t - ct)) * (1 - abs(y - cy)) * (1 - abs(x - cx))
                    found += share * levels[ct, cy, cx]
        return math.floor(found + 1e-4)

    rows, columns = (edges(n - 2 * border, k) for n, k in zip((height, width), blocks))
    for t in range(rt, frames - rt):
        for y in range(border, height - border):
            for x in range(border, width - border):
                i = sum(y - border >= edge for edge in rows[1:])
                j = sum(x - border >= edge for edge in columns[1:])
                for plane in range(3):
                    code = 0
                    for p in range(points):
                        a = 2 * math.pi * p / points
                        there = (
                            (t, y - ry * math.sin(a), x + rx * math.cos(a)),
                            (t + rt * math.sin(a), y, x + rx * math.cos(a)),
                            (t + rt * math.cos(a), y - ry * math.sin(a), x),
                        )[plane]
                        if value(*there) >= levels[t, y, x]:
                            code += 2**p
                    counts[i, j, plane, table[code]] += 1
    return (counts / np.maximum(counts.sum(-1, keepdims=True), 1)).reshape(-1)


CASES = {
    "default": dict(radii=(1, 1, 4), points=8, blocks=(2, 3), mapping="uniform"),
    "all codes": dict(radii=(1, 1, 1), points=8, blocks=(1, 1), mapping="none"),
    "wide": dict(radii=(3, 2, 2), points=8, blocks=(3, 2), mapping="uniform"),
    "four points": dict(radii=(2, 1, 3), points=4, blocks=(2, 2), mapping="uniform"),
}


@pytest.mark.parametrize(
    ("case", "interpolate"),
    [
        ("default", False),
        ("default", True),
        ("all codes", False),
        ("wide", False),
        ("four points", True),
    ],
)
def test_lbp_top_is_the_loop(case, interpolate):
    levels = video((10, 14, 17), most=40)  # few levels: equal neighbours occur
    options = CASES[case] | {"interpolate": interpolate}
    found = jax.jit(lambda clip: lbp_top(clip, **options))(clip_of(levels))
    assert found.dtype == jnp.float32
    expected = top_by_loop(levels, **options).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=0)


def test_default_sizes():
    clip = jnp.zeros((12, 16, 16, 1))
    size = lambda describe: jax.eval_shape(describe, clip).shape
    assert size(lbp_top) == (5 * 5 * 177,)
    assert size(lambda clip: lbp_top(clip, blocks=(8, 8))) == (11328,)
    assert size(lambda clip: lbp_top(clip, points=4)) == (5 * 5 * 3 * 15,)
    assert size(lbp_sip) == (5 * 5 * 20,)


def halved():
    """A clip shrunk by two, [T, H, W, 1] float32, and the levels it has in 8 bits, halves up."""
    levels = video((13, 30, 28), seed=5)
    sums = levels.reshape(13, 15, 2, 14, 2).sum((2, 4))
    shrunk = resize((levels / 255).astype(np.float32)[..., None], (15, 14))
    assert 0.2 < (sums % 4 == 2).mean() < 0.3  # a quarter lies between two levels
    return jnp.asarray(shrunk), (sums + 2) // 4


@pytest.mark.parametrize(
    ("points", "radius", "shrunk"), [(8, 2, False), (8, 1, True), (4, 1, False)]
)
def test_planes_of_lbp_top_are_scikit_images(points, radius, shrunk):
    levels = video((13, 15, 14), seed=points + radius)
    clip, levels = halved() if shrunk else (clip_of(levels), levels)
    # Slices in which scikit-image's neighbours (row - R sin a, column + R cos a) are the plane's.
    slices = [levels, levels[::-1].transpose(1, 0, 2), levels.transpose(2, 1, 0)]

    def histograms(method, bins):
        found = []
        for plane in slices:
            images = plane.astype(np.uint8)
            codes = [local_binary_pattern(image, points, radius, method) for image in images]
            inner = (slice(radius, -radius),) * 3
            codes = np.stack(codes)[inner].astype(int).ravel()
            found.append(np.bincount(codes, minlength=bins) / codes.size)
        return np.array(found)

    def ours(mapping):
        options = dict(radii=(radius,) * 3, points=points, blocks=(1, 1), interpolate=True)
        describe = jax.jit(lambda clip: lbp_top(clip, mapping=mapping, **options))
        return describe(clip).reshape(3, -1)

    np.testing.assert_allclose(ours("none"), histograms("default", 2**points), atol=1e-6)
    # Uniform codes: the same histogram in another order of bins.
    expected = histograms("nri_uniform", points * (points - 1) + 3)
    np.testing.assert_allclose(np.sort(ours("uniform")), np.sort(expected), atol=1e-6)


def sip_by_loop(levels, radii, blocks):
    frames, height, width = levels.shape
    rx, ry, rt = radii
    border = max(rx, ry)
    rows, columns = (edges(n - 2 * border, k) for n, k in zip((height, width), blocks))
    out = []
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            space, time = np.zeros(16), np.zeros(4)
            for t in range(rt, frames - rt):
                for y in range(top + border, bottom + border):
                    for x in range(left + border, right + border):
                        center = levels[t, y, x]
                        code = 1 * (levels[t, y - ry, x] >= center)
                        code += 2 * (levels[t, y, x - rx] >= center)
                        code += 4 * (levels[t, y + ry, x] >= center)
                        code += 8 * (levels[t, y, x + rx] >= center)
                        space[code] += 1
                        before, after = levels[t - rt, y, x], levels[t + rt, y, x]
                        time[1 * (before >= center) + 2 * (after >= center)] += 1
            out += [space / space.sum(), time / time.sum()]
    return np.concatenate(out)


@pytest.mark.parametrize("radii", [(1, 1, 4), (3, 2, 1)])
def test_lbp_sip_is_the_loop(radii):
    levels = video((10, 15, 16), most=30)
    found = jax.jit(lambda clip: lbp_sip(clip, radii=radii, blocks=(3, 2)))(clip_of(levels))
    expected = sip_by_loop(levels, radii, (3, 2)).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=0)


@pytest.mark.parametrize("describe", [lbp_top, lbp_sip])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_last_bit_of_a_float_has_no_say(describe, channels):
    """Every number a quarter of a level from the next, halves among them, each moved by an ulp."""
    rng = np.random.default_rng(7)
    clip = (rng.integers(0, 160, (9, 13, 13, channels)) / 4 / 255).astype(np.float32)
    describe = jax.jit(functools.partial(describe, radii=(1, 1, 2), blocks=(1, 1)))
    for ulps in (1, 8):
        away = rng.choice(np.float32([-1, 0, 1]), clip.shape)
        moved = clip + ulps * away * np.spacing(clip)
        assert (moved != clip).mean() > 0.5
        np.testing.assert_array_equal(describe(moved), describe(clip))


def test_colour_is_luma_in_whole_levels():
    rgb = np.random.default_rng(3).integers(0, 256, (9, 12, 12, 3))
    luma = (rgb @ np.array([299, 587, 114]) + 500) // 1000
    describe = jax.jit(lambda clip: lbp_top(clip, radii=(1, 1, 1), blocks=(2, 2)))
    color = describe(jnp.asarray(rgb / 255, jnp.float32))
    np.testing.assert_array_equal(color, describe(clip_of(luma)))


def test_of_a_padded_clip_only_the_real_frames_count():
    levels = video((12, 13, 13))
    short = top_by_loop(levels, (1, 1, 2), 8, (2, 2), "uniform", False, length=7)
    describe = jax.jit(lambda clip, n: lbp_top(clip, radii=(1, 1, 2), blocks=(2, 2), length=n))
    np.testing.assert_allclose(describe(clip_of(levels), 7), short, rtol=2e-7)
    assert not describe(clip_of(levels), 4).any()


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((8, 20, 20), {}, "too small"),
        ((9, 6, 20), {}, "too small"),
        ((9, 20, 20), {"blocks": (0, 2)}, "blocks is"),
        ((9, 20, 20), {"points": 6}, "points is 6; it must be 4 or 8"),
        ((9, 20, 20), {"mapping": "unifrom"}, "did you mean 'uniform'"),
    ],
)
def test_mistakes_are_one_sentence(shape, options, words):
    with pytest.raises(UserError, match=words):
        lbp_top(clip_of(video(shape)), **options)
