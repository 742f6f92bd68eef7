import numpy as np
import pytest

from mer_jax import protocols
from mer_jax.clips import Clip, hold
from mer_jax.problems import UserError


def clips_of(persons=7, each=4, databases=("a", "b")):
    return [
        Clip(database, f"s{p}", f"c{i}", hold(np.zeros((1, 2, 2, 1))), "x")
        for database in databases
        for p in range(persons)
        for i in range(each)
    ]


@pytest.fixture(scope="module")
def clips():
    return clips_of()


@pytest.fixture(scope="module")
def labels(clips):
    return np.random.default_rng(0).integers(0, 3, len(clips))


@pytest.mark.parametrize("name", protocols.names())
def test_every_clip_is_tested_at_most_once_and_never_trained_on_there(name, clips, labels):
    folds = protocols.create(name, clips, labels)
    assert folds.train.shape == folds.test.shape == (len(folds), len(clips))
    assert not (folds.train & folds.test).any()
    tested = folds.test.sum(0)
    assert tested.max() == 1
    if name != "hold_out":
        assert tested.min() == 1 and (folds.train | folds.test).all()


def test_loso_tests_one_person_of_one_database_at_a_time(clips, labels):
    folds = protocols.create("loso", clips, labels)
    persons = np.array([clip.person for clip in clips])
    assert folds.names == tuple(sorted(set(persons)))  # a/s0 is not b/s0
    assert folds.subject_disjoint
    for name, test in zip(folds.names, folds.test):
        assert set(persons[test]) == {name}


def test_lovo_mixes_persons_in_blocks_of_five_percent():
    clips = clips_of(persons=10, each=10, databases=("a",))
    folds = protocols.create("lovo", clips, np.zeros(100, int))
    assert len(folds) == 20 and set(folds.test.sum(1)) == {5}
    assert not folds.subject_disjoint


@pytest.mark.parametrize("by", ["subject", "sample"])
def test_stratified_folds_keep_the_class_ratio(by):
    clips = clips_of(persons=20, each=6, databases=("a",))
    labels = np.random.default_rng(1).choice(3, len(clips), p=[0.6, 0.3, 0.1])
    folds = protocols.create("k_fold", clips, labels, folds=5, by=by)
    counts = np.stack([np.bincount(labels[test], minlength=3) for test in folds.test])
    ideal = np.bincount(labels) / 5
    assert np.abs(counts - ideal).max() <= (4 if by == "subject" else 1)
    assert folds.subject_disjoint == (by == "subject")


@pytest.mark.parametrize("name", ["k_fold", "lovo", "hold_out"])
def test_repeats_are_the_protocol_dealt_anew_as_one_job(name, clips, labels):
    folds = protocols.create(name, clips, labels, repeats=3, seed=4)
    for number in range(3):
        once = protocols.create(name, clips, labels, seed=4 + number)
        members = [protocols.repeat_of(fold) == f"repeat{number + 1}" for fold in folds.names]
        part = folds.take(np.flatnonzero(members))
        assert part.names == tuple(f"repeat{number + 1}.{fold}" for fold in once.names)
        assert (part.train == once.train).all() and (part.test == once.test).all()
    assert protocols.repeat_of("casme2/sub01") == ""
    with pytest.raises(UserError, match="repeats is 0"):
        protocols.create(name, clips, labels, repeats=0)


def test_leave_one_database_out(clips, labels):
    folds = protocols.create("leave_one_database_out", clips, labels)
    assert folds.names == ("a", "b")
    assert [clips[i].database for i in np.flatnonzero(folds.test[0])] == ["a"] * 28


def test_validation_takes_whole_persons_from_training_by_the_folds_own_name(clips, labels):
    folds = protocols.create("loso", clips, labels)
    held = protocols.validate(folds, fraction=0.25, seed=3)
    assert held.subject_disjoint
    assert (held.train | held.validation == folds.train).all()
    assert (held.test == folds.test).all()
    assert set(held.validation.sum(1)) == {3 * 4}
    alone = protocols.validate(folds.take([5]), fraction=0.25, seed=3)
    assert (alone.validation[0] == held.validation[5]).all()
    other = protocols.validate(folds, fraction=0.25, seed=4)
    assert (other.validation != held.validation).any()


def test_folds_survive_json_and_change_their_fingerprint_with_their_rows(clips, labels):
    folds = protocols.create("k_fold", clips, labels)
    again = protocols.Folds.from_json(folds.to_json())
    assert again.fingerprint == folds.fingerprint and again.names == folds.names
    assert (again.train == folds.train).all() and (again.test == folds.test).all()
    assert folds.take([0, 1]).fingerprint != folds.fingerprint
    assert "56 clips of 14 persons" in str(folds)


def test_a_clip_on_both_sides_is_refused(clips):
    rows = np.ones((1, len(clips)), bool)
    keys = tuple(clip.key for clip in clips)
    with pytest.raises(UserError, match="is in train and in test"):
        protocols.Folds(("f",), keys, keys, rows, rows, ~rows)


def test_a_class_without_training_clips_is_named(clips):
    labels = np.zeros(len(clips), int)
    labels[:4] = 1
    folds = protocols.create("loso", clips, labels)
    lacking = folds.check_classes(labels, ("calm", "glad"))
    assert lacking == ["fold a/s0: no training clip of class 'glad'"]


def test_mistakes_are_one_sentence(clips, labels):
    with pytest.raises(UserError, match="did you mean 'loso'"):
        protocols.create("losso", clips, labels)
    with pytest.raises(UserError, match="did you mean 'folds'"):
        protocols.create("k_fold", clips, labels, fold=3)
    with pytest.raises(UserError, match="there are 14 subjects to divide"):
        protocols.create("k_fold", clips, labels, folds=15)
    with pytest.raises(UserError, match="at least two are needed"):
        protocols.create("loso", clips[:4], labels[:4])
    with pytest.raises(UserError, match="no clips"):
        protocols.create("loso", [], [])
