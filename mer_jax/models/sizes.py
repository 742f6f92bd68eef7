"""Checks of the sizes of networks."""

from collections.abc import Iterable, Sequence

from mer_jax.errors import UserError


def require(network: str, shape: Sequence[int], smallest: Sequence[int]) -> tuple[int, ...]:
    """`shape` of one example as a tuple.

    Args:
      network: its name, for the message.
      smallest: the smallest shape that the network can take.

    Raises:
      UserError: if the ranks differ, or an axis is shorter than in `smallest`.

    >>> from mer_jax.models.sizes import require
    >>> require("STSTNet", [28, 28, 3], (2, 2, 1))
    (28, 28, 3)
    """
    shape = tuple(shape)
    if len(shape) != len(smallest) or any(n < least for n, least in zip(shape, smallest)):
        given, need = by(shape), by(smallest)
        raise UserError(f"{network} cannot take examples of {given}; it needs {need} or more")
    return shape


def by(shape: Iterable[int]) -> str:
    """A shape in words, as "28 x 20 x 3"."""
    return " x ".join(map(str, shape))


def scaled(count: int, width: float) -> int:
    """`count` maps or units times `width`, rounded, at least 1.

    >>> from mer_jax.models.sizes import scaled
    >>> scaled(64, 1 / 16), scaled(3, 0.1)
    (4, 1)
    """
    return max(1, round(count * width))
