"""Every shipped configuration, shrunk until it runs in seconds, from clips to report or, where
another one trains the same way, to what its network takes."""

import ast
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn.metrics import pairwise

from mer_jax import configuration, datasets, experiment, inference, metrics, models, protocols
from mer_jax.errors import UserError
from mer_jax.spotting import samples, scorers
from tests.datasets import replica

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "mer_jax" / "configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
SPOTTING = [name for name in NAMES if name.startswith("spot_")]
SHIPPED = [name for name in NAMES if name not in SPOTTING]

# What makes a job small, by the section it is in; a key that a config lacks is left alone.
SMALL = {
    "data": {"subjects": 3, "clips_per_subject": 4, "frames": (9, 12), "size": (32, 32)},
    "method": {
        "alphas": (5, 8),
        "percents": (100, 60),
        "repeats_per_epoch": 2,
        "preset": "horn_schunck",
    },
    "model": {"maps": 4, "recurrent_layers": 1, "steps": 1},
    "protocol": {"folds": 2},
    "train": {"epochs": 2, "batch_size": 8, "early_stopping_patience": 0},
}
# What single configurations need beside that: the smallest sizes their networks take.
_STREAM = {"size": (12, 12), "length": 9, "time": "resample"}
_THIN = {"filters": 4, "kernel": (3, 3, 3)}
_R3D = ({"size": (16, 16), "length": 4}, {"width": 1 / 16})
OWN = {
    "capsule_megc2019": ({"size": (129, 129)}, {"width": 1 / 32}),
    "cd6me": ({}, {"maps": (2, 2), "hidden": 8}),
    "dual_inception_megc2019": ({}, {"maps": (2, 2), "hidden": 8}),
    "fusenet_casme_squared": (_STREAM, _THIN | {"widths": (16, 8)}),
    "fusenet_smic": (_STREAM, _THIN | {"widths": (16, 8)}),
    "htnet_megc2019": ({}, {"dim": 8, "depths": (1, 1, 1)}),
    "image_cnn": ({"size": (32, 32), "num_frames": 3}, {"width": 1 / 32}),
    "mmnet": ({"size": (32, 32)}, {"width": 1 / 16}),
    "off_apexnet_megc2019": ({}, {"maps": (2, 2), "hidden": 8}),
    "psn": ({"size": (32, 32), "length": 12, "frames": 4}, {"width": 1 / 32}),
    "r3d_convlstm": _R3D,
    "r3d_macro": _R3D,
    "rcn_megc2019": ({}, {}),
    "skd_tstsan": ({"size": (12, 12), "frame_size": (24, 24)}, {"width": 1 / 8}),
    "stcnn_casme_squared": (_STREAM, _THIN | {"hidden": 8}),
    "stcnn_smic": (_STREAM, _THIN | {"hidden": 8}),
}


def shrunk(name: str):
    config = configuration.read(FOLDER / f"{name}.py")
    config = configuration.rename(config, {"data": "synthetic"})
    if config.method.name == "strcn_g":
        config.method.size = (36, 36)
    for section, values in SMALL.items():
        if section == "train" and models.info(config.model.name).estimator:
            continue  # it has no epochs
        for key, value in values.items():
            if key in config[section] and isinstance(config[section][key], type(value)):
                config[section][key] = value
    if name in OWN:
        method, model = OWN[name]
        config.method.update(method)
        config.model.update(model)
        if config.train.loss != "multilabel_bce":
            config.data.label_scheme = "megc2019"  # the paper's own has no class for these faces
        if config.protocol.name == "hold_out":
            config.data.subjects = 5
            if config.protocol.test_counts:
                config.protocol.test_counts = (2, 1, 1)
    if config.train.loss == "multilabel_bce":
        config.data.clips_per_subject = 16  # every unit in every fold's training clips
    if config.protocol.name == "leave_one_database_out":
        config.protocol.name = "loso"  # there is one database
    config.report.update(dict.fromkeys(config.report, False))
    return config


@pytest.mark.parametrize("name", SPOTTING)
def test_a_spotting_config_is_whole_and_its_network_takes_its_samples(name):
    config = configuration.read(FOLDER / f"{name}.py")
    configuration.check(config)
    assert configuration.is_spotting(config)
    if "model" not in config:
        return
    options, sizes = (configuration.options_of(config, name) for name in ("evidence", "model"))
    sampling = samples.NetworkEvidence(**options).sampling(256)
    regions = sampling.pairs == samples.REGIONS
    outputs = 10 * sampling.shape[0] if regions else 1
    if config.recognition.spotter:
        outputs += 4  # a score and emotions
    build = scorers.Architecture(config.model.name, sizes, outputs).build(sampling.shape)
    scores = jax.eval_shape(lambda x: build(nnx.Rngs(0))(x), jnp.zeros((2, *sampling.shape)))
    assert scores.shape == (2, outputs)


# One of each kind of input, label, loss and protocol.
TRAINED = ("baseline_lbp_top", "cd6me", "default", "fusenet_smic", "image_cnn", "psn", "strcn_a")


@pytest.mark.e2e
@pytest.mark.parametrize("name", [n for n in SHIPPED if n not in TRAINED])
def test_the_examples_of_a_shipped_config_are_what_its_network_takes(name):
    config = shrunk(name)
    settings = configuration.check(config)
    clips, labels, classes = experiment.prepare_clips(config)
    folds = experiment.prepare_folds(config, settings, clips, labels, classes)
    assert len(folds.clips) == len(labels)
    examples = experiment.prepare_examples(config, clips, {})
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(examples.inputs))
    if config.model.name == "svm":
        assert {len(a) for a in jax.tree.leaves(examples.inputs)} == {len(clips)}
        return
    options = configuration.options_of(config, "model")

    def logits():
        network = models.create(
            config.model.name,
            num_classes=len(classes),
            rngs=nnx.Rngs(0),
            shape=examples.input_shape,
            **options,
        )
        inputs = jax.tree.map(lambda a: a[:2], examples.inputs)
        statistics = examples.fit_statistics(inputs, jnp.ones(2))
        x = jax.vmap(examples.eval_transform, (0, None))(inputs, statistics)
        if examples.num_views > 1:
            x = jax.tree.map(lambda a: a[:, 0], x)
        return network(x)

    assert jax.eval_shape(logits).shape == (2, len(classes))


