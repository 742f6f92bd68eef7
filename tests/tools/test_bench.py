"""The bench's own arithmetic; what it measures is measured by running it."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import inference, models
from mer_jax.datasets import load
from mer_jax.errors import UserError
from mer_jax.inference.profile import profile_clips
from mer_jax.nn import conv, formulation
from tools.bench import faces, roofline, timing, workloads


def test_operations_are_counted_from_shapes():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 5))
    x, k = jnp.ones((2, 9, 8, 3)), jnp.ones((3, 2, 3, 7))

    def step(a, b, x, k):
        def body(c, _):
            return c + (a @ b).sum(), None

        looped = jax.lax.scan(body, 0.0, None, length=6)[0]
        return looped + jax.jit(lambda x: conv(x, k))(x).sum()

    with formulation("xla"):
        counted = roofline.operations(jax.make_jaxpr(step)(a, b, x, k))
    assert counted == 6 * 2 * 3 * 4 * 5 + 2 * (2 * 7 * 7) * 7 * (3 * 2 * 3)


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_the_gradients_of_a_strided_convolution_are_twice_its_work(strides):
    x, k = jnp.ones((2, 32, 32, 16)), jnp.ones((3, 3, 16, 24))
    layer = lambda x, k: conv(x, k, strides=strides, padding="VALID").sum()
    with formulation("xla"):
        forward = roofline.operations(jax.make_jaxpr(layer)(x, k))
        both = roofline.operations(jax.make_jaxpr(jax.value_and_grad(layer, (0, 1)))(x, k))
    np.testing.assert_allclose(both, 3 * forward, rtol=0.15)


def test_both_formulations_of_a_convolution_count_alike():
    x, k = jnp.ones((2, 9, 8, 6)), jnp.ones((3, 3, 6, 7))
    counts = set()
    for name in (None, "xla"):
        with formulation(name):
            jaxpr = jax.make_jaxpr(jax.grad(lambda k: conv(x, k).sum()))(k)
            counts.add(roofline.operations(jaxpr))
    assert len(counts) == 1 and min(counts) > 0


def test_times_are_compared_by_medians_of_ratios(monkeypatch):
    clock = itertools.accumulate([0, 1, 0, 2, 0, 1, 0, 4, 0, 2, 0, 2])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    ours, theirs = timing.compare(
        {"ours": lambda: 0, "theirs": lambda: 0}, rounds=3, per={"ours": 1, "theirs": 2}
    )
    assert (ours.milliseconds, ours.ratio) == (1000, 1)
    assert (theirs.milliseconds, theirs.ratio, theirs.low, theirs.high) == (1000, 1, 0.5, 2)
    table = timing.timing_table("Title", [ours, theirs])
    assert str(table).splitlines()[-1] == "| theirs | 1,000 | 1.00 | 0.50 | 2.00 |  |"
    assert json.loads(json.dumps(table._asdict()))["rows"][1][:2] == ["theirs", 1000.0]
    piped = timing.Table("Title", ("name",), [("a|b",)])  # of a regular expression
    assert str(piped).splitlines()[-1] == r"| a\|b |"


def test_every_network_has_a_workload_and_one_of_them_runs():
    assert {work.network for work in workloads.WORKLOADS} == set(models.networks())
    small = workloads.Workload("ststnet", 4, {"shape": (8, 8, 3), "dropout": 0.0})
    mine = workloads.jax_step(small, folds=2, devices=jax.devices()[:2])
    record = mine.run()
    assert record.train_loss.shape == (2, 1) and np.isfinite(record.train_loss).all()
    assert not np.allclose(record.train_loss[0], record.train_loss[1])  # two seeds
    step, arguments = mine.step
    assert roofline.operations(jax.make_jaxpr(step)(*arguments)) > 0


def test_networks_are_chosen_by_name_and_size():
    names = lambda **how: [work.network for work in workloads.select(**how)]
    assert names(quick=False, only="") == [work.network for work in workloads.WORKLOADS]
    assert names(quick=False, only="fuse") == ["fusenet_intermediate", "fusenet_late"]
    assert names(quick=True, only="fuse|rcn_[as]$") == ["rcn_a", "rcn_s"]
    with pytest.raises(UserError, match="--only=vgg leaves no network; there are ststnet, rcn_a"):
        workloads.select(quick=True, only="vgg")


@pytest.mark.parity
@pytest.mark.parametrize("work", [w for w in workloads.WORKLOADS if w.torch_model], ids=str)
def test_the_pytorch_network_has_as_many_weights(work):
    pytest.importorskip("torch")
    from flax import nnx

    twin = workloads.torch_network(work)
    theirs = sum(p.numel() for p in twin.parameters() if p.requires_grad)
    network = nnx.eval_shape(lambda: workloads.build(work)(nnx.Rngs(0)))
    ours = sum(a.size for a in jax.tree.leaves(nnx.state(network, nnx.Param)))
    assert theirs == ours


@pytest.mark.slow
def test_verdicts_of_films_need_no_networks():
    own = load("synthetic", subjects=2, clips_per_subject=1, size=(160, 160))
    predictor = inference.Predictor(faces._AnyClass(), profile_clips(own))
    films = faces.shaken(own[0].frames[0])
    name = "still"
    table = faces._answers("verdicts", predictor, {name: (films[name], faces.FPS)})
    ((*_, verdicts),) = table.rows
    assert verdicts == "100 % no movement"


def test_detectors_are_not_held_to_themselves():
    """Without a third one nothing filmed has a reference."""
    frame = np.zeros((64, 64, 3), np.uint8)
    eyes = np.array([[[20.0, 30.0], [40.0, 30.0]]])
    sees, blind = lambda frame: eyes, lambda frame: eyes[:0]
    assert faces._with_reference([frame], [sees, sees]) == ([], [])
    pictures, empty = faces._with_reference([frame], [sees, sees, blind])
    assert len(pictures) == 1 and not empty
    assert faces._with_reference([frame], [blind, blind, sees]) == ([], []), "one may be right"
    assert len(faces._with_reference([frame], [blind] * 3)[1]) == 1


@pytest.mark.slow
def test_what_was_not_measured_is_no_share():
    frame = np.zeros((64, 64, 3), np.uint8)
    blind = lambda frame: np.zeros((0, 2, 2))
    table = faces._detectors({"blind": (blind, "mine")}, [], [frame], quick=True)
    row = dict(zip(table.columns, table.rows[0]))
    assert row["rendered"] == "0 %" and row["CPU ms"] == ""
    assert row["filmed"] == row["two faces"] == row["false, no face"] == ""
