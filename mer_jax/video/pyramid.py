"""The Laplacian pyramid, equal to that of pyrtools and matlabPyrTools ('binom5', 'reflect1').

Images are [..., H, W, C], any float dtype; each channel has its own pyramid. Both filters are the
binomial (1 4 6 4 1) / 16 scaled by sqrt(2) along each axis, so that an image doubles in gain with
every level down: band l is 2^l times what a pyramid of unit gain would hold.

Burt & Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Comm. 31 (1983).
"""

import math

import jax.numpy as jnp
from jax import Array, lax

EDGE, NEAR, CENTRE = (math.sqrt(2) * tap / 16 for tap in (1, 4, 6))
ROWS, COLUMNS = -3, -2  # of an image [..., H, W, C]


def depth(height: int, width: int) -> int:
    """Number of bands of an image, residual included: 1 + how often 5 taps fit while it is halved.

    64 x 64 has 5, 128 x 128 has 6, 170 x 139 has 6.
    """
    return max((min(height, width) // 5).bit_length(), 0) + 1


def build(image: Array) -> tuple[Array, ...]:
    """Takes an image apart into its bands, finest first, the low-pass residual last.

    `image` is [..., H, W, C]; band l is [..., ceil(H / 2^l), ceil(W / 2^l), C], and there are
    `depth(H, W)` of them.
    """
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


def down(image: Array) -> Array:
    """Smooths and keeps every other row and column: [..., H, W, C] -> [..., H', W', C], H' = ceil(H / 2).

    Beyond its border the image is mirrored about the edge pixel. Both sides must be 3 px or more.
    """
    for axis in (ROWS, COLUMNS):
        size = image.shape[axis]
        half = (size + 1) // 2
        first = [_slice(image, axis, at) for at in (2, 1)]
        last = [_slice(image, axis, size - at) for at in (2, 3)]
        image = jnp.concatenate([*first, image, *last], axis)
        taps = [lax.slice_in_dim(image, k, k + 2 * half - 1, 2, axis) for k in range(5)]
        image = EDGE * (taps[0] + taps[4]) + NEAR * (taps[1] + taps[3]) + CENTRE * taps[2]
    return image


def up(image: Array, *, like: Array) -> Array:
    """Puts zeros between the pixels of a level and smooths: to the height and width of `like`.

    `like` is the level above, of which only the shape is used.
    """
    # Columns first: the last pass over the large image then runs along whole rows.
    for axis in (COLUMNS, ROWS):
        size, half = like.shape[axis], image.shape[axis]
        # The mirror about the last pixel meets this level's last sample (even sizes, where that
        # pixel is one of the zeros) or the one before (odd sizes).
        last = _slice(image, axis, half - 1 - size % 2)
        image = jnp.concatenate([_slice(image, axis, 1), image, last], axis)
        before, here, after = (lax.slice_in_dim(image, k, k + half, 1, axis) for k in range(3))
        even = EDGE * (before + after) + CENTRE * here
        odd = NEAR * (here + after)
        # Even and odd pixels interleave by a new axis beside this one.
        shape = list(here.shape)
        shape[axis] = 2 * half
        image = jnp.stack([even, odd], axis % here.ndim + 1).reshape(shape)
        image = lax.slice_in_dim(image, 0, size, 1, axis)
    return image


def _slice(image: Array, axis: int, at: int) -> Array:
    return lax.slice_in_dim(image, at, at + 1, 1, axis)
