import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from mer_jax.errors import UserError
from mer_jax.metrics.confusion import confusion, grouped

RNG = np.random.default_rng(0)
LABELS = RNG.integers(4, size=30)
PREDICTED = RNG.integers(4, size=30)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint32, np.int64])
def test_counts_as_scikit_learn_in_any_integer_dtype(dtype):
    labels, predicted = (RNG.integers(120, size=40).astype(dtype) for _ in range(2))
    expected = confusion_matrix(labels, predicted, labels=range(300))
    found = confusion(labels, predicted, num_classes=300)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("labels", "predicted", "text"),
    [
        ([0, 1, 2], [0], r"shapes \(3,\), \(1,\)"),
        ([0, 1, 2], [0, 1], r"shapes \(3,\), \(2,\)"),
        ([[0, 1]], [[0, 1]], r"shapes \(1, 2\)"),
        ([0, 3], [0, 0], r"label 3 is outside 0\.\.2"),
        ([0, 1], [0, -1], r"label -1 is outside 0\.\.2"),
        ([0.0, 0.9], [0, 1], "labels are float64"),
        ([True, False], [0, 1], "labels are bool"),
    ],
)
def test_what_cannot_be_counted_is_refused(labels, predicted, text):
    with pytest.raises(UserError, match=text):
        confusion(np.array(labels), np.array(predicted), num_classes=3)


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="shapes"):
        grouped([0, 1], [0, 1], ["a"], num_classes=2)


def test_no_row_gives_the_empty_matrix():
    np.testing.assert_array_equal(confusion([], [], num_classes=2), np.zeros((2, 2)))


def test_grouped_equals_one_matrix_a_group():
    groups = RNG.choice(["b", "a", "c"], size=30)
    names, found = grouped(LABELS, PREDICTED, groups, num_classes=4)
    assert names == tuple(dict.fromkeys(groups.tolist()))
    for name, matrix in zip(names, found):
        rows = groups == name
        np.testing.assert_array_equal(
            matrix, confusion(LABELS[rows], PREDICTED[rows], num_classes=4)
        )
