"""A network of each kind learns eight clips; every one lowers for accelerators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import models
from mer_jax.methods import Examples
from mer_jax.protocols import Folds
from mer_jax.training import Hooks, Parallel, Settings, fit
from tests.models import learning

LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1], np.int32)
RATES = {"psn": 2e-3, "fusenet_late": 3e-3}  # else 1e-2
# Each kind of layer once.
LEARNING = ("fusenet_late", "mer_rcnn", "psn", "rcn_w", "strcn_g", "ststnet")


def build(name, rngs):
    # Compiles in a third of the time that initialisers with keys of the usual kind take.
    key = jax.random.wrap_key_data(jax.random.bits(rngs(), (4,), "uint32"), impl="unsafe_rbg")
    return models.create(name, num_classes=3, rngs=nnx.Rngs(key), **learning.SMALL[name])


@pytest.mark.train
@pytest.mark.parametrize("name", LEARNING)
def test_two_folds_on_two_devices_learn_eight_clips(name):
    """Each fold is tested on copies of the eight clips it trained on: none may be wrong."""
    eight = learning.examples(name)
    twice = jax.tree.map(lambda a: jnp.asarray(np.concatenate([a, a])), eight)
    train = np.arange(16) // 8 == np.arange(2)[:, None]
    folds = Folds(
        names=("first", "second"),
        clips=tuple(f"toy/s{i // 8}/c{i % 8}" for i in range(16)),
        subjects=tuple(f"toy/s{i // 8}" for i in range(16)),
        train=train,
        test=~train,
        validation=np.zeros_like(train),
    )
    epochs = 100
    settings = Settings(epochs=epochs, batch_size=16, learning_rate=RATES.get(name, 1e-2))
    (result,) = fit(
        Examples(inputs=twice),
        np.tile(LABELS, 2),
        [folds],
        settings,
        num_classes=3,
        build=lambda rngs: build(name, rngs),
        parallel=Parallel(devices=jax.devices()[:2]),
        hooks=Hooks(quiet=True),
    )
    assert result.train_loss.shape == (2, epochs) and not result.diverged
    assert (result.probabilities.argmax(-1) == LABELS).all()
    assert result.train_loss[0, 0] != result.train_loss[1, 0]  # each from weights of its own


@pytest.mark.slow
@pytest.mark.parametrize("name", models.networks())
def test_a_training_step_lowers_for_accelerators(name):
    x = learning.examples(name)
    assert learning.lowers_for_accelerators(lambda: build(name, nnx.Rngs(0)), x, LABELS)
