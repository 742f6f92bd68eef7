import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import methods
from mer_jax.clips import Clip, in_memory, stack
from mer_jax.datasets import synthetic
from mer_jax.errors import UserError
from mer_jax.video import apex_index, magnify, optical_flow
from mer_jax.video.resample import matrix


@pytest.fixture(scope="module")
def scenes():
    return synthetic.scenes(subjects=2, clips_per_subject=3, frames=(9, 14), size=(32, 32))


@pytest.fixture(scope="module")
def clips(scenes):
    return [scene.clip for scene in scenes]


@pytest.mark.slow
def test_strcn_a_is_the_formula_written_out(clips):
    size, num_pixels = (32, 32), 102
    examples = methods.create("strcn_a", clips, size=size, length=7, mask_fraction=0.1, alpha=8.0)
    assert examples.input_shape == (num_pixels, 7, 3)
    weights = np.array([1, 1, 0, 0, 1, 0], np.float32)
    pixels = np.asarray(examples.fit_statistics(examples.inputs, jnp.asarray(weights)))
    heat = np.zeros(size)
    moved = []
    for clip, weight in zip(clips, weights):
        frames = jnp.asarray(clip.frames, jnp.float32) / 255
        moved.append(np.asarray(magnify(frames, alpha=8.0, saturate=False), np.float64))
        heat += weight * np.abs(moved[-1] - moved[-1][0]).sum((0, 3))
    best = set(np.argsort(-heat.ravel(), kind="stable")[:num_pixels])
    assert len(best ^ set(pixels)) <= 2  # rounding may exchange the last pixel
    row = jax.tree.map(lambda a: a[4], examples.inputs)
    want = np.einsum(
        "st,tpc->psc",
        matrix(len(moved[4]), 7).astype(np.float64),
        moved[4].reshape(len(moved[4]), -1, 3)[:, pixels],
    )
    np.testing.assert_allclose(examples.eval_transform(row, pixels), want, atol=2e-5)


def test_a_test_clip_cannot_move_the_mask(clips):
    other = list(clips)
    wild = np.random.default_rng(0).integers(0, 255, clips[5].frames.shape, np.uint8)
    other[5] = Clip("synthetic", "x", "wild", in_memory(wild), "anger")
    weights = jnp.asarray([1.0, 1, 1, 1, 1, 0])
    masks = []
    for these in (clips, other):
        examples = methods.create("strcn_a", these, size=(32, 32), mask_fraction=0.1)
        masks.append(np.asarray(examples.fit_statistics(examples.inputs, weights)))
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("name", ["strcn_a", "mer_rcnn"])
def test_augmentation_draws_alpha_and_frames_and_plain_settings_draw_nothing(name, clips):
    small = {"num_pixels": 100} if name == "mer_rcnn" else {"mask_fraction": 0.1}
    plain = {"percents": (100,)} | (
        {"kernels": ("bicubic",)} if name == "mer_rcnn" else {"alphas": (8.0,)}
    )
    row = lambda e: jax.tree.map(lambda a: a[0], e.inputs)
    free = methods.create(name, clips, size=(32, 32), length=6, **small)
    bound = methods.create(name, clips, size=(32, 32), length=6, **small, **plain)
    statistics = free.fit_statistics(free.inputs, jnp.ones(len(clips)))
    a, b = (free.augment(jax.random.key(k), row(free), statistics) for k in (0, 1))
    assert a.shape == free.input_shape and float(jnp.abs(a - b).max()) > 1e-4
    same = bound.augment(jax.random.key(0), row(bound), statistics)
    np.testing.assert_allclose(same, bound.eval_transform(row(bound), statistics), atol=1e-6)


def test_padding_of_shorter_clips_changes_nothing(clips):
    together = methods.create("mer_rcnn", clips, size=(32, 32), num_pixels=100, length=6)
    shortest = min(range(len(clips)), key=lambda i: len(clips[i].frames))
    alone = methods.create("mer_rcnn", [clips[shortest]], size=(32, 32), num_pixels=100, length=6)
    row = lambda e, i: jax.tree.map(lambda a: a[i], e.inputs)
    np.testing.assert_allclose(
        together.eval_transform(row(together, shortest), ()),
        alone.eval_transform(row(alone, 0), ()),
        atol=2e-6,
    )


