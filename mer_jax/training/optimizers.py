"""The papers' optimizers and learning-rate schedules, by name, as optax transformations."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from mer_jax.errors import unknown_name
from mer_jax.nn import dispatch
from mer_jax.options import checked

Tree = Any

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "decay", "step", "cosine")


@checked
def schedule(name: str, *, epochs: int, steps: int, rate: float, every: int) -> optax.Schedule:
    """The factor on a fold's learning rate at each step.

    constant  1
    decay     rate^epoch (STRCN 0.8, MER-RCNN 0.5)
    step      rate^(epoch // every)
    cosine    falls from 1 to 0 along half a cosine over all epochs
    """
    if name not in SCHEDULES:
        raise unknown_name("train.schedule", name, SCHEDULES)
    if name == "constant":
        return optax.constant_schedule(1.0)
    if name == "cosine":
        return optax.cosine_decay_schedule(1.0, max(1, epochs * steps))
    span = steps if name == "decay" else steps * every
    # In whole numbers: `optax.exponential_decay` rounds a quotient down, which compiled is a bit
    # below some whole numbers (41 / 41), so that the rate fell a step late.
    return lambda count: jnp.power(jnp.float32(rate), jnp.asarray(count // span, jnp.float32))


@checked
def create(
    name: str, schedule: optax.Schedule, *, momentum: float = 0.9, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """SGD with momentum, Adam, or AdamW.

    schedule: the learning rate at each step, or its factor if updates are scaled later.
    weight_decay: L2, added to the gradient, which is what PyTorch, MatConvNet and Keras'
      regularizers mean by it; of AdamW (Loshchilov & Hutter 2019) a share of the parameters that
      a rate of 1 would take from them at each step, beside the gradient's moments.
    """
    if name not in OPTIMIZERS:
        raise unknown_name("train.optimizer", name, OPTIMIZERS)
    if name == "adamw":
        return _allow_promotion(optax.adamw(schedule, weight_decay=weight_decay))
    if name == "sgd":
        rule = optax.sgd(schedule, momentum=momentum or None)
    else:
        rule = optax.adam(schedule)
    if weight_decay:
        rule = optax.chain(optax.add_decayed_weights(weight_decay), rule)
    return _allow_promotion(rule)


def init(rule: optax.GradientTransformation, params: Tree) -> Tree:
    """The state of `rule` for each parameter, in the tree of `params`."""
    return jax.tree.map(rule.init, params)


def apply_gradients(
    rule: optax.GradientTransformation, params: Tree, grads: Tree, state: Tree, rate: jax.Array
) -> tuple[Tree, Tree]:
    """(parameters, state) after a step of `rule` times `rate`, a fold's own learning rate [].

    rule: one that treats every number alike, as those of `create`. state: from `init`.
    """
    tree: Any  # its type has no stubs
    leaves, tree = jax.tree.flatten(params)
    gradients = tree.flatten_up_to(grads)
    rate = _after(rate, *gradients)

    def step(param, grad, state, rate):
        update, state = rule.update(grad, state, param)
        return optax.apply_updates(param, update * rate.astype(update.dtype)), state

    def one(param, grad, state):
        if param.size < _LARGE:
            return step(param, grad, state, rate)
        on_cpu = partial(_in_pieces, step)
        return dispatch.by_platform(False, on_cpu, step, param, grad, state, rate)

    done = [one(*each) for each in zip(leaves, gradients, tree.flatten_up_to(state), strict=True)]
    after, state = (tree.unflatten(part) for part in zip(*done, strict=True))
    return after, state


def skip_step(taken: jax.Array, after: Tree, before: Tree) -> Tree:
    """`after` where `taken`, else `before`, but for the schedules: a step counts in any case.

    after, before: trees with the state of an optimizer.
    """

    def one(after, before):
        if isinstance(after, optax.ScaleByScheduleState):
            return after
        return jnp.where(taken, after, before)

    is_schedule = lambda node: isinstance(node, optax.ScaleByScheduleState)
    return jax.tree.map(one, after, before, is_leaf=is_schedule)


# Where a parameter is larger than all of a machine's caches, pieces that a core's own one holds
# together with their gradients and moments win a tenth; smaller ones would lose as much.
_LARGE, _PIECE = 2**24, 2**16


def _in_pieces(
    step: Callable, param: jax.Array, grad: jax.Array, state: Tree, rate: jax.Array
) -> tuple[jax.Array, Tree]:
    """`step`, one piece of a large parameter after the other, in place.

    Parameter, gradient and moments go through main memory once. XLA's CPU compiler makes a loop
    for each of its results instead, and a copy of what another one has yet to read.
    """
    shape, count = param.shape, param.size
    large = lambda a: a.size == count  # all but what counts the steps, alike for all pieces
    line = jax.tree.map(lambda a: a.ravel() if large(a) else a, (param, state))
    grad = grad.ravel()

    def paste(at, target, part):
        return lax.dynamic_update_slice_in_dim(target, part, at, 0) if large(target) else part

    def piece(number, now):
        at = jnp.minimum(number * _PIECE, count - _PIECE)  # the last one overlaps its neighbor
        due = at + jnp.arange(_PIECE, dtype=jnp.int32) >= number * _PIECE
        cut = lambda a: lax.dynamic_slice_in_dim(a, at, _PIECE)
        old = jax.tree.map(lambda a, begun: cut(a) if large(a) else begun, now, line)
        new = step(old[0], cut(grad), old[1], rate)
        new = jax.tree.map(lambda a, b: jnp.where(due, a, b) if a.shape else a, new, old)
        param = paste(at, now[0], new[0])
        return param, jax.tree.map(partial(paste, _after(at, param)), now[1], new[1])

    done = lax.fori_loop(0, -(-count // _PIECE), piece, line)
    return jax.tree.map(lambda a: a.reshape(shape) if large(a) else a, done)


def _after(value: jax.Array, *others: jax.Array) -> jax.Array:
    """`value`, but only once `others` are computed; NaN if one of them begins with NaN.

    XLA updates an array in place only if all readers of the old values are sure to come first,
    and else copies it. (It drops an optimization barrier before that.)
    """
    first = sum((a.ravel()[0].astype(jnp.float32) for a in others), jnp.zeros(()))
    return jnp.where(jnp.isnan(first), first.astype(value.dtype), value)


def _allow_promotion(rule: optax.GradientTransformation) -> optax.GradientTransformation:
    """optax mixes Python floats with integer counts, which strict dtype promotion refuses."""

    def init(params):
        with jax.numpy_dtype_promotion("standard"):
            return rule.init(params)

    def update(updates, state, params=None):
        with jax.numpy_dtype_promotion("standard"):
            return rule.update(updates, state, params)

    return optax.GradientTransformation(init, update)
