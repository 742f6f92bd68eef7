import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import methods, protocols, training
from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError
from mer_jax.methods.examples import majority_vote

RNG = np.random.default_rng(0)


def clip(frames=9, **options):
    video = np.full((frames, 8, 8, 3), 100, np.uint8)
    video[5, 2:5, 2:5] = RNG.integers(0, 256, (3, 3, 3))  # what moves most
    return Clip("db", "s", "c", in_memory(video), "anger", **options)


def test_the_apex_is_the_marked_frame_or_the_one_that_moves_most():
    marked = clip(apex=3)
    marked.frames[3, 0, 0] = 7
    for made, how, frame in ((marked, "given", 3), (marked, "found", 5), (clip(), "given", 5)):
        examples = methods.create("apex", [made], size=(8, 8), apex=how)
        np.testing.assert_allclose(examples.inputs[0], made.frames[frame] / 255, atol=1e-6)
    with pytest.raises(UserError, match=r"method\.apex"):
        methods.create("apex", [marked], apex="guessed")


def test_a_training_sample_is_one_frame_and_a_test_clip_is_several():
    made = clip()
    examples = methods.create("frames", [made], size=(8, 8), num_frames=5)
    want = made.frames[[0, 2, 4, 6, 8]] / np.float32(255)
    identity = {"mean": 0.0, "deviation": 1.0}
    np.testing.assert_allclose(
        examples.eval_transform(examples.inputs[0], identity), want, atol=1e-6
    )
    assert examples.num_views == 5 and examples.input_shape == (8, 8, 3)
    sample = examples.augment(jax.random.key(0), examples.inputs[0], identity)
    assert any(bool(jnp.allclose(sample, frame)) for frame in want)
    with pytest.raises(UserError, match="num_frames is 1; it must be an integer, 2 or more"):
        methods.create("frames", [made], num_frames=1)


def test_what_is_left_without_the_first_frame_is_the_movement():
    made = clip()
    frames = made.frames / np.float32(255)
    apex = methods.create("apex", [made], size=(8, 8), subtract_onset=True)
    np.testing.assert_allclose(apex.inputs[0], frames[5] - frames[0], atol=1e-6)
    assert np.abs(apex.inputs[0]).max() > 0.1
    num_frames = methods.create("frames", [made], size=(8, 8), num_frames=3, subtract_onset=True)
    np.testing.assert_allclose(num_frames.inputs[0], frames[[0, 4, 8]] - frames[0], atol=1e-6)


def test_a_training_frame_is_mirrored_turned_and_shifted_if_asked():
    made = clip()
    plain = methods.create("apex", [made], size=(8, 8))
    frame = jnp.asarray(plain.inputs[0])
    np.testing.assert_array_equal(plain.augment(jax.random.key(0), frame, ()), frame)
    moved = methods.create("apex", [made], size=(8, 8), shift=(0, 1))
    draw = jax.jit(moved.augment)
    drawn = {np.asarray(draw(jax.random.key(n), frame, ())).round(4).tobytes() for n in range(40)}
    columns = ([0, *range(7)], range(8), [*range(1, 8), 7])
    assert drawn == {np.asarray(frame[:, np.array(c)]).round(4).tobytes() for c in columns}
    turned = methods.create("apex", [made], size=(8, 8), mirror=True, rotation=8.0)
    other = turned.augment(jax.random.key(1), frame, ())
    assert np.abs(other - frame).max() > 0.01 and turned.eval_transform(frame, ()) is frame


def test_frames_are_standardised_by_the_training_clips():
    made = [clip() for _ in range(4)]
    for each in made:
        each.frames[:] = RNG.integers(0, 256, each.frames.shape)
    examples = methods.create("frames", made, size=(8, 8), num_frames=3)
    weights = np.array([1, 0, 1, 1], np.float32)
    chosen = np.stack([each.frames[[0, 4, 8]] / 255 for each in made])[weights > 0]
    mean = chosen.mean((0, 1))
    statistics = examples.fit_statistics(examples.inputs, jnp.asarray(weights))
    np.testing.assert_allclose(statistics["mean"], mean, atol=1e-6)
    np.testing.assert_allclose(statistics["deviation"], (chosen - mean).std(), rtol=1e-5)
    seen = np.stack([examples.eval_transform(examples.inputs[n], statistics) for n in (0, 2, 3)])
    np.testing.assert_allclose(seen.mean((0, 1)), 0, atol=1e-5)
    assert seen.std() == pytest.approx(1, rel=1e-5)


def test_what_is_left_of_clips_that_do_not_move_is_not_stretched():
    still = np.repeat(RNG.random((1, 8, 8, 3), np.float32), 9, 0)
    still += np.float32(1e-6) * RNG.standard_normal(still.shape, np.float32)
    made = Clip("db", "s", "c", in_memory(still), "anger")
    examples = methods.create("frames", [made], size=(8, 8), num_frames=3, subtract_onset=True)
    seen = examples.eval_transform(
        examples.inputs[0], examples.fit_statistics(examples.inputs, jnp.ones(1))
    )
    assert np.abs(seen).max() < 0.1


def test_most_frames_decide_and_the_mean_parts_a_tie():
    # one frame is very sure of class 2, three say 0: 0 wins; the second clip is a tie of 1 and 2
    logits = np.zeros((4, 2, 3), np.float32)
    logits[:3, 0, 0] = 0.1
    logits[3, 0, 2] = 20.0
    logits[:2, 1, 1], logits[2:, 1, 2] = 1.0, 5.0
    got = np.asarray(majority_vote(jnp.asarray(logits)))
    assert got.argmax(-1).tolist() == [0, 2]
    np.testing.assert_allclose(np.exp(got).sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.exp(got)[0], [0.75, 0.0, 0.25], atol=2e-3)
    # However sure the frames are, no class is impossible: the loss of a mistake is finite.
    assert np.isfinite(np.asarray(majority_vote(jnp.asarray(logits) * 1e4))).all()


class Brightness(nnx.Module):
    """Class 1 for a frame brighter than the mean of training; its one weight is trained too."""

    def __init__(self):
        self.weight = nnx.Param(jnp.full((), 10.0))

    def __call__(self, x, *, mask=None):
        score = self.weight[...] * x.mean((1, 2, 3))
        return jnp.stack([-score, score], -1)


def test_a_fold_counts_the_votes_of_its_test_clips():
    """Four of six frames have the class; the two that do not have larger logits, and lose."""
    clips, labels = [], np.arange(6) % 2
    for number, label in enumerate(labels):
        video = np.full((6, 4, 4, 3), (100, 155)[label], np.uint8)
        video[:2] = (255, 0)[label]
        clips.append(Clip("db", f"s{number // 2}", f"c{number}", in_memory(video), "anger"))
    (result,) = training.fit(
        methods.create("frames", clips, size=(4, 4), num_frames=6),
        labels,
        [protocols.create("loso", clips, labels)],
        training.Settings(epochs=1, batch_size=4, learning_rate=1e-6),
        num_classes=2,
        build=lambda rngs: Brightness(),
        parallel=training.Parallel(devices=jax.devices()[:1]),
        hooks=training.Hooks(quiet=True),
    )
    found = result.probabilities[result.test]
    assert found.argmax(-1).tolist() == labels[result.eval_index[result.test]].tolist()
    np.testing.assert_allclose(found.max(-1), 4 / 6, atol=2e-3)
