"""The folds' estimators against scikit-learn's own pipeline, fold by fold."""

import builtins

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mer_jax import leakage, models, protocols
from mer_jax.clips import Clip
from mer_jax.errors import UserError
from mer_jax.methods import Examples
from mer_jax.methods.examples import mean_probability
from mer_jax.models.svm import SVM
from mer_jax.training import Settings, estimators

N, D = 24, 5


def job(classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % classes
    inputs = rng.standard_normal((N, D)) + 0.8 * np.eye(D)[labels]
    inputs[:, 3] *= 1e4
    inputs[:, 4] = 0.1  # never varies
    clips = [Clip("db", f"s{i // 6}", f"c{i}", None, "happiness") for i in range(N)]
    examples = Examples(inputs=jnp.asarray(inputs, jnp.float32))
    return examples, labels, protocols.create("loso", clips, labels)


@pytest.mark.parametrize(
    "options", [{}, {"kernel": "poly", "degree": 2}, {"kernel": "rbf", "C": 28.0}], ids=str
)
@pytest.mark.parametrize("classes", [2, 3])
def test_each_fold_is_scikit_learns_pipeline(classes, options):
    examples, labels, folds = job(classes)
    result = estimators.fit(examples, labels, folds, lambda: SVM(**options), num_classes=classes)
    x = np.asarray(examples.inputs, np.float64)
    machine = SVC(**{"kernel": "linear", "break_ties": True} | options)
    for fold, (train, test) in enumerate(zip(folds.train, folds.test)):
        oracle = make_pipeline(StandardScaler(), machine).fit(x[train], labels[train])
        eval_index = result.eval_index[fold][result.test[fold]]
        assert list(eval_index) == list(np.flatnonzero(test))
        said = result.probabilities[fold][result.test[fold]]
        np.testing.assert_array_equal(said.argmax(1), oracle.predict(x[eval_index]))
        np.testing.assert_allclose(said.sum(1), 1, rtol=1e-6)
        values = oracle.decision_function(x[eval_index])
        margins = values if classes > 2 else np.stack([0 * values, values], axis=1)
        differences = np.log(said) - np.log(said[:, :1])
        np.testing.assert_allclose(differences, margins - margins[:, :1], atol=1e-4)
        right = (oracle.predict(x[eval_index]) == labels[eval_index]).mean()
        assert result.test_accuracy[fold, 0] == pytest.approx(right)
        assert result.train_accuracy[fold, 0] == pytest.approx(
            oracle.score(x[train], labels[train])
        )
    contents = [str(i) for i in range(N)]
    assert leakage.check(Settings(), folds, result, contents) == []
    assert result.diverged == []


def test_a_test_clip_moves_nothing_but_its_own_row():
    examples, labels, folds = job()
    first = estimators.fit(examples, labels, folds, SVM, num_classes=3)
    wild = examples.inputs.at[0].set(1e5)
    second = estimators.fit(Examples(inputs=wild), labels, folds, SVM, num_classes=3)
    fold = int(np.flatnonzero(folds.test[:, 0])[0])
    others = first.eval_index[fold] != 0
    np.testing.assert_array_equal(
        first.probabilities[fold][others], second.probabilities[fold][others]
    )


def test_a_number_that_never_varied_in_training_has_no_say():
    examples, labels, folds = job()
    other = Examples(inputs=examples.inputs.at[0, 4].set(0.3))
    fold = int(np.flatnonzero(folds.test[:, 0])[0])
    first, second = (
        estimators.fit(e, labels, folds, SVM, num_classes=3) for e in (examples, other)
    )
    np.testing.assert_array_equal(first.probabilities[fold], second.probabilities[fold])
    nearly = np.nextafter(np.float32(0.1), np.float32(np.arange(1, N) % 2))  # by an ulp at most
    third = Examples(inputs=other.inputs.at[1:, 4].set(nearly))
    third = estimators.fit(third, labels, folds, SVM, num_classes=3)
    np.testing.assert_array_equal(first.probabilities[fold], third.probabilities[fold])


def test_statistics_are_learned_from_a_folds_training_clips():
    examples, labels, folds = job()
    statistics_mask = []

    def fit_statistics(inputs, weights):
        statistics_mask.append(weights)
        return jnp.einsum("n,nd->d", weights, inputs["x"]) / weights.sum()

    tree = Examples(
        inputs={"x": examples.inputs, "y": examples.inputs[:, :2, None]},
        fit_statistics=fit_statistics,
        eval_transform=lambda example, mean: {"x": example["x"] - mean, "y": example["y"]},
    )
    centered = estimators.fit(tree, labels, folds, SVM, num_classes=3)
    doubled = jnp.concatenate([examples.inputs, examples.inputs[:, :2]], axis=1)
    plain = estimators.fit(Examples(inputs=doubled), labels, folds, SVM, num_classes=3)
    assert len(statistics_mask) == 1  # compiled once for all folds
    # Standardising takes a shift out again.
    np.testing.assert_allclose(centered.probabilities, plain.probabilities, atol=1e-3)


def test_each_view_is_a_training_sample_and_test_views_are_combined():
    examples, labels, folds = job()
    both = Examples(
        inputs=examples.inputs,
        eval_transform=lambda x, _: jnp.stack([x, x[::-1]]),
        num_views=2,
        combine_views=mean_probability,
    )
    build = lambda: GaussianNB(var_smoothing=1e-3)
    result = estimators.fit(both, labels, folds, build, num_classes=3)
    x, train, test = np.asarray(examples.inputs, np.float64), folds.train[1], folds.test[1]
    twice = np.concatenate([x[train], x[train][:, ::-1]]), np.tile(labels[train], 2)
    fitted = build().fit(*twice)
    want = (fitted.predict_proba(x[test]) + fitted.predict_proba(x[test][:, ::-1])) / 2
    np.testing.assert_allclose(result.probabilities[1][result.test[1]], want, atol=1e-5)
    np.testing.assert_allclose(result.train_accuracy[1, 0], fitted.score(*twice), rtol=1e-6)


def test_balanced_classes_weigh_the_same():
    """As `SVC` with weights of the samples: one over the class's count, their mean 1."""
    x = np.random.default_rng(0).normal(size=(30, 3))
    labels = (np.arange(30) > 23).astype(int) + (np.arange(30) > 27)
    x[:, 0] += labels
    weight = 30 / 3 / np.bincount(labels)[labels]
    want = SVC(gamma="scale", break_ties=True).fit(x, labels, sample_weight=weight)
    made = lambda **more: SVM(kernel="rbf", standardize=False, **more).fit(x, labels)
    odds = lambda svm: np.log(svm.predict_proba(x) / svm.predict_proba(x)[:, :1])
    decision = want.decision_function(x)
    np.testing.assert_allclose(odds(made(balanced=True)), decision - decision[:, :1], atol=1e-6)
    assert np.abs(odds(made()) - odds(made(balanced=True))).max() > 0.1


def test_a_machine_for_each_pair_of_classes():
    """As `SVC` is: not one for each class against the others. Lists are arrays."""
    x = np.random.default_rng(0).normal(size=(60, 5))
    labels = np.arange(60) % 3
    x[:, :3] += np.eye(3)[labels] / 2
    with pytest.raises(NotFittedError):
        SVM().predict_proba(x)
    svm = SVM(standardize=False).fit(x.tolist(), labels.tolist())
    pairs = {}
    for a, b in ((0, 1), (0, 2), (1, 2)):
        some = np.isin(labels, (a, b))
        pairs[a, b] = SVC(kernel="linear").fit(x[some], labels[some]).predict(x)
    votes = np.stack([sum(found == k for found in pairs.values()) for k in range(3)], 1)
    clear = votes.max(1) == 2
    found = svm.predict_proba(x.tolist()).argmax(1)
    assert clear.sum() > 50
    np.testing.assert_array_equal(found[clear], votes.argmax(1)[clear])


def test_a_classifier_of_scikit_learn_by_name():
    examples, labels, folds = job()
    build = lambda: models.create_estimator("sklearn.naive_bayes:GaussianNB", var_smoothing=1e-6)
    result = estimators.fit(examples, labels, folds, build, num_classes=3)
    x, train, test = np.asarray(examples.inputs, np.float64), folds.train[1], folds.test[1]
    expected = GaussianNB(var_smoothing=1e-6).fit(x[train], labels[train]).predict_proba(x[test])
    np.testing.assert_allclose(result.probabilities[1][result.test[1]], expected, rtol=1e-6)
    with pytest.raises(UserError, match="svm is no network"):
        models.create("svm", num_classes=3, rngs=None)


def test_classifiers_without_probabilities_are_refused():
    with pytest.raises(UserError, match="SVC gives no probabilities with these options"):
        models.create_estimator("sklearn.svm:SVC")
    assert models.create_estimator("sklearn.linear_model:SGDClassifier", loss="log_loss")
    for name in ("sklearn.svm:LinearSVC", "sklearn.linear_model:RidgeClassifier"):
        with pytest.raises(UserError, match="it has no predict_proba"):
            models.info(name)


def test_settings_that_mean_nothing_are_refused():
    estimators.check(Settings(seed=3))
    with pytest.raises(UserError, match=r"no train\.epochs"):
        estimators.check(Settings(epochs=3))


def test_mistakes_are_one_sentence(monkeypatch):
    examples, labels, folds = job()
    with pytest.raises(UserError, match="kernel"):
        estimators.fit(examples, labels, folds, lambda: SVM(kernel="cubic"), num_classes=3)

    real = builtins.__import__

    def without(name, *model_state):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *model_state)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'mer_jax\[baseline\]'"):
        models.create_estimator("svm")


def test_the_papers_polynomial_kernel_is_that_of_the_features_as_they_are():
    """Against scikit-learn with the Gram matrix (0.22 x.y + 0)^2, computed here."""
    rng = np.random.default_rng(0)
    x, labels = rng.random((24, 6)) * 3, np.arange(24) % 3
    gram = (0.22 * x @ x.T) ** 2
    oracle = SVC(kernel="precomputed", C=2.0, break_ties=True).fit(gram[:18, :18], labels[:18])
    machine = SVM(kernel="poly", degree=2, gamma=0.22, standardize=False, C=2.0)
    found = machine.fit(x[:18], labels[:18]).predict_proba(x[18:])
    wanted = oracle.decision_function(gram[18:, :18])
    np.testing.assert_allclose(
        np.log(found) - np.log(found[:, :1]), wanted - wanted[:, :1], atol=1e-6
    )