@pytest.mark.e2e
@pytest.mark.parametrize("name", [*TRAINED, pytest.param("r3d_convlstm", marks=pytest.mark.slow)])
def test_a_shipped_config_runs_from_clips_to_report(name, tmp_path):
    config = shrunk(name)
    summary = experiment.run(config, tmp_path, command="make it", devices=jax.devices()[:2])
    files = {path.name for path in tmp_path.iterdir()}
    assert files >= {
        "config.json",
        "folds.json",
        "metrics.json",
        "predictions.csv",
        "megc_log.txt",
        "checkpoints",
        "report.html",
    }
    predictions = metrics.read(tmp_path / "predictions.csv")
    clips = experiment.prepare_clips(config)[0]
    folds = json.loads((tmp_path / "folds.json").read_text())["folds"]
    tested = sorted(index for fold in folds for index in fold["test"])
    assert predictions.keys == [clips[index].key for index in tested]
    assert len(tested) == len(clips) or config.protocol.name == "hold_out"
    np.testing.assert_allclose(predictions.probabilities.sum(1), 1, atol=1e-5)
    if config.train.loss == "multilabel_bce":
        assert len(list((tmp_path / "units").glob("AU*.csv"))) == len(summary["classes"]) == 12
        assert "each class is scored by itself" in (tmp_path / "report.html").read_text()
    else:
        again = metrics.scores(predictions.confusion())
        assert summary["overall"]["uf1"]["value"] == pytest.approx(float(again["uf1"]))
    page = (tmp_path / "report.html").read_text()
    assert "make it" in page and config.data.name in page
    if not models.info(config.model.name).estimator:
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert summary["verdict"]["strict"] == (config.protocol.get("by", "subject") == "subject")


@pytest.mark.parametrize(
    ("name", "table_4"),
    [
        ("casme_squared", {"happy": 21, "angry": 12, "disgust": 8}),
        ("smic", {"negative": 19, "positive": 6, "surprise": 7}),
    ],
)
def test_stcnn_tests_the_clips_of_each_class_that_its_paper_does(name, table_4):
    for network in ("stcnn", "fusenet"):
        config = configuration.read(FOLDER / f"{network}_{name}.py")
        classes = datasets.labels.label(config.data.label_scheme, []).classes
        assert dict(zip(classes, config.protocol.test_counts, strict=True)) == table_4
        clips = datasets.load("synthetic")  # without data, as the README says
        found = datasets.labels.label("megc2019", clips)
        options = configuration.options_of(config, "protocol")
        folds = protocols.create("hold_out", found.clips, found.labels, **options)
        assert np.bincount(found.labels[folds.test[0]]).tolist() == list(table_4.values())


@pytest.mark.e2e
def test_flow_maps_from_a_folder_go_the_same_way(tmp_path):
    root = tmp_path / "maps"
    replica.write("flow_maps", root, subjects=3, size=(28, 28))
    config = configuration.read(FOLDER / "ststnet_megc2019.py")
    config.data.root = str(root)
    config.train.update(epochs=1, batch_size=16)
    summary = experiment.run(config, tmp_path / "run", devices=jax.devices()[:1], quiet=True)
    assert summary["protocol"]["clips"] == len(datasets.load("flow_maps", root))
    with pytest.raises(UserError, match="precomputed flow maps cannot predict"):
        inference.load(tmp_path / "run")


@pytest.mark.e2e
def test_the_same_command_twice_gives_the_same_numbers_and_trains_once(tmp_path):
    config = shrunk("default")
    first = experiment.run(config, tmp_path, devices=jax.devices()[:1], quiet=True)
    said = (tmp_path / "predictions.csv").read_text()
    second = experiment.run(config, tmp_path, devices=jax.devices()[:1], quiet=True)
    assert (tmp_path / "predictions.csv").read_text() == said
    assert second["overall"] == first["overall"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.e2e
def test_as_published_is_marked_and_reports_both_numbers(tmp_path):
    config = shrunk("default")
    config.train.model_selection = "best_test"
    summary = experiment.run(config, tmp_path, devices=jax.devices()[:1], quiet=True)
    assert not summary["verdict"]["strict"]
    assert "inflation" in summary
    assert "chosen on its own test clips" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("baseline_")])
def test_the_kernel_that_a_baseline_names_is_the_one_of_its_flags(name):
    """(0.22 x.y)^2, by scikit-learn's kernel of a machine with the flags of the docstring."""
    text = (FOLDER / f"{name}.py").read_text().partition("(0.22 x.y)^2")[2].partition('"""')[0]
    given = dict(re.findall(r"--config\.model\.(\w+)=([\w.]*\w)", text))
    options = {key: ast.literal_eval(value) if key != "kernel" else value
               for key, value in given.items()}  # fmt: skip
    machine = models.create_estimator("svm", **options)
    x, y = np.random.default_rng(0).normal(size=(2, 1, 5))
    svc = machine._svc
    found = pairwise.polynomial_kernel(x, y, degree=svc.degree, gamma=svc.gamma, coef0=svc.coef0)
    assert options["kernel"] == "poly" and not machine._standardize
    np.testing.assert_allclose(found, (0.22 * x @ y.T) ** 2, rtol=1e-12)
