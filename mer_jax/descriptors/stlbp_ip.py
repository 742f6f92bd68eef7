"""STLBP-IP: binary patterns of the integral projections of difference images."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from mer_jax.descriptors import lbp
from mer_jax.errors import UserError
from mer_jax.options import checked


@checked
def stlbp_ip(
    clip: Array,
    *,
    span: int = 9,
    radii: Sequence[int] = (3, 3, 3),
    points: int = 8,
    blocks: Sequence[int] = (1, 1),
    mapping: str = "uniform",
    interpolate: bool = False,
    length: int | Array | None = None,
) -> Array:
    """Histograms of the binary patterns of integral projections, in space and over time.

    The frames' differences to the first one are averaged over the columns (horizontal projection)
    and over the rows (vertical projection) of each block, [T - 1, rows] and [T - 1, columns]. Of
    each projection a one-dimensional pattern compares a point with the (W - 1) / 2 points on either
    side, from the first (bit 0) to the last; another, as in `lbp_top`, compares it with the P
    points around it in the plane YT (horizontal projection) or XT (vertical). Neighbors lie in the
    same block and in the clip; each histogram of each block sums to 1.

    The defaults are those of Xia et al. 2019 (R = 3, P = 8) and, in what these leave open, of a
    public implementation of the paper (W = 9, one block; it interpolates, and its R is 1).
    Differences keep the head's motion: a drift of a tenth of a pixel is more than noise, and where
    nothing moves all points are equal, which is a pattern like others (all bits 1). So frames must
    be aligned well, and W fit the block.

    Args:
      clip, points, mapping, interpolate, length: as for `lbp_top`.
      span: W of the one-dimensional pattern, px: 3, 5, 7 or 9.
      radii: (Rx, Ry, Rt) of the pattern over time, px, px and frames.
      blocks: rows and columns; block i of n has the pixels floor(i m / n) to floor((i + 1) m / n)
        of m.

    Returns:
      [rows x columns x 2 (2^(W - 1) + bins)] float32, C order; 630 for the defaults. In each block:
      in space horizontal, vertical, over time horizontal, vertical. 0 over time where `length` is
      below 2 Rt + 2, and in space, too, where it is below 2.

    Raises:
      UserError: for fewer than 2 Rt + 2 frames with padding (T; a short clip can be padded), blocks
        of fewer px than W or 2 R + 1 along an axis, and otherwise as `lbp_top`.

    Huang, Wang, Zhao, Pietikainen, "Facial micro-expression recognition using spatiotemporal local
    binary pattern with integral projection", ICCV Workshops 2015.

    >>> import functools, jax
    >>> ramp = np.arange(36, dtype=np.uint8).reshape(6, 6)  # brighter to the right and downwards
    >>> clip = np.stack([0 * ramp, ramp, ramp, ramp])[..., None]
    >>> describe = functools.partial(stlbp_ip, span=3, radii=(1, 1, 1), points=4)
    >>> found = jax.jit(describe)(clip)  # 4 + 4 + 15 + 15 bins
    >>> np.flatnonzero(found).tolist()  # the next point; the next and both equal ones in time
    [2, 6, 19, 32]
    """
    rx, ry, rt = radii
    levels = lbp.to_levels(clip, lbp.luma, length=length).astype(jnp.int32)
    if len(levels) < 2 * rt + 2 or any(
        size // count < max(span, 2 * radius + 1)
        for size, count, radius in zip(levels.shape[1:], blocks, (ry, rx))
    ):
        raise UserError(
            f"a clip of {levels.shape} frames, rows, columns is too small for projections of "
            f"{blocks[0]} x {blocks[1]} blocks with span {span} and radii {tuple(radii)}"
        )
    difference = levels[1:] - levels[:1]
    valid = jnp.arange(len(difference)) < (len(levels) if length is None else length) - 1
    rows, columns = (lbp.block_of(size, n) for size, n in zip(levels.shape[1:], blocks))
    # The projections, and the blocks of their points.
    horizontal = _means(difference, columns, axis=2), rows, np.arange(blocks[1])
    vertical = _means(difference, rows, axis=1), np.arange(blocks[0]), columns

    def describe(projections, pattern, margin):
        volume, row, column = projections
        frames, *sides = margin
        inner = [_inside(of, side) for of, side in zip((row, column), sides)]
        row, column = (of[side : len(of) - side] for of, side in zip((row, column), sides))
        block = row[:, None] * blocks[1] + column[None, :]
        counted = valid[2 * frames :, None, None] & (inner[0][:, None] & inner[1][None, :])[None]
        return lbp.histograms(volume, [pattern], margin, block, counted, blocks[0] * blocks[1])

    half = span // 2
    steps = [step for step in range(-half, half + 1) if step]
    line = lbp.all_codes(len(steps))
    _, xt, yt = lbp.top_patterns(radii, points, mapping, interpolate)
    found = [
        describe(horizontal, ([(0, step, 0) for step in steps], line), (0, half, 0)),
        describe(vertical, ([(0, 0, step) for step in steps], line), (0, 0, half)),
        describe(horizontal, yt, (rt, ry, 0)),
        describe(vertical, xt, (rt, 0, rx)),
    ]
    return jnp.concatenate(found, axis=-1).reshape(-1)


def _means(difference: Array, block: np.ndarray, *, axis: int) -> Array:
    """[T, H, W] int32 -> float32 means over the pixels of each block along `axis`.

    Equal sums give equal means, to the last bit.
    """
    sizes = np.bincount(block)
    starts = np.cumsum(sizes) - sizes
    sums = [
        jnp.sum(difference[(slice(None),) * axis + (slice(start, start + size),)], axis=axis)
        for start, size in zip(starts, sizes)
    ]
    means = [total.astype(jnp.float32) / np.float32(size) for total, size in zip(sums, sizes)]
    return jnp.stack(means, axis=axis)


def _inside(block: np.ndarray, reach: int) -> np.ndarray:
    """Whether the points `reach` before and after are in the same block: [n] -> [n - 2 reach]."""
    return block[: len(block) - 2 * reach] == block[2 * reach :]
