import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from mer_jax.errors import UserError
from mer_jax.metrics import intervals, multilabel
from mer_jax.metrics.predictions import Predictions
from tests.metrics.examples import predictions


def sklearn_scores(label, predicted):
    every = {"labels": range(3), "average": "macro", "zero_division": 0.0}
    return {
        "uf1": metrics.f1_score(label, predicted, **every),
        "uar": metrics.balanced_accuracy_score(label, predicted),
        "accuracy": metrics.accuracy_score(label, predicted),
    }


def literal_draws(record, *, draws, seed):
    """Subject after subject, clip after clip: the rows of each draw."""
    people = list(dict.fromkeys(record.subjects))
    rng = np.random.default_rng(seed)
    for chosen in rng.integers(len(people), size=(draws, len(people))):
        rows = []
        for index in chosen:
            rows += [row for row, who in enumerate(record.subjects) if who == people[index]]
        yield np.array(rows)


def test_bootstrap_equals_a_literal_loop():
    record = predictions()
    found = intervals.bootstrap(record.by_subject()[1], draws=60, seed=3)
    values = [
        sklearn_scores(record.label[rows], record.predicted[rows])
        for rows in literal_draws(record, draws=60, seed=3)
    ]
    for name in ("uf1", "uar", "accuracy"):
        expected = np.quantile([value[name] for value in values], [0.025, 0.975])
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)


def test_same_seed_same_interval_and_value_inside():
    matrices = predictions(clips=200).by_subject()[1]
    first, again = (intervals.bootstrap(matrices, seed=1) for _ in range(2))
    assert first == again != intervals.bootstrap(matrices, seed=2)
    low, high = first["accuracy"]
    total = matrices.sum(0)
    assert low < np.trace(total) / total.sum() < high


@pytest.mark.parametrize("subjects", [0, 1])
def test_nothing_to_resample_has_no_interval(subjects):
    found = intervals.bootstrap(np.ones((subjects, 3, 3)))
    assert np.isnan(found["uf1"]).all()


def test_paired_equals_a_literal_loop():
    first, second = predictions(), other(skill=3.0)
    found = intervals.compare_paired(first, second, draws=40, seed=5)
    before = sklearn_scores(first.label, first.predicted)
    after = sklearn_scores(second.label, second.predicted)
    gains = []
    for rows in literal_draws(first, draws=40, seed=5):
        left = sklearn_scores(first.label[rows], first.predicted[rows])
        right = sklearn_scores(second.label[rows], second.predicted[rows])
        gains.append({name: right[name] - left[name] for name in left})
    for name in before:
        assert found.difference[name] == pytest.approx(after[name] - before[name], abs=1e-12)
        expected = np.quantile([gain[name] for gain in gains], [0.025, 0.975])
        np.testing.assert_allclose(found.interval[name], expected, rtol=0, atol=1e-12)


def other(*, skill, seed=9):
    """Another run on the clips of `predictions()`: other probabilities, rows in another order."""
    first = predictions()
    rng = np.random.default_rng(seed)
    probabilities = rng.uniform(size=(len(first), 3)) + skill * np.eye(3)[first.label] / 3
    fields = (first.database, first.subject, first.clip, first.fold, first.label)
    return Predictions(first.classes, *fields, probabilities.astype(np.float32))


def test_swap_test_equals_every_swap():
    """With few subjects all 2^S swaps can be listed; the drawn p comes close to theirs."""
    first, second = predictions(), other(skill=1.0)
    few = np.isin(first.subjects, sorted(set(first.subjects))[:7])
    first, second = first.take(few), second.take(few)
    people = sorted(set(first.subjects))
    mine = np.array([people.index(who) for who in first.subjects])
    gaps = []
    for swap in itertools.product([False, True], repeat=len(people)):
        swapped = np.array(swap)[mine]
        left = np.where(swapped, second.predicted, first.predicted)
        right = np.where(swapped, first.predicted, second.predicted)
        one, two = sklearn_scores(first.label, left), sklearn_scores(first.label, right)
        gaps.append({name: two[name] - one[name] for name in one})
    found = intervals.compare_paired(first, second, draws=8000, seed=1)
    for name in ("uf1", "uar", "accuracy"):
        all_gaps = np.abs([gap[name] for gap in gaps])
        exact = np.mean(all_gaps >= all_gaps[0] - 1e-12)
        assert found.p_permutation[name] == pytest.approx(exact, abs=0.02)


def test_equal_runs_do_not_differ():
    found = intervals.compare_paired(predictions(), predictions(), draws=50)
    assert set(found.difference.values()) == {0.0} and set(found.p_permutation.values()) == {1.0}
    assert found.p_mcnemar == 1.0


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 5), (5, 1), (7, 7), (3, 20)])
def test_mcnemar_is_the_exact_binomial_test(first, second):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert intervals.mcnemar(first, second) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_of_counts_in_8_bits():
    expected = stats.binomtest(140, 290).pvalue
    assert intervals.mcnemar(np.uint8(140), np.uint8(150)) == pytest.approx(expected, rel=1e-9)


