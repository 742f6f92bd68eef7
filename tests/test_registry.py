"""A network, method, protocol, loss and database of a user's own: one file outside the package."""

import jax
import numpy as np
import pytest

from mer_jax import configuration, datasets, experiment, inference, methods, models, options
from mer_jax.cli import run_flags, summary
from mer_jax.errors import UserError
from mer_jax.training import losses

OWN = """
import jax, jax.numpy as jnp, numpy as np, optax
from flax import nnx
from mer_jax import Clip
from mer_jax.clips import in_memory
from mer_jax.methods import Examples
from mer_jax.protocols import Folds


class Net(nnx.Module):
    def __init__(self, *, shape=(16, 16, 1), num_classes=3, size=4, rngs):
        self.hidden = nnx.Linear(int(np.prod(shape)), size, rngs=rngs)
        self.output = nnx.Linear(size, num_classes, rngs=rngs)
        self.input_shape = shape

    def __call__(self, x, *, mask=None):
        return self.output(nnx.relu(self.hidden(x.reshape(len(x), -1))))


def clips(root, *, subjects=3):
    rng = np.random.default_rng(0)
    return [
        Clip("own", f"s{s}", f"s{s}_{i}", in_memory(rng.random((8, 40, 40, 1), np.float32)),
             emotion, fps=100.0, apex=4)
        for s in range(subjects)
        for i, emotion in enumerate(("happiness", "surprise", "disgust"))
    ]


def last_minus_first(clips, *, size=16):
    frames = [clip.frames.mean(-1, keepdims=True) for clip in clips]
    difference = np.stack([each[-1] - each[0] for each in frames])
    inputs = jax.image.resize(jnp.asarray(difference), (len(clips), size, size, 1), "linear")

    def fit_statistics(inputs, weights):
        return jnp.einsum("n,nhwc->hwc", weights / weights.sum(), inputs)

    centered = lambda example, mean: example - mean
    return Examples(inputs, fit_statistics, lambda key, *rest: centered(*rest), centered,
                    input_shape=inputs.shape[1:])


def two_halves(clips, labels, *, seed=0):
    subjects = np.array([clip.subject_key for clip in clips])
    test = np.stack([subjects == subjects[0], subjects != subjects[0]])
    return Folds(("first", "rest"), tuple(clip.key for clip in clips), tuple(subjects),
                 ~test, test, np.zeros_like(test))


def squared(logits, labels, mask, counts):
    error = jnp.square(logits - jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype))
    return jnp.sum(error.mean(-1) * mask) / mask.sum()


number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_parts"


@pytest.mark.e2e
def test_a_job_of_own_parts_runs_and_is_loaded_again(own, tmp_path):
    config = configuration.make(
        data={"name": f"{own}:clips", "subjects": 4},
        method={"name": f"{own}:last_minus_first", "size": 12},
        model={"name": f"{own}:Net", "size": 5},
        protocol=f"{own}:two_halves",
        train={"epochs": 2, "batch_size": 4, "loss": f"{own}:squared"},
    )
    assert config.data.subjects == 4 and config.protocol.seed == 0 and config.data.root is None
    devices = jax.devices()[:1]
    result = experiment.run(config, tmp_path / "run", devices=devices, quiet=True)
    assert sum(map(sum, result["confusion"])) == 12
    assert configuration.load(tmp_path / "run" / "config.json").model.name == f"{own}:Net"
    predictor = inference.load(tmp_path / "run")
    found = predictor.networks.probabilities(datasets.load(f"{own}:clips", subjects=1))
    assert found.shape == (2, 3, 3)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)


def test_an_option_is_of_the_kind_of_its_default(own):
    """`size` of the built-in methods is a pair; that of this one is a number."""
    with pytest.raises(UserError, match=r"method\.size is 'x'; it must be an integer"):
        methods.create(f"{own}:last_minus_first", [], size="x")
    with pytest.raises(UserError, match="unknown option of method own_parts:last_minus_first"):
        methods.create(f"{own}:last_minus_first", [], sizes=3)


def test_commands_take_own_names(own):
    flags = run_flags._expand_name(f"--config.model={own}:Net")
    assert flags == f"--config.model.name={own}:Net"
    table = summary.text(f"{own}:Net", size=2)
    assert f"{256 * 2 + 2 + 2 * 3 + 3:,} trainable parameters for 3 classes" in table
    assert models.info(f"{own}:Net").load() is options.find("model", f"{own}:Net", {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:Net", "model 'no_such_module:Net': cannot import module"),
        ("own_parts:Nets", "module 'own_parts' has no class or function 'Nets'"),
        ("own_parts:number", "no class or function 'number'"),
        ("own_parts:", "no class or function ''"),
        (":Net", "cannot import module ''"),
        ("..own_parts:Net", "cannot import module"),
        ("own_parts.Net", "unknown model 'own_parts.Net'"),
    ],
)
def test_a_wrong_name_is_one_sentence(own, name, message):
    with pytest.raises(UserError, match=message) as error:
        models.create(name, num_classes=3, rngs=None)
    assert "\n" not in str(error.value)


def test_padding_does_not_reach_an_own_loss(own):
    logits = np.array([[1.0, 0.0], [np.nan, np.inf]], np.float32)
    loss = losses.create(f"{own}:squared")
    grad = jax.grad(loss)(logits, np.array([0, 0]), np.array([1.0, 0.0], np.float32), np.ones(2))
    np.testing.assert_array_equal(grad, 0)
