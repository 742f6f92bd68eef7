import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models import pretrained
from mer_jax.protocols import Folds
from mer_jax.training import Settings, fit, initialization, records
from mer_jax.training.spotter_files import Fold
from tests.training import small

ONE = small.grouped(devices=jax.devices()[:1], quiet=True)


class Grown(small.Tiny):
    """The tiny network with a classifier of other classes."""

    def __init__(self, rngs):
        super().__init__(num_classes=4, rngs=rngs)


def pretrain(place, **settings):
    """A run's directory as far as `initial` reads it."""
    examples, labels, folds = small.problem()
    folds = folds.take([0])
    settings = Settings(epochs=3, batch_size=10, learning_rate=1e-2, **settings)
    result = small.trained(settings, folds=folds, directory=place / "checkpoints")
    (place / "folds.json").write_text(json.dumps(folds.to_json()))
    (place / "metrics.json").write_text("{}")
    return examples, labels, folds, result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The network that is handed on is of the chosen epoch, which is not the last one."""
    place = tmp_path_factory.mktemp("run")
    found = pretrain(place, model_selection="best_test")
    assert found[-1].chosen_epoch[0] < 3
    return place, *found


@pytest.mark.train
def test_a_run_goes_on_where_another_one_ended(run):
    """With next to no learning rate, the second run says what the first one said at its end."""
    place, examples, labels, folds, before = run
    initial_weights = initialization.read(place, small.build)
    assert {"conv.kernel", "norm.mean", "norm.scale", "head.bias"} <= set(initial_weights)
    assert not any("count" in name or "key" in name for name in initial_weights)
    settings = Settings(epochs=1, batch_size=10, learning_rate=1e-12, optimizer="sgd")
    after, fresh = (
        fit(
            examples,
            labels,
            [folds],
            settings,
            num_classes=3,
            build=small.build,
            initial_weights=s,
            **ONE,
        )
        for s in (initial_weights, None)
    )
    change = lambda now: np.abs(now[0].probabilities - before.probabilities).max()
    assert change(after) < 0.05 < change(fresh)  # only the batch statistics moved a little


def test_a_run_that_diverged_gives_no_weights(run, tmp_path):
    place = shutil.copytree(run[0], tmp_path / "run")
    (place / "metrics.json").write_text(json.dumps({"diverged_folds": ["hold_out"]}))
    with pytest.raises(UserError, match=r"train\.init_from: the training in .*run diverged"):
        initialization.read(place, small.build)


def test_a_classifier_of_other_classes_starts_fresh(run, tmp_path):
    """Also of as many, whose order would give each class another's name."""
    place = shutil.copytree(run[0], tmp_path / "run")
    classes = ["negative", "positive", "surprise"]
    (place / "metrics.json").write_text(json.dumps({"classes": classes}))
    build = lambda rngs, num_classes=3: small.Tiny(num_classes=num_classes, rngs=rngs)
    read = lambda names, **how: initialization.read(place, build, classes=names, **how)
    assert set(read(classes, complete=True)) == set(read(())) > {"conv.kernel", "head.bias"}
    other = classes[::-1]
    assert set(read(())) - set(read(other)) == {"head.bias", "head.kernel"}
    with pytest.raises(UserError, match="for the classes negative, positive, surprise; this job"):
        read(other, complete=True)


def test_what_has_another_shape_starts_fresh(run):
    initial_weights = initialization.read(run[0], Grown)
    assert "conv.kernel" in initial_weights and not any(
        name.startswith("head") for name in initial_weights
    )
    tree = {
        "conv": {"kernel": jnp.zeros(initial_weights["conv.kernel"].shape)},
        "head": {"bias": jnp.ones(4)},
    }
    tree = records.replace_leaves(tree, initial_weights)
    np.testing.assert_array_equal(tree["conv"]["kernel"], initial_weights["conv.kernel"])
    np.testing.assert_array_equal(tree["head"]["bias"], 1)


