"""The page of a spotting run, from a run made by hand."""

import re

import numpy as np
import pytest

from mer_jax.metrics import matching
from mer_jax.metrics import spotting as scoring
from mer_jax.metrics.matching import Event
from mer_jax.recordings import Distractor, Interval, Recording
from mer_jax.reporting import spotting_report
from mer_jax.spotting import Fold, Found, Rule

CONFIG = {
    "title": "", "data": {"name": "toy", "move_intervals": False}, "evidence": {"name": "strain"},
    "intervals": {"p": None},
}  # fmt: skip


def build(config=CONFIG, count=2, leaks=(), diverged=(), database="d"):
    marked = (Interval(10, None, 19, intensity=0.5),)
    blink = (Distractor("blinks", 40, 44),)
    videos = [
        Recording(database, f"s{n}", "v<b>", lambda i, j: None, 60, 30.0, marked, blink)
        for n in range(count)
    ]
    evidence = np.exp(-(((np.arange(60) - 14) / 5.0) ** 2))
    folds = [Fold(f"{database}/s{n}", "micro", 10, 10, 10, 5, 30.0, 0.4, 0.9) for n in range(count)]
    events = [
        Event(video.subject, video.name, onset, onset + 9, "micro", database=database)
        for video in videos
        for onset in (11, 38)
    ]
    found = Found(events, folds, {(video.key, "micro"): evidence for video in videos})
    summary = scoring.summary(matching.events(videos), events) | {"chance": {"micro": 0.0625}}
    summary["verdict"] = {"strict": not leaks, "leaks": list(leaks)}
    summary["diverged_folds"] = list(diverged)
    summary["provenance"] = {"command": "mer-jax run mine", "seed": 7}
    return spotting_report.build(videos, found, summary, config=config, rule=Rule())


def test_the_page_opens_with_f1_and_its_interval():
    page = build()
    text = re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))
    assert text.index("F1 0.6667 [0.67, 0.67]") < text.index("STRICT") < text.index("precision")
    assert "strain on toy" in text and "0.0625 (micro)" in text
    assert "blinks micro 2" in text  # both false alarms
    assert "How this was made mer-jax run mine seed 7" in text and "evidence.name" in text
    assert "micro intensity 0.5 to 0.5 px 1 100%" in text
    assert "v<b>" not in page and page.count("<svg") == 3 and "NOT STRICT" not in text


@pytest.mark.parametrize(
    ("changed", "leaks", "banner"),
    [
        ({}, [{"reason": "threshold", "p": 0.55}], "p is fixed at 0.55"),
        ({"data": {"name": "toy", "move_intervals": True}}, [], "CONTROL"),
    ],
    ids=str,
)
def test_what_is_not_strict_is_announced(changed, leaks, banner):
    page = build(CONFIG | changed, count=1, leaks=leaks)
    assert banner in page and ("NOT STRICT" in page) == bool(leaks)


def test_folds_that_diverged_are_named():
    page = build(diverged=["d/s1 micro"])
    assert "Training diverged in 1 fold(s)" in page and "<li>d/s1 micro</li>" in page
    assert "DIVERGED" not in build()


def test_other_data_than_published_are_named():
    page = build(database="casme_squared")  # Qu et al. 2018
    assert "<li>2 recordings where 98 are published</li>" in page
    assert "<li>0 macro-expressions where 300 are published</li>" in page
    assert "OTHER DATA" in page and "OTHER DATA" not in build()


def test_many_recordings_fold_away():
    page = build(count=spotting_report.SHOWN + 2)
    assert "2 more" in page
