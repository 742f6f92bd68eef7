"""The one switch between XLA's own operations and the formulations that CPUs need.

By default each program gets the formulations of the platform that it is lowered for: those of
`nn.cpu` on CPUs, XLA's own elsewhere. Convolution, pooling and batch normalization then have their
own gradients, which are differentiable once, in reverse mode. `formulation("xla")` makes all of
them plain operations, differentiable in both modes and to any order, on any platform.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

Formulation = Literal["xla", "matmul"]

_FORMULATION = jax.make_user_context(None)  # part of the key of what `jax.jit` has compiled


def formulation(name: Formulation | None) -> contextlib.AbstractContextManager:
    """A context in which operations are traced in formulation `name`.

    "xla": XLA's own operations, for `jax.jvp`, `jax.linearize` and `jax.hessian`. Its values are
    those of the default but for rounding; its gradients are slower on CPUs. "matmul": those that
    CPUs need, on any platform. None: the default, by the platform.

    >>> import jax, jax.numpy as jnp
    >>> from mer_jax import nn
    >>> square = lambda x: (nn.max_pool(x, 2) ** 2).sum()
    >>> with nn.formulation("xla"):
    ...     print(jax.hessian(square)(jnp.arange(4.0).reshape(1, 2, 2, 1))[0, 1, 1, 0, 0, 1, 1, 0])
    2.0
    """
    return _FORMULATION(name)


def current_formulation() -> Formulation | None:
    """That of the context in which a program is traced now; None: by the platform."""
    return _FORMULATION.value


def by_platform(forced: bool, on_cpu: Callable, elsewhere: Callable, *arrays: jax.Array) -> Any:
    """`on_cpu(*arrays)` where the program is lowered for a CPU, otherwise `elsewhere(*arrays)`.

    Chosen at lowering, so that a program exported from a CPU for an accelerator takes its branch.
    `forced` takes the first one everywhere. Not differentiable by itself: callers define their
    gradients.
    """
    if forced:
        return on_cpu(*arrays)
    return lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


def accumulator_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype of sums over numbers of `dtype`: float32 for 16-bit numbers, else itself."""
    return jnp.dtype(jnp.float32) if dtype.itemsize < 4 else dtype
