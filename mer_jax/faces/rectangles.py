"""Parts of a frame as rectangles, upright or turned, and how they are cut out.

A rectangle knows nothing of pixels: `grid` lays any number of them on it, `locate` says where in
the cut-out a point of the frame is. NumPy arrays in, the same out, rounded as IEEE 754 says; JAX
arrays may differ from them in the last bit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from mer_jax.errors import UserError
from mer_jax.faces.points import Array, namespace

OULU = (0.4, 0.6, 2.2, 1.8)


class Rectangle(NamedTuple):
    """Rows and columns are counted from 1: the first pixel lies one step in from the corner."""

    corner: jax.Array  # [2] px (x, y), top left
    across: jax.Array  # [2] unit vector along the rows; down is across turned clockwise
    height: jax.Array  # [] px
    width: jax.Array  # [] px

    @property
    def down(self) -> jax.Array:
        """[2] unit vector along the columns."""
        return namespace(self.across).stack([-self.across[1], self.across[0]])


def eye_rectangle(eyes: jax.Array | np.ndarray, *, constants: Sequence[float] = OULU) -> Rectangle:
    """The face around two eyes, turned as they are.

    With d the distance of the eyes, e the unit vector from the left to the right one and n that
    which is square to it and points down, the top left corner is left - a d e - b d n, the height
    c d and the width g d, where (a, b, c, g) = `constants`. With the default the eyes lie at
    (0.4 d, 0.6 d) and (1.4 d, 0.6 d), in the middle of the width (STRCN, Equation 1).

    Our choice: the corner is that of Pfister et al. (ICCV 2011) and their code, whose turned terms
    are lost in the print of Equation 1; literally it is left + a (0, y_l - y_r) - b (x_r - x_l, 0),
    for level eyes 0.63 d from here, and the eyes lie on the crop's upper edge.

    Args:
      eyes: [2, 2] px (x, y), centers of the eyes, the one on the image's left first.
    """
    xp = namespace(eyes)
    eyes = xp.asarray(eyes, np.float32)
    along, below, height, width = map(np.float32, constants)
    between = eyes[1] - eyes[0]
    distance = xp.sqrt(between[0] * between[0] + between[1] * between[1])
    across = between / distance
    down = xp.stack([-across[1], across[0]])
    corner = eyes[0] - along * distance * across - below * distance * down
    return Rectangle(corner, across, height * distance, width * distance)


def box_rectangle(box: jax.Array | np.ndarray) -> Rectangle:
    """An upright rectangle from [4] px (x, y, width, height), x and y its first pixel."""
    xp = namespace(box)
    box = xp.asarray(box, np.float32)
    return Rectangle(box[:2] - 1, xp.asarray([1, 0], np.float32), box[3], box[2])


def own_size(rectangle: Rectangle) -> tuple[int, int]:
    """(H, W) at one pixel a px, rounded (halves up). Needs a rectangle of known numbers.

    Raises `UserError` under jit or vmap, where a shape cannot depend on numbers.
    """
    try:
        sides = np.asarray([rectangle.height, rectangle.width])
    except jax.errors.TracerArrayConversionError:
        raise UserError("give size=(H, W): inside of jit or vmap it cannot follow the eyes") from (
            None
        )
    height, width = np.floor(sides + 0.5).astype(int)
    return max(int(height), 1), max(int(width), 1)


def grid(rectangle: Rectangle, *, size: tuple[int, int] | None = None) -> jax.Array:
    """Where the pixels of a cut-out of `size` lie in the frame, [H, W, 2] px (x, y).

    Pixel (h, w) of the natural size (None), counted from 1, lies at corner + h down + w across. Any
    other size spreads its pixels evenly over the same area.
    """
    xp, half = namespace(rectangle.corner), np.float32(0.5)
    height, width = size or own_size(rectangle)
    steps = (np.float32(1), np.float32(1))
    if size:
        steps = (rectangle.height / np.float32(height), rectangle.width / np.float32(width))
    # Halves never round, so that with steps of one the rows are 1, 2, 3, ... exactly.
    rows, columns = (
        (xp.arange(n, dtype=np.float32) + half) * step + half
        for n, step in zip((height, width), steps)
    )
    rows, columns = rows[:, None, None], columns[None, :, None]
    corner, down, across = (
        vector[None, None] for vector in (rectangle.corner, rectangle.down, rectangle.across)
    )
    return corner + rows * down + columns * across


def locate(rectangle: Rectangle, points: Array, *, size: tuple[int, int]) -> Array:
    """Where points of the frame, [..., 2] px (x, y), are in the cut-out of `size`, px from 0."""
    xp, half = namespace(rectangle.corner), np.float32(0.5)
    offset = xp.asarray(points, np.float32) - rectangle.corner
    along = xp.stack([(offset * v).sum(-1) for v in (rectangle.across, rectangle.down)], -1)
    sides = xp.stack([rectangle.width, rectangle.height])
    return (along - half) / (sides / np.asarray(size[::-1], np.float32)) - half
