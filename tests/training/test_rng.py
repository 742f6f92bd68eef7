import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.training import rng


@pytest.mark.parametrize("repeats_per_epoch", [1, 3])
@pytest.mark.parametrize("held_out", [[], [0, 4, 5], list(range(20))])
def test_an_epoch_visits_each_training_clip_as_often_as_asked(held_out, repeats_per_epoch):
    train = np.ones(23, bool)
    train[held_out] = False
    steps, batch_size = rng.steps_and_batch_size(23, 8, repeats_per_epoch)
    index, mask = rng.shuffled(
        jax.random.key(1),
        jnp.asarray(train),
        steps=steps,
        batch_size=batch_size,
        repeats_per_epoch=repeats_per_epoch,
    )
    assert index.shape == mask.shape == (steps, batch_size) and batch_size <= 8
    visited = np.bincount(np.asarray(index)[np.asarray(mask) > 0], minlength=23)
    np.testing.assert_array_equal(visited, train * repeats_per_epoch)
    sizes = np.asarray(mask).sum(1)
    assert sizes.max() - sizes.min() <= 1


def test_padding_rows_hold_training_clips_too():
    train = np.ones(10, bool)
    train[:5] = False
    index, _ = rng.shuffled(jax.random.key(0), jnp.asarray(train), steps=2, batch_size=5)
    assert set(np.asarray(index).ravel()) <= set(range(5, 10))


def test_epochs_differ_and_folds_differ_and_nothing_else_does():
    train = jnp.ones(50, bool)
    draw = lambda key: np.asarray(rng.shuffled(key, train, steps=5, batch_size=10)[0])
    a = rng.fold_key(0, "casme2/sub01")
    assert (draw(a) == draw(rng.fold_key(0, "casme2/sub01"))).all()
    for other in (
        rng.fold_key(0, "casme2/sub02"),
        rng.fold_key(1, "casme2/sub01"),
        rng.fold_in_name(a, "batches"),
    ):
        assert (draw(a) != draw(other)).any()


def test_balanced_batches_draw_every_class_alike_and_no_held_out_clip():
    labels = jnp.asarray([0] * 90 + [1] * 9 + [2])
    train = jnp.ones(100, bool).at[:10].set(False)
    index, _ = rng.balanced(
        jax.random.key(0), train, labels, num_classes=3, steps=100, batch_size=60
    )
    assert np.asarray(index).min() >= 10
    share = np.bincount(np.asarray(labels)[np.asarray(index).ravel()]) / index.size
    np.testing.assert_allclose(share, 1 / 3, atol=0.03)


@pytest.mark.parametrize("held_out", [[], [0, 4, 5], list(range(14))])
def test_sequential_batches_are_those_of_a_loader_that_does_not_shuffle(held_out):
    """Against a list that is sorted and cut: full batches, a short one, then empty ones."""
    labels, train = np.arange(23) * 7 % 3, np.ones(23, bool)
    train[held_out] = False
    size = rng.steps_and_batch_size(23, 8, 1, sampler="sequential")
    index, mask = rng.sequential(
        jnp.asarray(train), jnp.asarray(labels), steps=size[0], batch_size=size[1]
    )
    files = sorted(np.flatnonzero(train).tolist(), key=lambda clip: (labels[clip], clip))
    wanted = [files[at : at + 8] for at in range(0, 24, 8)]
    found = [row[real > 0].tolist() for row, real in zip(np.asarray(index), np.asarray(mask))]
    assert found == wanted
    assert train[np.asarray(index)].all()
