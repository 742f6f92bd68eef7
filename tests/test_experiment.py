"""A job as a whole; what its parts do is tested in their rooms, the commands in experiments/."""

import filecmp
import json
import os

import jax
import numpy as np
import pytest

from mer_jax import experiment, inference, leakage, metrics
from mer_jax.cli.audit import audit
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
    page = (tmp_path / "report.html").read_text()
    assert f"this is seed0; mean of 2: <b>{together['mean']:.4f}</b>" in page
    assert len(inference.load(tmp_path).networks.folds) == 6  # all rows answer


@pytest.mark.e2e
def test_as_published_both_numbers_come_from_one_job(tmp_path, tmp_path_factory):
    config = job(statistics_on_all_clips=True, model_selection="best_test")
    summary = experiment.run(config, tmp_path, devices=jax.devices()[:1], quiet=True)
    assert summary["verdict"]["leaks"] == [leakage.EPOCH, leakage.MASK]
    gap = summary["inflation"]
    alone = json.loads((tiny_run(tmp_path_factory) / "metrics.json").read_text())
    for score in ("uf1", "uar", "accuracy"):  # the strict number is that of the strict job
        assert gap["strict"][score]["value"] == alone["overall"][score]["value"]
        found = gap["difference"][score] + gap["strict"][score]["value"]
        np.testing.assert_allclose(found, summary["overall"][score]["value"])
    assert (
        leakage.EPOCH in gap["text"]
        and leakage.MASK in gap["text"]
        and gap["remaining_leaks"] == []
    )
    page = (tmp_path / "report.html").read_text()
    assert "AS PUBLISHED" in page and "the same job, strict" in page
    twin = json.loads((tmp_path / "variants" / "strict" / "metrics.json").read_text())
    assert twin["verdict"]["leaks"] == [leakage.EPOCH]  # its epoch is chosen as well
    assert audit(tmp_path) == ([], [leakage.EPOCH, leakage.MASK])
    assert len(inference.load(tmp_path).networks.folds) == 3  # not those of the strict twin
    assert audit(tmp_path / "variants" / "strict") == ([], [leakage.EPOCH])


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
