"""A job small enough to run in a second: six persons, blobs in 6 x 6 pictures, a tiny network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mer_jax.clips import Clip, in_memory
from mer_jax.methods.examples import Examples
from mer_jax.nn import BatchNorm, max_pool
from mer_jax.protocols import loso
from mer_jax.training import Checkpointing, Hooks, Parallel, Settings, fit
from mer_jax.training.records import Result


class Tiny(nnx.Module):
    """Convolution, batch statistics, dropout, dense: everything that carries state."""

    def __init__(self, *, num_classes: int, rngs: nnx.Rngs):
        # No bias: its gradient is rounding alone, which Adam would take for a direction.
        self.conv = nnx.Conv(1, 4, (3, 3), use_bias=False, rngs=rngs)
        self.norm = BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.3, rngs=rngs)
        self.head = nnx.Linear(4, num_classes, rngs=rngs)

    def __call__(self, x, *, mask=None):
        x = nnx.relu(self.norm(self.conv(x), mask))
        # Not x.max(): XLA on CPUs computes x anew where that one's gradient compares with it.
        return self.head(self.drop(max_pool(x, 6).reshape(len(x), -1)))


def build(rngs: nnx.Rngs) -> nnx.Module:
    return Tiny(num_classes=3, rngs=rngs)


def problem(subjects: int = 6, each: int = 5):
    """(examples, labels, folds): class k has a bright blob of size k + 1; samples are shifted."""
    rng = np.random.default_rng(0)
    labels = np.arange(subjects * each) % 3
    pictures = rng.normal(0, 0.1, (len(labels), 6, 6, 1)).astype(np.float32)
    for picture, label in zip(pictures, labels):
        picture[1 : 2 + label, 1 : 2 + label] += 1
    clips = [
        Clip("toy", f"s{i // each}", f"c{i}", in_memory(np.zeros((1, 2, 2, 1))), "x")
        for i in range(len(labels))
    ]

    def fit_statistics(inputs, weights):
        return jnp.sum(inputs * weights[:, None, None, None], 0) / jnp.sum(weights)

    def augment(key, picture, mean):
        shift = jax.random.randint(key, (2,), 0, 3)
        return jnp.roll(picture, shift, (0, 1)) - mean

    examples = Examples(
        inputs=jnp.asarray(pictures),
        fit_statistics=fit_statistics,
        augment=augment,
        eval_transform=lambda p, mean: p - mean,
    )
    return examples, labels, loso(clips, labels)


def grouped(**options) -> dict:
    """Arguments of `fit`: fields of `Parallel`, `Checkpointing` and `Hooks` are put together."""
    groups = {"parallel": Parallel, "checkpointing": Checkpointing, "hooks": Hooks}
    for name, group in groups.items():
        fields = {field.name for field in dataclasses.fields(group)} & set(options)
        if fields:
            options[name] = group(**{field: options.pop(field) for field in fields})
    return options


def trained(
    settings: Settings, *, job=None, folds=None, devices: int = 1, build=build, **options
) -> Result:
    """The result of `settings` for a problem (`job`, or that above), or for `folds` of it.

    options: as `grouped` takes them.
    """
    examples, labels, every = job or problem()
    (result,) = fit(
        examples,
        labels,
        [every if folds is None else folds],
        settings,
        num_classes=3,
        build=build,
        **grouped(**{"devices": jax.devices()[:devices], "quiet": True} | options),
    )
    return result
