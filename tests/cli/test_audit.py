import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from mer_jax import leakage, metrics
from mer_jax.cli import audit, command
from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError
from mer_jax.io import saving
from mer_jax.reporting import outputs
from mer_jax.training import Settings, fit
from tests.training import small

SETTINGS = Settings(epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The files of a finished job that the audit reads."""
    workdir = tmp_path_factory.mktemp("job")
    examples, labels, folds = small.problem()
    options = small.grouped(devices=jax.devices()[:1], quiet=True)
    (result,) = fit(
        examples, labels, [folds], SETTINGS, num_classes=3, build=small.build, **options
    )
    clips = [
        Clip("toy", f"s{i // 5}", f"c{i}", in_memory(np.zeros((1, 2, 2, 1))), "x")
        for i in range(30)
    ]
    classes = ("a", "b", "c")
    predictions = outputs.collect_predictions(result, clips, labels, classes)
    metrics.write_csv(workdir / "predictions.csv", predictions)
    leakage.save_audit(workdir / "audit.npz", labels, 1, result)
    for name, content in (
        ("config", {"train": dataclasses.asdict(SETTINGS)}),
        ("folds", folds.to_json()),
        ("metrics", metrics.summary(predictions, protocol="loso", draws=5)),
    ):
        saving.write_json(workdir / f"{name}.json", content)
    return workdir


def change(workdir: pathlib.Path, name: str, **values):
    path = workdir / f"{name}.json"
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps(content))


def test_an_honest_job_holds(finished, capsys):
    assert audit.audit(finished) == ([], [])
    assert audit.main(["audit", str(finished)]) == 0 and "strict" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("config", {"seed": 5}, "not those of its seed"),
        ("config", {"model_selection": "best_test"}, "epoch was chosen on its own test clips"),
        ("config", {"init_from": "a run"}, "which was trained on 6 of the test subjects"),
        ("folds", None, "is not a training clip"),
        ("folds", None, "folds.json was changed"),
    ],
)
def test_what_was_changed_afterwards_is_found(name, values, sentence, finished, capsys, tmp_path):
    before = (finished / f"{name}.json").read_text()
    if values and "init_from" in values:
        values = {"init_from": str(shutil.copytree(finished, tmp_path / "earlier"))}
    try:
        if values is None:
            # The first fold now pretends to have tested a clip that it trained on.
            content = json.loads(before)
            fold = content["folds"][0]
            fold["test"].append(fold["train"].pop())
            (finished / "folds.json").write_text(json.dumps(content))
        else:
            change(finished, name, train=dataclasses.asdict(SETTINGS) | values)
        assert audit.main(["audit", str(finished)]) == 1 and sentence in capsys.readouterr().out
    finally:
        (finished / f"{name}.json").write_text(before)


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("metrics.json", '"uf1": {', '"uf1": {"value": 0.9, "was": {', "are not those of predict"),
        ("predictions.csv", None, None, "1 clips have other labels than in training"),
        ("folds.json", '"toy/s1"', '"toy/s0"', "are in two of training, validation and test"),
        ("metrics.json", '"leaks": []', '"leaks": [{"reason": "epoch"}]', "and declares leaks"),
    ],
)
def test_claims_of_the_files_are_derived_again(name, old, new, sentence, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "job")
    path = tmp_path / "job" / name
    if old is None:  # the first clip's label is the next class
        head, first, *rest = path.read_text().splitlines()
        cells = dict(zip(head.split(","), first.split(",")))
        cells["label"] = {"a": "b", "b": "c", "c": "a"}[cells["label"]]
        path.write_text("\n".join([head, ",".join(cells.values()), *rest]))
    elif '"value"' in new:
        content = json.loads(path.read_text())
        content["overall"]["uf1"]["value"] += 1e-6
        path.write_text(json.dumps(content))
    else:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
    found, _ = audit.audit(tmp_path / "job")
    assert any(sentence in each for each in found), found


def test_a_folder_without_a_job_is_one_sentence(tmp_path, capsys):
    with pytest.raises(UserError, match="no finished job to audit"):
        audit.audit(tmp_path)
    assert command.run(audit.main, ["audit"]) == 2 and "WORKDIR" in capsys.readouterr().err


def test_every_score_is_derived_again(finished, tmp_path):
    """Also those that only reports and tables show, and of several labels a clip."""
    shutil.copytree(finished, tmp_path / "job")
    path = tmp_path / "job" / "metrics.json"
    before = json.loads(path.read_text())

    def found(*keys, value):
        content = json.loads(json.dumps(before))
        part = content
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        path.write_text(json.dumps(content))
        return audit.audit(tmp_path / "job")

    assert found("classes", value=before["classes"]) == ([], [])
    for keys, value in (
        (("overall", "uf1", "low"), 0.9),
        (("overall", "uar", "value"), None),
        (("overall", "macro_tnr", "value"), 0.9),
        (("confusion",), [[9, 0, 0], [0, 9, 0], [0, 0, 9]]),
        (("per_class", "b", "recall"), 1.0),
        (("databases", "toy", "uar", "value"), 1.0),
        (("over_folds", "mean"), 1.0),
        (("protocol", "clips"), 31),
    ):
        ((sentence,), _) = found(*keys, value=value)
        assert ".".join(keys) in sentence or keys[0] in sentence, sentence


def test_seeds_and_strict_scores_are_derived_again(finished, tmp_path):
    job = tmp_path / "job"
    shutil.copytree(finished, job)
    shutil.copytree(finished, job / "variants" / "seed1")
    content = json.loads((job / "metrics.json").read_text())
    value = content["overall"]["uf1"]["value"]
    scores = {"uf1": {"values": [value, value], "mean": value, "std": 0.0, "count": 2}}
    change(job, "metrics", variants={"names": ["seed0", "seed1"], "overall": scores})
    assert audit.audit(job) == ([], [])
    change(job / "variants" / "seed1", "metrics", overall={"uf1": {"value": 0.9}})
    ((sentence,), _) = audit.audit(job)
    assert "variants.overall.uf1.values" in sentence
    shutil.copy(finished / "metrics.json", job / "variants" / "seed1")
    mean = metrics.mean_predictions([metrics.read(finished)] * 2)
    ensemble = saving.to_builtins(metrics.scores_with_intervals(mean))
    honest = {"names": ["seed0", "seed1"], "overall": scores, "ensemble": ensemble}
    change(job, "metrics", variants=honest)
    assert audit.audit(job) == ([], [])
    for part, score, name in (("overall", "uf1", "mean"), ("ensemble", "uar", "value")):
        claimed = json.loads(json.dumps(honest))
        claimed[part][score][name] = 0.95
        change(job, "metrics", variants=claimed)
        ((sentence,), _) = audit.audit(job)
        assert f"variants.{part}.{score}.{name} is 0.95" in sentence
    shutil.copytree(finished, tmp_path / "other")
    inflation = {"strict": content["overall"]}
    change(tmp_path / "other", "metrics", inflation=inflation)
    found, declared = audit.audit(tmp_path / "other")
    assert not found and "were not derived again" in declared[0]
    strict = (finished / "predictions.csv").read_text()
    (tmp_path / "other" / "predictions_strict.csv").write_text(strict)
    assert audit.audit(tmp_path / "other") == ([], [])
    inflation["difference"] = {"uf1": 0.2}
    change(tmp_path / "other", "metrics", inflation=inflation)
    ((sentence,), _) = audit.audit(tmp_path / "other")
    assert "inflation.difference.uf1 is 0.2" in sentence
    inflation["difference"] = {"uf1": 0.0}
    inflation["strict"]["uf1"]["value"] = 0.99
    change(tmp_path / "other", "metrics", inflation=inflation)
    ((sentence,), _) = audit.audit(tmp_path / "other")
    assert "inflation.strict.uf1.value is 0.99" in sentence
