"""The Laplacian pyramid, equal to that of pyrtools and matlabPyrTools ('binom5', 'reflect1').

Images are [..., H, W, C] floats of any range, as it is linear (integers are converted by the range
of their dtype: `clips.to_float`); each channel has its own pyramid. Both filters are the
binomial (1 4 6 4 1) / 16 scaled by sqrt(2) along each axis, so that an image doubles in gain with
every level down: band l is 2^l times what a pyramid of unit gain would hold.

Burt & Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Comm. 31 (1983).
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from mer_jax.clips import to_float

EDGE, NEAR, CENTER = (math.sqrt(2) * tap / 16 for tap in (1, 4, 6))
ROWS, COLUMNS = -3, -2  # of an image [..., H, W, C]


def depth(height: int, width: int) -> int:
    """Number of bands of an image, residual included: 1 + how often 5 taps fit while it is halved.

    Args:
      height, width: px.

    >>> depth(64, 64), depth(128, 128), depth(170, 139)
    (5, 6, 6)
    """
    return (min(height, width) // 5).bit_length() + 1


def build(image: Array) -> tuple[Array, ...]:
    """Decomposes an image into its bands.

    Args:
      image: [..., H, W, C].

    Returns:
      `depth(H, W)` bands, finest first, the low-pass residual last; band l is [..., ceil(H / 2^l),
      ceil(W / 2^l), C].

    >>> [band.shape for band in build(jnp.ones((12, 10, 1)))]
    [(12, 10, 1), (6, 5, 1), (3, 3, 1)]
    """
    image = to_float(image, axes="...HWc", margin=math.inf, name="image")
    bands = []
    for _ in range(depth(image.shape[ROWS], image.shape[COLUMNS]) - 1):
        smaller = down(image)
        bands.append(image - up(smaller, like=image))
        image = smaller
    return (*bands, image)


def reconstruct(bands: tuple[Array, ...]) -> Array:
    """The image of a pyramid: the inverse of `build`.

    Args:
      bands: as `build` returns them.

    Returns:
      [..., H, W, C].

    >>> image = jnp.arange(120.0).reshape(12, 10, 1) / 120
    >>> bool(jnp.allclose(reconstruct(build(image)), image, atol=1e-6))
    True
    """
    *finer, image = bands
    for band in reversed(finer):
        image = band + up(image, like=band)
    return image


@jax.jit  # called outside of jit, its many small slices would be compiled one by one
def down(image: Array) -> Array:
    """Smooths and takes every other row and column; the image is mirrored about its edge pixels.

    Args:
      image: [..., H, W, C], H and W at least 5.

    Returns:
      [..., ceil(H / 2), ceil(W / 2), C].
    """
    image = to_float(image, axes="...HWc", margin=math.inf, name="image", min_size=5)
    for axis in (ROWS, COLUMNS):
        size = image.shape[axis]
        last = (size - 1) // 2 * 2
        mirrored = [size - 1 - abs(size - 1 - at) for at in range(last - 2, last + 3)]
        # The first and last sample apart, from five pixels each: a mirrored copy of the image would
        # cost more than the filter.
        parts = [_pixels(image, axis, (2, 1, 0, 1, 2)), image, _pixels(image, axis, mirrored)]
        image = jnp.concatenate([_taps(part, axis, step=2) for part in parts], axis)
    return image


@jax.jit
def up(image: Array, *, like: Array) -> Array:
    """Inserts zeros between the pixels of a level and smooths.

    Args:
      image: [..., H', W', C].
      like: the next finer level; only its height and width are used.

    Returns:
      [..., H, W, C], H and W of `like`.
    """
    image = to_float(image, margin=math.inf)
    # Columns first: the pass over the larger image then runs along full rows.
    for axis in (COLUMNS, ROWS):
        size, half = like.shape[axis], image.shape[axis]
        # Beyond the last pixel the mirror shows this level's last sample where the size is even
        # (that pixel is one of the zeros), else the one before.
        first, last = (_pixels(image, axis, [at]) for at in (1, half - 1 - size % 2))
        image = jnp.concatenate([first, image, last], axis)
        zeros_between = [(0, 0, 0)] * image.ndim
        zeros_between[axis] = (0, size + 4 - (2 * half + 3), 1)
        image = lax.pad(image, jnp.zeros((), image.dtype), zeros_between)
        image = _taps(image, axis, step=1)
    return image


def _pixels(image: Array, axis: int, positions: Sequence[int]) -> Array:
    """The rows or columns at `positions`, in that order."""
    return jnp.concatenate([lax.slice_in_dim(image, p, p + 1, 1, axis) for p in positions], axis)


def _taps(image: Array, axis: int, *, step: int) -> Array:
    """The binomial filter along `axis` wherever it fits, at every `step`-th position."""
    stop = image.shape[axis] - 4
    far, near, center, near_after, far_after = (
        lax.slice_in_dim(image, k, k + stop, step, axis) for k in range(5)
    )
    return EDGE * (far + far_after) + NEAR * (near + near_after) + CENTER * center
