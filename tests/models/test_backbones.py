"""The image backbones: the printed sizes, and masked samples that count for nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax.models.backbones import BACKBONES, VGG16, AlexNet, ResNet10
from tests.models.learning import parameters, shape_of


def test_alexnet_has_the_maps_of_table_1():
    """112 -> 54 -> 27 -> 14 -> 7 -> 7 -> 7 -> 7 -> 4, by the layers in order."""
    graph, state = nnx.split(nnx.eval_shape(lambda: AlexNet((112, 112, 1), rngs=nnx.Rngs(0))))
    x = jax.ShapeDtypeStruct((80, 112, 112, 1), jnp.float32)
    maps = jax.eval_shape(lambda state, x: list(nnx.merge(graph, state).maps(x)), state, x)
    assert [m.shape for m in maps] == [
        (80, size, size, features)
        for size, features in (
            (54, 96), (27, 96), (14, 256), (7, 256), (7, 384), (7, 256), (7, 256), (4, 256)
        )
    ]  # fmt: skip


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("shape", [(112, 112, 1), (64, 48, 3), (33, 32, 1)])
def test_out_shape_is_what_comes_out(name, shape):
    build = lambda: BACKBONES[name](shape, width=0.1, rngs=nnx.Rngs(0))
    assert shape_of(build, (2, *shape)) == (2, *nnx.eval_shape(build).out_shape)


def test_parameters():
    """VGG16: torchvision's features; ResNet10: its eleven kernels and normalisations by hand."""
    count = lambda network, shape: parameters(lambda: network(shape, rngs=nnx.Rngs(0)))
    assert count(VGG16, (224, 224, 3)) == 14_714_688
    kernels = 49 * 3 * 64 + 2 * 9 * 64**2
    kernels += sum(9 * n * 2 * n + 9 * (2 * n) ** 2 + 2 * n * n for n in (64, 128, 256))
    norms = 2 * (64 + 2 * 64 + 3 * (128 + 256 + 512))
    assert count(ResNet10, (112, 112, 3)) == kernels + norms


@pytest.mark.slow
def test_resnet_leaves_masked_samples_out():
    network = ResNet10((32, 32, 1), width=0.1, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).random((4, 32, 32, 1), np.float32)
    graph, state = nnx.split(network)
    run = jax.jit(lambda state, x, mask=None: nnx.merge(graph, state)(x, mask))
    joined = run(state, np.concatenate([x[:3], 9 * x[3:]]), jnp.array([1.0, 1, 1, 0]))[:3]
    np.testing.assert_allclose(run(state, x[:3]), joined, atol=5e-5)
