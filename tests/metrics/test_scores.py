import warnings

import numpy as np
import pytest
from sklearn import metrics

from mer_jax.errors import UserError
from mer_jax.metrics.scores import (
    OVERALL,
    alternative_scores,
    majority,
    mean_of_folds,
    scores,
)


def matrix_of(labels, predicted, k):
    return metrics.confusion_matrix(labels, predicted, labels=range(k))


def drawn(seed, k, count, *, labels=None, predicted=None):
    """Rows from the given classes only, so that the others are absent or never predicted."""
    rng = np.random.default_rng(seed)
    return (
        rng.choice(range(k) if labels is None else labels, size=count),
        rng.choice(range(k) if predicted is None else predicted, size=count),
    )


CASES = {
    "all classes": drawn(0, 3, 50),
    "absent class": drawn(1, 4, 40, labels=[0, 1, 3]),
    "absent and never predicted": drawn(2, 5, 40, labels=[0, 1, 3], predicted=[0, 1, 3]),
    "never predicted": drawn(3, 4, 40, predicted=[1, 2]),
    "one class": drawn(4, 3, 20, labels=[2], predicted=[2]),
    "one clip, wrong": (np.array([1]), np.array([0])),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_scikit_learn(case):
    labels, predicted = CASES[case]
    k = 5
    found = scores(matrix_of(labels, predicted, k))
    every = {"labels": range(k), "zero_division": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": metrics.accuracy_score(labels, predicted),
            "uar": metrics.balanced_accuracy_score(labels, predicted),
            "uf1": metrics.f1_score(labels, predicted, average="macro", **every),
            "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
            "micro_f1": metrics.f1_score(labels, predicted, average="micro", **every),
            "f1": metrics.f1_score(labels, predicted, average=None, **every),
        }
        undefined = {"labels": range(k), "average": None, "zero_division": np.nan}
        expected["precision"] = metrics.precision_score(labels, predicted, **undefined)
        expected["recall"] = metrics.recall_score(labels, predicted, **undefined)
        expected["tnr"] = np.array(
            [
                metrics.recall_score(labels != c, predicted != c, zero_division=np.nan)
                for c in range(k)
            ]
        )
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(found["tpr"], found["recall"])
    np.testing.assert_array_equal(found["support"], np.bincount(labels, minlength=k))
    np.testing.assert_allclose(found["macro_tnr"], np.nanmean(expected["tnr"]), atol=1e-12)


def test_hand_worked_matrix():
    matrix = [[3, 1, 0], [1, 2, 1], [0, 0, 2]]  # rows 4, 4, 2; columns 4, 3, 3; 10 clips
    found = scores(matrix)
    np.testing.assert_allclose(found["recall"], [3 / 4, 2 / 4, 2 / 2], atol=1e-12)
    np.testing.assert_allclose(found["precision"], [3 / 4, 2 / 3, 2 / 3], atol=1e-12)
    np.testing.assert_allclose(found["f1"], [6 / 8, 4 / 7, 4 / 5], atol=1e-12)
    np.testing.assert_allclose(found["tnr"], [5 / 6, 5 / 6, 7 / 8], atol=1e-12)
    assert found["uf1"] == pytest.approx((6 / 8 + 4 / 7 + 4 / 5) / 3, abs=1e-12)
    assert found["uar"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3, abs=1e-12)
    assert found["accuracy"] == pytest.approx(0.7, abs=1e-12)
    assert found["micro_f1"] == pytest.approx(0.7, abs=1e-12)


def test_published_log_scores_as_recomputed():
    """The pooled counts of the log that STSTNet's authors published: UF1 is the paper's .7353; the
    .7605 that it prints as UAR is macro precision, the UAR of the same counts is .7186."""
    counts = [[219, 22, 9], [40, 62, 7], [21, 3, 59]]
    found = scores(counts)
    assert round(float(found["uf1"]), 4) == 0.7353
    assert round(float(found["uar"]), 4) == 0.7186
    listed = alternative_scores([counts])
    assert round(listed['macro precision, printed as "UAR"'], 4) == 0.7605


def test_a_published_confusion_matrix_of_five_classes():
    """sandeshraop/MicroExpressionDetectionusingCNN prints these with its matrix (CASME II)."""
    found = scores([[31, 0, 0, 0, 3], [1, 22, 0, 0, 2], [2, 0, 53, 0, 7], [3, 0, 1, 23, 0],
                    [8, 1, 7, 0, 90]])  # fmt: skip
    assert float(found["uf1"]) == pytest.approx(0.8697300053039478, abs=1e-15)
    assert float(found["uar"]) == pytest.approx(0.8695023742370418, abs=1e-15)
    assert float(found["accuracy"]) == pytest.approx(0.8622047244094488, abs=1e-15)


def test_absent_class_counts_for_uf1_only():
    found = scores([[2, 0, 0], [0, 2, 0], [0, 0, 0]])  # the third neither occurs nor is predicted
    assert found["uf1"] == pytest.approx(2 / 3, abs=1e-12)
    assert found["macro_f1"] == found["uar"] == found["accuracy"] == 1
    assert np.isnan(found["recall"][2]) and np.isnan(found["precision"][2]) and found["f1"][2] == 0


def test_empty_fold_has_no_score():
    found = scores(np.zeros((3, 3)))
    assert all(np.isnan(found[name]) for name in OVERALL)
    np.testing.assert_array_equal(found["support"], 0)


def test_many_matrices_at_once_equal_one_by_one():
    many = np.random.default_rng(0).integers(4, size=(2, 7, 3, 3))
    many[0, 0] = 0
    together = scores(many)
    for index in np.ndindex(2, 7):
        for name, value in scores(many[index]).items():
            np.testing.assert_array_equal(together[name][index], value)


def test_majority_says_the_most_frequent_class():
    matrix = [[1, 2, 3], [4, 0, 0], [1, 1, 0]]  # support 6, 4, 2
    expected = scores([[6, 0, 0], [4, 0, 0], [2, 0, 0]])
    assert majority(matrix) == {name: expected[name] for name in ("uf1", "uar", "accuracy")}
    assert majority(matrix)["uar"] == pytest.approx(1 / 3, abs=1e-12)


FOLDS = [drawn(seed, 3, 12, labels=labels) for seed, labels in enumerate(([0, 1], [0, 1, 2], [2]))]


def test_mean_of_folds_as_scikit_learn_fold_by_fold():
    matrices = np.stack([matrix_of(*fold, 3) for fold in FOLDS] + [np.zeros((3, 3), int)])
    dropped = mean_of_folds(matrices, absent_as_zero=False)
    zero = mean_of_folds(matrices, absent_as_zero=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = {"average": "macro", "labels": range(3), "zero_division": 0.0}
        expected_dropped = {
            "uf1": np.mean([metrics.f1_score(*fold, average="macro") for fold in FOLDS]),
            "uar": np.mean([metrics.balanced_accuracy_score(*fold) for fold in FOLDS]),
        }
        expected_zero = {
            "uf1": np.mean([metrics.f1_score(*fold, **every) for fold in FOLDS]),
            "uar": np.mean([metrics.recall_score(*fold, **every) for fold in FOLDS]),
        }
        recall = np.mean([metrics.recall_score(*fold, average="macro") for fold in FOLDS])
    name = "UAR, mean of folds, absent classes dropped unless predicted"
    assert alternative_scores(matrices)[name] == pytest.approx(recall, abs=1e-12)
    assert dropped == pytest.approx(expected_dropped, abs=1e-12)
    assert zero == pytest.approx(expected_zero, abs=1e-12)


def test_alternative_scores_as_scikit_learn():
    labels, predicted = np.concatenate(FOLDS, axis=1)
    precision = metrics.precision_score(labels, predicted, average="macro")
    recall = metrics.recall_score(labels, predicted, average="macro")
    listed = alternative_scores(np.stack([matrix_of(*fold, 3) for fold in FOLDS]))
    assert listed['macro precision, printed as "UAR"'] == pytest.approx(precision, abs=1e-12)
    assert listed["F1 of macro precision and macro recall"] == pytest.approx(
        2 * precision * recall / (precision + recall), abs=1e-12
    )
    assert listed["F1 weighted by support"] == pytest.approx(
        metrics.f1_score(labels, predicted, average="weighted"), abs=1e-12
    )
    assert len(listed) == 9
    never = alternative_scores(np.array([[[3, 0], [2, 0]]]))  # the second is not predicted
    expected = metrics.precision_score([0] * 3 + [1] * 2, [0] * 5, average="macro", zero_division=0)
    assert never['macro precision, printed as "UAR"'] == pytest.approx(expected, abs=1e-12) == 0.3


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float16])
def test_narrow_counts_do_not_overflow(dtype):
    matrix = np.full((3, 3), 100, dtype)
    wide = matrix.astype(int)
    for score in (scores, majority, lambda m: alternative_scores(m[None].repeat(700, 0))):
        narrow, expected = score(matrix), score(wide)
        for name in expected:
            np.testing.assert_allclose(narrow[name], expected[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones(3), r"shape \(3,\)"),
        ([[1, -1], [0, 1]], "a negative number"),
        ([[1, np.nan], [0, 1]], "NaN"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(matrix, text):
    with pytest.raises(UserError, match=text):
        scores(matrix)
