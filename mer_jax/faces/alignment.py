"""Faces brought to one shape: one transform a clip, fitted on its first frame.

Landmarks are off by a pixel or so in every frame, and the local weighted mean makes more of it; a
transform for each frame would add motion of its own. One for the clip keeps the clip's.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.datasets.synthetic import face, motion
from mer_jax.faces.lwm import lwm_apply, lwm_fit
from mer_jax.faces.sampling import sample


def template(size: tuple[int, int]) -> np.ndarray:
    """The landmarks that faces are aligned to, in a frame of `size` (H, W): [68, 2] px (x, y).

    The mean face of the synthetic subjects, upright and symmetric, placed in the frame as theirs
    are. It is no average of any photographs.
    """
    return motion.to_px(_mean_face(), size)


@functools.cache
def _mean_face() -> np.ndarray:
    """[68, 2] face units."""
    middles = jnp.array([middle for middle, _ in face.MEASURES.values()], jnp.float32)
    unused: dict[str, Any] = dict.fromkeys(set(face.Face._fields) - {"measures"})
    return np.asarray(face.landmarks(face.Face(measures=middles, **unused)))


def align(
    frames: jax.Array,
    landmarks: jax.Array,
    target: jax.Array,
    *,
    size: tuple[int, int] | None = None,
    neighbors: int = 12,
    order: str = "bilinear",
) -> tuple[jax.Array, jax.Array]:
    """Moves a clip's landmarks to those of `target` by local weighted mean (STRCN, Equation 2).

    Args:
      frames: [T, H, W, C], uint8 or float32; what becomes of them is in `sample`.
      landmarks: [68, 2] px (x, y) in the first frame.
      target: [68, 2] px in the aligned frames, e.g. `template(size)`.
      size: (H, W) of the aligned frames; None: that of `frames`.
      neighbors: see `lwm_fit`.
      order: see `sample`.

    Returns:
      [T, *size, C], and [*size] bool: which pixels the landmarks' discs cover (see `lwm_apply`).
    """
    height, width = size or frames.shape[1:3]
    y, x = jnp.mgrid[:height, :width].astype(jnp.float32)
    fitted = lwm_fit(target, landmarks, neighbors=neighbors)
    grid, covered = lwm_apply(fitted, jnp.stack([x, y], -1))
    return sample(frames, grid, order=order), covered
