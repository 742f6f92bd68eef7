"""A job as a whole; what its parts do is tested in their packages, the commands in experiments/."""

import collections
import dataclasses
import filecmp
import json
import os
import shutil

import jax
import numpy as np
import pytest

from mer_jax import configuration, experiment, inference, metrics
from mer_jax.cli.audit import audit
from mer_jax.datasets import folders
from mer_jax.errors import UserError
from mer_jax.io import learning_curves
from mer_jax.reporting import verdict
from tests.datasets import replica
from tests.tiny_run import job, tiny_run


@pytest.mark.e2e
def test_a_job_of_two_seeds_is_two_runs_and_their_mean(tmp_path, tmp_path_factory):
    summary = experiment.run(job(seeds=2), tmp_path, devices=jax.devices()[:2], quiet=True)
    alone = tiny_run(tmp_path_factory)
    for name in ("predictions.csv", "megc_log.txt", "folds.json", "metrics.jsonl"):
        assert filecmp.cmp(tmp_path / name, alone / name, shallow=False), name
    second = tmp_path / "variants" / "seed1"
    assert json.loads((second / "config.json").read_text())["train"]["seed"] == 1
    assert (second / "report.html").is_file()
    assert audit(tmp_path) == audit(second) == ([], [])

    scores = [
        metrics.scores(metrics.read(place).confusion())["uf1"] for place in (tmp_path, second)
    ]
    together = summary["variants"]["overall"]["uf1"]
    np.testing.assert_allclose(together["values"], scores)
    np.testing.assert_allclose(together["mean"], np.mean(scores))
    np.testing.assert_allclose(together["std"], np.std(scores, ddof=1))
    assert summary["variants"]["names"] == ["seed0", "seed1"]
    both = [metrics.read(place) for place in (tmp_path, second)]
    mean = np.mean([each.probabilities for each in both], axis=0).argmax(1)
    ensemble = metrics.scores(metrics.confusion(both[0].label, mean, num_classes=3))
    np.testing.assert_allclose(summary["variants"]["ensemble"]["uf1"]["value"], ensemble["uf1"])
    page = (tmp_path / "report.html").read_text()
    assert f"this is seed0; mean of 2: <b>{together['mean']:.4f}</b>" in page
    assert "mean probability of all" in page
    assert 0.05 < summary["provenance"]["peak_memory_gib"] < 1e3
    assert len(inference.load(tmp_path).networks.folds) == 6  # all rows answer


@pytest.mark.e2e
def test_of_a_job_whose_checkpoints_were_deleted_nothing_is_left(tmp_path):
    """Its curves, and the variants that another job in its place does not have."""
    one = jax.devices()[:1]
    experiment.run(job(seeds=2), tmp_path, devices=one, quiet=True)
    shutil.rmtree(tmp_path / "checkpoints")
    experiment.run(job(epochs=1), tmp_path, devices=one, quiet=True)
    assert not (tmp_path / "variants").exists()
    assert learning_curves.read(tmp_path / "metrics.jsonl")["epochs"].tolist() == [1]


@pytest.mark.e2e
def test_as_published_both_numbers_come_from_one_job(tmp_path, tmp_path_factory):
    config = job(statistics_on_all_clips=True, model_selection="best_test")
    summary = experiment.run(config, tmp_path, devices=jax.devices()[:1], quiet=True)
    leaks = [{"reason": "epoch"}, {"reason": "statistics"}]
    assert summary["verdict"]["leaks"] == leaks
    gap = summary["inflation"]
    alone = json.loads((tiny_run(tmp_path_factory) / "metrics.json").read_text())
    for score in ("uf1", "uar", "accuracy"):  # the strict number is that of the strict job
        assert gap["strict"][score]["value"] == alone["overall"][score]["value"]
        found = gap["difference"][score] + gap["strict"][score]["value"]
        np.testing.assert_allclose(found, summary["overall"][score]["value"])
    assert gap["removed_leaks"] == leaks and gap["remaining_leaks"] == []
    page = (tmp_path / "report.html").read_text()
    assert "NOT STRICT" in page and "the same job, strict" in page
    twin = json.loads((tmp_path / "variants" / "strict" / "metrics.json").read_text())
    assert twin["verdict"]["leaks"] == leaks[:1]  # its epoch is chosen as well
    assert audit(tmp_path) == ([], [verdict.sentence(leak) for leak in leaks])
    assert len(inference.load(tmp_path).networks.folds) == 3  # not those of the strict twin
    assert audit(tmp_path / "variants" / "strict") == ([], [verdict.sentence(leaks[0])])


