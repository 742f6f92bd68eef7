"""Faces brought to one shape: one transform a clip, fitted on its first frame.

Landmarks are off by a pixel or so in every frame, and the local weighted mean makes more of it; a
transform for each frame would add motion of its own. One for the clip keeps the clip's.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.faces.lwm import lwm_apply, lwm_fit
from mer_jax.faces.sampling import sample

# The mean face of the synthetic subjects, upright and symmetric: [68, 2] face units (x, y), the
# origin between nose and eyes.
_MEAN_FACE = np.array(
    [
        (-0.7090616, -0.16185081), (-0.71884096, 0.09143837), (-0.6806595, 0.2958781),
        (-0.5990164, 0.48866117), (-0.49067125, 0.6606483), (-0.3700905, 0.80368567),
        (-0.24620776, 0.9109924), (-0.12269382, 0.9774812), (0.0, 1.0), (0.12269382, 0.9774812),
        (0.24620776, 0.9109924), (0.3700905, 0.80368567), (0.49067125, 0.6606483),
        (0.5990164, 0.48866117), (0.6806595, 0.2958781), (0.71884096, 0.09143837),
        (0.7090616, -0.16185081), (-0.51755, -0.43087927), (-0.420025, -0.44793573),
        (-0.3225, -0.44775233), (-0.22497499, -0.43032908), (-0.12745, -0.39566594),
        (0.12745, -0.39566594), (0.22497499, -0.43032908), (0.3225, -0.44775233),
        (0.420025, -0.44793573), (0.51755, -0.43087927), (0.0, -0.18), (0.0, -0.049999997),
        (0.0, 0.08000001), (0.0, 0.21000001), (-0.14875, 0.3), (-0.074375, 0.315),
        (0.0, 0.32000002), (0.074375, 0.315), (0.14875, 0.3), (-0.5, -0.18825),
        (-0.39275002, -0.24208717), (-0.27725, -0.24427284), (-0.17, -0.17175001),
        (-0.27725, -0.14283735), (-0.39275002, -0.14345266), (0.17, -0.17175001),
        (0.27725, -0.24427284), (0.39275002, -0.24208717), (0.5, -0.18825),
        (0.39275002, -0.14345266), (0.27725, -0.14283735), (-0.27, 0.535),
        (-0.16200002, 0.49084055), (-0.072900005, 0.47408098), (0.0, 0.49350002),
        (0.072900005, 0.47408098), (0.16200002, 0.49084055), (0.27, 0.535),
        (0.16200002, 0.58492035), (0.072900005, 0.6087021), (0.0, 0.625),
        (-0.072900005, 0.6087021), (-0.16200002, 0.58492035), (-0.22950001, 0.5330575),
        (-0.08100001, 0.5294671), (0.0, 0.54), (0.08100001, 0.5294671), (0.22950001, 0.5330575),
        (0.08100001, 0.5294671), (0.0, 0.54), (-0.08100001, 0.5294671),
    ],
    np.float32,
)  # fmt: skip
_VIEW = (2.5, 1.9)  # face units (height, width) that a frame shows at least


def template(size: tuple[int, int]) -> np.ndarray:
    """The landmarks that faces are aligned to, in a frame of `size` (H, W): [68, 2] px (x, y).

    The mean face of the synthetic subjects, upright and symmetric, placed in the frame as theirs
    are. It is no average of any photographs.
    """
    middle = (np.array(size[::-1], np.float32) - 1) / 2
    return _MEAN_FACE * np.float32(min(size[0] / _VIEW[0], size[1] / _VIEW[1])) + middle


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
