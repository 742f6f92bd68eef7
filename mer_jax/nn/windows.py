"""How a window slides over an array: the arithmetic that convolution and pooling share."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

Each = TypeVar("Each")
Padding = str | int | Sequence[int | tuple[int, int]]


class Window(NamedTuple):
    """How a kernel slides: one entry for each spatial axis."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    precision: lax.PrecisionLike

    def sizes(self, image: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """How many places it has along each axis of an image; `kernel` may name further axes."""
        axes = zip(image, kernel, *self[:3])
        return tuple((n + sum(p) - (k - 1) * d - 1) // s + 1 for n, k, s, p, d in axes)

    def pad(self, x: jax.Array, *, value: float = 0) -> jax.Array:
        """x [B, spatial, C] with the padding around it that the kernel slides over as well."""
        return jnp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=value)

    def taps(self, x: jax.Array, kernel: Sequence[int], sizes: Sequence[int]) -> list[jax.Array]:
        """What each tap of a kernel sees: a padded x [B, spatial, C] -> one [B, *sizes, C] each.

        Taps come in row-major order. `sizes` may name fewer axes than x has, the first spatial
        ones, and `kernel` more than `sizes`, which are left alone.
        """
        seen = []
        for tap in itertools.product(*(range(k) for k, _ in zip(kernel, sizes))):
            along = zip(tap, sizes, self.strides, self.dilation)
            index = [slice(i * d, i * d + (n - 1) * s + 1, s) for i, n, s, d in along]
            seen.append(x[(slice(None), *index)])
        return seen


def per_axis(value: int | Sequence[Each], axes: int) -> tuple[int | Each, ...]:
    """One number for each axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value)


def resolve(
    padding: Padding, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """`padding` as a (before, after) pair for each axis; "SAME" is XLA's rule."""
    if isinstance(padding, str):
        return tuple(lax.padtype_to_pads(sizes, window, strides, padding))
    pads = per_axis(padding, len(sizes))
    return tuple((p, p) if isinstance(p, int) else (p[0], p[1]) for p in pads)
