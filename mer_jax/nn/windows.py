"""How a window slides over an array: the arithmetic that convolution and pooling share."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

import jax
from jax import lax

Each = TypeVar("Each")
Padding = str | int | Sequence[int | tuple[int, int]]


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
