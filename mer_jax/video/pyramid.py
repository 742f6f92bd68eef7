"""The Laplacian pyramid, equal to that of pyrtools and matlabPyrTools ('binom5', 'reflect1').

Images are [..., H, W, C], any float dtype and range, as it is linear (integers are converted by the
range of their dtype: `clips.to_float`); each channel has its own pyramid. Both filters are the
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

    64 x 64 has 5, 128 x 128 has 6, 170 x 139 has 6.
    """
    return (min(height, width) // 5).bit_length() + 1


def build(image: Array) -> tuple[Array, ...]:
    """Takes an image apart into its bands, finest first, the low-pass residual last.

    `image` is [..., H, W, C]; band l is [..., ceil(H / 2^l), ceil(W / 2^l), C], and there are
    `depth(H, W)` of them.
    """
    image = to_float(image, beyond=math.inf)
    bands = []
    for _ in range(depth(image.shape[ROWS], image.shape[COLUMNS]) - 1):
        smaller = down(image)
        bands.append(image - up(smaller, like=image))
        image = smaller
    return (*bands, image)


def reconstruct(bands: tuple[Array, ...]) -> Array:
    """The image of which `bands` are the pyramid: the inverse of `build`."""
    *finer, image = bands
    for band in reversed(finer):
        image = band + up(image, like=band)
    return image


@jax.jit  # called outside of jit, its many small slices would be compiled one by one
def down(image: Array) -> Array:
    """Smooths and keeps every other row and column: [..., H, W, C] -> [..., H', W', C].

    H' = ceil(H / 2), W' = ceil(W / 2). Beyond its border the image is mirrored about the edge
    pixel. Both sides must be 5 px or more.
    """
    image = to_float(image, beyond=math.inf)
    for axis in (ROWS, COLUMNS):
        size = image.shape[axis]
        last = (size - 1) // 2 * 2
        mirrored = [size - 1 - abs(size - 1 - at) for at in range(last - 2, last + 3)]
        # The first and last sample apart, from five pixels each: a mirrored copy of the whole image
        # would cost more than the filter.
        parts = [_pixels(image, axis, (2, 1, 0, 1, 2)), image, _pixels(image, axis, mirrored)]
        image = jnp.concatenate([_taps(part, axis, step=2) for part in parts], axis)
    return image


@jax.jit
def up(image: Array, *, like: Array) -> Array:
    """Puts zeros between the pixels of a level and smooths: to the height and width of `like`.

    `like` is the level above, of which only the shape is used.
    """
    image = to_float(image, beyond=math.inf)
    # Columns first: the pass over the larger image then runs along whole rows.
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


def _pixels(image: Array, axis: int, places: Sequence[int]) -> Array:
    """The rows or columns at `places`, in that order."""
    return jnp.concatenate([lax.slice_in_dim(image, p, p + 1, 1, axis) for p in places], axis)


def _taps(image: Array, axis: int, *, step: int) -> Array:
    """The binomial filter along `axis` wherever it fits, at every `step`-th place."""
    stop = image.shape[axis] - 4
    far, near, here, near_too, far_too = (
        lax.slice_in_dim(image, k, k + stop, step, axis) for k in range(5)
    )
    return EDGE * (far + far_too) + NEAR * (near + near_too) + CENTER * here
