"""Spotted intervals against sets of frames, brute force and counts by hand."""

import itertools

import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.metrics import matching, spotting
from mer_jax.metrics.matching import Event, iou, match, match_events
from mer_jax.recordings import Interval, Recording


def on(video, onset, offset, kind="", emotion="", subject="s1"):
    return Event(subject, video, onset, offset, kind, emotion)


def intervals(rng, count):
    onset = rng.integers(0, 30, count)
    return np.stack([onset, onset + rng.integers(0, 12, count)], 1)


def test_overlap_is_that_of_the_sets_of_frames():
    rng = np.random.default_rng(0)
    first, second = intervals(rng, 40), intervals(rng, 50)
    found = iou(first, second)
    for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(second)):
        x, y = set(range(a[0], a[1] + 1)), set(range(b[0], b[1] + 1))
        assert found[i, j] == pytest.approx(len(x & y) / len(x | y), abs=1e-15)
    assert iou([], second).shape == (0, 50)
    assert iou([[3, 3]], [[3, 3], [4, 4]]).tolist() == [[1, 0]]  # one frame is an interval


def test_the_optimal_matching_is_that_of_all_permutations():
    rng = np.random.default_rng(1)
    for _ in range(150):
        overlap = iou(intervals(rng, rng.integers(0, 5)), intervals(rng, rng.integers(0, 6)))
        rows, columns = overlap.shape
        best = (0, 0.0)
        for chosen in itertools.permutations([*range(columns)] + [None] * rows, rows):
            hit = [overlap[r, c] for r, c in enumerate(chosen) if c is not None]
            hit = [value for value in hit if value >= 0.5]
            best = max(best, (len(hit), sum(hit)))
        pairs = match(overlap)
        assert len({*pairs[:, 0]}) == len({*pairs[:, 1]}) == len(pairs) == best[0]
        assert sum(overlap[r, c] for r, c in pairs) == pytest.approx(best[1])
        for rule in ("greedy", "first"):
            taken = match(overlap, rule=rule)
            assert len({*taken[:, 0]}) == len({*taken[:, 1]}) == len(taken) <= best[0]
            free = overlap.copy()
            free[taken[:, 0]] = free[:, taken[:, 1]] = 0
            assert (free < 0.5).all()  # no pair is left that could be one


def test_rules_of_ties():
    equal = [[0.7, 0.7], [0.7, 0.7]]
    assert match(equal, rule="greedy").tolist() == [[0, 0], [1, 1]]
    assert match([[0.5], [0.9]], rule="first").tolist() == [[0, 0]]
    assert match([[0.5], [0.9]], rule="greedy").tolist() == [[1, 0]]
    assert match([[0.5]]).tolist() == [[0, 0]] and match([[0.4999]]).tolist() == []
    with pytest.raises(UserError, match="did you mean 'greedy'"):
        match(equal, rule="greed")


TRUTH = [
    on("a", 0, 9, "micro"), on("a", 20, 29, "micro"), on("a", 20, 29, "macro"),
    on("b", 5, 5, "micro", subject="s2"), on("c", 0, 99, "macro", subject="s3"),
]  # fmt: skip
FOUND = [
    on("a", 5, 9, "micro"), on("a", 0, 4, "micro"),  # both overlap half of the first: one hit
    on("a", 19, 30, "macro"),  # hits the macro-expression, not the micro-expression there
    on("b", 5, 5, "micro", subject="s2"), on("b", 6, 6, "micro", subject="s2"),
    on("d", 3, 4, "micro", subject="s4"),  # a video without truth
]  # fmt: skip


def test_counts_by_hand():
    found = match_events(TRUTH, FOUND)
    assert found.subjects == ("1", "2", "3", "4")
    assert found.by_kind()["micro"].tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0], [0, 1, 0]]
    assert found.by_kind()["macro"].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert found.by_kind()["both"].sum(0).tolist() == [3, 3, 2]
    score = spotting.summary(TRUTH, FOUND)["spotting"]
    assert score["micro"]["f1"]["value"] == pytest.approx(2 * 2 / (2 * 2 + 3 + 1))
    assert score["both"]["precision"]["value"] == pytest.approx(3 / 6)
    assert score["both"]["recall"]["value"] == pytest.approx(3 / 5)


