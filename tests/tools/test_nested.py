"""The choice of a recipe by inner validation: what each part sees, and the final predictions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn.metrics import f1_score
from sklearn.svm import SVC

from mer_jax import experiment, metrics, models, sweep
from mer_jax.errors import UserError
from mer_jax.models import pretrained
from mer_jax.protocols import Folds, k_fold, loso
from mer_jax.sweep import Row
from mer_jax.training import initialization
from tests.datasets import replica
from tools import leaderboard, nested

SWEEP = """
from mer_jax.sweep import Row
SVM = {"method.size": (24, 20), "method.normalize": "standard", "model.name": "svm"}
SVM |= {"model.standardize": False, "model.kernel": "rbf"}
SVM |= {"train.epochs": 50, "train.batch_size": 32, "train.learning_rate": 1e-3}
ROWS = {f"C {C:g}": Row("ststnet_megc2019", SVM | {"model.C": C}) for C in (0.5, 5.0)}
"""


def blank(part):
    """Folds over clips with subjects of those parts."""
    keys = tuple(f"c{n}" for n in range(len(part)))
    rows = np.eye(len(part), dtype=bool)
    return Folds(keys, keys, keys, ~rows, rows, np.zeros_like(rows))


def test_a_part_is_validated_on_the_others_by_networks_that_saw_neither():
    part = np.array([0, 1, 2, 2, 1, 0, 3])
    folds = nested.pairs(blank(part), part)
    assert len(folds) == 6
    for (a, b), train, test in zip(itertools.combinations(range(4), 2), folds.train, folds.test):
        assert set(part[test]) == {a, b} and set(part[train]) == set(range(4)) - {a, b}
    # Fold f predicts f for all clips that it tests.
    values = np.where(folds.test[:, :, None], np.arange(6.0)[:, None, None], np.nan)
    found = nested.validation(values.astype(np.float32), folds, part)[..., 0]
    pair = {frozenset(both): f for f, both in enumerate(itertools.combinations(range(4), 2))}
    for own in range(4):
        for clip, other in enumerate(part):
            wanted = np.nan if other == own else pair[frozenset((own, other))]
            np.testing.assert_equal(found[own, clip], np.float32(wanted))


def macro(found, names, own, rows, labels):
    mean = np.mean([found[name][own, rows] for name in names], 0)
    return f1_score(labels[rows], mean.argmax(1), average="macro")


def test_the_committee_is_that_of_the_best_validation_score():
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 3
    part = np.repeat(np.arange(3), 20)
    found = {}
    for number in range(6):
        values = draw.dirichlet(np.ones(3), (3, 60)) + 0.1 * number * np.eye(3)[labels]
        values[part == np.arange(3)[:, None]] = np.nan
        found[f"r{number}"] = values
    for own, (members, score) in enumerate(nested.choose(found, labels)):
        shared = own, part != own, labels
        ranked = sorted(found, key=lambda name, shared=shared: -macro(found, [name], *shared))
        every = [macro(found, ranked[:count], *shared) for count in nested.COMMITTEES]
        assert score == pytest.approx(max(every)) == pytest.approx(macro(found, members, *shared))
        # Its own clips have no part in the choice.
        flipped = np.where(part != own, labels, 2 - labels)
        assert nested.choose(found, flipped)[own][0] == members


def test_the_final_predictions_are_those_of_each_parts_committee(tmp_path):
    root, path = tmp_path / "maps", tmp_path / "recipes.py"
    replica.write("flow_maps", root, subjects=4)
    path.write_text(SWEEP)
    recipes = nested.read(path, root=str(root))
    count = len(recipes.labels)
    parts = k_fold(recipes.clips, recipes.labels, folds=nested.PARTS).test
    np.testing.assert_array_equal(recipes.part, parts.argmax(0))
    text, summary = nested.run(recipes, tmp_path / "run", seeds=2)
    assert "| C 0.5 |" in text and "part 5: " in text
    maps = np.stack([clip.frames[0] for clip in recipes.clips]).astype(float)
    maps = (maps - maps.mean((1, 2), keepdims=True)) / maps.std((1, 2), keepdims=True)
    folds = loso(recipes.clips, recipes.labels)
    want = np.zeros(count, int)
    for train, test in zip(folds.train, folds.test):
        (members,) = {tuple(summary["committees"][p]) for p in recipes.part[test]}
        total = 0
        for name in members:
            svc = SVC(C=float(name[2:]), gamma="scale", break_ties=True)
            svc.fit(maps[train].reshape(train.sum(), -1), recipes.labels[train])
            odds = np.exp(svc.decision_function(maps[test].reshape(test.sum(), -1)))
            total = total + odds / odds.sum(1, keepdims=True)
        want[test] = total.argmax(1)
    predictions = metrics.read(tmp_path / "run")
    assert (predictions.predicted == want).mean() > 0.98  # rounding decides ties
    np.testing.assert_array_equal(predictions.label, recipes.labels)
    (line,) = leaderboard.lines(tmp_path / "run")  # an SVM has no seed: one run
    assert (line.verdict, line.seconds) == ("strict", None)
    assert line.every["uf1"] == [
        pytest.approx(f1_score(predictions.label, predictions.predicted, average="macro"))
    ]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "trainings").iterdir()}
    again = nested.run(recipes, tmp_path / "run", seeds=2)  # nothing is trained again
    assert again[0] == text and again[1]["overall"] == summary["overall"]
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "trainings").iterdir()}
    assert before == after
    damaged = next(iter(before))
    damaged.write_bytes(damaged.read_bytes()[:-99])
    with pytest.raises(UserError, match=f"{damaged.name}.* is damaged"):
        nested.run(recipes, tmp_path / "run", seeds=2)


@pytest.mark.slow
def test_a_recipe_may_start_from_a_run_on_other_subjects_alone(tmp_path):
    """Untrained after that, it predicts every clip as the run's own network does."""
    sizes = {"method.size": (24, 20), "model.maps": (2, 2, 2)}
    config = sweep.configured(
        Row("default", sizes | {"data.subjects": 3, "protocol.name": "hold_out"}),
        {"train.epochs": 2, "data.size": (24, 20), "report.thumbnails": False},
    )
    experiment.run(config, tmp_path / "rendered", quiet=True)
    root = tmp_path / "maps"
    replica.write("flow_maps", root, subjects=4)
    row = sizes | {"train.init_from": str(tmp_path / "rendered")}

    def trials(name, **changes):
        path = tmp_path / f"{name}.py"
        rows = {name: Row("ststnet_megc2019", row | changes)}
        path.write_text(f"from mer_jax.sweep import Row\nROWS = {rows!r}\n")
        recipes = nested.read(path, root=str(root))
        nested.run(recipes, tmp_path / "trials")
        (file,) = (tmp_path / "trials" / "trainings").glob(f"{name}*")
        return recipes, np.load(file)["probabilities"]

    recipes, found = trials("untrained", **{"train.epochs": 0})
    config = recipes.configs["untrained"]
    examples = experiment.prepare_examples(config, recipes.clips, {})
    shape = examples.input_shape
    network = models.create("ststnet", num_classes=3, rngs=nnx.Rngs(9), shape=shape, maps=(2, 2, 2))
    for name, value in initialization.read(tmp_path / "rendered", lambda rngs: network).items():
        leaf = pretrained.variables(network)[name]
        leaf[...] = value
    network.eval()
    statistics = examples.fit_statistics(examples.inputs, jnp.ones(len(recipes.clips)))
    want = jax.vmap(lambda clip: examples.eval_transform(clip, statistics))(examples.inputs)
    want = nnx.softmax(network(want))
    tested = np.isfinite(found)
    assert tested.any(0).all()
    np.testing.assert_allclose(found[tested], np.broadcast_to(want, found.shape)[tested], atol=1e-6)
    # A run on subjects that the recipe tests is a leak.
    row["train.init_from"] = str(tmp_path / "same")
    same = sweep.configured(Row("ststnet_megc2019", sizes), {"data.root": str(root)})
    same.train.epochs, same.protocol.name = 1, "hold_out"
    experiment.run(same, tmp_path / "same", quiet=True)
    with pytest.raises(UserError, match="recipe 'leaks' is not strict: "):
        trials("leaks", **{"train.epochs": 1})


def test_mistakes_are_one_sentence(tmp_path):
    path = tmp_path / "recipes.py"
    path.write_text(SWEEP + "ROWS['x'] = Row('ststnet_megc2019', {'data.index': 'other.csv'})\n")
    with pytest.raises(UserError, match="same data section"):
        nested.read(path, root=str(tmp_path))
    path.write_text("ROWS = {}\n")
    with pytest.raises(UserError, match="has no rows"):
        nested.read(path)
