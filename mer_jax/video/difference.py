"""Where and when a clip moves: differences of frames, and what is chosen by them.

A clip is [T, H, W, C] in [0, 1], or uint8 and its like (`clips.to_float`); one that was magnified
and not saturated may go up to MAGNIFIED beyond. `length` says how many of its frames are real (a
number or a traced scalar, default all of them), and frames past it change nothing. Pixels are
numbered row by row, as in `heatmap.reshape(-1)`.

Xia, Hong, Gao, Zhao, "Spatiotemporal recurrent convolutional networks for recognizing spontaneous
micro-expressions" (STRCN), Eq. 4 and Section III-C; the core region is that of MER-RCNN, Section
III-A.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import MAGNIFIED, to_float
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.video.color import to_gray

_ROUNDING = 1e-3 / 255


@checked
def difference_heatmap(clip: Array, *, length: int | Array | None = None) -> Array:
    """[T, H, W, C] -> [H, W]: E = the sum over frames and channels of |I(t) - I(0)|.

    A training set's map is the sum of its clips' maps (STRCN, Eq. 4).
    """
    clip = _settled(to_float(clip, axes="THWC", beyond=MAGNIFIED), length)
    return jnp.sum(jnp.abs(clip - clip[:1]), axis=(0, 3))


@checked
def top_pixels(heatmap: Array, *, num_pixels: int) -> Array:
    """[H, W] -> [num_pixels] int32: the pixels of largest value, in ascending order of number.

    Of equal values the pixel of smaller number is kept. STRCN keeps 30 %, 921 of 64 x 48. Raises
    `UserError` unless 1 <= num_pixels <= H W.
    """
    _check(num_pixels, heatmap.size)
    return jnp.sort(lax.top_k(heatmap.reshape(-1), num_pixels)[1])


@checked
def core_region(height: int, width: int, *, num_pixels: int) -> np.ndarray:
    """[num_pixels] int32: the pixels nearest the center, in ascending order of number.

    Nearest in the Chebyshev distance after either side is scaled to 1, so that the region is a
    smaller frame of the same proportions; of equal distances the smaller number is kept. MER-RCNN
    keeps 1966 of 64 x 48: 80 % of height and width, a count that no rectangle has, hence this rule
    (ours). Raises `UserError` unless 1 <= num_pixels <= height width.
    """
    _check(num_pixels, height * width)
    # Twice the distance, over the common denominator height x width: whole numbers, exact ties.
    rows = np.abs(2 * np.arange(height) - (height - 1)) * width
    columns = np.abs(2 * np.arange(width) - (width - 1)) * height
    distance = np.maximum.outer(rows, columns).reshape(-1)
    return np.sort(np.argsort(distance, kind="stable")[:num_pixels]).astype(np.int32)


@checked
def apex_index(clip: Array, *, length: int | Array | None = None) -> Array:
    """[T, H, W, C] -> int32: the frame t of largest std(I(t) - I(0)) over pixels and channels.

    The first such frame where several tie; 0 where nothing moves (STRCN, Section III-C), which is
    a deviation below a thousandth of an 8-bit gray level: rounding. STRCN takes it on the magnified
    clip.
    """
    clip = _settled(to_float(clip, axes="THWC", beyond=MAGNIFIED), length)
    spread = jnp.var(clip - clip[:1], axis=(1, 2, 3))  # largest where its root is
    return jnp.argmax(jnp.where(spread < _ROUNDING**2, 0, spread)).astype(jnp.int32)


@checked
def remove_global_motion(
    clip: Array, *, length: int | Array | None = None, weights: Array | None = None
) -> Array:
    """[T, H, W, C] -> [T, H, W, 1]: what the head and the light do not explain of I(t) - I(0).

    Of every frame's difference, smoothed over 3 x 3 px, the nearest combination of eight pictures
    is taken away: the mean frame moved by a small affine motion (its slopes along W and H, plain
    and times x and y), its contrast, and its brightness. To first order that is a head that shifts,
    turns and comes nearer by up to a pixel, and a light that flickers; grey levels (luma) only.
    `apex_index(remove_global_motion(clip))` finds the face's apex where `apex_index(clip)` finds
    that of the head. (Ours; the linear model of motion is that of Lucas & Kanade 1981.)

    weights: [H, W], at least 0, of each pixel in the fit and in the result; 0 leaves out the eyes,
    whose blinks are no expression. A flat clip gives 0.
    """
    clip = to_float(clip, axes="THWC", beyond=MAGNIFIED)
    frames = _smoothed(to_gray(_settled(clip, length))[..., 0])
    count, height, width = frames.shape
    mean = jnp.mean(frames, axis=0, where=_real(count, length)[:, None, None])
    down, across = jnp.gradient(mean)
    y = jnp.linspace(-1, 1, height, dtype=clip.dtype)[:, None]
    x = jnp.linspace(-1, 1, width, dtype=clip.dtype)[None, :]
    slopes = [slope * by for slope in (across, down) for by in (jnp.ones_like(x), x, y)]
    pictures = jnp.stack([*slopes, mean - jnp.mean(mean), jnp.ones_like(mean)])
    share = jnp.ones_like(mean) if weights is None else weights
    pictures = (pictures * share[None]).reshape(len(pictures), -1)
    moved = ((frames - frames[:1]) * share[None]).reshape(count, -1)
    product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    normal = product("ip,jp->ij", pictures, pictures)
    # A picture that is 0 everywhere, as the slopes of a flat clip are, gets the coefficient 0.
    normal = normal + jnp.diag(1e-6 * jnp.diag(normal) + 1e-9)
    found = jnp.linalg.solve(normal, product("ip,tp->it", pictures, moved))
    rest = moved - product("ip,it->tp", pictures, found)
    return rest.reshape(count, height, width, 1)


def temporal_difference(clip: Array) -> Array:
    """[T, ...] -> [T, ...]: I(t) - I(t - 1), and 0 for the first frame; padding frames give 0."""
    clip = to_float(clip, beyond=MAGNIFIED)
    return clip - jnp.concatenate([clip[:1], clip[:-1]])


def _smoothed(frames: Array) -> Array:
    """[T, H, W], by (1 2 1) / 4 along H and W, the edge repeated."""
    for axis in (1, 2):
        size = frames.shape[axis]
        padded = jnp.pad(frames, [(int(axis == a),) * 2 for a in range(3)], mode="edge")
        before, here, after = (lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(3))
        frames = (before + 2 * here + after) / 4
    return frames


def _real(count: int, length: int | Array | None) -> Array:
    """[T] bool: whether a frame lies before `length`."""
    return jnp.arange(count) < (count if length is None else length)


def _settled(clip: Array, length: int | Array | None) -> Array:
    """The clip with its first frame, which has not moved, for all from `length` on.

    A product with 0 would let a NaN of the padding through, and into the gradients.
    """
    return jnp.where(_real(len(clip), length)[:, None, None, None], clip, clip[:1])


def _check(num_pixels: int, size: int) -> None:
    if not 1 <= num_pixels <= size:
        raise UserError(f"num_pixels is {num_pixels} of {size} pixels; it must be 1 to {size}")
