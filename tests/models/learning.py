"""One training step of any network: does it learn eight clips, does it lower for accelerators."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mer_jax import models

# The smallest sizes at which each network still is what it is.
SMALL = {
    "strcn_a": {"shape": (40, 12, 3), "maps": 8, "recurrent_layers": 2},
    "strcn_g": {"shape": (36, 30, 2), "maps": 8, "recurrent_layers": 1},
    "mer_rcnn": {"shape": (260, 12, 3), "maps": 8, "recurrent_layers": 0},
    "ststnet": {"shape": (16, 16, 3)},
    "stcnn": {"shape": (9, 12, 12, 1), "kernel": (3, 3, 3), "filters": 8, "hidden": 64},
    "fusenet_intermediate": {
        "shape": (7, 8, 8, 1),
        "kernel": (3, 3, 3),
        "filters": 8,
        "widths": (64, 32),
        "dropout": 0.1,
    },
    "fusenet_late": {
        "shape": (7, 8, 8, 1),
        "kernel": (3, 3, 3),
        "filters": 8,
        "widths": (64, 32),
        "dropout": 0.1,
    },
    "rcn_a": {"shape": (22, 22, 3), "maps": 16, "pool": 3},
    "rcn_s": {"shape": (22, 22, 3), "maps": 16, "pool": 3},
    "rcn_w": {"shape": (22, 22, 3), "maps": 16, "pool": 3},
    "off_apexnet": {"shape": (12, 12, 2), "hidden": 32},
    "dual_inception": {"shape": (12, 12, 2), "maps": (3, 6), "hidden": 32},
    "capsule": {"shape": (129, 129, 3), "width": 1 / 16},
    "image_cnn": {"shape": (32, 32, 3), "width": 1 / 16},
    "psn": {"shape": (3, 32, 32, 1), "width": 1 / 16},
    "r3d_convlstm": {"shape": (4, 32, 32, 3), "width": 1 / 16},
    "htnet": {"shape": (8, 8, 3), "dim": 8, "depths": (1, 1, 1)},
    "mmnet": {"shape": (2, 32, 32, 3), "width": 1 / 16},
    "bdcnn": {"shape": (16, 16, 4), "pictures": 2, "block": 8, "width": 1 / 16},
    "skd_tstsan": {"shape": (16, 16, 10), "width": 1 / 8},
    "fg_au_fusion": {"shape": (5, 5, 6), "width": 1 / 8},
    "softnet": {"shape": (12, 12, 3), "hidden": 16},
    "mean_spotting": {"shape": (12, 12, 3)},
    "mean_recognition": {"shape": (12, 12, 3)},
    "mtsn": {"shape": (12, 12, 6), "hidden": 16},
    "sfamnet": {"shape": (9, 9, 3)},
    "pem": {"shape": (3, 12, 2), "maps": 8},
    "auw_gcn": {"shape": (3, 12, 2), "maps": 8, "hidden": 4},
}


def examples(name, count: int = 8, seed: int = 0):
    """Noise of the shape that network `name` takes at its small sizes."""
    build = lambda: models.create(name, num_classes=3, rngs=nnx.Rngs(0), **SMALL[name])
    rng = np.random.default_rng(seed)
    draw = lambda shape: rng.normal(size=(count, *shape)).astype(np.float32)
    shapes = nnx.eval_shape(build).input_shape
    return jax.tree.map(draw, shapes, is_leaf=lambda shape: isinstance(shape, tuple))


def small(name):
    """Network `name` at its small sizes, and eight examples."""
    key = jax.random.key(0, impl="unsafe_rbg")  # compiles in a third of the usual one's time
    return models.create(name, num_classes=3, rngs=nnx.Rngs(key), **SMALL[name]), examples(name)


def run(network, x, mask=None):
    """The logits, compiled, in the mode that `network` is in; its statistics stay as they are."""
    return _run(*nnx.split(network), x, mask)


@partial(jax.jit, static_argnums=0)
def _run(graph, state, x, mask):
    return nnx.merge(graph, state)(x, mask=mask)


def trainer(network, rule):
    """(step, params, rest) with step((params, rest, memory), x, labels, mask) -> (state, loss)."""
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

    return step, params, rest


def errors_after_training(network, x, labels, *, steps, learning_rate=1e-3) -> int:
    """How many of the clips it trained on the network still gets wrong, in evaluation mode."""
    rule = optax.adam(learning_rate)
    step, params, rest = trainer(network, rule)
    step, state = jax.jit(step), (params, rest, rule.init(params))
    for _ in range(steps):
        state, _ = step(state, x, labels, jnp.ones(len(labels)))
    network.eval()
    graph, _ = nnx.split(network)
    logits = jax.jit(lambda state: nnx.merge(graph, *state)(x))(state[:2])
    return int(np.sum(np.argmax(logits, -1) != labels))


def lowers_for_accelerators(build, x, labels) -> bool:
    """Whether a training step of what `build()` makes can be exported for CUDA and TPU from here.

    Traced and lowered only: no weight is made and nothing is compiled.
    """
    rule = optax.adam(1e-3)
    step, params, rest = trainer(nnx.eval_shape(build), rule)
    state = (params, rest, jax.eval_shape(rule.init, params))
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
