"""Where and when a clip moves: differences of frames, and the pixels and frames they select.

A clip is [T, H, W, C] in [0, 1], or uint8 and other dtypes of `clips.to_float`; a magnified, not
saturated one may exceed that by MAGNIFIED_MARGIN. `length` is the number of its frames without
padding (a number or a traced scalar, default all); later frames change nothing. Pixel indices are
row-major, as in `heatmap.reshape(-1)`.

Xia, Hong, Gao, Zhao, "Spatiotemporal recurrent convolutional networks for recognizing spontaneous
micro-expressions" (STRCN), Eq. 4 and Section III-C; the core region is that of MER-RCNN, Section
III-A.
"""

import functools
import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer

from mer_jax.clips import MAGNIFIED_MARGIN, check_axes, check_finite, to_float
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.video.color import to_gray

_ROUNDING = 1e-3 / 255


@checked
def difference_heatmap(clip: Array, *, length: int | Array | None = None) -> Array:
    """E = the sum over frames and channels of |I(t) - I(0)| (STRCN, Eq. 4).

    The map of a training set is the sum of its clips' maps.

    Args:
      clip: [T, H, W, C].
      length: frames without padding, default all.

    Returns:
      [H, W], at least 0.

    Raises:
      UserError: for other axes or floats out of range.

    >>> import jax
    >>> clip = np.zeros((3, 2, 2, 1), np.float32)
    >>> clip[1:, 0, 1] = 0.25
    >>> jax.jit(difference_heatmap)(clip)
    Array([[0. , 0.5],
           [0. , 0. ]], dtype=float32)
    """
    clip = _without_padding(to_float(clip, axes="THWC", margin=MAGNIFIED_MARGIN), length)
    return jnp.sum(jnp.abs(clip - clip[:1]), axis=(0, 3))


@checked
def top_pixels(heatmap: Array, *, num_pixels: int) -> Array:
    """The pixels of largest value.

    Args:
      heatmap: [H, W].
      num_pixels: STRCN takes 30 %, 921 of 64 x 48.

    Returns:
      [num_pixels] int32 pixel indices, ascending; of equal values the smaller index is taken.

    Raises:
      UserError: unless 1 <= num_pixels <= H W, and for NaN or infinity.

    >>> top_pixels(np.float32([[0, 3], [2, 1]]), num_pixels=2)
    Array([1, 2], dtype=int32)
    """
    check_axes(heatmap, "HW", name="heatmap")
    check_finite(heatmap, axis="row of the heat map")
    _check_num_pixels(num_pixels, heatmap.size)
    return jnp.sort(lax.top_k(heatmap.reshape(-1), num_pixels)[1])


def num_pixels_of(share: float, total: int) -> int:
    """The whole pixels in a share of `total`, at least 1; of the decimal number that is written.

    >>> int(0.57 * 10_000), num_pixels_of(0.57, 10_000)
    (5699, 5700)
    """
    return max(1, math.floor(Fraction(str(float(share))) * total))


@checked
def core_region(height: int, width: int, *, num_pixels: int) -> np.ndarray:
    """The pixels nearest the center.

    Distances are Chebyshev distances with both sides scaled to 1, so that the region is a smaller
    frame of the same proportions. MER-RCNN takes 1966 of 64 x 48, 80 % of height and width: no
    rectangle has this number of pixels, hence this rule (ours).

    Args:
      height, width: of the frame, px.
      num_pixels: size of the region.

    Returns:
      [num_pixels] int32 pixel indices, ascending; of equal distances the smaller index is taken.

    Raises:
      UserError: unless 1 <= num_pixels <= height width.

    >>> core_region(4, 4, num_pixels=4)
    array([ 5,  6,  9, 10], dtype=int32)
    """
    _check_num_pixels(num_pixels, height * width)
    # Twice the distance times the common denominator height x width: integers, exact ties.
    rows = np.abs(2 * np.arange(height) - (height - 1)) * width
    columns = np.abs(2 * np.arange(width) - (width - 1)) * height
    distance = np.maximum.outer(rows, columns).reshape(-1)
    return np.sort(np.argsort(distance, kind="stable")[:num_pixels]).astype(np.int32)


@checked
def apex_index(clip: Array, *, length: int | Array | None = None) -> Array:
    """The frame t of largest std(I(t) - I(0)) over pixels and channels (STRCN, Section III-C).

    STRCN applies it to the magnified clip. Deviations below a thousandth of an 8-bit gray level are
    rounding and count as 0.

    Args:
      clip: [T, H, W, C].
      length: frames without padding, default all.

    Returns:
      [] int32: the first such frame; 0 where nothing moves; -1 for a traced clip with NaN or
      infinity.

    Raises:
      UserError: for other axes, floats out of range, NaN or infinity.

    >>> import jax
    >>> clip = np.zeros((5, 2, 2, 1), np.float32)
    >>> clip[3, 0, 1] = 0.25
    >>> int(jax.jit(apex_index)(clip))
    3
    """
    clip = _without_padding(to_float(clip, axes="THWC", margin=MAGNIFIED_MARGIN), length)
    check_finite(clip)
    variance = jnp.var(clip - clip[:1], axis=(1, 2, 3))  # largest where its root is
    apex = jnp.argmax(jnp.where(variance < _ROUNDING**2, 0, variance))
    return jnp.where(jnp.isfinite(variance).all(), apex, -1).astype(jnp.int32)


