"""Leaks planted one by one: each must be caught."""

import dataclasses

import jax
import numpy as np
import pytest

from mer_jax import leakage, protocols
from mer_jax.clips import Clip, in_memory
from mer_jax.leakage import Leak, Reason
from mer_jax.training import Settings, fit, rng
from tests.training import small

SETTINGS = Settings(epochs=2, batch_size=8)
NAMES = [str(i) for i in range(30)]


def run(problem=None, settings=SETTINGS):
    examples, labels, folds = problem or small.problem()
    folds = folds.take([0, 1])
    result, *_ = fit(
        examples,
        labels,
        [folds] * len(settings.variants),
        settings,
        num_classes=3,
        build=small.build,
        **small.grouped(devices=jax.devices()[:1], quiet=True),
    )
    return folds, labels, result


@pytest.fixture(scope="module")
def honest():
    return run()


def test_an_honest_job_passes_and_its_replay_agrees(honest, tmp_path):
    folds, labels, result = honest
    assert leakage.check(SETTINGS, folds, result, NAMES) == []
    np.testing.assert_array_equal(result.sample_counts > 0, folds.train)
    leakage.save_audit(tmp_path / "audit.npz", labels, 1, result)
    assert leakage.replay(tmp_path / "audit.npz", SETTINGS, folds) == []
    with jax.threefry_partitionable(False):  # as a user's environment may have it
        assert leakage.replay(tmp_path / "audit.npz", SETTINGS, folds) == []
    other = dataclasses.replace(SETTINGS, seed=1)
    assert "not those of its seed" in leakage.replay(tmp_path / "audit.npz", other, folds)[0]


def test_a_test_clip_in_a_batch_is_caught(monkeypatch, tmp_path):
    honest_stream = rng.shuffled

    def leaky(key, train, **size):
        index, mask = honest_stream(key, train, **size)
        return index.at[0, 0].set(2), mask  # clip 2 belongs to the first person

    monkeypatch.setattr(rng, "shuffled", leaky)
    folds, labels, result = run()
    with pytest.raises(leakage.LeakError, match=r"toy/s0: clip toy/s0/c2 .* in a training batch"):
        leakage.check(SETTINGS, folds, result, NAMES)
    monkeypatch.undo()
    leakage.save_audit(tmp_path / "audit.npz", labels, 1, result)
    found = " ".join(leakage.replay(tmp_path / "audit.npz", SETTINGS, folds))
    assert "not those of its seed" in found and "in a training batch" in found


def test_a_mask_from_all_clips_is_declared_or_caught():
    settings = dataclasses.replace(SETTINGS, statistics_on_all_clips=True)
    folds, _, result = run(settings=settings)
    assert leakage.check(settings, folds, result, NAMES) == [Leak(Reason.STATISTICS)]
    with pytest.raises(leakage.LeakError, match="in a statistic"):
        leakage.check(SETTINGS, folds, result, NAMES)  # the switch was not set


def test_an_epoch_chosen_on_test_clips_is_declared(honest):
    folds, _, result = honest
    settings = dataclasses.replace(SETTINGS, model_selection="best_test")
    assert leakage.check(settings, folds, result, NAMES) == [Leak(Reason.EPOCH)]


def test_an_epoch_chosen_on_test_clips_in_secret_is_caught(honest, tmp_path):
    folds, labels, result = honest
    # The engine takes the best test epoch where the settings say the last one.
    best = result.test_accuracy.argmax(1).astype(np.int32) + 1
    best[1] = 1
    leaky = result._replace(chosen_epoch=best)
    with pytest.raises(leakage.LeakError, match=r"epoch 1 was selected, .*'last' selects epoch 2"):
        leakage.check(SETTINGS, folds, leaky, NAMES)
    leakage.save_audit(tmp_path / "audit.npz", labels, 1, leaky)
    assert "epoch 1 was selected" in " ".join(
        leakage.replay(tmp_path / "audit.npz", SETTINGS, folds)
    )

    settings = dataclasses.replace(SETTINGS, model_selection="best_val", validation=0.2)
    losses = np.array([[0.4, 0.3], [0.2, 0.5]], np.float32)
    sound = result._replace(validation_loss=losses, chosen_epoch=np.array([2, 1]))
    assert leakage.check(settings, folds, sound, NAMES) == []
    # Without a finite loss nothing is selected: the network as it began.
    losses = np.array([[np.inf, np.nan], [np.inf, 0.5]], np.float32)
    none = result._replace(validation_loss=losses, chosen_epoch=np.array([0, 2]))
    assert leakage.check(settings, folds, none, NAMES) == []
    leaky = sound._replace(chosen_epoch=np.array([1, 1]))
    with pytest.raises(
        leakage.LeakError, match=r"epoch 1 was selected, .*'best_val' selects epoch 2"
    ):
        leakage.check(settings, folds, leaky, NAMES)


def test_training_that_stops_by_its_test_clips_says_so(honest):
    folds, _, result = honest
    settings = dataclasses.replace(SETTINGS, model_selection="best_test", early_stopping_patience=3)
    assert leakage.check(settings, folds, result, NAMES) == [Leak(Reason.STOPPING)]


def test_a_person_on_both_sides_is_declared(honest):
    _, _, result = honest
    clips = [Clip("toy", f"s{i // 5}", f"c{i}", in_memory(np.zeros(1)), "x") for i in range(30)]
    folds = protocols.lovo(clips, np.zeros(30, int), fraction=0.5)
    result = result._replace(
        sample_counts=folds.train.astype(np.int32), statistics_mask=folds.train
    )
    assert leakage.check(SETTINGS, folds, result, NAMES) == [Leak(Reason.SUBJECTS)]


def test_an_augmented_copy_across_the_split_is_declared(honest):
    folds, _, result = honest
    names = list(NAMES)
    names[11] = names[1]  # a clip of the third person is a copy of one of the first
    found = leakage.check(SETTINGS, folds, result, names)
    names = {"fold": "toy/s0", "train_clip": "toy/s2/c11", "test_clip": "toy/s0/c1"}
    assert [leak.to_json() for leak in found] == [{"reason": "duplicate"} | names]


def test_a_duplicate_in_validation_and_test_is_declared():
    rows = np.eye(3, dtype=bool)
    folds = protocols.Folds(
        ("f",), ("a", "b", "c"), ("s1", "s2", "s3"), rows[:1], rows[2:], rows[1:2]
    )
    assert leakage.find_duplicates(folds, ["1", "2", "3"]) == []
    (leak,) = leakage.find_duplicates(folds, ["1", "2", "2"])
    assert (leak.train_clip, leak.test_clip) == ("b", "c")
