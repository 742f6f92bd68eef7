"""Functions of the package as one program each, compiled once for all tests of a process.

Called eagerly, a function is as many programs as it has operations and shapes, and a test's time is
that of compiling them.
"""

import functools
from collections.abc import Callable

import jax


def compiled(function: Callable, **options) -> Callable:
    """`function` with `options`, which are constants of the program, and arrays as arguments."""
    return _compiled(function, tuple(options.items()))


@functools.cache
def _compiled(function, options):
    return jax.jit(functools.partial(function, **dict(options)))
