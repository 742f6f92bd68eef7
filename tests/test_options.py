"""The table of bounds: every option has a row, and what is out of it is answered by a sentence."""

import importlib
import inspect
import itertools
import json
import math
import os
import pathlib
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import bounds, configuration, datasets, methods, models, options, protocols
from mer_jax.datasets import recordings
from mer_jax.errors import UserError
from mer_jax.methods.flow_maps import flow_maps
from mer_jax.metrics.confusion import confusion
from mer_jax.training import Settings, optimizers
from mer_jax.video import (
    apex_index,
    gains,
    keep_quantiles,
    magnify,
    optical_flow,
    rpca,
)
from tests.faults import fuzz_options

TARGETS = list(fuzz_options.targets())
BASE = {"data": "synthetic", "method": "flow_maps", "model": "ststnet"}
SPOTTING = {"data": "synthetic", "evidence": "network", "model": "softnet"}
DRAW = random.Random(0)


def test_the_walk_finds_all_that_has_options():
    found = {(target.section, target.name) for target in TARGETS}
    assert {("", "magnify"), ("", "keep_quantiles"), ("", "lbp_top"), ("", "create")} <= found
    assert {("protocol", "with_validation"), ("train", ""), ("data", "synthetic")} <= found
    for section, module in (("method", methods), ("model", models), ("protocol", protocols)):
        assert {(section, name) for name in module.names()} <= found


def test_every_option_has_a_row():
    known = [(t.section, t.name, name) for t in TARGETS for name in t.known]
    for name in datasets.names():
        known += [("data", name, option) for option in datasets.options(name)]
    for name in recordings.names():
        known += [("data", name, option) for option in recordings.options(name)]
    known += [
        ("", "", name)
        for name in configuration.make(**BASE)
        if name not in (*configuration.SECTIONS, "train", "parallel", "report")
    ]
    for section in ("parallel", "report"):
        known += [(section, "", name) for name in configuration.make(**BASE)[section]]
    spots = configuration.make_spotting(**SPOTTING)
    known += [(s, "", name) for s in ("intervals", "recognition") for name in spots[s]]
    known += [(s, "", name) for s in ("data", "evidence") for name in spots[s] if name != "name"]
    assert len(known) > 350
    assert not [each for each in known if bounds.bound(*each) is None]


def test_every_row_is_of_an_option():
    names = {name for target in TARGETS for name in target.known}
    names |= {option for name in datasets.names() for option in datasets.options(name)}
    names |= {option for name in recordings.names() for option in recordings.options(name)}
    names |= set(configuration.make(**BASE)) | set(configuration.make(**BASE).data)
    names |= {*configuration.make(**BASE).parallel, *configuration.make(**BASE).report}
    spots = configuration.make_spotting(**SPOTTING)
    names |= {*spots.data, *spots.evidence, *spots.intervals, *spots.recognition}
    names |= {"seconds", "threshold", "shape", "num_classes"}  # video sources, prediction, networks
    assert not [key for key in bounds.BOUNDS if key.split(".")[-1] not in names]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.section}-{t.name}")
def test_a_value_out_of_bounds_is_one_sentence(target):
    drawn = [fuzz_options.strange(DRAW) for _ in range(int(os.environ.get("FUZZ", 5)))]
    for option in target.known:
        wrong = fuzz_options.wrong_values(target, option, fuzz_options.STRANGE + drawn)
        bound = bounds.bound(target.section, target.name, option)
        assert len(wrong) > 10 or bound.kind is object
        failed = [fuzz_options.refused(target, option, value) for value in wrong]
        assert not list(filter(None, failed))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.section}-{t.name}")
def test_defaults_and_values_within_bounds_pass(target):
    for option, default in target.known.items():
        bound = bounds.bound(target.section, target.name, option)
        given = [] if bound.kind is object else fuzz_options.within(bound)
        for value in given + [default] * (default is not inspect.Parameter.empty):
            options.check(target.section, target.name, {option: value}, {option: default})