def test_without_kinds_all_is_one():
    bare = [event._replace(kind="") for event in FOUND]
    found = match_events(TRUTH, bare)
    assert [*found.by_kind()] == ["all"]
    assert found.by_kind()["all"].sum(0).tolist() == [3, 3, 2]


@pytest.mark.parametrize(
    ("truths", "predictions", "counts"),
    [([], [], [0, 0, 0]), (TRUTH, [], [0, 0, 5]), ([], FOUND, [0, 6, 0]),
     ([on("a", 0, 9)], [on("a", 50, 60)], [0, 1, 1]),
     ([on("a", 0, 9)], [on("a", 0, 9, subject="s2")], [0, 1, 1])],
)  # fmt: skip
def test_no_hit_is_zero_and_not_nan(truths, predictions, counts):
    found = match_events(truths, predictions)
    assert found.counts.sum((0, 1)).tolist() == counts and not found.hits
    result = spotting.summary(truths, predictions)
    for part in result["spotting"].values():
        assert [part[name]["value"] for name in ("f1", "precision", "recall")] == [0, 0, 0]
    assert all(value == 0 for value in result["alternative_scores"].values())


def test_recognition_by_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    names = ["disgust", "happiness", "others"]
    truths = [on("v", 20 * i, 20 * i + 9, "", rng.choice(names)) for i in range(60)]
    predictions = [t._replace(emotion=str(rng.choice([*names, "fear"]))) for t in truths[:45]]
    result = spotting.summary(truths, predictions)
    true, predicted = [t.emotion for t in truths[:45]], [p.emotion for p in predictions]
    part = result["recognition"]
    options = {"labels": names, "average": "macro", "zero_division": 0}
    assert part["uf1"]["value"] == pytest.approx(metrics.f1_score(true, predicted, **options))
    recall = metrics.recall_score(true, predicted, **options)
    precision = metrics.precision_score(true, predicted, **options)
    assert part["uar"]["value"] == pytest.approx(recall)
    f1_a = 2 * precision * recall / (precision + recall)
    assert part["f1_a"]["value"] == pytest.approx(f1_a)
    f1 = 2 * 45 / (45 + 60)
    assert result["strs"]["value"] == pytest.approx(f1 * f1_a)
    assert np.sum(part["confusion"]) == 45
    few = spotting.summary(truths, predictions, classes=["disgust", "contempt"])["recognition"]
    assert few["uar"]["value"] == pytest.approx(np.mean(
        [p == "disgust" for t, p in zip(true, predicted) if t == "disgust"]
    ))  # fmt: skip
    assert few["confusion"][1] == [0, 0, 0]


def test_strs_counts_the_kinds_that_have_emotions():
    """As in SAMM Long Videos, whose macro-expressions have none: their F1 is no part of STRS."""
    micro = [Event("1", "1_1", 0, 9, "micro", "anger"), Event("2", "2_1", 0, 9, "micro", "fear")]
    macro = [Event("1", "1_1", 50, 90, "macro"), Event("2", "2_1", 50, 90, "macro")]
    extra = [micro[0], micro[1]._replace(onset=30, offset=40), *macro]
    alone = spotting.summary(micro, extra[:2])
    both = spotting.summary([*micro, *macro], extra)
    assert both["spotting"]["both"]["f1"]["value"] == 6 / 8  # 3 hits, 1 of each error
    assert alone["strs"]["value"] == both["strs"]["value"] == pytest.approx(0.5 * 0.5)
    for name in ("STRS with UF1 for F1_a", "STRS, as the code of the challenge counts"):
        assert both["alternative_scores"][name] == alone["alternative_scores"][name]
    # Where all kinds have emotions, all count.
    named = [event._replace(emotion="anger") for event in macro]
    assert spotting.summary([*micro, *named], extra)["strs"]["value"] != both["strs"]["value"]


def test_no_hit_has_a_strs_of_zero():
    result = spotting.summary([on("a", 0, 9, "", "fear")], [on("a", 20, 29, "", "fear")])
    assert result["strs"]["value"] == result["recognition"]["uf1"]["value"] == 0


