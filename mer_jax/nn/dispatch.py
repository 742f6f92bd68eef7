"""The one switch between XLA's own operations and the formulations for CPUs.

By default each program gets the formulations of the platform that it is lowered for: those of
`nn.cpu` on CPUs, XLA's own elsewhere. Convolution, pooling and batch normalization then have custom
gradients, differentiable once, in reverse mode. Within `formulation("xla")` all of them are plain
operations, differentiable in both modes and to any order, on any platform: `jax.jvp`,
`jax.linearize` and `jax.hessian` work for every layer and network.
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

    Programs that `jax.jit` has compiled are compiled again for each formulation.

    Args:
      name: "xla": XLA's own operations, for `jax.jvp`, `jax.linearize` and `jax.hessian`; values
        are those of the default up to rounding, gradients are slower on CPUs. "matmul": those for
        CPUs, on any platform. None: the default, by the platform.

    >>> import jax, numpy as np
    >>> from mer_jax import nn
    >>> square = lambda x: (nn.max_pool(x, 2) ** 2).sum()
    >>> x = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    >>> with nn.formulation("xla"):
    ...     hessian = jax.jit(jax.hessian(square))(x)
    >>> np.asarray(hessian).reshape(4, 4).diagonal().tolist()
    [0.0, 0.0, 0.0, 2.0]
    """
    return _FORMULATION(name)


def current_formulation() -> Formulation | None:
    """The formulation of the current context; None: by the platform.

    >>> from mer_jax import nn
    >>> from mer_jax.nn.dispatch import current_formulation
    >>> with nn.formulation("matmul"):
    ...     current_formulation()
    'matmul'
    """
    return _FORMULATION.value


def by_platform(forced: bool, on_cpu: Callable, elsewhere: Callable, *arrays: jax.Array) -> Any:
    """`on_cpu(*arrays)` where the program is lowered for a CPU, otherwise `elsewhere(*arrays)`.

    Chosen at lowering, so that a program exported on a CPU for an accelerator takes the other
    branch. Not differentiable by itself: callers define their gradients.

    Args:
      forced: `on_cpu` on every platform.
      on_cpu, elsewhere: functions of `arrays` with outputs of the same shapes and dtypes.
    """
    if forced:
        return on_cpu(*arrays)
    return lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


def accumulator_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype of sums over numbers of `dtype`: float32 for 16-bit numbers, else itself."""
    return jnp.dtype(jnp.float32) if dtype.itemsize < 4 else dtype