# A wrong value of each kind, by hand.
@pytest.mark.parametrize(
    ("section", "name", "option", "value"),
    [
        ("method", "flow_maps", "size", 28),
        ("method", "flow_maps", "channels", ()),
        ("method", "flow_maps", "flow_scale", 0),
        ("method", "flow_maps", "alpha", -1),
        ("method", "lbp_top", "radii", (1, 1)),
        ("method", "lbp_top", "blocks", 5),
        ("method", "lbp_top", "frames", -1),
        ("method", "lbp_top", "points", 5),
        ("method", "bi_woof", "bins", 0),
        ("method", "mer_rcnn", "wavelength", 0),
        ("method", "mer_rcnn", "percents", (100, 0)),
        ("method", "strcn_a", "length", 0),
        ("method", "strcn_a", "repeats_per_epoch", 0),
        ("method", "strcn_g", "seed", -1),
        ("method", "psn", "lam", -0.1),
        ("method", "psn", "low", math.nan),
        ("model", "ststnet", "dropout", 1),
        ("model", "ststnet", "maps", (3, 5)),
        ("model", "strcn_a", "statistics", "zzz"),
        ("model", "strcn_a", "recurrent_layers", 5),
        ("model", "rcn_w", "maps", 3),
        ("model", "svm", "C", 0),
        ("model", "svm", "kernel", "tim"),
        ("protocol", "k_fold", "seed", -1),
        ("protocol", "k_fold", "folds", 1),
        ("protocol", "hold_out", "fraction", 1),
        ("protocol", "lovo", "repeats", 0),
        ("data", "synthetic", "label_scheme", "megc2018"),
        ("data", "synthetic", "subjects", True),
        ("train", "", "schedule_every", 0),
        ("train", "", "schedule_rate", 0),
        ("train", "", "seed", 2**32),
        ("train", "", "learning_rate", math.inf),
        ("train", "", "early_stopping_patience", -1),
        ("train", "", "min_loss_change", -1.0),
    ],
)
def test_a_job_with_a_wrong_value_is_not_made(section, name, option, value):
    chosen = {option: value} if section == "train" else {"name": name, option: value}
    with pytest.raises(UserError, match=rf"{section}\.{option}") as told:
        configuration.make(**BASE | {section: chosen})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rpca(np.eye(3, dtype=np.float32), lam=0.0),
        lambda: keep_quantiles(np.zeros(3), low=0.9, high=0.1),
        lambda: keep_quantiles(np.zeros(3), low=np.float32(0.9), high=np.float32(0.1)),
        lambda: models.create("stcnn", num_classes=0, rngs=None),
        lambda: models.create("rcn_a", num_classes=-1, rngs=None),
        lambda: gains(64, 64, alpha=np.float32(-1)),
        lambda: gains(64, 64, alpha=jnp.float32(-3)),
        lambda: gains(64, 64, alpha=np.array([2.0, 4.0])),
        lambda: gains(64, width=0, alpha=2),
        lambda: apex_index(np.zeros((3, 8, 8, 1)), length=jnp.int32(0)),
        lambda: confusion([0], [0], num_classes=-1),
        lambda: confusion([0], [0], num_classes=1.5),
        lambda: optical_flow(np.zeros((9, 9)), np.zeros((9, 9)), limit=-1.0),
        lambda: optical_flow(np.zeros((9, 9)), np.zeros((9, 9)), stages=()),
        lambda: optimizers.schedule("step", epochs=2, steps=3, rate=0.0, every=1),
        lambda: optimizers.create("sgd", lambda step: 1.0, momentum=1.0),
        lambda: flow_maps([], size=28),
        lambda: protocols.with_validation(None, fraction=1),
    ],
)
def test_functions_called_directly_look_at_their_options(call):
    with pytest.raises(UserError):
        call()


def test_a_function_that_is_checked_is_as_it_was():
    assert list(inspect.signature(magnify).parameters)[:2] == ["clip", "alpha"]
    assert magnify.__doc__.startswith("Magnifies the motion")
    traced = jax.jit(lambda alpha: gains(64, 64, alpha=alpha))(8.0)
    np.testing.assert_allclose(traced, gains(64, 64, alpha=8), rtol=1e-6)
    for alpha in (jnp.float32(8), np.array(8)):  # arrays of one number
        np.testing.assert_allclose(gains(64, 64, alpha=alpha), traced, rtol=1e-6)
    assert jax.jit(lambda alpha: gains(64, 64, alpha=alpha))(-1.0).shape == traced.shape


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"low": 0.9, "high": 0.1}, r"method\.low is 0\.9; it must be below high, 0\.1"),
        ({"high": 0.5}, r"method\.low is 0\.7; it must be below high, 0\.5"),
        ({"high": 0.7}, r"method\.low is 0\.7; it must be below high, 0\.7"),  # of no entry
        ({"frames": 16, "length": 12}, r"method\.frames is 16; it must be at most length, 12"),
    ],
)
def test_options_in_the_wrong_order_are_refused_with_the_configuration(given, words):
    with pytest.raises(UserError, match=words):
        configuration.make(**BASE | {"method": {"name": "psn", **given}})
    made = configuration.make(**BASE | {"method": "psn"})
    made.method.update(given)
    with pytest.raises(UserError, match=words):
        configuration.check(made)


