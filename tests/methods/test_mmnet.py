"""MMNet's frames, by the arithmetic of its authors' data set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import methods
from mer_jax.clips import Clip, in_memory

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
STILL = {"size": (8, 8), "mirror": False, "rotation": 0.0, "shift": (0, 0)}


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (120, 8, 8, 3), np.uint8)
    at = [(2, 100, 110), (30, 40, 60)]
    return [
        Clip("d", "s", f"c{n}", in_memory(video), "x", onset=onset, apex=apex, offset=offset)
        for n, (onset, apex, offset) in enumerate(at)
    ]


def row(made, n):
    return jax.tree.map(lambda a: jnp.asarray(a[n]), made.inputs)


def nearest(frames, frame):
    return int(np.abs(frames - np.asarray(frame)).max((1, 2, 3)).argmin())


def test_a_test_sample_is_onset_and_apex_as_torchvision_standardizes_them(clips):
    made = methods.create("mmnet", clips, **STILL)
    assert made.input_shape == (2, 8, 8, 3)
    for n, clip in enumerate(clips):
        example = row(made, n)
        want = (clip.frames[[clip.onset, clip.apex]] / 255 - MEAN) / DEVIATION
        np.testing.assert_allclose(made.eval_transform(example, ()), want, atol=1e-5)


def test_a_training_sample_has_frames_near_onset_and_apex(clips):
    made = methods.create("mmnet", clips, **STILL)
    augment = jax.jit(made.augment)
    for n, clip in enumerate(clips):
        example = row(made, n)
        # As its code: a whole number from the onset to int(0.15 x (apex - onset) / 4) after it.
        near = int(0.15 * (clip.apex - clip.onset) / 4)
        assert near == (3, 0)[n]
        frames = (clip.frames / 255 - MEAN) / DEVIATION
        drawn = set()
        for seed in range(150):
            onset, apex = augment(jax.random.key(seed), example, ())
            drawn.add((nearest(frames, onset) - clip.onset, clip.apex - nearest(frames, apex)))
        expected = {(i, j) for i in range(near + 1) for j in range(near + 1)}
        assert drawn == expected


def test_both_frames_of_a_training_sample_move_alike(clips):
    options = STILL | {"jitter": 0.0, "mirror": True, "shift": (1, 2)}
    made = methods.create("mmnet", clips[:1], **options)
    example = row(made, 0)
    still = np.asarray(example["frames"][:, 0])
    augment, drawn = jax.jit(made.augment), set()
    for seed in range(200):
        sample = np.asarray(augment(jax.random.key(seed), example, ()))
        for flip in (False, True):
            for down in range(-1, 2):
                for right in range(-2, 3):
                    rows = np.clip(np.arange(8) + down, 0, 7)
                    columns = np.arange(8)[::-1] if flip else np.arange(8)
                    columns = np.clip(columns + right, 0, 7)
                    if np.allclose(sample, still[:, rows][:, :, columns], atol=1e-4):
                        drawn.add((flip, down, right))
    assert len(drawn) == 2 * 3 * 5


def test_rows_do_not_depend_on_the_other_clips_but_for_their_padding(clips):
    alone = methods.create("mmnet", clips[1:], **STILL).inputs
    both = methods.create("mmnet", clips, **STILL).inputs
    assert alone["frames"].shape[2] == 1 and both["frames"].shape[2] == 4
    np.testing.assert_array_equal(alone["frames"][0], both["frames"][1, :, :1])
    assert alone["near"][0] == both["near"][1] == 0
