"""How a window slides over an array: the arithmetic that convolution and pooling share."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
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


def shifted(
    x: jax.Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    sizes: Sequence[int],
) -> list[jax.Array]:
    """What each tap of a window sees: x [B, spatial, C] -> one [B, *sizes, C] for each tap.

    Taps come in row-major order. `window` may name fewer axes than x has: the first spatial ones.
    """
    taps = []
    for tap in itertools.product(*map(range, window)):
        first = [i * d for i, d in zip(tap, dilation)]
        index = [slice(f, f + (n - 1) * s + 1, s) for f, n, s in zip(first, sizes, strides)]
        taps.append(x[(slice(None), *index)])
    return taps
