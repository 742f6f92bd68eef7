"""A network, method, protocol, loss and database of a user's own: one file outside the package."""

import dataclasses
import importlib
import sys

import jax
import numpy as np
import pytest

from mer_jax import (
    configuration,
    datasets,
    experiment,
    inference,
    methods,
    models,
    options,
    sweep,
)
from mer_jax.cli import run_flags, summary
from mer_jax.datasets import labels
from mer_jax.errors import DataError, UserError
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
    assert sweep._finished(tmp_path / "run", config, {})
    # Another loss under the same name is another job, not a finished one.
    file = tmp_path / "own_parts.py"
    file.write_text(OWN.replace("error.mean(-1)", "error.sum(-1)"))
    importlib.invalidate_caches()
    importlib.reload(sys.modules[own])
    assert not sweep._finished(tmp_path / "run", config, {})
    with pytest.raises(UserError, match=r"another job \(the source of own_parts:\w+ was edited"):
        experiment.run(config, tmp_path / "run", devices=devices, quiet=True)


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


OWN_MISTAKES = """
import jax.numpy as jnp
import numpy as np
from flax import nnx
from mer_jax.clips import Clip, in_memory

def database(root):
    draw = np.random.default_rng(0).integers
    return [
        Clip("m", f"s{n // 4}", f"c{n}", in_memory(draw(0, 256, (8, 24, 24, 1), np.uint8)), word)
        for n, word in enumerate(["calm", "bored"] * 8)
    ]

def no_list(root): return 5
def upper(clip): return None if clip.name == "c3" else clip.emotion.upper()
def number(clip): return 3
def broken(clip): return clip.nothing

class NoRngs(nnx.Module):
    def __init__(self, *, num_classes, shape=(1,)): pass

class Linear(nnx.Module):
    def __init__(self, *, num_classes, rngs, shape=(28, 28, 3), inputs=0, outputs=0):
        inputs = inputs or int(np.prod(shape))
        self.linear = nnx.Linear(inputs, outputs or num_classes, rngs=rngs)
    def __call__(self, x, mask=None): return self.linear(x.reshape(len(x), -1))

class NoMask(Linear):
    def __call__(self, x): return self.linear(x.reshape(len(x), -1))
"""


@pytest.fixture
def own_mistakes(tmp_path, monkeypatch):
    (tmp_path / "own_parts_of_a_test.py").write_text(OWN_MISTAKES)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_parts_of_a_test"
    sys.modules.pop("own_parts_of_a_test", None)


def test_classes_of_your_own(own_mistakes):
    clips = datasets.load(f"{own_mistakes}:database", "nowhere")
    found = labels.label("own", clips)
    assert found.classes == ("bored", "calm") and len(found.clips) == 16
    found = labels.label(f"{own_mistakes}:upper", clips)
    assert found.classes == ("BORED", "CALM") and len(found.excluded) == 1
    with pytest.raises(UserError, match=r"label scheme .*:number gives int; it must give text"):
        labels.label(f"{own_mistakes}:number", clips)
    with pytest.raises(UserError, match=r"no attribute 'nothing' \(.*own_parts_of_a_test.py, line"):
        labels.label(f"{own_mistakes}:broken", clips)
    # The words of a known database are checked.
    strange = [dataclasses.replace(clip, database="casme2") for clip in clips]
    with pytest.raises(DataError, match="emotion 'calm' is not known"):
        labels.label("own", strange)


def test_a_subject_in_two_spellings_is_a_problem(own_mistakes, tmp_path):
    """Excel makes 1 of 01 in some rows: the folds of both trained on the tested person."""
    (tmp_path / "own_parts_of_a_test.py").write_text(OWN_MISTAKES.replace('f"s{n // 4}"', SPELLED))
    found = datasets.inspect(f"{own_mistakes}:database", "nowhere")
    assert [problem.where for problem in found.problems] == ["m/01 and m/1", "m/02 and m/2"]
    with pytest.raises(DataError, match="m/01 and m/1: is one subject in several spellings"):
        datasets.load(f"{own_mistakes}:database", "nowhere")


SPELLED = '["01", "1", "02", "2"][n // 4]'


@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("NoRngs", {}, "takes no rngs; give an nnx.Module with num_classes, rngs and shape"),
        ("Linear", {"outputs": 7}, r"gives \(2, 7\) of examples \(2, .*; it must give \(2, 2\)"),
        ("Linear", {"inputs": 77}, r"of examples \(2, .*TypeError: .*own_parts_of_a_test.py, line"),
        ("NoMask", {}, "unexpected keyword argument 'mask'"),
    ],
)
def test_mistakes_in_a_network_are_one_sentence_before_training(
    own_mistakes, tmp_path, name, sizes, said
):
    given = configuration.make(
        data={"name": f"{own_mistakes}:database", "root": str(tmp_path), "label_scheme": "own"},
        method={"name": "apex", "size": (8, 8)},
        model={"name": f"{own_mistakes}:{name}", **sizes},
        train={"epochs": 1},
    )
    with pytest.raises(UserError, match=said):
        experiment.run(given, tmp_path / "w", quiet=True)
    assert not (tmp_path / "w" / "config.json").exists()
    with pytest.raises(UserError, match=r"database .*:no_list: TypeError: 'int' object"):
        datasets.load(f"{own_mistakes}:no_list", "nowhere")