def test_rows_and_classes_in_another_order_are_aligned():
    first = predictions()
    order = np.random.default_rng(0).permutation(len(first))
    shuffled = first.take(order)
    turned = Predictions(
        (first.classes[2], first.classes[0], first.classes[1]),
        *(getattr(shuffled, name) for name in ("database", "subject", "clip", "fold")),
        (shuffled.label + 1) % 3,
        shuffled.probabilities[:, [2, 0, 1]],
    )
    found = intervals.aligned(first, turned)
    np.testing.assert_array_equal(found.probabilities, first.probabilities)
    np.testing.assert_array_equal(found.label, first.label)


def test_equal_probabilities_are_one_prediction_in_any_order_of_classes():
    """Those of a fold that diverged: the first class of its own file."""
    first = predictions()
    order = [2, 0, 1]
    flat = np.full((len(first), 3), 1 / 3, np.float32)
    turned = dataclasses.replace(
        first,
        classes=tuple(first.classes[k] for k in order),
        label=np.argsort(order)[first.label],
        probabilities=flat,
    )
    found = intervals.aligned(first, turned)
    np.testing.assert_array_equal(found.correct, turned.correct)
    np.testing.assert_array_equal(found.predicted, 2)
    np.testing.assert_allclose(found.probabilities, flat, rtol=1e-6)


def test_runs_on_other_clips_labels_or_classes_are_refused():
    first = predictions()
    with pytest.raises(UserError, match="1 only in the first, 0 only in the second"):
        intervals.aligned(first, first.take(np.arange(1, len(first))))
    with pytest.raises(UserError, match="0 only in the first, 1 only in the second"):
        intervals.aligned(first.take(np.arange(1, len(first))), first)
    with pytest.raises(UserError, match="different classes"):
        intervals.aligned(first, predictions(classes=("a", "b", "c")))
    label = first.label.copy()
    label[4] = (label[4] + 1) % 3
    fields = (first.database, first.subject, first.clip, first.fold)
    changed = Predictions(first.classes, *fields, label, first.probabilities)
    with pytest.raises(UserError, match=r"1 clip\(s\) differently"):
        intervals.aligned(first, changed)


def test_clips_that_several_folds_test_are_matched_in_turn():
    first = predictions(clips=10)
    twice = first.take(np.concatenate([np.arange(10), np.arange(10)]))
    np.testing.assert_array_equal(intervals.aligned(twice, twice).label, twice.label)
    with pytest.raises(UserError, match="10 only in the first"):
        intervals.aligned(twice, first)


def test_holm_by_hand():
    # sorted .01 .03 .04 times 3 2 1 is .03 .06 .04; made monotone .03 .06 .06
    assert intervals.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert intervals.holm([0.9, 0.8]) == [1.0, 1.0]
    assert intervals.holm([]) == []
    found = intervals.holm([0.04, np.nan, 0.01, 0.03])  # no test is none of the family
    assert found[::2] == pytest.approx([0.06, 0.03]) and np.isnan(found[1])
    assert found[3] == pytest.approx(0.06)


def test_spread_over_seeds_and_last_epochs():
    assert intervals.mean_and_std([1.0, 2.0, 4.0]) == pytest.approx(
        {"mean": 7 / 3, "std": np.std([1, 2, 4], ddof=1), "count": 3}
    )
    assert np.isnan(intervals.mean_and_std([1.0])["std"])
    curve = np.random.default_rng(0).uniform(size=(3, 25))
    weights = np.array([1.0, 2.0, 5.0])
    pooled = [sum(w * row[e] for w, row in zip(weights, curve)) / 8 for e in range(15, 25)]
    found = intervals.last_epochs(curve, weights=weights)
    assert found["mean"] == pytest.approx(np.mean(pooled), abs=1e-12)
    assert found["std"] == pytest.approx(np.std(pooled, ddof=1), abs=1e-12)
    curve[0, -1] = np.nan
    pooled[-1] = (2 * curve[1, -1] + 5 * curve[2, -1]) / 7
    assert intervals.last_epochs(curve, weights=weights)["mean"] == pytest.approx(np.mean(pooled))


def test_draws_without_a_positive_do_not_count():
    """Of six subjects one has the unit: a third of the draws have no recall of it."""
    matrices = np.zeros((6, 2, 2, 2))
    matrices[:, :, 0, 0] = 5
    matrices[[0, 1], [0, 1], 1, 1] = 3
    found = intervals.bootstrap(matrices, scores=multilabel.scores)
    assert all(np.isfinite(bounds).all() for bounds in found.values()), found


def test_repeated_tests_of_a_clip_are_no_independent_pairs():
    first, second = predictions(), other(skill=3.0)
    twice = np.tile(np.arange(len(first)), 2)
    found = intervals.compare_paired(first.take(twice), second.take(twice), draws=50)
    assert np.isnan(found.p_mcnemar)
    assert not np.isnan(intervals.compare_paired(first, second, draws=50).p_mcnemar)
