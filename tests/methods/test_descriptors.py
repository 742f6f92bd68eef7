"""The descriptors as examples: each clip's row is the descriptor of that clip alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import descriptors, methods
from mer_jax.clips import in_memory, resize
from mer_jax.datasets import synthetic
from mer_jax.errors import UserError
from mer_jax.video import apex_index, magnify, optical_flow
from mer_jax.video.resample import matrix

PRESET = "horn_schunck"


@pytest.fixture(scope="module")
def clips():
    scenes = synthetic.scenes(subjects=1, clips_per_subject=2, frames=(9, 12), size=(32, 32))
    return [scene.clip for scene in scenes]


def video(clip):
    return jnp.asarray(clip.frames, jnp.float32) / 255


@pytest.mark.parametrize("name", ["lbp_top", "lbp_sip", "stlbp_ip"])
def test_binary_patterns_of_ragged_clips(name, clips):
    options = dict(radii=(1, 1, 2), blocks=(2, 2))
    examples = methods.create(name, clips, size=(32, 32), **options)
    describe = jax.jit(lambda clip: getattr(descriptors, name)(clip, **options))
    for row, clip in zip(examples.inputs, clips):
        np.testing.assert_allclose(row, describe(video(clip)), rtol=1e-6)
    assert examples.input_shape == examples.inputs.shape[1:]


def test_the_color_space_is_that_of_the_training_clips(clips):
    options = dict(radii=(1, 1, 2), blocks=(2, 2), points=4)
    examples = methods.create("lbp_tics", clips, size=(32, 32), **options)
    assert len(clips[0].frames) != len(clips[1].frames)  # one of them is padded
    fit = jax.jit(examples.fit_statistics)
    found = fit(examples.inputs, jnp.array([1.0, 0.0]))
    alone = methods.create("lbp_tics", clips[:1], size=(32, 32), **options)
    np.testing.assert_allclose(found, fit(alone.inputs, jnp.ones(1)), atol=1e-4)
    assert np.abs(found - fit(examples.inputs, jnp.array([0.0, 1.0]))).max() > 1e-2
    describe = jax.jit(lambda frames: descriptors.lbp_tics(frames, found, **options))
    for n, clip in enumerate(clips):
        example = {name: rows[n] for name, rows in examples.inputs.items()}
        row = jax.jit(examples.eval_transform)(example, found)
        np.testing.assert_allclose(row, describe(np.asarray(clip.frames)), rtol=1e-6)
    assert examples.input_shape == row.shape == (3 * 4 * 3 * 15,)


@pytest.mark.slow
def test_resampled_and_magnified(clips):
    options = dict(radii=(1, 1, 2), blocks=(2, 2))
    describe = jax.jit(lambda clip: descriptors.lbp_sip(clip, **options))
    examples = methods.create("lbp_sip", clips, size=(32, 32), frames=6, alpha=8.0, **options)
    for row, clip in zip(examples.inputs, clips):
        moved = np.asarray(magnify(video(clip), alpha=8.0), np.float64)
        six = np.tensordot(matrix(len(moved), 6).astype(np.float64), moved, axes=1)
        expected = describe(jnp.asarray(six, jnp.float32))
        # Rounding to grey levels may turn a few of 4 x 2 x 225 codes.
        assert np.abs(row - expected).mean() < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("apex", ["given", pytest.param("found", marks=pytest.mark.slow)])
def test_bi_woof_is_of_the_flow_from_onset_to_apex(apex, clips):
    describe = jax.jit(descriptors.bi_woof)
    examples = methods.create("bi_woof", clips, size=(32, 32), preset=PRESET, apex=apex)
    for row, clip in zip(examples.inputs, clips):
        frames = video(clip)
        last = clip.apex if apex == "given" else int(apex_index(frames))
        flow = optical_flow(frames[clip.onset], frames[last], preset=PRESET)
        np.testing.assert_allclose(row, describe(flow), atol=2e-3)


@pytest.mark.slow
def test_mdmo_takes_its_landmarks_along_when_frames_are_resized(clips):
    examples = methods.create("mdmo", clips[:1], size=(24, 40), preset=PRESET)
    for row, clip in zip(examples.inputs, clips[:1]):
        frames = jnp.asarray(resize(np.asarray(video(clip)), (24, 40)))
        flows = jnp.stack([optical_flow(frames[0], frame, preset=PRESET) for frame in frames])
        # Pixel centres: the frame's edges at -1/2 stay where they are.
        places = (clip.landmarks + 0.5) * np.array([40 / 32, 24 / 32]) - 0.5
        expected = jax.jit(descriptors.mdmo)(flows, jnp.asarray(places, jnp.float32))
        np.testing.assert_allclose(row[:36], expected[:36], atol=0.02)
        rotation_matrix = np.angle(np.exp(1j * np.asarray(row[36:] - expected[36:])))
        assert np.median(np.abs(rotation_matrix)) < 0.01


def test_clips_without_landmarks_are_all_named(clips):
    named = dataclasses.replace(clips[0], name="whole")
    bare = [dataclasses.replace(clip, landmarks=None) for clip in clips]
    with pytest.raises(UserError) as found:
        methods.create("mdmo", [bare[0], named, bare[1]])
    assert clips[0].key in str(found.value) and clips[1].key in str(found.value)
    assert named.key not in str(found.value)


def test_a_pre_computed_map_is_no_video(clips):
    stored = dataclasses.replace(clips[0], content="flow", read=in_memory(np.zeros((1, 28, 28, 3))))
    with pytest.raises(UserError, match="needs videos"):
        methods.create("lbp_top", [stored])


@pytest.mark.slow
def test_what_does_not_move_is_zero(clips):
    """As the 55 clips of CAS(ME)^3 whose apex is their onset; one gray level of noise is motion."""
    still = np.repeat(clips[0].frames[:1], 9, 0)
    grainy = still.copy()
    grainy[4:] ^= np.random.default_rng(0).integers(0, 2, still[0].shape, np.uint8)
    marked = dataclasses.replace(clips[0], onset=3, apex=3)
    made = [
        marked,
        *(dataclasses.replace(clips[0], read=in_memory(f), offset=None) for f in (still, grainy)),
    ]
    found = methods.create("bi_woof", made, size=(32, 32), preset=PRESET).inputs
    np.testing.assert_array_equal(found[:2], 0)
    assert np.linalg.norm(found[2]) == pytest.approx(1, abs=1e-5)
    found = methods.create("mdmo", made[1:], size=(32, 32), preset=PRESET).inputs
    np.testing.assert_array_equal(found[0], 0)
    assert found[1][:36].max() == pytest.approx(1)


@pytest.mark.parametrize("name", ["lbp_sip", "stcnn"])
def test_a_frame_that_is_no_picture_is_named(name, clips):
    frames = clips[0].frames / np.float32(255)
    frames[5, 2, 1] = np.inf
    made = [clips[1], dataclasses.replace(clips[0], read=in_memory(frames))]
    with pytest.raises(UserError, match=f"{clips[0].key}: frame 5 holds NaN or infinity"):
        methods.create(name, made, size=(32, 32), **({"length": 9} if name == "stcnn" else {}))


@pytest.mark.parametrize("name", ["lbp_top", "lbp_sip", "lbp_tics", "stlbp_ip"])
def test_clips_too_short_for_a_pattern_over_time_are_named(name, clips):
    """Their numbers would be 0 beside a longer clip, and their length a clue to the class."""
    short = dataclasses.replace(clips[0], read=in_memory(clips[0].frames[:5]), apex=3, offset=4)
    given = [short, clips[1]]
    options = {"radii": (1, 1, 4), "blocks": (1, 1), "size": (32, 32)}
    with pytest.raises(UserError, match=rf"method {name} .*\n  {short.key}: has 5 frames") as found:
        methods.create(name, given, **options)
    assert clips[1].key not in str(found.value)
    resampled = methods.create(name, given, frames=10, **options)
    assert all(np.abs(row).sum() > 0 for row in jax.tree.leaves(resampled.inputs)[0])
