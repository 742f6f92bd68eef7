"""Colour spaces of an image, on the last axis: RGB, NTSC's YIQ, grey. Any leading axes.

Integers are converted by the range of their dtype (`clips.to_float`).
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from mer_jax.clips import MAGNIFIED, to_float
from mer_jax.errors import UserError

# Rows R, G, B; columns Y, I, Q: the three-digit NTSC matrix of MATLAB's ntsc2rgb.
RGB_FROM_YIQ = np.array([[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]])
YIQ_FROM_RGB = np.linalg.inv(RGB_FROM_YIQ)


def rgb_to_yiq(image: Array) -> Array:
    """[..., 3] RGB in [0, 1] -> [..., 3]: luma Y in [0, 1], I within 0.6 of 0, Q within 0.53."""
    return mix(to_float(image, beyond=MAGNIFIED), YIQ_FROM_RGB)


def yiq_to_rgb(image: Array) -> Array:
    """[..., 3] YIQ -> [..., 3] RGB: the inverse of `rgb_to_yiq`, never clipped."""
    return mix(image, RGB_FROM_YIQ)


def to_gray(image: Array) -> Array:
    """[..., 3] RGB -> [..., 1] luma (0.299 R + 0.587 G + 0.114 B); [..., 1] stays as it is.

    Raises `UserError` for any other number of channels.
    """
    image = to_float(image, beyond=MAGNIFIED)
    return image if channels(image) == 1 else mix(image, YIQ_FROM_RGB[:1])


def mix(image: Array, matrix: np.ndarray) -> Array:
    """Multiplies every pixel by `matrix` [channels out, channels in]: [..., C] -> [..., C'].

    Floats may have any range: it is linear. Raises `UserError` for another number of channels.
    """
    image = to_float(image, beyond=math.inf)
    if image.shape[-1:] != matrix.shape[1:]:
        raise UserError(
            f"an image of shape {image.shape} should have {matrix.shape[1]} channels on its last "
            "axis here; a grey one is no RGB"
        )
    # Sums of channels, where a product with a matrix this small would be 20 times as slow on CPU.
    channel = [image[..., c : c + 1] for c in range(image.shape[-1])]
    mixed = [sum(float(w) * x for w, x in zip(row, channel)) for row in matrix]
    return jnp.concatenate(mixed, axis=-1)


def channels(image: Array) -> int:
    """1 (grey) or 3 (RGB): the last axis of `image`; `UserError` for any other."""
    count = image.shape[-1]
    if count not in (1, 3):
        raise UserError(
            f"an image of shape {image.shape} has {count} channels on its last axis, where grey "
            "has 1 and RGB has 3; add or move the channel axis"
        )
    return count