def test_the_bootstrap_is_over_subjects():
    rng = np.random.default_rng(3)
    truths = [on("v", 20 * i, 20 * i + 9, "", "x", f"s{i % 5}") for i in range(40)]
    predictions = [event for event in truths if rng.random() < 0.5]
    low, high = (
        spotting.summary(truths, predictions, draws=300, seed=4)["spotting"]["all"]["f1"][end]
        for end in ("low", "high")
    )
    chosen = np.random.default_rng(4).integers(5, size=(300, 5))
    counts = [
        [sum(e.subject == f"s{s}" for e in side) for s in range(5)]
        for side in (predictions, truths)
    ]
    hit, true = (np.array(side)[chosen].sum(1) for side in counts)
    assert (low, high) == pytest.approx(np.quantile(2 * hit / (hit + true), [0.025, 0.975]))
    alone = spotting.summary(truths[::5], predictions)["spotting"]["all"]["f1"]
    assert not np.isnan(alone["value"])


def test_other_habits_by_hand():
    truths = [on("a", 0, 9), on("a", 1, 10), on("b", 0, 3)]
    predictions = [on("a", 0, 10), on("b", 2, 5), on("c", 0, 5)]
    found = spotting.alternative_scores(truths, predictions)
    assert found == pytest.approx(
        {
            "F1, pairs of the largest overlap first": 2 * 1 / 6,
            "F1, predictions in the order of the file": 2 * 1 / 6,
            # 0-10 and 0-9 as lengths: 9 / 10
            "F1, overlap of more than 0.5 without the last frame": 2 * 1 / 6,
            "F1, several truths to one prediction": 2 * 2 / (2 * 2 + 2 + 1),
            "F1, each prediction and each truth by itself": 2 * (1 / 3) * (2 / 3) / (1 / 3 + 2 / 3),
            "F1, found truths as hits (baseline of MEGC 2020)": 2 * 2 / 6,
            "F1, videos without truth left out": 2 * 1 / 5,
        }
    )
    half = spotting.alternative_scores([on("a", 0, 9)], [on("a", 5, 14), on("a", 0, 19)])
    assert half["F1, pairs of the largest overlap first"] == pytest.approx(2 / 3)  # exactly .5
    assert half["F1, overlap of more than 0.5 without the last frame"] == 0


def test_the_count_of_the_challenge_drops_subjects_and_videos():
    truths = [on("a", 0, 9, "", "x"), on("a", 1, 10, "", "y"), on("z", 0, 9, "", "x", "s2")]
    predictions = [on("a", 0, 10, "", "x"), on("c", 0, 5, "", "x")]
    found = spotting.summary(truths, predictions)
    # One prediction takes both truths of s1, "c" is not looked at, s2 has no prediction: F1 is 1.
    # Over its hits (x as x, y as x) the means are P (1/2 + 0) / 2 and R (1 + 0) / 2: F1_a is 1/3.
    name = "STRS, as the code of the challenge counts"
    assert found["alternative_scores"][name] == pytest.approx(1 / 3)
    assert found["strs"]["value"] == pytest.approx(2 * 1 / 5 * 0.5)  # F1 2/5; P and R 1/2, F1_a 1/2


def test_events_of_recordings():
    read = lambda start, stop: np.zeros((stop - start, 2, 2, 1), np.uint8)
    marked = (Interval(3, None, 9, "macro"), Interval(1, 2, 4, emotion="fear"))
    video = Recording("d", "s1", "v", read, 10, 30.0, marked)
    assert matching.events([video]) == [
        Event("s1", "v", 1, 4, "micro", "fear", "d"), Event("s1", "v", 3, 9, "macro", "", "d"),
    ]  # fmt: skip


def test_subjects_of_two_databases_are_two_if_they_are_named():
    one, two = (on("v", 0, 9)._replace(database=name) for name in ("samm", "smic"))
    assert match_events([one], [two]).counts.sum((0, 1)).tolist() == [0, 1, 1]
    assert match_events([one], [two._replace(database="")]).counts.sum((0, 1)).tolist() == [1, 0, 0]


def test_names_are_compared_in_one_spelling_unless_that_joins_two_subjects():
    truth = [on("0401", 0, 9, subject="s15"), on("006_1", 0, 9, subject="006")]
    found = [on("casme_015_0401", 0, 9, subject="casme_015"), on("6_1", 0, 9, subject="6")]
    assert match_events(truth, found).counts.sum((0, 1)).tolist() == [2, 0, 0]
    truth = [on("v", 0, 9, subject="m1"), on("v", 50, 59, subject="f1")]
    found = [on("v", 50, 59, subject="M01"), on("v", 50, 59, subject="F01")]
    assert match_events(truth, found).counts.sum((0, 1)).tolist() == [1, 1, 1]


