"""The command as a user runs it, on a run of three persons and two epochs."""

import json

import cv2
import numpy as np
import pytest
from absl import flags

from mer_jax import metrics, tested_clip
from mer_jax.cli import analyse, command
from mer_jax.reporting import explanations, figures
from tests.tiny_run import tiny_run

pytestmark = pytest.mark.e2e


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in ("run", "out", "clip", "class", "root"):
        flags.FLAGS[name].unparse()
    code = command.run(analyse.main, flags.FLAGS(["analyse", *map(str, arguments)]))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tiny_run(tmp_path_factory)


def test_pictures_and_numbers(capsys, workdir, tmp_path):
    code, out, err = run(
        capsys, f"--run={workdir}", f"--out={tmp_path}", "--clip=s02_03", "--class=surprise"
    )
    assert code == 0 and not err and "saliency of surprise" in out
    for name in ("saliency", "feature_maps", "epochs"):
        picture = cv2.imread(str(tmp_path / f"{name}.png"))
        assert picture is not None and picture.std() > 5
    assert not (tmp_path / "perception.png").exists()  # STCNN has no such unit
    numbers = json.loads((tmp_path / "analysis.json").read_text())
    assert numbers["clip"] == "synthetic/s02/s02_03" and numbers["fold"] == "synthetic/s02"
    scored = metrics.read(workdir / "predictions.csv")
    row = scored.keys.index(numbers["clip"])
    assert numbers["label"] == scored.classes[scored.label[row]]
    said = [numbers["probabilities"][name] for name in scored.classes]
    np.testing.assert_allclose(said, scored.probabilities[row], rtol=1e-4, atol=1e-5)


def test_the_last_epoch_scores_what_the_run_scored(workdir):
    curves = tested_clip.epoch_scores(workdir)
    overall = json.loads((workdir / "metrics.json").read_text())["overall"]
    for name in ("uf1", "uar", "accuracy"):
        assert curves[name].shape == (2,)
        assert curves[name][-1] == pytest.approx(overall[name]["value"])


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--out=o"], "--run=... is required"),
        (["--run={run}"], "--out=... is required"),
        (["--run=nowhere", "--out=o"], "is no working directory of a run"),
        (["--run={run}", "--out=o", "--clip=s09_01"], "unknown clip of this run 's09_01'"),
        (["--run={run}", "--out=o", "--class=suprise"], "did you mean 'surprise'"),
        (["--run={run}", "--out=o", "more"], "is no flag"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, workdir, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *(each.format(run=workdir) for each in arguments))
    assert code == 2 and not out and said in err and err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_every_kind_of_input_is_drawn():
    """A picture, a flow, a grey film and two signed streams."""
    draw = np.random.default_rng(0).normal
    for inputs in (
        {"input": np.abs(draw(size=(9, 8, 3))).clip(0, 1)},
        {"input": draw(size=(9, 8, 2))},
        {"input": draw(size=(40, 6, 3))},
        {"a": draw(size=(7, 9, 8, 1)), "b": draw(size=(7, 9, 8, 1)).clip(0, 1)},
    ):
        heat = {name: np.abs(array).max(-1) for name, array in inputs.items()}
        figure = explanations.saliency(inputs, heat)
        frames = 6 if next(iter(inputs.values())).ndim == 4 else 1
        assert len(figure.axes) == 2 * len(inputs) * frames
        assert figures.png(figure)
