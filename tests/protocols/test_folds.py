import dataclasses

import numpy as np
import pytest
from sklearn import model_selection

from mer_jax import protocols
from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError


def clips_of(subjects=7, each=4, databases=("a", "b")):
    return [
        Clip(database, f"s{p}", f"c{i}", in_memory(np.zeros((1, 2, 2, 1))), "x")
        for database in databases
        for p in range(subjects)
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


def test_loso_tests_one_subject_of_one_database_at_a_time(clips, labels):
    folds = protocols.create("loso", clips, labels)
    subjects = np.array([clip.subject_key for clip in clips])
    assert folds.names == tuple(sorted(set(subjects)))  # a/s0 is not b/s0
    assert folds.subject_disjoint
    for name, test in zip(folds.names, folds.test):
        assert set(subjects[test]) == {name}


def one_each(subjects):
    """A clip for each of `subjects`, whose numbers these are."""
    return [
        Clip("a", f"s{p:03d}", f"c{i:04d}", in_memory(np.zeros((1, 2, 2, 1))), "x")
        for i, p in enumerate(subjects)
    ]


def crowd(seed, subjects=24, classes=4):
    """Clips of subjects with few and many, each with a leaning of their own, and their labels."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), rng.geometric(0.12, subjects))
    leaning = rng.dirichlet(np.ones(classes), subjects)
    labels = np.array([rng.choice(classes, p=leaning[p]) for p in subject])
    return one_each(subject), np.unique(labels, return_inverse=True)[1], subject


def sizes(tests):
    """Of folds, largest first."""
    return sorted((int(np.sum(test)) for test in tests), reverse=True)


def by_class(tests, labels):
    """[F, K]: tested clips of each class."""
    return np.stack([np.bincount(labels[test], minlength=labels.max() + 1) for test in tests])


def sklearns(splitter, labels, groups=None):
    """The test rows [F, N] of a splitter."""
    rows = splitter.split(np.zeros(len(labels)), labels, groups)
    return [np.isin(np.arange(len(labels)), test) for _, test in rows]


@pytest.mark.parametrize(
    ("count", "fraction", "parts"),
    [(100, 0.05, 20), (12, 0.05, 12), (247, 0.05, 20), (30, 0.5, 2), (101, 0.33, 3), (10, 0.3, 3)],
)
def test_lovo_tests_every_video_once_in_parts_of_the_fraction(count, fraction, parts):
    folds = protocols.create(
        "lovo", one_each(range(count)), np.zeros(count, int), fraction=fraction
    )
    assert len(folds) == parts and (folds.test.sum(0) == 1).all()
    assert set(np.abs(folds.test.sum(1) - round(fraction * count))) <= {0, 1}
    assert not protocols.create("lovo", one_each([0, 0, 1, 1]), np.zeros(4, int)).subject_disjoint


@pytest.mark.parametrize("fraction", [0.0, 0.4, 0.6, 0.95])
def test_lovo_refuses_a_fraction_that_no_number_of_parts_has(fraction):
    with pytest.raises(UserError, match=rf"protocol.fraction is {fraction}"):
        protocols.create("lovo", one_each(range(100)), np.zeros(100, int), fraction=fraction)


@pytest.mark.parametrize(
    ("classes", "folds", "by", "expected"),
    [
        ((3, 3, 3), 5, "sample", [2, 2, 2, 2, 1]),
        ((5, 3, 2), 10, "subject", [1] * 10),
        ((6,) * 10, 5, "sample", [12] * 5),
        ((55, 280, 50, 265), 10, "sample", [65] * 10),  # PSN, section 3.3
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_stratified_folds_are_equal(classes, folds, by, expected, seed):
    labels = np.repeat(np.arange(len(classes)), classes)
    options = {"folds": folds, "by": by, "seed": seed}
    tests = protocols.create("k_fold", one_each(range(len(labels))), labels, **options).test
    assert sizes(tests) == expected
    assert (np.abs(by_class(tests, labels) - np.array(classes) / folds) < 1).all()


@pytest.mark.parametrize("seed", range(8))
def test_folds_by_sample_have_the_counts_of_scikit_learns(seed):
    clips, labels, _ = crowd(seed)
    k = 2 + seed
    ours = protocols.create("k_fold", clips, labels, folds=k, by="sample", seed=seed).test
    theirs = sklearns(model_selection.StratifiedKFold(k), labels)
    assert sizes(ours) == sizes(theirs)
    np.testing.assert_array_equal(
        *(np.sort(by_class(tests, labels), axis=0) for tests in (ours, theirs))
    )
    options = {"folds": k, "by": "sample", "stratified": False}
    plain = protocols.create("k_fold", clips, labels, **options).test
    assert sizes(plain) == sizes(sklearns(model_selection.KFold(k), labels))


def test_folds_by_subject_are_no_less_even_than_scikit_learns():
    spread = []
    for seed in range(8):
        clips, labels, subject = crowd(seed)
        k = 3 + seed % 4
        options = {"folds": k, "seed": seed}
        plain = protocols.create("k_fold", clips, labels, stratified=False, **options)
        theirs = sklearns(model_selection.GroupKFold(k), labels, subject)
        assert sizes(plain.test) == sizes(theirs)
        ours = protocols.create("k_fold", clips, labels, **options)
        assert ours.subject_disjoint and plain.subject_disjoint and len(ours) == k
        theirs = sklearns(model_selection.StratifiedGroupKFold(k), labels, subject)
        ideal = np.bincount(labels) / k
        spread.append(
            [(np.square(by_class(t, labels) - ideal) / ideal).sum() for t in (ours.test, theirs)]
        )
    ours, theirs = np.mean(spread, axis=0)
    assert ours <= theirs, (ours, theirs)


def test_several_labels_a_clip_are_dealt_and_held_out_evenly():
    labels = (np.random.default_rng(0).uniform(size=(90, 5)) < (0.5, 0.3, 0.2, 0.1, 0.1)).astype(
        int
    )
    labels[:9] = 0  # some clips have none
    clips = one_each(range(90))
    folds = protocols.create("k_fold", clips, labels, folds=4, by="sample")
    counts = folds.test.astype(int) @ labels
    assert np.abs(counts - labels.sum(0) / 4).max() <= 3
    assert np.ptp(folds.test.sum(1)) <= 4
    held_out = protocols.create("hold_out", clips, labels, fraction=0.3, by="sample").test
    assert held_out.sum() == 27 and np.abs(held_out[0] @ labels - 0.3 * labels.sum(0)).max() <= 3


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.37, 0.4, 0.5, 0.7, 0.9])
def test_hold_out_tests_the_share_asked_for(fraction):
    clips, labels, _ = crowd(3)
    asked = round(fraction * len(clips))
    splitter = model_selection.StratifiedShuffleSplit(1, test_size=asked, random_state=0)
    theirs = by_class(sklearns(splitter, labels), labels)
    sample = protocols.create("hold_out", clips, labels, fraction=fraction, by="sample").test
    assert sample.sum() == asked
    assert np.abs(by_class(sample, labels) - theirs).max() <= 1
    folds = protocols.create("hold_out", clips, labels, fraction=fraction)
    assert folds.subject_disjoint and (folds.train | folds.test).all()
    assert abs(folds.test.sum() - asked) <= 4
    assert np.abs(by_class(folds.test, labels) - fraction * np.bincount(labels)).max() <= 4


def test_hold_out_refuses_what_cannot_be():
    clips, labels = one_each(range(10)), np.repeat([0, 1], 5)
    for fraction in (0.0, 0.04, 0.96, 1.0, -0.2):
        inside = 0 < fraction < 1
        words = "none to test or none to train" if inside else "above 0 and below 1"
        with pytest.raises(UserError, match=words):
            protocols.create("hold_out", clips, labels, fraction=fraction, by="sample")
    with pytest.raises(UserError, match="there is one subject"):
        protocols.create("hold_out", one_each([0] * 10), labels)


def test_hold_out_by_the_published_counts():
    """STCNN, Table IV: 206 clips of CAS(ME)^2, of which 21, 12 and 8 are tested."""
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], (94, 76, 36)))
    clips = one_each(range(206))
    options = {"by": "sample", "test_counts": (21, 12, 8)}
    folds = protocols.create("hold_out", clips, labels, **options)
    assert by_class(folds.test, labels).tolist() == [[21, 12, 8]]
    assert by_class(folds.train, labels).tolist() == [[73, 64, 28]]
    other = protocols.create("hold_out", clips, labels, **options, seed=1)
    assert (other.test != folds.test).any()
    for counts in (
        (21, 12, 37),
        (21, 12),
        (21, 12, -1),
        (0, 0, 0),
        (1.5, 1, 1),
        ("a", 1, 1),
        (94, 76, 36),
    ):
        whole = all(isinstance(count, int) and count >= 0 for count in counts)
        words = r"the classes have \(94, 76, 36" if whole else r"each an integer, 0 or more"
        with pytest.raises(UserError, match=words):
            protocols.create("hold_out", clips, labels, by="sample", test_counts=counts)
    with pytest.raises(UserError, match="test_counts needs"):
        protocols.create("hold_out", clips, labels, test_counts=(21, 12, 8))


@pytest.mark.parametrize(
    ("name", "options", "fingerprint"),
    [
        ("k_fold", {}, "f4c339a965fe"),
        ("k_fold", {"by": "sample"}, "496c7d0d17a8"),
        ("hold_out", {}, "8d30a08e4f2c"),
        ("hold_out", {"by": "sample"}, "f69ec75acbba"),
        ("lovo", {}, "693b29f4d544"),
    ],
)
def test_the_same_seed_is_the_same_split_on_every_machine(name, options, fingerprint):
    """All is counted in integers: these were made once, and no machine may differ."""
    number = np.arange(100)
    clips, labels = one_each(number**2 % 29), number * 7 % 11 % 4
    folds = protocols.create(name, clips, labels, seed=5, **options)
    assert folds.fingerprint == fingerprint


@pytest.mark.parametrize("name", ["k_fold", "lovo", "hold_out"])
def test_repeats_are_the_protocol_dealt_anew_as_one_job(name, clips, labels):
    folds = protocols.create(name, clips, labels, repeats=3, seed=4)
    for number in range(3):
        once = protocols.create(name, clips, labels, seed=4 + number)
        members = [protocols.repetition_name(fold) == f"repeat{number + 1}" for fold in folds.names]
        part = folds.take(np.flatnonzero(members))
        assert part.names == tuple(f"repeat{number + 1}.{fold}" for fold in once.names)
        assert (part.train == once.train).all() and (part.test == once.test).all()
    assert protocols.repetition_name("casme2/sub01") == ""
    with pytest.raises(UserError, match="repeats is 0"):
        protocols.create(name, clips, labels, repeats=0)


def test_leave_one_database_out(clips, labels):
    folds = protocols.create("leave_one_database_out", clips, labels)
    assert folds.names == ("a", "b")
    assert [clips[i].database for i in np.flatnonzero(folds.test[0])] == ["a"] * 28


def test_validation_takes_whole_subjects_from_training_by_the_folds_own_name(clips, labels):
    folds = protocols.create("loso", clips, labels)
    held_out = protocols.with_validation(folds, fraction=0.25, seed=3)
    assert held_out.subject_disjoint
    assert (held_out.train | held_out.validation == folds.train).all()
    assert (held_out.test == folds.test).all()
    assert set(held_out.validation.sum(1)) == {3 * 4}
    alone = protocols.with_validation(folds.take([5]), fraction=0.25, seed=3)
    assert (alone.validation[0] == held_out.validation[5]).all()
    other = protocols.with_validation(folds, fraction=0.25, seed=4)
    assert (other.validation != held_out.validation).any()
    assert not protocols.with_validation(folds, fraction=0.0).validation.any()
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(UserError, match=r"fraction is"):
            protocols.with_validation(folds, fraction=fraction)


def test_folds_survive_json_and_change_their_fingerprint_with_their_rows(clips, labels):
    folds = protocols.create("k_fold", clips, labels)
    again = protocols.Folds.from_json(folds.to_json())
    assert again.fingerprint == folds.fingerprint and again.names == folds.names
    assert (again.train == folds.train).all() and (again.test == folds.test).all()
    assert folds.take([0, 1]).fingerprint != folds.fingerprint
    assert "56 clips of 14 subjects" in str(folds)


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
    with pytest.raises(UserError, match=r"labels of shape \(3,\): expected \[56, \.\.\.\]"):
        protocols.create("k_fold", clips, labels[:3])
    with pytest.raises(UserError, match="no clips"):
        protocols.create("loso", [], [])


def test_a_validation_clip_of_the_tested_subject_is_no_strict_fold():
    """By it the test subject would choose the epoch."""
    rows = np.eye(3, dtype=bool)
    folds = protocols.Folds(
        ("a",), ("c1", "c2", "c3"), ("s1", "s2", "s2"), *(rows[[n]] for n in (0, 1, 2))
    )
    assert not folds.subject_disjoint
    assert dataclasses.replace(folds, subjects=("s1", "s2", "s3")).subject_disjoint


@pytest.mark.parametrize("wrong", ["order", "subjects", "fewer"])
def test_an_own_protocol_is_over_the_clips_it_was_given(wrong, clips, labels, monkeypatch):
    """In another order each fold would train on other clips than the report names."""

    def own(clips, labels):
        folds = protocols.loso(clips, labels)
        if wrong == "order":
            return protocols.loso(clips[::-1], labels[::-1])
        if wrong == "fewer":
            return protocols.loso(clips[:-1], labels[:-1])
        return dataclasses.replace(folds, subjects=tuple(clip.subject for clip in clips))

    monkeypatch.setitem(protocols._SCHEMES, "own", own)
    with pytest.raises(UserError, match="protocol own: its folds are not over the given clips"):
        protocols.create("own", clips, labels)
