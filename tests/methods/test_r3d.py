import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mer_jax import methods
from mer_jax.clips import Clip, in_memory
from mer_jax.methods import preprocessing

RNG = np.random.default_rng(0)


def clip(frames=30, channels=3, **instants):
    video = RNG.integers(0, 256, (frames, 10, 10, channels), np.uint8)
    return Clip("db", "s", "c", in_memory(video), "anger", **instants)


@pytest.mark.parametrize(
    "instants, frames, want",
    [
        ({"onset": 4, "apex": 7}, 30, [4, 5, 6, 7, 7, 7]),  # short: the last repeated
        ({"onset": 4, "apex": 9}, 30, [4, 5, 6, 7, 8, 9]),
        ({"onset": 4, "apex": 14}, 30, [4, 6, 8, 10, 12, 14]),  # long: equal intervals
        ({"onset": 3, "offset": 28}, 30, [3, 8, 13, 18, 23, 28]),  # no apex: to the offset
        ({}, 4, [0, 1, 2, 3, 3, 3]),
    ],
)
def test_frames_from_onset_to_apex(instants, frames, want):
    made = clip(frames, **instants)
    examples = methods.create("r3d", [made], size=(10, 10), length=6)
    assert examples.input_shape == (6, 10, 10, 3) and examples.repeats_per_epoch == 3
    np.testing.assert_allclose(examples.inputs[0], made.frames[want] / 255, atol=1e-6)


def test_a_grey_clip_stands_for_all_channels():
    made = clip(6, channels=1)
    examples = methods.create("r3d", [made], size=(10, 10), length=6)
    np.testing.assert_allclose(
        examples.inputs[0], np.repeat(made.frames / np.float32(255), 3, -1), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("smooth", [False, True])
def test_a_sample_is_the_clip_its_flip_its_rotation_or_smoothed(smooth):
    examples = methods.create("r3d", [clip(6)], size=(10, 10), length=6, smooth=smooth)
    sample = examples.inputs[0]
    variants = [
        sample,
        sample[:, ::-1],
        preprocessing.transform(sample, preprocessing.rotation_matrix(8.0)),
    ]
    if smooth:
        mean = ndimage.uniform_filter(np.asarray(sample), (1, 3, 3, 1), mode="nearest")
        variants.append(jnp.asarray(mean))
    drawn = []
    for number in range(16):
        got = examples.augment(jax.random.key(number), sample, ())
        near = [float(jnp.abs(got - variant).max()) for variant in variants]
        assert min(near) < 1e-5
        drawn.append(int(np.argmin(near)))
    assert set(drawn) == set(range(len(variants)))
    np.testing.assert_array_equal(examples.eval_transform(sample, ()), sample)