def test_a_person_whom_the_run_knows_is_told_of(tmp_path, run):
    _, _, everyone = small.problem()
    # The run's only fold tests the first subject, and trains on the other five.
    assert initialization.pretraining_overlap(run[0], everyone.take([0])) == 0
    assert initialization.pretraining_overlap(run[0], everyone) == 5
    assert initialization.pretraining_overlap(tmp_path, everyone) == 0  # converted weights


def test_subjects_of_earlier_runs_count_too(tmp_path):
    def write(name, subjects, init_from=""):
        place = tmp_path / name
        place.mkdir()
        rows = np.ones((1, len(subjects)), bool)
        clips = tuple(f"{subject}/c" for subject in subjects)
        folds = Folds(("hold_out",), clips, subjects, rows, ~rows, ~rows)
        (place / "folds.json").write_text(json.dumps(folds.to_json()))
        (place / "config.json").write_text(json.dumps({"train": {"init_from": init_from}}))
        return str(place)

    first = write("first", ("samm_lv/006", "samm_lv/007"))
    second = write("second", ("casme2/sub01",), init_from=first)
    assert initialization.trained_on(second, ["any"]) == [{"samm/6", "samm/7", "casme2/sub1"}]
    test = np.eye(2, dtype=bool)
    subjects = ("samm/006", "samm/009")
    later = Folds(subjects, ("samm/006/c", "samm/009/c"), subjects, ~test, test, test & False)
    assert initialization.pretraining_overlap(second, later) == 1  # samm/006 in long videos
    # What the earlier run was selected by, it knows, too.
    for name, train in (("a", {"model_selection": "best_test"}), ("b", {})):
        place = write(name, ("casme2/sub01", "casme2/sub02"))
        rows = np.array([[True, False]])
        clips, persons = ("casme2/sub01/c", "casme2/sub02/c"), ("casme2/sub01", "casme2/sub02")
        own = Folds(("hold_out",), clips, persons, rows, ~rows, rows & False)
        (tmp_path / name / "folds.json").write_text(json.dumps(own.to_json()))
        (tmp_path / name / "config.json").write_text(json.dumps({"train": train}))
        known = {"casme2/sub1", "casme2/sub2"} if train else {"casme2/sub1"}
        assert initialization.trained_on(place, ["any"]) == [known]
    third = write("third", ("mmew/S1",), init_from=str(tmp_path / "moved"))
    with pytest.raises(UserError, match="moved is not there, so its subjects are not known"):
        initialization.trained_on(third, ["any"])


def test_a_spotting_run_gives_each_fold_a_network_without_its_subject(tmp_path):
    fold = Fold("samm_lv/006", "micro", 10, 5, 20, 4, 30.0, 0.5, 0.5)
    folds = [fold, fold._replace(subject="samm_lv/007"), fold._replace(kind="macro")]
    spotters = {"recordings": [], "folds": [each._asdict() for each in folds]}
    (tmp_path / "spotters.json").write_text(json.dumps(spotters))
    found = initialization.trained_on(tmp_path, ["samm_lv/006", "samm/9"])
    assert found == [{"samm/7"}, {"samm/6", "samm/7"}]


def test_converted_weights_go_into_the_backbone(tmp_path):
    class Backed(nnx.Module):
        def __init__(self, rngs):
            self.backbone = nnx.Conv(1, 2, (3, 3), rngs=rngs)
            self.head = nnx.Linear(2, 3, rngs=rngs)

    kernel = np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2)
    pretrained.save(tmp_path / "w", {"backbone.kernel": kernel})
    initial_weights = initialization.read(tmp_path / "w", Backed)
    assert set(initial_weights) == {"backbone.kernel"}
    np.testing.assert_allclose(initial_weights["backbone.kernel"][:, :, 0], kernel.sum(2))