@pytest.mark.slow
def test_strcn_g_flows_from_onset_to_the_apex_of_the_magnified_clip(clips):
    options = {"size": (32, 32), "preset": "horn_schunck"}
    examples = methods.create("strcn_g", clips[:2], alphas=(5, 8), percents=(100, 60), **options)
    assert examples.inputs.shape == (2, 1 + 4, 32, 32, 2)
    frames = jnp.asarray(clips[0].frames, jnp.float32) / 255
    assert (clips[0].onset, clips[0].offset) != (0, len(frames) - 1)  # other frames do not count
    moved = magnify(frames, alpha=8.0)[clips[0].onset : clips[0].offset + 1]
    want = optical_flow(moved[0], moved[apex_index(moved)], preset="horn_schunck")
    seen = examples.eval_transform(examples.inputs[0], ())
    np.testing.assert_allclose(seen, want, atol=5e-3)
    drawn = examples.augment(jax.random.key(0), examples.inputs[0], ())
    assert any(bool((drawn == variant).all()) for variant in examples.inputs[0, 1:])


@pytest.mark.slow
def test_flow_maps_follow_the_true_motion(scenes, clips):
    examples = methods.create("flow_maps", clips, size=(16, 16), preset="tv_l1")
    assert examples.inputs.shape == (6, 16, 16, 3)
    for scene, got in zip(scenes, np.asarray(examples.inputs)):
        truth = np.asarray(scene.flow(scene.apex, scene.onset))
        truth = truth.reshape(16, 2, 16, 2, 2).mean((1, 3))
        if np.abs(truth).max() > 0.5:
            assert np.corrcoef(truth.ravel(), got[..., :2].ravel())[0, 1] > 0.5


def test_stored_maps_are_taken_as_they_are():
    picture = np.random.default_rng(0).integers(0, 255, (1, 28, 28, 3), np.uint8)
    stored = [
        Clip("db", "s", f"c{i}", in_memory(picture), "positive", content="flow") for i in "ab"
    ]
    examples = methods.create("flow_maps", stored)
    np.testing.assert_allclose(examples.inputs[0], picture[0], atol=1e-4)
    unit = methods.create("flow_maps", stored, flow_scale=255.0)
    np.testing.assert_allclose(unit.inputs, examples.inputs / 255, rtol=1e-6)
    swapped = methods.create("flow_maps", stored, channels=("strain", "u"))
    np.testing.assert_allclose(swapped.inputs[1], picture[0][..., [2, 0]], atol=1e-4)
    with pytest.raises(UserError, match="needs videos"):
        methods.create("strcn_a", stored)


def test_regions_are_the_four_windows_of_htnets_code():
    """Its slices, written out, around its default points: x is taken for the row there."""
    draw = np.random.default_rng(0)
    maps = draw.integers(0, 256, (2, 1, 28, 28, 3)).astype(np.uint8)
    stored = [
        Clip("db", "s", f"c{n}", in_memory(each), "x", content="flow")
        for n, each in enumerate(maps)
    ]
    found = methods.create("flow_maps", stored, regions="htnet").inputs
    cut = lambda x, y: maps[:, 0, x - 7 : x + 7, y - 7 : y + 7]
    above = np.concatenate([cut(9, 11), cut(21, 10)], 2)
    below = np.concatenate([cut(10, 21), cut(20, 21)], 2)
    np.testing.assert_allclose(found, np.concatenate([above, below], 1), atol=1e-4)
    upright = methods.create("flow_maps", stored, regions="upright").inputs
    np.testing.assert_allclose(upright[:, :14, :14], maps[:, 0, 4:18, 2:16], atol=1e-4)


def test_mistakes_are_one_sentence(clips):
    with pytest.raises(UserError, match="did you mean 'strcn_a'"):
        methods.create("strcna", clips)
    with pytest.raises(
        UserError,
        match=r"method\.length is 2147483648; .* at most 100000",
    ):
        methods.create("stcnn", [], length=2**31)
    with pytest.raises(UserError, match="did you mean 'mask_fraction'"):
        methods.create("strcn_a", clips, mask_fractions=0.1)
    with pytest.raises(UserError, match=r"method\.channels 'w'"):
        methods.create("flow_maps", clips, channels=("w",))
    uneven = [clips[0], Clip("d", "s", "c", in_memory(np.zeros((9, 20, 20, 3), np.uint8)), "x")]
    with pytest.raises(UserError, match=r"crop the clips to one size"):
        stack(uneven)


def mean_of_all(clips):
    return _centered(clips, lambda inputs, weights: inputs.mean(0))


def mean_of_training(clips):
    return _centered(clips, lambda inputs, weights: weights @ inputs / weights.sum())


def _centered(clips, fit_statistics):
    inputs = np.stack([np.float32([clip.frames.mean(), clip.frames.std()]) for clip in clips])
    return methods.Examples(inputs, fit_statistics, input_shape=(2,))


def test_statistics_of_an_own_method_that_read_test_clips_are_refused(clips):
    methods.create(f"{__name__}:mean_of_training", clips)
    with pytest.raises(UserError, match="mean_of_all: fit_statistics depends on clips whose weig"):
        methods.create(f"{__name__}:mean_of_all", clips)
