import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from mer_jax.errors import UserError
from mer_jax.metrics.confusion import confusion, grouped

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


def test_padding_is_not_counted():
    labels = jnp.array([0, -1, 1, 2])
    said = jnp.array([0, 0, -1, 1])
    np.testing.assert_array_equal(
        confusion(labels, said, num_classes=3), [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint32, np.int64])
def test_any_integer_dtype_over_300_classes(dtype):
    labels, said = (RNG.integers(120, size=40).astype(dtype) for _ in range(2))
    expected = confusion_matrix(labels, said, labels=range(300))
    np.testing.assert_array_equal(confusion(labels, said, num_classes=300), expected)
    in_jit = jax.jit(lambda a, b: confusion(a, b, num_classes=300))
    np.testing.assert_array_equal(in_jit(labels.astype(np.uint8), said.astype(np.int8)), expected)
    np.testing.assert_array_equal(grouped(labels, said, [""] * 40, num_classes=300)[1][0], expected)


@pytest.mark.parametrize(
    ("labels", "said", "text"),
    [
        ([0, 1, 2], [0], r"shapes \(3,\), \(1,\)"),
        ([0, 1, 2], [0, 1], r"shapes \(3,\), \(2,\)"),
        ([[0, 1]], [[0, 1]], r"shapes \(1, 2\)"),
        ([0, 3], [0, 0], r"label 3 is outside 0\.\.2"),
        ([0, 1], [0, -2], r"label -2 is outside 0\.\.2"),
        ([0.0, 0.9], [0, 1], "labels are float64"),
        ([True, False], [0, 1], "labels are bool"),
    ],
)
def test_what_cannot_be_counted_is_refused(labels, said, words):
    for count in (
        lambda: confusion(np.array(labels), np.array(said), num_classes=3),
        lambda: grouped(labels, said, [""] * len(labels), num_classes=3),
    ):
        with pytest.raises(UserError, match=words):
            count()


def test_padding_and_weights_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="label -1 is outside"):
        grouped([0, -1], [0, 0], ["a", "a"], num_classes=2)
    with pytest.raises(UserError, match="shapes"):
        grouped([0, 1], [0, 1], ["a"], num_classes=2)
    with pytest.raises(UserError, match="shapes"):
        confusion(np.array([0, 1]), np.array([0, 1]), num_classes=2, weights=np.ones(1))


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