def test_names_of_one_source_are_compared_as_they_are():
    marked, found = (on("v", 0, 9, subject=subject) for subject in ("M1", "F1"))
    apart, together = [0, 1, 1], [1, 0, 0]
    assert match_events([marked], [found]).counts.sum((0, 1)).tolist() == together
    both = [event._replace(database="mine") for event in (marked, found)]
    assert match_events(both[:1], both[1:]).counts.sum((0, 1)).tolist() == apart
    video = on("v2", 0, 9, subject="M1")
    assert match_events([marked, video], [video]).counts.sum((0, 1)).tolist() == [1, 0, 1]
    assert match_events([marked, found], [found]).key(marked)[0] == "M1"


def test_wrong_events_are_named():
    with pytest.raises(UserError, match="ends before it begins"):
        match_events([on("a", 9, 3)], [])
    with pytest.raises(UserError, match="did you mean 'micro'"):
        match_events([on("a", 3, 9, "mirco")], [])


def test_a_kind_that_does_not_occur_has_no_score():
    one = [Event("s", "v", 5, 9, "micro")]
    assert list(match_events(one, one).by_kind()) == ["micro", "both"]


@pytest.mark.parametrize(
    ("counts", "f1"),
    [
        ((21, 5014, 36), 0.0082), ((29, 1407, 130), 0.0364), ((22, 334, 321), 0.0629),
        ((109, 1414, 191), 0.1196),  # of truths found, five of which share a prediction
    ],
)  # fmt: skip
def test_the_counts_of_the_baseline_of_2020(counts, f1):
    """5,035, 1,436, 356 and 1,523 predictions of the repository's p = 1 and the F1 of its paper."""
    assert round(float(spotting.scores(counts)["f1"]), 4) == f1


def test_two_truths_in_one_prediction_of_the_baseline():
    """s15_0102 of CAS(ME)^2 in its files: its authors count two hits, the challenge one."""
    truths = [Event("s15", "s15_0102", *ends) for ends in ((396, 430), (407, 435))]
    predicted = [Event("s15", "s15_0102", 396, 432)]
    assert match_events(truths, predicted).counts.sum((0, 1)).tolist() == [1, 0, 1]
    found = spotting.alternative_scores(truths, predicted)
    assert found["F1, found truths as hits (baseline of MEGC 2020)"] == pytest.approx(4 / 3)


@pytest.mark.parametrize(("one", "other"), [("s01_01_02", "s01_02"), ("clip_1", "clip_01")])
def test_videos_of_one_spelling_are_not_joined(one, other):
    """Two films of a subject; a hit needs the film itself, where any name is in both files."""
    shared = on("s01_9", 0, 9, subject="s01")
    truth = [shared, on(one, 50, 59, subject="s01")]
    found = [shared, on(other, 50, 59, subject="s01")]
    assert match_events(truth, found).counts.sum((0, 1)).tolist() == [1, 1, 1]
    more = [*found, on(one, 80, 89, subject="s01")]
    assert match_events(truth, more).counts.sum((0, 1)).tolist() == [1, 2, 1]
    # Two files that spell all names differently.
    other_spelling = [on("9", 0, 9, subject="1"), on("1_2", 50, 59, subject="1")]
    truth = [shared, on("s01_01_02", 50, 59, subject="s01")]
    assert match_events(truth, other_spelling).counts.sum((0, 1)).tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        ([f"s{n:02}" for n in range(1, 21)], [f"s{n}" for n in range(1, 21)]),
        (["01", "02", "26"], ["1", "2", "26"]),
        (["S1", "s2"], ["s1", "s2"]),
        (["José", "s2"], ["Jose\u0301", "s2"]),
    ],
)
def test_a_name_without_zeros_tells_no_spelling(true, predicted):
    """pandas reads 01 as 1 and leaves 26 as it is: both files have 26."""
    sides = ([on("v", 0, 9, subject=name) for name in names] for names in (true, predicted))
    assert match_events(*sides).counts.sum((0, 1)).tolist() == [len(true), 0, 0]