def test_numbers_of_numpy_and_paths_become_plain():
    made = configuration.make(
        data={"name": "casme2", "root": pathlib.Path("a") / "b", "exclude": ["x"]},
        method={"name": "flow_maps", "size": (np.int64(28), np.int32(20)), "alpha": np.float32(2)},
        model={"name": "ststnet", "dropout": np.float64(0.25)},
        train={
            "epochs": np.int64(3),
            "learning_rate": np.float32(0.5),
            "statistics_on_all_clips": np.bool_(True),
        },
    )
    assert made.data.root == os.path.join("a", "b") and made.data.exclude == ("x",)
    assert made.method.size == (28, 20) and type(made.method.size[0]) is int
    assert type(made.method.alpha) is type(made.model.dropout) is float
    assert (
        made.train.epochs == 3
        and type(made.train.epochs) is int
        and made.train.statistics_on_all_clips is True
    )
    configuration.check(made)
    assert json.loads(json.dumps(configuration.to_dict(made)))["method"]["size"] == [28, 20]


def test_a_key_of_train_at_the_top_level_is_refused():
    made = configuration.make(**BASE)
    with made.unlocked():
        made.epochs = 3
    with pytest.raises(UserError, match=r"'epochs'; did you mean train\.epochs"):
        configuration.check(made)
    made = configuration.make(**BASE)
    with made.unlocked():
        made.parallel.acros = "pmap"
    with pytest.raises(UserError, match="did you mean 'across'"):
        configuration.check(made)


def test_an_integer_for_a_number_is_one_of_its_kind():
    made = configuration.make(**BASE | {"train": {"learning_rate": 1, "weight_decay": 0}})
    made.train.learning_rate, made.train.weight_decay = 0.5, 1e-4
    made = Settings(learning_rates=(1, 0.5)).learning_rates
    assert [type(each) for each in made] == [float, float]


def test_the_source_of_a_users_code_is_told_by_what_it_imports(tmp_path, monkeypatch):
    """Anywhere in it, but nothing else that lies beside it; other libraries by their file."""
    files = {
        "its_net.py": "from mer_jax import models\nfrom its_parts import g\n"
        "class Net: pass\ndef f():\n    import its_late\n",
        "its_parts.py": "def g(): pass\n",
        "its_late.py": "x = 1\n",
        "its_other.py": "y = 1\n",
        "its_package/__init__.py": "",
        "its_package/a.py": "from . import b\nclass A: pass\n",
        "its_package/b.py": "z = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    net = importlib.import_module("its_net").Net
    inside = importlib.import_module("its_package.a").A

    def digests():
        options.source_digest.cache_clear()
        return options.source_digest(net), options.source_digest(inside)

    before = [digests()]
    for name in files:
        (tmp_path / name).write_text(files[name] + "# edited")
        before.append(digests())
    changed = [[a != b for a, b in zip(*pair)] for pair in itertools.pairwise(before)]
    ours, package = [row[0] for row in changed], [row[1] for row in changed]
    assert ours == [True, True, True, False, False, False, False]
    assert package == [False, False, False, False, True, True, True]
    assert options.source_digest(options.find) == "" != options.source_digest(np.cov)


def test_rates_that_are_alike_to_six_digits_have_names_of_their_own():
    assert list(Settings(learning_rates=(1e-3, 1e-4)).variants) == ["rate0.001", "rate0.0001"]
    alike = Settings(learning_rates=(0.1234567, 0.1234568)).variants
    assert list(alike) == ["rate0.1234567", "rate0.1234568"]
    with pytest.raises(UserError, match="two of them are equal"):
        Settings(learning_rates=(0.1, 0.2, 0.1))


def test_seeds_go_up_to_the_largest():
    assert Settings(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(UserError, match=r"2 seeds end above"):
        Settings(seed=2**32 - 1, seeds=2)
    configuration.make(**BASE | {"protocol": {"name": "k_fold", "seed": 2**32 - 1}})


@pytest.mark.parametrize("name", models.networks())
def test_networks_of_small_sizes_are_built_or_refused(name):
    count = int(os.environ.get("FUZZ", 1))
    assert not list(filter(None, (fuzz_options.network(DRAW, name) for _ in range(count))))
