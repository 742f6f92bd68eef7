"""Label schemes: every rule by hand, and the composites' published counts from label rows alone."""

import collections

import numpy as np
import pytest

from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import labels
from mer_jax.errors import DataError, UserError


def clip(emotion="others", *, database="casme2", subject="sub01", name="EP01", units="", **more):
    read = in_memory(np.zeros((2, 4, 4, 1), np.uint8))
    more |= {"emotion": emotion, "action_units": units}
    return Clip(database=database, subject=subject, name=name, read=read, **more)


def classes(scheme, *clips):
    found = labels.label(scheme, clips)
    assert found.labels.dtype == np.int32
    by_key = {c.name: found.classes[k] for c, k in zip(found.clips, found.labels)}
    return [by_key.get(c.name) for c in clips]


def named(*emotions, database="samm"):
    return [clip(e, name=f"c{k}", database=database) for k, e in enumerate(emotions)]


def test_megc2019_rules():
    words = ("anger", "contempt", "disgust", "fear", "sadness", "repression", "Happiness")
    got = classes("megc2019", *named(*words, "surprise", "other", "tense"))
    assert got == ["negative"] * 6 + ["positive", "surprise", None, None]


def test_megc2019_casme2_exclusions_go_by_key():
    got = classes(
        "megc2019",
        clip("repression", subject="sub04", name="EP12_01f"),
        clip("repression", subject="sub05", name="EP09_05f"),
        clip("surprise", subject="sub05", name="EP12_03f"),
        clip("fear", name="a"),
        clip("sadness", name="b"),
        clip("disgust", name="c"),
    )
    assert got == [None, None, "surprise", None, None, "negative"]


def test_what_is_left_out_is_told():
    found = labels.label("megc2019", named("others", "surprise"))
    assert len(found.clips) == 1
    assert found.excluded[0][0] == "samm/sub01/c0" and "'others'" in found.excluded[0][1]


@pytest.mark.parametrize("scheme", ["strcn4", "mer_rcnn"])
def test_four_classes(scheme):
    words = ("disgust", "sadness", "fear", "contempt", "anger", "happiness", "surprise")
    got = classes(scheme, *named(*words, "tense", "repression", "others", "other"))
    assert got == ["negative"] * 5 + ["positive", "surprise"] + ["other"] * 4
    smic = named("negative", "positive", "surprise", database="smic")
    assert labels.label(scheme, smic).classes == ("negative", "positive", "surprise")
    assert len(labels.label(scheme, [*smic, *named("fear")]).classes) == 4


@pytest.mark.parametrize(
    ("units", "objective", "group"),
    [
        ("6+12", "I", "positive"),
        ("L12A", "I", "positive"),
        ("1+2", "II", "surprise"),
        ("25+26", "II", "surprise"),
        ("4+7", "III", "negative"),
        ("7+4", "III", "negative"),
        ("4+9+17", "IV", "negative"),
        ("15+17", "V", "negative"),
        ("1+2+4", "VI", "negative"),
        ("14", "VII", "others"),
        ("?", "VII", "others"),
        ("6+14(k)", "I", "positive"),
    ],
)
def test_action_unit_classes(units, objective, group):
    assert classes("objective", clip(units=units)) == [objective]
    assert classes("psn7", clip(units=units)) == [objective]
    assert classes("psn4", clip(units=units)) == [group]
    kept = objective not in ("VI", "VII")
    assert classes("objective5", clip(units=units)) == [objective if kept else None]
    assert classes("r3d", clip(units=units)) == [group if kept else None]


def test_psn_table_lacks_one_set_and_ignores_the_sheet():
    assert classes("objective", clip(units="4+5")) == ["III"]
    assert classes("psn7", clip(units="4+5")) == ["VII"]
    assert classes("objective", clip(units="4", objective="V")) == ["V"]
    assert classes("psn7", clip(units="4", objective="V")) == ["III"]


def test_r3d_takes_words_where_there_are_no_units():
    words = ("anger", "disgust", "sad", "happy", "surprise", "fear", "contempt", "neutral")
    got = classes("r3d", *named(*words, database="mug"))
    assert got == ["negative"] * 3 + ["positive", "surprise", None, None, None]


def test_twelve_units_are_several_labels():
    found = labels.label("cd6me", [clip(units="4+L12A"), clip(units="24", name="b")])
    assert found.labels.shape == (2, 12) and found.labels.dtype == np.int32
    assert [c for c, k in zip(found.classes, found.labels[0]) if k] == ["AU4", "AU12"]
    assert found.labels[1].sum() == 0
    assert labels.label("cd6me", []).labels.shape == (0, 12)


def test_the_units_that_the_benchmark_took_of_samms_alternatives():
    """tvaranka/meb resolves five "or" of its sheet by the flow."""
    one = clip(units="14A or 17A or 24A", database="samm", subject="035", name="035_7_2")
    two = clip(units="12 or 15", database="samm", subject="035", name="035_7_1")
    found = labels.label("cd6me", [one, two])
    units = [[c for c, k in zip(found.classes, row) if k] for row in found.labels]
    assert units == [["AU14"], ["AU12", "AU15"]]


def test_five_classes_of_samm():
    words = ("Anger", "contempt", "happiness", "surprise", "other", "fear", "disgust", "sadness")
    want = ["anger", "contempt", "happiness", "surprise", "others", None, None, None]
    assert classes("samm_5", *named(*words)) == want


def test_own_words():
    found = labels.label("own", named("happy", "Happiness", "sad", "negative+repression"))
    assert found.classes == ("happiness", "negative+repression", "sadness")
    assert found.labels.tolist() == [0, 0, 2, 1]
    assert classes("strcn4", *named("negative+repression")) == [None]


def test_unknown_words_are_named_with_their_clip():
    with pytest.raises(DataError, match=r"samm/sub01/c1: emotion 'suprise' is not known; did you"):
        labels.label("megc2019", named("fear", "suprise"))
    with pytest.raises(UserError, match="unknown label scheme 'megc19'; did you mean 'megc2019'"):
        labels.label("megc19", [])


def test_every_scheme_runs_on_every_known_word():
    clips = named(*labels._EMOTIONS)
    for scheme in labels.schemes():
        found = labels.label(scheme, clips)
        assert len(found.clips) + len(found.excluded) == len(clips)
        counts = collections.Counter(found.labels.ravel().tolist())
        assert set(counts) <= set(range(len(found.classes)))


def test_five_classes_of_casme_ii():
    words = ("Happy", "surprise", "disgust", "repression", "other", "fear", "sadness")
    want = ["happiness", "surprise", "disgust", "repression", "others", None, None]
    assert classes("casme2_5", *named(*words)) == want
