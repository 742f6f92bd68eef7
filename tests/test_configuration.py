import ast
import dataclasses
import pathlib
import re

import pytest

from mer_jax import configuration, datasets, methods, models, protocols
from mer_jax.datasets import recordings
from mer_jax.errors import UserError
from mer_jax.training import Settings


def make(**changes):
    given = {"data": "synthetic", "method": "flow_maps", "model": "ststnet"} | changes
    return configuration.make(**given)


def test_every_option_is_in_sight_with_its_default():
    config = make(model={"name": "ststnet", "dropout": 0.25}, train={"epochs": 7})
    assert config.model.dropout == 0.25 and config.train.epochs == 7
    assert set(config.method) == {"name", *methods.options("flow_maps")}
    assert configuration.options_of(config, "data") == datasets.options("synthetic")
    for key in ("name", "root", "label_scheme", "permute_labels"):
        assert key in config.data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "ststnett"}, "did you mean 'ststnet'"),
        ({"model": {"name": "ststnet", "dropot": 0.5}}, "did you mean 'dropout'"),
        ({"method": {"name": "strcn_a", "mask_fracton": 0.5}}, "did you mean 'mask_fraction'"),
        ({"data": "casme_2"}, "did you mean 'casme2'"),
        ({"protocol": {"name": "k_fold", "fold": 3}}, "did you mean 'folds'"),
        ({"train": {"epoch": 3}}, "did you mean 'epochs'"),
    ],
)
def test_a_wrong_name_offers_the_nearest(changes, message):
    with pytest.raises(UserError, match=message):
        make(**changes)


def test_a_section_that_is_renamed_gets_the_options_of_its_new_name():
    original = make(data={"name": "synthetic", "subjects": 4, "permute_labels": True})
    renamed = configuration.rename(original, {"model": "mer_rcnn", "data": "synthetic"})
    assert configuration.options_of(renamed, "model") == models.options("mer_rcnn")
    assert renamed.data.subjects == 4 and original.model.name == "ststnet"
    moved = configuration.rename(original, {"data": "casme2"})
    assert configuration.options_of(moved, "data") == datasets.options("casme2")
    assert moved.data.permute_labels and "subjects" not in moved.data
    with pytest.raises(UserError, match="did you mean 'mer_rcnn'"):
        configuration.rename(original, {"model": "mer_rcn"})


def test_an_estimator_brings_no_training_settings_of_the_network_before():
    """WORKSPACE's own example: no shipped configuration took it, nor did scikit-learn's forest."""
    default = configuration.read("default")
    for name in ("RandomForestClassifier", "GradientBoostingClassifier", "AdaBoostClassifier"):
        config = configuration.rename(default, {"model": f"sklearn.ensemble:{name}"})
        configuration.check(config)
    assert default.train.epochs == 60
    with pytest.raises(UserError, match=r"no train\.epochs; leave it"):
        config.train.epochs = 3
        configuration.check(config)


@pytest.mark.parametrize("name", ["casme2", "synthetic"])
def test_a_database_is_no_configuration(name):
    with pytest.raises(UserError, match=f"{name} is a database, not .*check-data as --database="):
        configuration.read(name)


def test_an_option_of_another_name_is_refused_where_it_is_used():
    config = make()
    config.protocol.name = "k_fold"
    config.model.name = "mer_rcnn"
    with pytest.raises(UserError, match="option of model mer_rcnn"):
        configuration.check(config)


def test_an_estimator_takes_no_random_samples():
    method = {"name": "flow_maps", "zoom": 0.1}
    with pytest.raises(UserError, match=r"draws no samples: set method\.turned_views=True"):
        configuration.check(make(method=method, model="svm"))
    method["turned_views"] = True
    configuration.check(make(method=method, model="svm"))


def test_all_registries_list_options_for_all_their_names():
    for registry in (methods, models, protocols, datasets):
        for name in registry.names():
            assert isinstance(registry.options(name), dict)


def test_plain_is_json(tmp_path):
    import json

    text = json.dumps(configuration.to_dict(make()))
    assert json.loads(text)["data"]["emotions"] == list(make().data.emotions)


def test_messages_and_docstrings_name_keys_that_exist():
    """As `train.epochs` in any text of the package: some name in the section has that option."""
    known = {"train": {field.name for field in dataclasses.fields(Settings)}}
    registries = {"data": datasets, "method": methods, "model": models, "protocol": protocols}
    for section, registry in registries.items():
        options = (configuration.SECTIONS[section](name) for name in registry.names())
        known[section] = {"name", "root", "label_scheme", "permute_labels"}.union(*options)
    known["data"].update(*(recordings.options(name) for name in recordings.names()))
    known["data"].add("move_intervals")  # of spotting
    lost, count = [], 0
    for path in sorted(pathlib.Path(configuration.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            for section, key in re.findall(r"(?<![\w.])(\w+)\.([a-z_]+)\b(?!\()", node.value):
                if section in known:
                    count += 1
                    lost += [] if key in known[section] else [(path.name, f"{section}.{key}")]
    assert not lost and count > 40
