import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics

from mer_jax.io import saving
from mer_jax.metrics.summary import summary
from tests.metrics.examples import predictions


def test_scores_of_the_whole_and_of_each_database():
    record = predictions()
    found = summary(record, protocol="loso", draws=50)
    assert found["protocol"] == {"name": "loso", "folds": 12, "subjects": 12, "clips": 60}
    parts = {"overall": record} | record.by_database()
    for name, part in parts.items():
        shown = found["overall"] if name == "overall" else found["databases"][name]
        predicted = part.predicted
        expected = metrics.f1_score(part.label, predicted, labels=range(3), average="macro")
        assert shown["uf1"]["value"] == pytest.approx(expected, abs=1e-12)
        assert shown["uf1"]["low"] <= shown["uf1"]["high"]
        assert shown["clips"] == len(part)
    recall = metrics.recall_score(record.label, record.predicted, average=None)
    assert [found["per_class"][name]["recall"] for name in record.classes] == pytest.approx(recall)


def test_a_job_without_leaks_is_strict():
    found = summary(predictions(), protocol="loso", draws=5)
    assert found["verdict"] == {"strict": True, "leaks": []}
    leak = {"reason": "epoch"}
    found = summary(predictions(), protocol="loso", leaks=[leak], draws=5)
    assert found["verdict"] == {"strict": False, "leaks": [leak]}


def test_inflation_is_published_minus_strict():
    strict = predictions(skill=1.0)
    probabilities = strict.probabilities + 0.5 * np.eye(3, dtype=np.float32)[strict.label]

    published = dataclasses.replace(strict, probabilities=probabilities)
    leaks = [{"reason": "epoch"}, {"reason": "subjects"}]
    found = summary(
        published, protocol="loso", leaks=leaks, strict=strict, remaining_leaks=leaks[1:], draws=20
    )
    assert found["inflation"]["removed_leaks"] == leaks[:1]
    assert found["inflation"]["remaining_leaks"] == leaks[1:]
    gap = found["overall"]["uf1"]["value"] - found["inflation"]["strict"]["uf1"]["value"]
    assert found["inflation"]["difference"]["uf1"] == pytest.approx(gap, abs=1e-12)
    assert gap > 0


def test_last_epochs_weigh_folds_by_their_clips():
    record = predictions()
    names, matrices = record.by_fold()
    curve = np.random.default_rng(0).uniform(size=(12, 14))
    history = {"folds": names[::-1], "epochs": np.arange(14), "test_accuracy": curve}
    found = summary(record, protocol="loso", history=history, draws=5)["last_epochs"]
    weights = matrices.sum((1, 2))[::-1]
    expected = (weights @ curve[:, -10:] / weights.sum()).mean()
    assert found["mean"] == pytest.approx(expected, abs=1e-12)


def test_metrics_json_is_plain_json(tmp_path):
    found = summary(predictions(clips=1), protocol="loso", draws=5)  # NaN: one subject
    path = saving.write_json(tmp_path / "metrics.json", found)
    text = path.read_text()
    assert "NaN" not in text and json.loads(text)["overall"]["uf1"]["low"] is None


def test_repeats_are_scored_one_by_one():
    first, second = predictions(seed=0), predictions(seed=1)
    both = dataclasses.replace(
        first,
        **{
            name: np.concatenate([getattr(first, name), getattr(second, name)])
            for name in ("database", "subject", "clip", "label", "probabilities")
        },
        fold=np.array(["repeat1.part01"] * len(first) + ["repeat2.part01"] * len(second)),
    )
    of_both = summary(both, protocol="k_fold", draws=5)
    assert of_both["protocol"]["clips"] == of_both["overall"]["clips"] == len({*both.keys})
    found = of_both["over_repeats"]
    values = [summary(part, protocol="k_fold", draws=5)["overall"] for part in (first, second)]
    for name in ("uf1", "uar", "accuracy"):
        each = [value[name]["value"] for value in values]
        assert found[name]["mean"] == pytest.approx(np.mean(each), abs=1e-12)
        assert found[name]["std"] == pytest.approx(np.std(each, ddof=1), abs=1e-12)
    assert "over_repeats" not in summary(first, protocol="k_fold", draws=5)
