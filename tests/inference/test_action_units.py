"""Prediction with a run that gives several labels: a probability for each action unit."""

import csv

import jax
import numpy as np
import pytest

from mer_jax import experiment, inference
from mer_jax.datasets import load
from mer_jax.inference import VideoPredictions
from mer_jax.metrics import multilabel
from tests.tiny_run import job, shared

UNITS = ("AU1", "AU4", "AU12")


def predictions(probabilities, verdicts):
    count = len(verdicts)
    return VideoPredictions(
        classes=UNITS,
        fps=10.0,
        num_frames=count + 4,
        start=np.arange(count),
        stop=np.arange(count) + 5,
        apex=np.arange(count) + 2,
        movement=np.ones(count, np.float32),
        threshold=0.1,
        probabilities=np.float32(probabilities),
        std=np.zeros((count, 3), np.float32),
        face_boxes=(),
        notes=(),
        verdicts=verdicts,
        trained_on="12 clips",
        label_scheme="cd6me",
    )


def test_a_window_is_labeled_with_the_units_that_are_present():
    rows = [[0.9, 0.2, 0.51], [0.5, 0.1, 0.0], [0.1, 0.95, 0.2], [0.99, 0.99, 0.99]]
    result = predictions(rows, ("", "", "", "head moves"))
    assert result.labels == ["AU1+AU12", "none", "AU4", "head moves"]
    assert result.counts == {"AU1": 1, "AU12": 1, "none": 1, "AU4": 1, "head moves": 1}
    lines = result.summary().splitlines()
    assert lines[1] == "action units of the scheme cd6me: present above 50%"
    assert lines[-1] == "most certain: AU4, 95%, from 0.20 to 0.70 s"
    comments, table = result.csv().splitlines()[:2], result.csv().splitlines()[2:]
    assert comments == ["# trained on 12 clips", f"# {lines[1]}"]
    first = next(csv.DictReader(table))
    assert [first[f"p_{unit}"] for unit in UNITS] == ["0.9", "0.2", "0.51"]


@pytest.mark.e2e
def test_each_fold_gives_the_probabilities_that_the_run_wrote(tmp_path_factory):
    def make(folder):
        config = job(loss="multilabel_bce", model_selection="last")
        config.data.label_scheme, config.data.clips_per_subject = "cd6me", 16
        experiment.run(config, folder, devices=jax.devices()[:1], quiet=True)

    workdir = shared(tmp_path_factory, "tiny_action_units", make)
    own = load("synthetic", subjects=3, clips_per_subject=16, frames=(8, 12), size=(40, 40))
    with open(workdir / "predictions.csv", encoding="utf-8") as file:
        said = {row["clip"]: row["predicted"] for row in csv.DictReader(file)}
    for clip in (own[1], own[10]):
        result = inference.load(workdir, fold=clip.subject_key).predict_video(
            clip.frames, clip.fps, window=len(clip.frames), threshold=0.0, eye_detector=None
        )
        assert result.label_scheme == "cd6me" and len(result.classes) == 12
        for unit, probability in zip(result.classes, result.probabilities[0]):
            with open(workdir / "units" / f"{unit}.csv", encoding="utf-8") as file:
                rows = {row["clip"]: row for row in csv.DictReader(file)}
            assert float(rows[clip.name]["p_present"]) == pytest.approx(probability, abs=1e-4)
        assert result.labels == [said[clip.name]] or said[clip.name] == multilabel.NONE
