import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import methods
from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError
from mer_jax.video.resample import matrix
from mer_jax.video.rpca import rpca

RNG = np.random.default_rng(0)
OPTIONS = {"size": (16, 16), "length": 24, "frames": 5}
STAY = [0, 6, 12, 18, 23]


def clip(name, frames, channels=1):
    """A still, noisy picture on which a patch moves."""
    still = RNG.integers(60, 180, (16, 16, channels))
    video = (still + RNG.integers(0, 9, (frames, 16, 16, channels))).astype(np.uint8)
    for t in range(frames):
        video[t, 3 : 4 + t % 9, 5:9] += RNG.integers(0, 60, dtype=np.uint8)
    return Clip("db", "s", name, in_memory(video), "anger")


@pytest.fixture(scope="module")
def clips():
    return [clip(name, frames) for name, frames in (("a", 9), ("b", 14), ("c", 11), ("d", 9))]


@pytest.fixture(scope="module")
def examples(clips):
    return methods.create("psn", clips, **OPTIONS)


def row(examples, number):
    return jax.tree.map(lambda a: a[number], examples.inputs)


def test_grey_and_sparse_are_the_formulas_written_out(clips, examples):
    weights = jnp.asarray([1.0, 0, 1, 0])
    seen = examples.eval_transform(
        row(examples, 1), examples.fit_statistics(examples.inputs, weights)
    )
    frames = clips[1].frames.astype(np.float32) / 255
    long = np.einsum("st,thwc->shwc", matrix(len(frames), 24), frames)
    np.testing.assert_allclose(seen["gray"], long[STAY], atol=1e-5)
    _, sparse = rpca(jnp.asarray(long.reshape(24, -1).T))
    sparse = np.asarray(sparse).T[STAY]
    least = np.quantile(np.abs(sparse[sparse != 0]), 0.7)
    kept = np.where(np.abs(sparse) >= least, sparse, 0)
    squares = np.asarray(examples.inputs["sparse"])[[0, 2]] ** 2
    want = kept.reshape(5, 16, 16, 1) / np.sqrt(squares.mean())
    away = np.abs(np.asarray(seen["sparse"]) - want) > 1e-2
    assert away.mean() < 0.01  # at the quantile rounding decides


def test_the_papers_frames_are_sampled():
    long = clip("long", 150, channels=3)
    made = methods.create("psn", [long], size=(16, 16), length=150, frames=16, split="frames")
    gray = long.frames @ np.float32([0.299, 0.587, 0.114]) / 255
    want = gray[[*range(0, 150, 10), 149]]
    np.testing.assert_allclose(made.inputs["gray"][0, ..., 0], want, atol=2e-3)


def test_the_band_keeps_the_share_it_names(clips):
    """Of what is not 0: at a high price of E that is a part of it only."""
    options = OPTIONS | {"split": "frames", "lam": 0.09}
    made = lambda low, high: methods.create("psn", clips[:1], low=low, high=high, **options)
    whole = np.asarray(made(0.0, 1.0).inputs["sparse"])
    count = (whole != 0).sum()
    assert 0.1 < count / whole.size < 0.9
    for low, high in ((0.9, 1.0), (0.2, 0.5)):
        kept = np.asarray(made(low, high).inputs["sparse"])
        least, most = np.quantile(np.abs(whole[whole != 0]), (low, high))
        assert abs((kept != 0).sum() - (high - low) * count) <= 1
        sizes = np.abs(kept[kept != 0])
        assert sizes.min() == pytest.approx(least, rel=0.05)
        assert sizes.max() == pytest.approx(most, rel=0.05)


def test_a_test_clip_has_no_say_in_the_scale(examples):
    weights = jnp.asarray([1.0, 1, 1, 0])
    statistics = examples.fit_statistics(examples.inputs, weights)
    for square in (1e6, jnp.nan):  # NaN: a clip that RPCA cannot take apart
        inputs = examples.inputs | {
            "square": jnp.asarray(examples.inputs["square"]).at[3].set(square)
        }
        np.testing.assert_array_equal(examples.fit_statistics(inputs, weights), statistics)


def test_augmentation_turns_both_inputs_and_all_frames_alike(clips):
    made = methods.create("psn", clips[:1], rotation=0.0, **OPTIONS)
    sample, statistics = row(made, 0), jnp.ones(())
    plain = made.eval_transform(sample, statistics)
    flipped = 0
    for number in range(8):
        got = made.augment(jax.random.key(number), sample, statistics)
        assert jax.tree.map(jnp.shape, got) == jax.tree.map(jnp.shape, plain)
        rotate = bool(jnp.allclose(got["gray"], plain["gray"][:, :, ::-1], atol=1e-6))
        want = {k: v[:, :, ::-1] if rotate else v for k, v in plain.items()}
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, want)
        flipped += rotate
    assert 0 < flipped < 8


@pytest.mark.parametrize(
    "options, told", [({"split": "clip"}, r"method\.split"), ({"frames": 30}, r"method\.frames")]
)
def test_mistakes_are_one_sentence(clips, options, told):
    with pytest.raises(UserError, match=told):
        methods.create("psn", clips, **(OPTIONS | options))
