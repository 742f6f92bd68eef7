"""Sliding windows: strides, padding and dilation, shared by convolution and pooling."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.errors import UserError

Each = TypeVar("Each")
_INTEGERS = (int, np.integer)
Padding = str | int | Sequence[int | tuple[int, int]]


class Window(NamedTuple):
    """How a kernel slides: one entry for each spatial axis.

    >>> from mer_jax.nn.windows import Window
    >>> Window((2, 1), ((0, 0), (1, 1)), (1, 1), None).sizes((9, 9), (3, 3))
    (4, 9)
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    precision: lax.PrecisionLike

    def sizes(self, image: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """Positions along each axis of an image, for a `kernel` [spatial, ...]."""
        axes = zip(image, kernel, *self[:3])
        return tuple((n + sum(p) - (k - 1) * d - 1) // s + 1 for n, k, s, p, d in axes)

    def pad(self, x: jax.Array, *, value: float = 0) -> jax.Array:
        """x [B, spatial, C], padded by `value`."""
        return jnp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=value)

    def taps(self, x: jax.Array, kernel: Sequence[int], sizes: Sequence[int]) -> list[jax.Array]:
        """The entries of a padded x [B, spatial, C] at each tap of the kernel: [B, *sizes, C] each.

        Args:
          kernel: sizes of its spatial axes; those beyond `sizes` are ignored.
          sizes: positions along the first spatial axes of x; the other axes are not sliced.

        Returns:
          One array for each tap, in row-major order.
        """
        out = []
        for tap in itertools.product(*(range(k) for k, _ in zip(kernel, sizes))):
            along = zip(tap, sizes, self.strides, self.dilation)
            index = [slice(i * d, i * d + (n - 1) * s + 1, s) for i, n, s, d in along]
            out.append(x[(slice(None), *index)])
        return out


def sliding(
    image: Sequence[int],
    kernel: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    precision: lax.PrecisionLike = None,
) -> Window:
    """How `kernel` [spatial, ...] slides over `image` (spatial sizes); options as in `nn.conv`.

    Raises `UserError` for options of another number of axes, a negative padding, and an image that
    is smaller than the kernel.

    >>> from mer_jax.nn.windows import sliding
    >>> sliding((5, 6), (3, 3), padding="SAME").padding
    ((1, 1), (1, 1))
    """
    axes = len(image)
    strides, dilation = per_axis(strides, axes), per_axis(dilation, axes)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    pads = resolve(padding, image, extent, strides)
    if {len(strides), len(dilation), len(pads)} != {axes}:
        raise UserError(f"an image of {axes} axes takes {axes} strides, pads and dilations")
    if any(side < 0 for pad in pads for side in pad):
        raise UserError(f"padding is {pads}; cut the image where it is to be negative")
    if isinstance(precision, list):
        precision = tuple(precision)
    window = Window(strides, pads, dilation, precision)
    if min(window.sizes(image, kernel)) < 1:
        raise UserError(
            f"a kernel of {kernel[:axes]} does not fit into {tuple(image)}, {pads} padded"
        )
    return window


def per_axis(value: int | Sequence[Each], axes: int) -> tuple[int | Each, ...]:
    """One number for each axis."""
    return (int(value),) * axes if isinstance(value, _INTEGERS) else tuple(value)


def resolve(
    padding: Padding, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """`padding` as a (before, after) pair for each axis; "SAME" by XLA's rule.

    >>> from mer_jax.nn.windows import resolve
    >>> resolve("SAME", (5, 6), (3, 3), (2, 2)), resolve(1, (5, 6), (3, 3), (2, 2))
    (((1, 1), (0, 1)), ((1, 1), (1, 1)))
    """
    if isinstance(padding, str):
        return tuple(lax.padtype_to_pads(sizes, window, strides, padding))
    pads = per_axis(padding, len(sizes))
    return tuple((p, p) if isinstance(p, _INTEGERS) else (p[0], p[1]) for p in pads)
