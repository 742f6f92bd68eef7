"""Several labels a clip: scores as scikit-learn has them, matrices that merge, files."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from mer_jax import metrics
from mer_jax.errors import UserError
from mer_jax.metrics import intervals, multilabel, summary
from mer_jax.reporting import outputs
from mer_jax.reporting.log_scores import score_log

RNG = np.random.default_rng(3)
UNITS = ("AU1", "AU2", "AU4", "AU12")
TRUE = (RNG.uniform(size=(60, 4)) < [0.5, 0.3, 0.1, 0.4]).astype(int)
CHANCE = np.clip(0.6 * TRUE + RNG.uniform(0, 0.6, TRUE.shape), 0, 1)
PREDICTED = (CHANCE > 0.5).astype(int)
ROWS = {
    "database": np.repeat(["a", "b"], 30),
    "subject": np.repeat([f"s{i}" for i in range(12)], 5),
    "clip": np.array([f"c{i}" for i in range(60)]),
    "fold": np.repeat(["a", "b"], 30),
}
RECORD = multilabel.from_arrays(ROWS, UNITS, TRUE, CHANCE)


def test_scores_are_those_of_scikit_learn():
    found = multilabel.scores(RECORD.confusion())
    close = dict(rtol=0, atol=1e-12)
    each = sklearn_metrics.f1_score(TRUE, PREDICTED, average=None)
    np.testing.assert_allclose(found["f1"], each, **close)
    np.testing.assert_allclose(found["uf1"], each.mean(), **close)
    np.testing.assert_allclose(
        found["micro_f1"], sklearn_metrics.f1_score(TRUE, PREDICTED, average="micro"), **close
    )
    np.testing.assert_allclose(
        found["precision"], sklearn_metrics.precision_score(TRUE, PREDICTED, average=None), **close
    )
    recall = sklearn_metrics.recall_score(TRUE, PREDICTED, average=None)
    np.testing.assert_allclose(found["recall"], recall, **close)
    np.testing.assert_allclose(found["uar"], recall.mean(), **close)
    np.testing.assert_allclose(
        found["accuracy"], 1 - sklearn_metrics.hamming_loss(TRUE, PREDICTED), **close
    )
    np.testing.assert_allclose(
        found["tnr"], sklearn_metrics.recall_score(1 - TRUE, 1 - PREDICTED, average=None), **close
    )
    assert found["support"].tolist() == TRUE.sum(0).tolist()


def test_what_is_0_over_0():
    absent = np.zeros((2, 2, 2))
    absent[:, 0, 0] = (5, 3)  # neither occurs nor is predicted
    absent[1, 1] = (1, 1)
    found = multilabel.scores(absent)
    assert found["f1"].tolist() == [0.0, pytest.approx(2 / 3)]
    assert found["uf1"] == pytest.approx(1 / 3) and found["macro_f1"] == pytest.approx(2 / 3)
    assert np.isnan(found["recall"][0]) and found["uar"] == 0.5
    empty = multilabel.scores(np.zeros((3, 2, 2)))
    assert all(np.isnan(empty[name]) for name in ("uf1", "uar", "accuracy", "micro_f1"))


@pytest.mark.parametrize(
    ("labels", "probabilities", "text"),
    [
        (TRUE[:, :3], CHANCE, "are not \\[R, K\\] of 4 classes"),
        (TRUE, CHANCE[:, :3], "are not \\[R, K\\] of 4 classes"),
        (TRUE[:, :3], CHANCE[:, :3], "are not \\[R, K\\] of 4 classes"),
        (TRUE * 0.5, CHANCE, "must be 0 or 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, probabilities, text):
    with pytest.raises(UserError, match=text):
        multilabel.from_arrays(ROWS, UNITS, labels, probabilities)


def test_matrices_merge_by_addition():
    names, people = RECORD.by_subject()
    assert names[:1] == ("a/s0",) and people.shape == (12, 4, 2, 2)
    np.testing.assert_array_equal(people.sum(0), RECORD.confusion())
    parts = RECORD.by_database()
    np.testing.assert_array_equal(sum(p.confusion() for p in parts.values()), RECORD.confusion())


def test_a_summary_has_each_unit_and_the_mean_over_databases():
    found = summary(RECORD, protocol="leave_one_database_out", draws=40)
    assert found["overall"]["uf1"]["value"] == pytest.approx(
        sklearn_metrics.f1_score(TRUE, PREDICTED, average="macro"), abs=1e-12
    )
    assert list(found["per_class"]) == list(UNITS) and found["multi_label"]
    halves = [
        sklearn_metrics.f1_score(TRUE[r], PREDICTED[r], average="macro")
        for r in (slice(30), slice(30, 60))
    ]
    mean = found["alternative_scores"]["UF1, mean of folds (CD6ME: of databases)"]
    assert mean == pytest.approx(np.mean(halves), abs=1e-12)
    drawn = intervals.resampled(RECORD.by_subject()[1], draws=40)
    low, high = intervals.percentile(multilabel.scores(drawn)["uf1"])
    assert (found["overall"]["uf1"]["low"], found["overall"]["uf1"]["high"]) == (low, high)
    common = TRUE.mean(0) > 0.5
    right = np.where(common, TRUE.mean(0), 1 - TRUE.mean(0)).mean()
    assert found["majority"]["accuracy"] == pytest.approx(right, abs=1e-12)


def test_the_files_are_read_by_every_tool(tmp_path):
    sets = outputs.write_predictions(tmp_path, RECORD)
    again = metrics.read(tmp_path / "predictions.csv")
    assert again.keys == sets.keys and (again.correct == (TRUE == PREDICTED).all(1)).all()
    first = "+".join(name for name, here in zip(UNITS, TRUE[0]) if here) or "none"
    assert again.classes[again.label[0]] == first
    for k, name in enumerate(UNITS):
        unit = metrics.read(tmp_path / "units" / f"{name}.csv")
        assert (unit.label == TRUE[:, k]).all()
        np.testing.assert_allclose(unit.probabilities[:, 1], CHANCE[:, k], atol=1e-6)
        found = sklearn_metrics.f1_score(TRUE[:, k], PREDICTED[:, k], average="macro")
        assert score_log(unit)["overall"]["uf1"]["value"] == pytest.approx(found, abs=1e-12)
