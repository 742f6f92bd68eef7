"""Where and when a clip moves: differences of frames, and what is chosen by them.

A clip is [T, H, W, C] float32 in [0, 1]; `length` says how many of its frames are real (a number or
a traced scalar, default all of them), and frames past it change nothing. Pixels are numbered row
by row, as in `heatmap.reshape(-1)`.

Xia, Hong, Gao, Zhao, "Spatiotemporal recurrent convolutional networks for recognizing spontaneous
micro-expressions" (STRCN), Eq. 4 and Section III-C; the core region is that of MER-RCNN, Section
III-A.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.problems import UserError


def difference_heatmap(clip: Array, *, length: int | Array | None = None) -> Array:
    """[T, H, W, C] -> [H, W]: E = the sum over frames and channels of |I(t) - I(0)|.

    A training set's map is the sum of its clips' maps (STRCN, Eq. 4).
    """
    return jnp.sum(jnp.abs(clip - clip[0]) * _real(clip, length), axis=(0, 3))


def top_mask(heatmap: Array, *, keep: int) -> Array:
    """[H, W] -> [keep] int32: the `keep` pixels of largest value, in ascending order of number.

    Of equal values the pixel of smaller number is kept. STRCN keeps 30 %, 921 of 64 x 48. Raises
    `UserError` unless 1 <= keep <= H W.
    """
    _check(keep, heatmap.size)
    return jnp.sort(lax.top_k(heatmap.reshape(-1), keep)[1])


def core_region(height: int, width: int, *, keep: int) -> np.ndarray:
    """[keep] int32: the `keep` pixels nearest the centre, in ascending order of number.

    Nearest in the Chebyshev distance after either side is scaled to 1, so that the region is a
    smaller frame of the same proportions; of equal distances the smaller number is kept. MER-RCNN
    keeps 1966 of 64 x 48: 80 % of height and width, a count that no rectangle has, hence this rule
    (ours). Raises `UserError` unless 1 <= keep <= height width.
    """
    _check(keep, height * width)
    # Twice the distance, over the common denominator height x width: whole numbers, exact ties.
    rows = np.abs(2 * np.arange(height) - (height - 1)) * width
    columns = np.abs(2 * np.arange(width) - (width - 1)) * height
    distance = np.maximum.outer(rows, columns).reshape(-1)
    return np.sort(np.argsort(distance, kind="stable")[:keep]).astype(np.int32)


def apex_index(clip: Array, *, length: int | Array | None = None) -> Array:
    """[T, H, W, C] -> int32: the frame t of largest std(I(t) - I(0)) over pixels and channels.

    The first such frame where several tie; 0 where nothing moves (STRCN, Section III-C). STRCN
    takes it on the magnified clip.
    """
    spread = jnp.var(clip - clip[0], axis=(1, 2, 3))  # largest where its root is
    return jnp.argmax(spread * _real(clip, length)[:, 0, 0, 0]).astype(jnp.int32)


def temporal_difference(clip: Array) -> Array:
    """[T, ...] -> [T, ...]: I(t) - I(t - 1), and 0 for the first frame; padding frames give 0."""
    return clip - jnp.concatenate([clip[:1], clip[:-1]])


def _real(clip: Array, length: int | Array | None) -> Array:
    """[T, 1, 1, 1]: 1 for frames before `length`, 0 from there on."""
    frames = jnp.arange(len(clip))[:, None, None, None]
    return (frames < (len(clip) if length is None else length)).astype(clip.dtype)


def _check(keep: int, size: int) -> None:
    if not 1 <= keep <= size:
        raise UserError(f"keep = {keep} of {size} pixels; choose a number from 1 to {size}")