@checked
def remove_global_motion(
    clip: Array, *, length: int | Array | None = None, weights: Array | None = None
) -> Array:
    """The residual of I(t) - I(0) that head motion and illumination do not explain.

    Each frame's difference, smoothed over 3 x 3 px, is fitted by least squares with eight images:
    those of a small affine motion of the mean frame (its slopes along W and H, as they are and
    times x and y), its contrast, and its brightness. To first order this removes a head that
    shifts, turns and comes nearer by up to a pixel, and a flickering light. Gray levels (luma)
    only. `apex_index(remove_global_motion(clip))` finds the apex of the face where
    `apex_index(clip)` finds that of the head. (Ours; the linear model of motion is that of Lucas &
    Kanade 1981.)

    Args:
      clip: [T, H, W, C], H and W at least 2.
      length: frames without padding, default all.
      weights: [H, W], at least 0, of each pixel in the fit and in the residual; 0 excludes the
        eyes, whose blinks are no expression.

    Returns:
      [T, H, W, 1]; 0 for a flat clip.

    Raises:
      UserError: for other axes, floats out of range, or weights of another shape or below 0.

    >>> import jax
    >>> shade = np.tile(np.linspace(0.2, 0.8, 8, dtype=np.float32), (8, 1))
    >>> lighter = np.stack([shade, 1.1 * shade])[..., None]
    >>> bool(np.abs(jax.jit(remove_global_motion)(lighter)).max() < 1e-4)
    True
    """
    clip = to_float(clip, axes="THWC", margin=MAGNIFIED_MARGIN, min_size=2)
    if weights is not None:
        check_axes(weights, f"{clip.shape[1]} {clip.shape[2]}", name="weights")
        if not isinstance(weights, Tracer) and not np.all(np.asarray(weights) >= 0):
            raise UserError("weights of pixels must be 0 or more; some are negative or NaN")
    frames = _smoothed(to_gray(_without_padding(clip, length))[..., 0])
    count, height, width = frames.shape
    mean = jnp.mean(frames, axis=0, where=_before(count, length)[:, None, None])
    slope_y, slope_x = jnp.gradient(mean)
    y = jnp.linspace(-1, 1, height, dtype=clip.dtype)[:, None]
    x = jnp.linspace(-1, 1, width, dtype=clip.dtype)[None, :]
    slopes = [slope * by for slope in (slope_x, slope_y) for by in (jnp.ones_like(x), x, y)]
    images = jnp.stack([*slopes, mean - jnp.mean(mean), jnp.ones_like(mean)])
    weight = jnp.ones_like(mean) if weights is None else weights
    images = (images * weight[None]).reshape(len(images), -1)
    moved = ((frames - frames[:1]) * weight[None]).reshape(count, -1)
    product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    normal = product("ip,jp->ij", images, images)
    # An image that is 0 everywhere, as the slopes of a flat clip are, gets the coefficient 0.
    normal = normal + jnp.diag(1e-6 * jnp.diag(normal) + 1e-9)
    coefficients = jnp.linalg.solve(normal, product("ip,tp->it", images, moved))
    residual = moved - product("ip,it->tp", images, coefficients)
    return residual.reshape(count, height, width, 1)


def _smoothed(frames: Array) -> Array:
    """[T, H, W] smoothed by (1 2 1) / 4 along H and W, with repeated edges."""
    for axis in (1, 2):
        size = frames.shape[axis]
        padded = jnp.pad(frames, [(int(axis == a),) * 2 for a in range(3)], mode="edge")
        before, here, after = (lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(3))
        frames = (before + 2 * here + after) / 4
    return frames


def _before(count: int, length: int | Array | None) -> Array:
    """[T] bool: whether a frame is before `length`."""
    return jnp.arange(count) < (count if length is None else length)


def _without_padding(clip: Array, length: int | Array | None) -> Array:
    """The clip with all frames from `length` on replaced by the first.

    A product with 0 would leave a NaN of the padding, also in the gradients.
    """
    return jnp.where(_before(len(clip), length)[:, None, None, None], clip, clip[:1])


def _check_num_pixels(num_pixels: int, size: int) -> None:
    if not 1 <= num_pixels <= size:
        raise UserError(f"num_pixels is {num_pixels} of {size} pixels; it must be 1 to {size}")
