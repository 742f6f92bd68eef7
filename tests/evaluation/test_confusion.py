import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import confusion_matrix

from mer_jax.evaluation.confusion import confusion, grouped

RNG = np.random.default_rng(0)
LABELS = RNG.integers(4, size=(5, 30)).astype(np.int32)
SAID = RNG.integers(4, size=(5, 30)).astype(np.int32)


def test_counts_as_scikit_learn():
    found = confusion(LABELS[0], SAID[0], num_classes=5)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, confusion_matrix(LABELS[0], SAID[0], labels=range(5)))


def test_weights_as_scikit_learn():
    weights = RNG.uniform(size=30).astype(np.float32)
    found = confusion(LABELS[0], SAID[0], num_classes=4, weights=weights)
    expected = confusion_matrix(LABELS[0], SAID[0], labels=range(4), sample_weight=weights)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_folds_under_jit_and_vmap_merge_to_the_pooled_matrix():
    weights = RNG.integers(2, size=(5, 30)).astype(np.float32)

    @jax.jit
    @jax.vmap
    def per_fold(labels, said, weights):
        return confusion(labels, said, num_classes=4, weights=weights)

    found = per_fold(LABELS, SAID, weights).sum(0)
    kept = weights.ravel() > 0
    expected = confusion_matrix(LABELS.ravel()[kept], SAID.ravel()[kept], labels=range(4))
    np.testing.assert_array_equal(found, expected)


def test_rows_outside_the_classes_are_not_counted():
    labels = jnp.array([0, -1, 1, 2, 1])
    said = jnp.array([0, 0, -1, 1, 7])
    np.testing.assert_array_equal(
        confusion(labels, said, num_classes=3), [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    )


def test_no_row_gives_the_empty_matrix():
    empty = jnp.zeros((0,), jnp.int32)
    np.testing.assert_array_equal(confusion(empty, empty, num_classes=2), np.zeros((2, 2)))


def test_grouped_equals_one_matrix_a_group():
    groups = RNG.choice(["b", "a", "c"], size=30)
    names, found = grouped(LABELS[0], SAID[0], groups, num_classes=4)
    assert names == tuple(dict.fromkeys(groups.tolist()))
    for name, matrix in zip(names, found):
        mine = groups == name
        np.testing.assert_array_equal(
            matrix, confusion(LABELS[0][mine], SAID[0][mine], num_classes=4)
        )
