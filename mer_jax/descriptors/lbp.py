"""Local binary patterns of a volume: LBP-TOP and LBP-SIP.

A pixel's code has one bit a neighbor, set where the neighbor is at least as bright; a pattern is a
list of neighbors, and a descriptor is the block-wise histograms of several patterns. The patterns
are defined on the gray levels 0..255 of 8-bit video: floats are rounded to them, halves up. A mean
of four pixels is halfway between two levels in a quarter of all cases, where the last bit of a
float would decide; hence values less than 0.0005 of a level below a half are rounded up, too.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import check_finite, to_float
from mer_jax.errors import UserError
from mer_jax.options import checked

# In gray levels: rounding of a float that equals the center's.
_SLACK = 1e-4

# Half a gray level, and the rounding of a value halfway between two levels. A mean of n pixels that
# is no half is 1 / (2 n) or more away from one: more than this for n under 800.
_HALF = 0.5005

Offset = tuple[float, ...]  # (t, y, x): frames, px
Pattern = tuple[Sequence[Offset], np.ndarray]  # neighbors, from bit 0; the bin of each code


@checked
def lbp_top(
    clip: Array,
    *,
    radii: Sequence[int] = (1, 1, 4),
    points: int = 8,
    blocks: Sequence[int] = (5, 5),
    mapping: str = "uniform",
    interpolate: bool = False,
    length: int | Array | None = None,
) -> Array:
    """Histograms of the binary patterns of the planes XY, XT and YT.

    Neighbor p of P (bit p) is at the angle a = 2 pi p / P on an ellipse: (x + Rx cos a, y - Ry sin
    a) in XY, (x + Rx cos a, t + Rt sin a) in XT, (y - Ry sin a, t + Rt cos a) in YT. Every pixel at
    least max(Rx, Ry) from the frame's edge and Rt from the clip's ends is a center, the centers are
    divided into `blocks`, and each plane's histogram of each block sums to 1.

    Args:
      clip: [T, H, W, C] in [0, 1], or uint8 and other dtypes of `clips.to_float`; C = 1 (gray) or 3
        (RGB, converted to luma).
      radii: (Rx, Ry, Rt), px, px and frames.
      points: P, 4 or 8.
      blocks: rows and columns; block i of n has the centers floor(i m / n) to floor((i + 1) m / n)
        of m.
      mapping: "uniform" (codes with at most two changes around the circle in ascending order, then
        one bin for all others: 59 bins for P = 8, 15 for P = 4) or "none" (2^P bins).
      interpolate: interpolate a neighbor between pixels linearly; otherwise the nearest pixel is
        taken, halves up.
      length: frames without padding, default all.

    Returns:
      [rows x columns x 3 x bins] float32, C order; 4425 for the defaults. 0 where there are fewer
      than 2 Rt + 1 frames.

    Raises:
      UserError: for a clip too small for radii and blocks, other axes, an unknown option, and, in
        arrays with values, floats out of range, NaN or infinity. Under `jit` they have none: floats
        are clipped to [0, 1], and NaN is not noticed.

    Zhao & Pietikainen, "Dynamic texture recognition using local binary patterns with an application
    to facial expressions", PAMI 2007; the sampling of the authors' MATLAB code.

    >>> import functools, jax
    >>> clip = np.zeros((5, 6, 6, 1), np.uint8)  # flat: all bits are set, the last uniform code
    >>> describe = functools.partial(lbp_top, radii=(1, 1, 1), points=4, blocks=(1, 1))
    >>> found = jax.jit(describe)(clip)
    >>> np.flatnonzero(found).tolist(), found.shape
    ([13, 28, 43], (45,))
    """
    volume = to_levels(clip, luma, length=length)
    patterns = top_patterns(radii, points, mapping, interpolate)
    return describe(volume, patterns, radii, blocks, length)


@checked
def lbp_sip(
    clip: Array,
    *,
    radii: Sequence[int] = (1, 1, 4),
    blocks: Sequence[int] = (5, 5),
    length: int | Array | None = None,
) -> Array:
    """Histograms of the patterns of the six intersection points around a pixel.

    The four neighbors up, left, down, right in the frame (bits 0..3) make 16 bins, the pixel's own
    past and future (bits 0 and 1) 4 bins; each histogram of each block sums to 1.

    Args:
      clip, radii, blocks, length: as for `lbp_top`.

    Returns:
      [rows x columns x 20] float32, C order; 500 for the defaults.

    Raises:
      UserError: as `lbp_top`.

    Wang, See, Phan, Oh, "LBP with six intersection points: reducing redundant information in
    LBP-TOP for micro-expression recognition", ACCV 2014.

    >>> import functools, jax
    >>> clip = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 6, 6, 1), np.uint8)
    >>> describe = functools.partial(lbp_sip, radii=(1, 1, 1), blocks=(1, 1))
    >>> found = jax.jit(describe)(clip)  # brighter with every frame
    >>> np.flatnonzero(found).tolist()  # all four neighbors; the future alone
    [15, 18]
    """
    rx, ry, rt = radii
    in_frame = [(0, -ry, 0), (0, 0, -rx), (0, ry, 0), (0, 0, rx)]
    in_time = [(-rt, 0, 0), (rt, 0, 0)]
    patterns = [(offsets, all_codes(len(offsets))) for offsets in (in_frame, in_time)]
    return describe(to_levels(clip, luma, length=length), patterns, radii, blocks, length)


def all_codes(points: int) -> np.ndarray:
    """[2^P, 2^P]: a bin for each code, one-hot."""
    return np.eye(2**points, dtype=np.float32)


def _uniform(points: int) -> np.ndarray:
    """[2^P, P (P - 1) + 3]: the bin of each code, one-hot."""
    codes = np.arange(2**points)
    turned = codes >> 1 | (codes & 1) << (points - 1)
    changes = np.array([int(code).bit_count() for code in codes ^ turned])
    uniform = changes <= 2
    bins = np.where(uniform, np.cumsum(uniform) - 1, uniform.sum())
    return np.eye(int(uniform.sum()) + 1, dtype=np.float32)[bins]


MAPPINGS = {"uniform": _uniform, "none": all_codes}


def _without_rounding(offset: float) -> float:
    """The offset without the rounding of cos and sin."""
    return round(offset, 9)


def _nearest(offset: float) -> int:
    return math.floor(offset + 0.5)


def top_patterns(
    radii: Sequence[int], points: int, mapping: str, interpolate: bool
) -> list[Pattern]:
    """The patterns of the planes XY, XT and YT; options as in `lbp_top`."""
    rx, ry, rt = radii
    angles = [2 * math.pi * p / points for p in range(points)]
    planes: list[list[Offset]] = [
        [(0, -ry * math.sin(a), rx * math.cos(a)) for a in angles],
        [(rt * math.sin(a), 0, rx * math.cos(a)) for a in angles],
        [(rt * math.cos(a), -ry * math.sin(a), 0) for a in angles],
    ]
    position = _without_rounding if interpolate else _nearest
    table = MAPPINGS[mapping](points)
    return [([tuple(map(position, offset)) for offset in plane], table) for plane in planes]


@checked
def to_levels(
    clip: Array, of_frame: Callable[[Array], Array], *, length: int | Array | None = None
) -> Array:
    """`of_frame` of the gray levels of each frame, int32 [H, W, C], as uint8.

    Args:
      clip, length: as for `lbp_top`.
      of_frame: a function of integers, in integers, which is exact.

    Returns:
      [T, ...] uint8.

    Raises:
      UserError: as `lbp_top`.
    """
    clip = jnp.asarray(to_float(clip, axes="THWC"), jnp.float32)  # bfloat16 has too few digits
    check_finite(clip, length=length)

    def rounded(frame):
        levels = jnp.clip(jnp.floor(255 * frame + _HALF), 0, 255)
        return of_frame(levels.astype(jnp.int32)).astype(jnp.uint8)

    # A loop, so that its result is stored: fused into every use, it would be computed 27 times.
    return lax.map(rounded, clip)


def luma(levels: Array) -> Array:
    """[H, W, C] int32 -> [H, W] int32: luma of RGB, halves up; of C = 1 the levels."""
    if levels.shape[-1] == 3:
        red, green, blue = (levels[..., c] for c in range(3))
        return (299 * red + 587 * green + 114 * blue + 500) // 1000
    return levels[..., 0]


def describe(
    volume: Array,
    patterns: Sequence[Pattern],
    radii: Sequence[int],
    blocks: Sequence[int],
    length: int | Array | None,
) -> Array:
    """The normalized histograms of patterns, block by block.

    Args:
      volume: [T, H, W] gray levels, as integers or float32.
      patterns: each a histogram of a block.
      radii, blocks, length: as for `lbp_top`.

    Returns:
      [rows x columns x bins of all patterns] float32, C order.
    """
    rx, ry, rt = radii
    margin = (rt, max(rx, ry), max(rx, ry))
    centers = tuple(n - 2 * m for n, m in zip(volume.shape, margin))
    if centers[0] < 1 or centers[1] < blocks[0] or centers[2] < blocks[1]:
        raise UserError(
            f"a clip of {volume.shape} frames, rows, columns is too small for binary patterns of "
            f"{blocks[0]} x {blocks[1]} blocks at {margin} from its edges"
        )
    rows, columns = (block_of(m, n) for m, n in zip(centers[1:], blocks))
    block = rows[:, None] * blocks[1] + columns[None, :]
    frames = len(volume) if length is None else length
    counted = jnp.arange(centers[0]) < frames - 2 * rt
    found = histograms(volume, patterns, margin, block, counted[:, None, None], math.prod(blocks))
    return found.reshape(-1)


def histograms(
    volume: Array,
    patterns: Sequence[Pattern],
    margin: Sequence[int],
    block: np.ndarray,
    counted: Array,
    count: int,
) -> Array:
    """The histogram of each pattern in each block, with the sum 1, or 0 without a center.

    Args:
      volume: [T, H, W] gray levels, as integers or float32.
      patterns: each a histogram of a block.
      margin: frames, rows and columns at either end without centers, [T', H', W'] of which remain.
      block: [H', W'], of each center, 0 to count - 1.
      counted: bool, broadcasts to [T', H', W'].
      count: number of blocks.

    Returns:
      [count, bins of all patterns] float32.
    """
    center = _at(volume, margin, (0, 0, 0))
    counted = jnp.broadcast_to(counted, center.shape).astype(jnp.int32)
    found = []
    for offsets, table in patterns:
        bits = [_reaches(_at(volume, margin, offset), center) for offset in offsets]
        code = sum(bit.astype(jnp.int32) << p for p, bit in enumerate(bits))
        # On CPU one scatter is 20 to 40 times as fast as products of one-hot codes.
        index = code + np.int32(len(table)) * block[None].astype(np.int32)
        counts = jnp.zeros(len(table) * count, jnp.int32)
        counts = counts.at[index].add(counted, mode="promise_in_bounds")
        counts = counts.reshape(-1, len(table)).astype(jnp.float32)
        counts = jnp.matmul(counts, table, precision=lax.Precision.HIGHEST)
        found.append(counts / jnp.maximum(counts.sum(-1, keepdims=True), 1))
    return jnp.concatenate(found, axis=-1)


def _at(levels: Array, margin: Sequence[int], offset: Offset) -> Array:
    """The levels at `offset` from every center: a slice, or a weighted mean of slices."""
    sides = []
    for part in offset:
        floor, fraction = math.floor(part), part - math.floor(part)
        both = [(floor, 1 - fraction), (floor + 1, fraction)]
        sides.append(both if fraction else [(floor, 1.0)])
    corners: list[tuple[Any, float]] = []
    for corner in itertools.product(*sides):
        starts = [m + shift for m, (shift, _) in zip(margin, corner)]
        stops = [n - m + shift for n, m, (shift, _) in zip(levels.shape, margin, corner)]
        corners.append((lax.slice(levels, starts, stops), math.prod(w for _, w in corner)))
    if len(corners) == 1:
        return corners[0][0]
    return sum(weight * corner.astype(jnp.float32) for corner, weight in corners)


def _reaches(neighbor: Array, center: Array) -> Array:
    # Flooring an interpolated value, as the authors do, changes nothing: the center is an integer.
    if jnp.issubdtype(neighbor.dtype, jnp.integer):
        return neighbor >= center
    return neighbor + _SLACK >= center.astype(neighbor.dtype)


def block_of(size: int, count: int) -> np.ndarray:
    """[size] int: block i has centers floor(i size / count) to floor((i + 1) size / count)."""
    return np.repeat(np.arange(count), np.diff(np.arange(count + 1) * size // count))