def test_mistakes_are_one_sentence(tmp_path, run):
    with pytest.raises(UserError, match="holds no weights"):
        initialization.read(tmp_path, small.build)
    place = tmp_path / "several"
    place.mkdir()
    folds = small.problem()[2]
    (place / "folds.json").write_text(json.dumps(folds.to_json()))
    with pytest.raises(UserError, match=r"has 6 folds.*hold_out"):
        initialization.read(place, small.build)
    (place / "folds.json").write_text(json.dumps(folds.take([0]).to_json()))
    with pytest.raises(UserError, match="is not finished"):
        initialization.read(place, small.build)
    with pytest.raises(UserError, match=r"no tensor of .* fits"):
        initialization.read(run[0], lambda rngs: nnx.Linear(7, 3, rngs=rngs))


@pytest.mark.train
def test_networks_of_each_fold_are_evaluated_as_they_are(tmp_path):
    """Without an epoch, a fold's predictions are those of the network that was given for it."""
    examples, labels, folds = small.problem()
    folds, network, draw = folds.take([0, 3]), small.build(nnx.Rngs(0)), np.random.default_rng(0)
    network.eval()
    shapes = {name: value.shape for name, value in pretrained.variables(network).items()}
    given = {
        subject: {n: draw.uniform(0.1, 1, shape).astype(np.float32) for n, shape in shapes.items()}
        for subject in ("s0", "s3")
    }
    pretrained.save(tmp_path / "w", given)
    assert initialization.trained_elsewhere(tmp_path / "w")
    weights = initialization.read(tmp_path / "w", small.build, folds=folds.names, complete=True)
    settings = Settings(epochs=0, init_from="w", seeds=2)
    results = fit(
        examples,
        labels,
        [folds, folds],
        settings,
        num_classes=3,
        build=small.build,
        initial_weights=weights,
        **ONE,
    )
    for row, own in enumerate(given.values()):
        pretrained.load_weights(own, network)
        mean = np.asarray(examples.inputs)[folds.train[row]].mean(0)
        logits = network(jnp.asarray(np.asarray(examples.inputs)[folds.test[row]] - mean))
        for result in results:  # of both seeds
            found = result.probabilities[row, : len(logits)]
            np.testing.assert_allclose(found, jax.nn.softmax(logits), rtol=1e-4, atol=1e-5)
    assert results[0].predicted.shape == (2, 0, 5) and not results[0].sample_counts.any()
    assert results[0].diverged == []

    del given["s3"]["head.bias"]
    pretrained.save(tmp_path / "part", given)
    with pytest.raises(UserError, match=r"has no weights for head\.bias"):
        initialization.read(tmp_path / "part", small.build, folds=folds.names, complete=True)
    assert len(initialization.read(tmp_path / "part", small.build, folds=folds.names)) == 2


def test_where_converted_weights_came_in_before_nothing_is_verified(tmp_path):
    pretrained.save(tmp_path / "weights", {"conv.kernel": np.ones((3, 3, 1, 1), np.float32)})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "folds.json").write_text("{}")
    for init_from, elsewhere in ((str(tmp_path / "weights"), True), ("", False)):
        config = {"train": {"init_from": init_from}}
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
        assert initialization.trained_elsewhere(tmp_path / "run") == elsewhere


def test_the_first_variant_is_handed_on_whatever_the_chunks(tmp_path):
    """It was a seed of the last chunk, which depends on memory and devices."""
    examples, labels, folds = small.problem()
    settings = Settings(epochs=2, batch_size=10, seeds=2)
    found = []
    for each in (0, 1):
        place = tmp_path / str(each)
        one = folds.take([0])
        fit(
            examples, labels, [one, one], settings, num_classes=3, build=small.build,
            **small.grouped(
                devices=jax.devices()[:1], quiet=True, folds_per_device=each,
                directory=place / "checkpoints",
            ),
        )  # fmt: skip
        (place / "folds.json").write_text(json.dumps(one.to_json()))
        (place / "metrics.json").write_text("{}")
        found.append(initialization.read(place, small.build))
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name], err_msg=name)
