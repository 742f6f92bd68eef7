"""Other JAX code opens a checkpoint with Orbax alone: the README's lines, and plain NNX layers."""

import asyncio
import gc
import logging

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from mer_jax.training import Settings, checkpoints
from tests.training import small


def test_weights_are_found_by_name_without_mer_jax(tmp_path):
    examples, _, folds = small.problem()
    settings = Settings(epochs=2, batch_size=8, learning_rate=1e-2)
    result = small.trained(settings, directory=tmp_path / "checkpoints")

    steps = tmp_path / "checkpoints" / "steps"
    newest = max(steps.iterdir(), key=lambda step: int(step.name))
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(newest / "tree")["state"]

    conv = nnx.Conv(1, 4, (3, 3), use_bias=False, rngs=nnx.Rngs(0))
    head = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    for fold in range(len(folds)):
        one = jax.tree.map(lambda a, fold=fold: np.asarray(a)[fold], state)
        weights, running = one["params"], one["model_state"]["norm"]
        nnx.update(conv, {"kernel": weights["conv"]["kernel"]})
        nnx.update(head, {name: weights["head"][name] for name in ("kernel", "bias")})
        clips = result.eval_index[fold][result.test[fold]]
        x = np.asarray(conv(np.asarray(examples.inputs)[clips] - one["statistics"]))
        x = (x - running["mean"]) / np.sqrt(running["var"] + np.float32(1e-5))
        x = np.maximum(x * weights["norm"]["scale"] + weights["norm"]["bias"], 0)
        said = nnx.softmax(head(x.max((1, 2))))
        want = result.probabilities[fold][result.test[fold]]
        np.testing.assert_allclose(said, want, atol=2e-6)
    assert not np.allclose(state["params"]["head"]["kernel"][0], head.kernel[...])


async def _writers():
    async def write():
        raise OSError("no space left")

    static = asyncio.ensure_future(write())
    await asyncio.sleep(0)
    del static  # nobody asks what became of it: asyncio says so where it is collected
    gc.collect()


def test_orbax_is_hushed_and_heard_again(caplog):
    with checkpoints.silence_orbax():
        asyncio.run(_writers())
    assert not caplog.records
    asyncio.run(_writers())
    assert "never retrieved" in caplog.text


def test_asyncio_is_heard_where_it_speaks_of_something_else(caplog):
    with checkpoints.silence_orbax():
        logging.getLogger("asyncio").warning("a slow callback")
    assert "a slow callback" in caplog.text
