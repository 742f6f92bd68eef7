import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import methods
from mer_jax.clips import Clip, in_memory
from mer_jax.errors import DataError, UserError
from mer_jax.video.resample import matrix

RNG = np.random.default_rng(0)
EYES, MOUTH = (4, 2, 14, 6), (6, 10, 12, 13)  # first and last column and row of the landmarks


def landmarks():
    points = np.full((68, 2), 9.0, np.float32)
    for start, (left, top, right, bottom) in ((36, EYES), (48, MOUTH)):
        points[start : start + 2] = (left, top), (right, bottom)
        points[start + 2 : start + 12] = (left + right) / 2, (top + bottom) / 2
    points[60:68] = points[59]
    return points


def clip(name, frames=7, channels=1, **options):
    video = RNG.integers(0, 256, (frames, 18, 20, channels), np.uint8)
    return Clip("db", "s", name, in_memory(video), "anger", **options)


def row(examples, number):
    return jax.tree.map(lambda a: a[number], examples.inputs)


def test_the_tensor_is_scaled_by_the_training_clips_alone():
    clips = [clip(name, frames) for name, frames in (("a", 6), ("b", 9), ("c", 7))]
    weights = jnp.asarray([1.0, 1.0, 0.0])
    examples = methods.create("stcnn", clips, size=(18, 20), length=6)
    assert examples.input_shape == (6, 18, 20, 1)
    resampled_clips = np.stack([c.frames[:6] / np.float32(255) for c in clips])
    mean, top = resampled_clips[:2].mean(), resampled_clips[:2].max()
    statistics = examples.fit_statistics(examples.inputs, weights)
    for number in (0, 2):
        want = (resampled_clips[number] - mean) / (top - mean)
        np.testing.assert_allclose(
            examples.eval_transform(row(examples, number), statistics), want, atol=1e-5
        )
    wild = Clip("db", "s", "c", in_memory(np.full((7, 18, 20, 1), 255, np.uint8)), "anger")
    other = methods.create("stcnn", [*clips[:2], wild], size=(18, 20), length=6)
    same = np.testing.assert_array_equal  # whatever the third clip is
    jax.tree.map(same, statistics, other.fit_statistics(other.inputs, weights))


def test_without_scaling_frames_stay_and_colour_becomes_grey():
    color = clip("a", channels=3)
    examples = methods.create("stcnn", [color], size=(18, 20), length=6, scaling="none")
    want = (color.frames[:6] / np.float32(255)) @ np.float32([0.299, 0.587, 0.114])
    np.testing.assert_allclose(
        examples.eval_transform(row(examples, 0), ())[..., 0], want, atol=2e-3
    )


def test_short_clips_are_all_named_or_resampled():
    clips = [clip("long"), clip("short", 4), clip("shorter", 3)]
    with pytest.raises(DataError, match="time=resample") as error:
        methods.create("stcnn", clips, length=6)
    assert [problem.where for problem in error.value.problems] == ["db/s/short", "db/s/shorter"]
    examples = methods.create(
        "stcnn", clips, size=(18, 20), length=6, time="resample", scaling="none"
    )
    want = np.einsum("st,thwc->shwc", matrix(4, 6), clips[1].frames / np.float32(255))
    np.testing.assert_allclose(examples.inputs[1], want, atol=1e-5)
    with pytest.raises(UserError, match="did you mean 'resample'"):
        methods.create("stcnn", clips, length=6, time="resampled")


def test_eyes_and_mouth_are_cut_out_by_their_landmarks():
    whole = clip("a", landmarks=landmarks())
    examples = methods.create(
        "fusenet", [whole], size=(9, 15), length=5, scaling="none", margin=0.2
    )
    assert jax.tree.map(jnp.shape, examples.inputs) == dict.fromkeys(
        ("eyes", "mouth"), (1, 5, 9, 15, 1)
    )
    # eyes: 10 px wide, so 2 px more on each side: rows 0 to 8, columns 2 to 16
    want = whole.frames[:5, 0:9, 2:17] / np.float32(255)
    np.testing.assert_allclose(examples.inputs["eyes"][0], want, atol=1e-6)
    small = methods.create("fusenet", [whole], size=(7, 10), length=5, scaling="none", margin=0.2)
    # mouth: 6 px wide, so 1.2 px more: rows 8 to 15, columns 4 to 14, of which 10 x 7 remain
    assert small.inputs["mouth"].shape == (1, 5, 7, 10, 1)
    scaled = methods.create("fusenet", [whole], size=(9, 15), length=5)
    statistics = scaled.fit_statistics(scaled.inputs, jnp.ones(1))
    seen = scaled.eval_transform(row(scaled, 0), statistics)
    for region in seen.values():
        assert abs(float(region.mean())) < 1e-5 and float(region.max()) == pytest.approx(1)


def test_clips_without_usable_landmarks_are_named():
    with pytest.raises(DataError, match="db/s/bare: has no 68 landmarks"):
        methods.create("fusenet", [clip("a", landmarks=landmarks()), clip("bare")], length=5)
    with pytest.raises(DataError, match=r"db/s/far: its landmarks lie outside of its 18 x 20"):
        methods.create("fusenet", [clip("far", landmarks=landmarks() + 100)], length=5)


def test_a_flat_training_set_is_not_stretched():
    flat = 0.5 + 1e-6 * RNG.standard_normal((6, 18, 20, 1))
    made = Clip("db", "s", "a", in_memory(flat.astype(np.float32)), "anger")
    examples = methods.create("stcnn", [made], size=(18, 20), length=6)
    seen = examples.eval_transform(
        row(examples, 0), examples.fit_statistics(examples.inputs, jnp.ones(1))
    )
    assert np.abs(seen).max() < 0.01
