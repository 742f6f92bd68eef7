"""One training step of any network: does it learn eight clips, does it lower for accelerators."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx


def run(network, x, mask=None):
    """The logits, compiled, in the mode that `network` is in; its statistics stay as they are."""
    return _run(*nnx.split(network), x, mask)


@partial(jax.jit, static_argnums=0)
def _run(graph, state, x, mask):
    return nnx.merge(graph, state)(x, mask=mask)


def trainer(network, rule):
    """(step, state) with step(state, x, labels, mask) -> (state, loss), pure."""
    network.train()
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    params, rest = nnx.as_pure(params), nnx.as_pure(rest)

    def step(state, x, labels, mask):
        params, rest, memory = state

        def objective(params):
            model = nnx.merge(graph, params, rest)
            nll = optax.softmax_cross_entropy_with_integer_labels(model(x, mask=mask), labels)
            return jnp.mean(nll * mask), nnx.as_pure(nnx.state(model, nnx.Not(nnx.Param)))

        (loss, rest), grads = jax.value_and_grad(objective, has_aux=True)(params)
        with jax.numpy_dtype_promotion("standard"):  # optax raises float to int powers
            updates, memory = rule.update(grads, memory, params)
        return (optax.apply_updates(params, updates), rest, memory), loss

    return step, (params, rest, rule.init(params))


def errors_after_training(network, x, labels, *, steps, learning_rate=1e-3) -> int:
    """How many of the clips it trained on the network still gets wrong, in evaluation mode."""
    step, state = trainer(network, optax.adam(learning_rate))
    step = jax.jit(step)
    for _ in range(steps):
        state, _ = step(state, x, labels, jnp.ones(len(labels)))
    network.eval()
    graph, _ = nnx.split(network)
    logits = jax.jit(lambda state: nnx.merge(graph, *state)(x))(state[:2])
    return int(np.sum(np.argmax(logits, -1) != labels))


def lowers_for_accelerators(network, x, labels) -> bool:
    """Whether a training step can be exported for CUDA and TPU from this machine."""
    step, state = trainer(network, optax.adam(1e-3))
    mask = jnp.ones(len(labels))
    exported = jax.export.export(jax.jit(step), platforms=["cuda", "tpu"])(state, x, labels, mask)
    return exported.platforms == ("cuda", "tpu")


def parameters(build) -> int:
    """How many trainable numbers `build()` makes, without making them."""
    return sum(a.size for a in jax.tree.leaves(nnx.state(nnx.eval_shape(build), nnx.Param)))


def shape_of(build, shape) -> tuple[int, ...]:
    """The shape that `build()` makes of an input of that shape (or dict of shapes), uncomputed."""
    graph, state = nnx.split(nnx.eval_shape(build))
    is_shape = lambda s: isinstance(s, tuple)
    x = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s, jnp.float32), shape, is_leaf=is_shape)
    return jax.eval_shape(lambda state, x: nnx.merge(graph, state)(x), state, x).shape
