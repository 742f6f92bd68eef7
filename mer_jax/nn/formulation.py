"""Which of two formulations of an operation a program gets."""

from collections.abc import Callable
from typing import Literal

from jax import lax

Formulation = Literal["plain", "dots"]


def choose(forced: bool, on_cpu: Callable, elsewhere: Callable, *arrays):
    """`on_cpu(*arrays)` where the program is lowered for a CPU, otherwise `elsewhere(*arrays)`.

    Decided at lowering, so that a program exported from here for an accelerator takes its branch.
    `forced` takes the first one everywhere. Not differentiable by itself: both callers have their
    own gradient.
    """
    if forced:
        return on_cpu(*arrays)
    return lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)
