"""The papers' optimisers and learning-rate schedules, by name, as optax transformations."""

import jax
import optax

from mer_jax.problems import UserError, unknown

_OPTIMISERS = ("sgd", "adam")
_SCHEDULES = ("constant", "decay", "step", "cosine")


def schedule(name: str, *, epochs: int, steps: int, rate: float, every: int) -> optax.Schedule:
    """What each step multiplies the learning rate by; the rate itself is a fold's own.

    constant  1
    decay     rate^epoch (STRCN 0.8, MER-RCNN 0.5)
    step      rate^(epoch // every) (RCN: 0.5 each 10 epochs)
    cosine    falls from 1 to 0 along half a cosine over all epochs
    """
    if name not in _SCHEDULES:
        raise unknown("train.schedule", name, _SCHEDULES)
    if name == "constant":
        return optax.constant_schedule(1.0)
    if name == "cosine":
        return optax.cosine_decay_schedule(1.0, epochs * steps)
    span = steps if name == "decay" else steps * every
    return optax.exponential_decay(1.0, span, rate, staircase=True)


def create(
    name: str, rates: optax.Schedule, *, momentum: float = 0.9, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """SGD with momentum, or Adam; weight decay is L2 and added to the gradient.

    rates: the learning rate at each step, or its `schedule` for who multiplies the updates later.

    (PyTorch, MatConvNet and Keras' regularisers all mean this by "weight decay"; the decoupled
    decay of AdamW is not what the five papers used.)
    """
    if name not in _OPTIMISERS:
        raise unknown("train.optimizer", name, _OPTIMISERS)
    if not 0 <= momentum < 1:
        raise UserError(f"train.momentum is {momentum}; it must lie in [0, 1)")
    if name == "sgd":
        rule = optax.sgd(rates, momentum=momentum or None)
    else:
        rule = optax.adam(rates)
    if weight_decay:
        rule = optax.chain(optax.add_decayed_weights(weight_decay), rule)
    return _lenient(rule)


def _lenient(rule: optax.GradientTransformation) -> optax.GradientTransformation:
    """optax mixes Python floats with integer counts, which strict dtype promotion refuses."""

    def init(params):
        with jax.numpy_dtype_promotion("standard"):
            return rule.init(params)

    def update(updates, state, params=None):
        with jax.numpy_dtype_promotion("standard"):
            return rule.update(updates, state, params)

    return optax.GradientTransformation(init, update)
