"""Color spaces of an image, on the last axis: RGB, NTSC's YIQ, gray. Any leading axes.

Integers are converted by the range of their dtype (`clips.to_float`).
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from mer_jax.clips import MAGNIFIED_MARGIN, to_float

# Rows R, G, B; columns Y, I, Q: the three-digit NTSC matrix of MATLAB's ntsc2rgb.
RGB_FROM_YIQ = np.array([[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]])
YIQ_FROM_RGB = np.linalg.inv(RGB_FROM_YIQ)


def rgb_to_yiq(image: Array) -> Array:
    """RGB to the YIQ of NTSC.

    Args:
      image: [..., 3] in [0, 1].

    Returns:
      [..., 3]: luma Y in [0, 1], I within 0.6 of 0 and Q within 0.53.

    >>> rgb_to_yiq(jnp.array([1.0, 1.0, 1.0])).round(3) + 0
    Array([1., 0., 0.], dtype=float32)
    """
    return mix(to_float(image, axes="...3", margin=MAGNIFIED_MARGIN, name="image"), YIQ_FROM_RGB)


def yiq_to_rgb(image: Array) -> Array:
    """YIQ to RGB: the inverse of `rgb_to_yiq`, not clipped.

    Args:
      image: [..., 3] Y, I, Q.

    Returns:
      [..., 3].

    >>> yiq_to_rgb(rgb_to_yiq(jnp.array([0.2, 0.4, 0.6]))).round(3)
    Array([0.2, 0.4, 0.6], dtype=float32)
    """
    return mix(image, RGB_FROM_YIQ)


def to_gray(image: Array) -> Array:
    """Luma: Y of `rgb_to_yiq`, within 1e-4 of BT.601's 0.299 R + 0.587 G + 0.114 B.

    Args:
      image: [..., C] in [0, 1], C = 3 (RGB) or 1 (gray, returned as it is).

    Returns:
      [..., 1].

    Raises:
      UserError: for any other number of channels.

    >>> print(f"{to_gray(jnp.array([1.0, 0.0, 0.0]))[0]:.3f}")
    0.299
    """
    image = to_float(image, axes="...C", margin=MAGNIFIED_MARGIN, name="image")
    return image if image.shape[-1] == 1 else mix(image, YIQ_FROM_RGB[:1])


def mix(image: Array, matrix: np.ndarray) -> Array:
    """Multiplies every pixel by a matrix.

    Args:
      image: [..., C], floats of any range.
      matrix: [C', C].

    Returns:
      [..., C'].

    Raises:
      UserError: for another number of channels.
    """
    image = to_float(image, axes=f"...{matrix.shape[1]}", margin=math.inf, name="image")
    # Sums of channels: a product with a matrix this small is 20 times as slow on CPU.
    channel = [image[..., c : c + 1] for c in range(image.shape[-1])]
    mixed = [sum(float(w) * x for w, x in zip(row, channel)) for row in matrix]
    return jnp.concatenate(mixed, axis=-1)