@pytest.mark.e2e
def test_settings_of_jax_change_no_number_and_end_no_job(tmp_path, tmp_path_factory):
    alone = tiny_run(tmp_path_factory)
    with (
        jax.enable_x64(True),
        jax.default_prng_impl("rbg"),
        jax.threefry_partitionable(False),
        jax.default_matmul_precision("bfloat16"),
        jax.numpy_rank_promotion("raise"),
        jax.debug_nans(True),
    ):
        summary = experiment.run(job(), tmp_path, devices=jax.devices()[:1], quiet=True)
    for name in ("predictions.csv", "metrics.jsonl"):
        assert filecmp.cmp(tmp_path / name, alone / name, shallow=False), name
    assert summary["provenance"]["xla_flags"] == os.environ.get("XLA_FLAGS", "")


@pytest.fixture
def decoded(monkeypatch):
    """How often each file of a frame was decoded."""
    counts = collections.Counter()
    decode = folders.read_image

    def counted(path, **options):
        counts[path] += 1
        return decode(path, **options)

    monkeypatch.setattr(folders, "read_image", counted)
    return counts


def test_an_example_that_is_no_number_is_named(tmp_path, monkeypatch):
    prepare = experiment.prepare_examples

    def broken(*args):
        examples = prepare(*args)
        inputs = jax.tree.map(np.array, examples.inputs)
        next(leaf for leaf in jax.tree.leaves(inputs) if leaf.dtype == np.float32)[3] = np.inf
        return dataclasses.replace(examples, inputs=inputs)

    monkeypatch.setattr(experiment, "prepare_examples", broken)
    clip = experiment.prepare_clips(job())[0][3].key
    with pytest.raises(UserError, match=f"example of {clip} has values that are NaN or infinite"):
        experiment.run(job(), tmp_path / "run", quiet=True)
    assert not list((tmp_path / "run").glob("*.json"))


@pytest.mark.parametrize("shown", [True, False])
def test_a_job_decodes_each_frame_once(tmp_path, decoded, shown):
    root = tmp_path / "CASME II"
    clips = replica.write("casme2", root, subjects=5, known_issues=False)
    config = configuration.make(
        data={"name": "casme2", "root": str(root)},
        method={"name": "stcnn", "size": (12, 12), "length": 4, "time": "resample"},
        model="svm",
        report=dict.fromkeys(("thumbnails", "example_figures", "profile"), shown),
    )
    experiment.run(config, tmp_path / "run", devices=jax.devices()[:1], quiet=True)
    assert set(decoded.values()) == {1} and len(decoded) > 3 * len(clips)
    names = [path.name for path in (tmp_path / "run").rglob("*")]
    assert ("predict.json" in names) == shown
    page = (tmp_path / "run" / "report.html").read_text()
    for kind in ("png", "webp"):
        assert (f'src="data:image/{kind};' in page) == shown


@pytest.mark.e2e
def test_clips_without_a_class_are_told(tmp_path, capsys):
    """Three of sixteen were left out, and nothing of a run said so."""
    scheme = f"{__name__}:not_the_first"
    given = job(epochs=1)
    given.data.label_scheme = scheme
    summary = experiment.run(given, tmp_path, devices=jax.devices()[:1])
    said = f"label scheme {scheme} leaves out 1 clip(s), e.g. synthetic/s01/s01_01: "
    assert said in capsys.readouterr().err
    assert summary["provenance"]["left_out"].startswith(said)
    assert said in (tmp_path / "report.html").read_text()


def not_the_first(clip):
    return None if clip.name == "s01_01" else clip.emotion


def test_a_class_that_no_clip_has_is_named_once(tmp_path):
    given = job()
    given.data.label_scheme = "dfme7"
    with pytest.raises(UserError, match=r"^no clip has the class 'anger' or 'contempt'"):
        experiment.run(given, tmp_path, quiet=True)
