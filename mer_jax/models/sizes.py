"""Checks of the sizes that a network is asked for."""

from collections.abc import Sequence

from mer_jax.errors import UserError


def require(network: str, shape: Sequence[int], smallest: Sequence[int]) -> tuple[int, ...]:
    """`shape` of one example as a tuple, if `network` can take it.

    Raises `UserError` if it has not as many axes as `smallest`, or an axis is shorter than there.
    """
    shape = tuple(shape)
    if len(shape) != len(smallest) or any(n < least for n, least in zip(shape, smallest)):
        given, need = (" x ".join(map(str, axes)) for axes in (shape, smallest))
        raise UserError(f"{network} cannot take examples of {given}; it needs {need} or more")
    return shape


def scaled(count: int, width: float) -> int:
    """`count` maps or units times `width`, rounded, at least 1."""
    return max(1, round(count * width))
