"""Causes of false alarms, groups of expressions, and curves, counted by hand."""

import numpy as np

from mer_jax.metrics.matching import Event
from mer_jax.recordings import Distractor, Interval, Recording
from mer_jax.spotting import Fold, Found, Rule, analysis

MARKED = (
    Interval(10, None, 19, intensity=0.5),
    Interval(30, None, 37, intensity=1.5),
    Interval(50, None, 99, "macro", intensity=2.0),
)
DISTRACTORS = (Distractor("blinks", 24, 28), Distractor("speech", 110, 150))
VIDEO = Recording("d", "s", "v", lambda i, j: None, 200, 30.0, MARKED, DISTRACTORS)


def event(onset, offset, kind="micro"):
    return Event("s", "v", onset, offset, kind, database="d")


def test_false_alarms_by_cause():
    events = [
        event(11, 20),  # a hit
        event(36, 44),  # 2 frames of the second micro-expression
        event(22, 29),  # a blink
        event(60, 69),  # a macro-expression
        event(120, 129),  # speech
        event(170, 180),  # nothing
        event(140, 190, "macro"),  # speech
    ]
    assert analysis.false_alarms([VIDEO], events) == {
        "micro": {
            "missed by its ends": 1,
            "blinks": 1,
            "the other kind": 1,
            "speech": 1,
            "nothing marked": 1,
        },
        "macro": {"speech": 1},
    }
    assert analysis.false_alarms([VIDEO], []) == {}
    # Right after speech, sharing no frame with it.
    assert analysis.false_alarms([VIDEO], [event(151, 155)]) == {"micro": {"nothing marked": 1}}


def test_hits_by_length_and_intensity():
    events = [event(11, 20), event(60, 99, "macro")]
    assert analysis.hits_by([VIDEO], events, "duration", kind="micro", groups=2) == [
        (8, 8, 1, 0),
        (10, 10, 1, 1),
    ]
    assert analysis.hits_by([VIDEO], events, "intensity", kind="micro", groups=1) == [
        (0.5, 1.5, 2, 1)
    ]
    assert analysis.hits_by([VIDEO], events, "intensity", kind="macro") == [(2.0, 2.0, 1, 1)]


def test_precision_over_recall():
    """One peak on the first expression, half as high a one where nothing is."""
    evidence = np.zeros(200)
    evidence[14], evidence[160] = 1.0, 0.5
    fold = Fold("d/s", "micro", 10, 8, 10, 5, 30.0, 0.6, 1.0)
    found = Found([], [fold], {("d/s/v", "micro"): evidence})
    rule = Rule(relative=False, smoothing=0.0)
    rows = {p: scores for p, *scores in analysis.precision_recall([VIDEO], found, rule)["micro"]}
    assert rows[0.6] == [1.0, 0.5] and rows[0.5] == [0.5, 0.5]
