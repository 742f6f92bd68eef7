"""Inputs and outputs of the modules of a network while it runs."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from flax import nnx


class Call(NamedTuple):
    """The last call of one module."""

    path: str  # dotted; "" is the network
    module: nnx.Module
    inputs: Any  # its first argument
    outputs: Any  # its result


@contextlib.contextmanager
def record_calls(network: nnx.Module) -> Iterator[dict[int, Call]]:
    """Records the calls of the modules of `network` within the context.

    Yields:
      id of a module -> its last `Call`, in the order in which the first calls began. Under tracing
      the arrays are tracers and must not outlive the trace. Layers that a fused formulation joins
      (`nn.conv_relu_norm_pool`) are called one by one within `nn.formulation("xla")` only.

    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax import models
    >>> def run(x):
    ...     network = models.create("ststnet", num_classes=3, rngs=nnx.Rngs(0))
    ...     with models.calls.record_calls(network) as found:
    ...         network(x)
    ...     return {call.path: call.outputs for call in found.values()}
    >>> jax.eval_shape(run, jnp.zeros((1, 28, 28, 3)))["dropout"].shape
    (1, 10, 10, 16)
    """
    paths = {id(module): path for path, module in nnx.iter_modules(network)}
    bases: set[Any] = {
        base for _, module in nnx.iter_modules(network) for base in type(module).__mro__
    }
    originals = {base: base.__call__ for base in bases if "__call__" in vars(base)}
    found: dict[int, Call] = {}

    def watch(original):
        def call(self, *args, **kwargs):
            if id(self) not in paths:
                return original(self, *args, **kwargs)
            path = ".".join(map(str, paths[id(self)]))
            first = next(iter((*args, *kwargs.values())), None)
            found.setdefault(id(self), Call(path, self, first, None))  # reserves its position
            result = original(self, *args, **kwargs)
            found[id(self)] = Call(path, self, first, result)
            return result

        return call

    try:
        for base, original in originals.items():
            base.__call__ = watch(original)
        yield found
    finally:
        for base, original in originals.items():
            base.__call__ = original
