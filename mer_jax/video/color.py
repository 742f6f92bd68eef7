"""RGB to gray, and other linear maps of an image's channels, the last axis.

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


def to_gray(image: Array) -> Array:
    """Luma: the Y of YIQ, within 1e-4 of BT.601's 0.299 R + 0.587 G + 0.114 B.

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
