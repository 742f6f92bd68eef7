"""Label schemes: from a database's labels of a clip to the classes a paper uses.

A scheme is a rule from clip to class. It reads the clip's emotion, objective class, action units,
database, subject and name, and nothing else; a clip that a scheme has no class for is left out
with the reason. An emotion that no scheme knows is a mistake and is named.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mer_jax import datasets
from mer_jax.clips import Clip
from mer_jax.datasets.action_units import action_units, numbers, unread
from mer_jax.errors import DataError, Problem, UserError, own_code, suggestion
from mer_jax.options import find

__all__ = ["Labeled", "action_units", "label", "objective", "schemes", "unread"]


class Labeled(NamedTuple):
    """Clips with their classes, and those that the scheme leaves out."""

    clips: tuple[Clip, ...]
    labels: np.ndarray  # [N] int32; with several labels a clip: [N, K] int32 of 0 and 1
    classes: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...]  # (clip key, why)

    @property
    def left_out(self) -> str:
        """How many clips are left out, and the reason of the first; "" for none."""
        if not self.excluded:
            return ""
        key, why = self.excluded[0]
        return f"leaves out {len(self.excluded)} clip(s), e.g. {key}: {why}"


class Scheme(NamedTuple):
    """`assign(clip)` is a class, several (a tuple), or None with `outside` as the reason."""

    classes: tuple[str, ...]
    assign: Callable[[Clip], str | tuple[str, ...] | None]
    outside: str = "has no class in this scheme"
    several: bool = False


# One word for what the databases call by several.
_SAME = {
    "other": "others",
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "disgusted": "disgust",
    "surprised": "surprise",
    "tension": "tense",
}
_EMOTIONS = (
    *("anger", "contempt", "disgust", "fear", "happiness", "negative", "neutral", "others"),
    *("positive", "repression", "sadness", "surprise", "tense"),
)
_NEGATIVE = {"anger", "contempt", "disgust", "fear", "sadness", "negative"}
_POSITIVE = {"happiness", "positive"}

# Davison, Merghani & Yap 2018 (J. Imaging 4, 119), Table 2; PSN Table 2 prints the same sets
# but for 4+5. What is in no set is class VII.
_SETS = {
    "I": ("6", "12", "6+12", "6+7+12", "7+12"),
    "II": ("1+2", "5", "25", "1+2+25", "25+26", "5+24"),
    "III": ("23", "4", "4+7", "4+5", "4+5+7", "17+24", "4+6+7", "4+38"),
    "IV": (
        *("10", "9", "4+9", "4+40", "4+5+40", "4+7+9", "4+9+17", "4+7+10", "4+5+7+9"),
        *("7+10",),
    ),
    "V": ("1", "15", "1+4", "6+15", "15+17"),
    "VI": ("1+2+4", "20"),
}
# Sets that the table lacks and that the published list for CASME II (2014) has in these classes.
_PUBLISHED = {"I": ("6+12+17",), "IV": ("4+10", "4+5+10", "4+9+10")}
_TABLE_CLASS = {numbers(units): name for name, sets in _SETS.items() for units in sets}
_CLASS_OF = _TABLE_CLASS | {numbers(u): name for name, sets in _PUBLISHED.items() for u in sets}
_OBJECTIVE = (*_SETS, "VII")
_CD6ME = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
# Of SAMM's alternatives ("4 or 5") the benchmark's authors took one each, by the flow.
_CD6ME_UNITS = {
    "samm/007/007_6_1": (12, 15),
    "samm/007/007_6_5": (12, 15),
    "samm/011/011_4_2": (14,),
    "samm/014/014_5_2": (14,),
    "samm/035/035_7_2": (14,),
}

# CASME II clips that are not in the list of the 2019 challenge, besides that database's fear and
# sadness: EP02_07 has a label in the sheet of 256 rows alone, and the last three are sadness in the
# sheet of 2014 and surprise in that of 2019.
_MEGC2019_WITHOUT = {
    *(("sub04", "EP12_01f"), ("sub05", "EP09_05f"), ("sub24", "EP02_07")),
    *(("sub24", "EP07_01"), ("sub24", "EP07_04f"), ("sub24", "EP10_03")),
}


def emotion(clip: Clip) -> str:
    """The clip's emotion in the words that the schemes use; several (4DME) are joined by '+'."""
    words = clip.emotion.strip().lower().split("+")
    return "+".join(_SAME.get(word, word) for word in words)


def objective(clip: Clip) -> str:
    """The objective class, I to VII: the clip's own where it has one, else by its action units.

    A reader sets it for all clips of a database or for none (`Inspection.sources`). Davison,
    Merghani & Yap 2018, Table 2, and the sets that the authors' list has beyond it.
    """
    return clip.objective or _CLASS_OF.get(numbers(clip.action_units), "VII")


def _megc2019(clip: Clip) -> str | None:
    word = emotion(clip)
    if clip.database == "casme2" and (
        word in ("fear", "sadness") or (clip.subject, clip.name) in _MEGC2019_WITHOUT
    ):
        return None
    if word in _NEGATIVE or word == "repression":
        return "negative"
    return "positive" if word in _POSITIVE else word if word == "surprise" else None


def _four(clip: Clip) -> str | None:
    word = emotion(clip)
    if word in ("tense", "repression", "others"):
        return "other"
    if word in _NEGATIVE:
        return "negative"
    return "positive" if word in _POSITIVE else word if word == "surprise" else None


def _psn_class(clip: Clip) -> str:
    # PSN's Table 2 has no 4+5; the class follows from the units, never from the sheet.
    units = numbers(clip.action_units)
    return "VII" if units == {4, 5} else _TABLE_CLASS.get(units, "VII")


def _psn(clip: Clip) -> str:
    group = {"I": "positive", "II": "surprise", "VII": "others"}
    return group.get(_psn_class(clip), "negative")


def _r3d(clip: Clip) -> str | None:
    if clip.database in ("smic", "ck_plus", "mug", "oulu_casia"):  # these have no action units
        word = emotion(clip)
        three = ("anger", "disgust", "sadness", "negative")
        return "negative" if word in three else _megc2019(clip) if word not in _NEGATIVE else None
    group = {"I": "positive", "II": "surprise", "VI": None, "VII": None}
    return group.get(objective(clip), "negative")


def _stimulus(clip: Clip) -> str | None:
    """CAS(ME)^2 by the video that was watched (anger1_2 -> angry); SMIC by its label."""
    if clip.database == "smic":
        return emotion(clip)
    families = {"hap": "happy", "ang": "angry", "dis": "disgust"}
    return families.get(clip.name[:3].lower())


def _cd6me(clip: Clip) -> tuple[str, ...]:
    present = _CD6ME_UNITS.get(clip.key) or numbers(clip.action_units)
    return tuple(f"AU{number}" for number in _CD6ME if number in present)


def _emotions(*classes: str) -> Scheme:
    return Scheme(classes, lambda clip: emotion(clip) if emotion(clip) in classes else None)


_THREE = ("negative", "positive", "surprise")
_SEVEN = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_FOUR = Scheme((*_THREE, "other"), _four, "its emotion is none of the four classes")
_SCHEMES = {
    "own": Scheme((), emotion),
    "megc2019": Scheme(_THREE, _megc2019, "is not in the 2019 challenge's three classes"),
    "strcn4": _FOUR,  # STRCN, section IV-A
    "mer_rcnn": _FOUR,  # MER-RCNN, section IV
    "dfme7": _emotions(*_SEVEN),  # DFME, and the CCAC challenge in this order
    # Most papers on CASME II, SKD-TSTSAN in this order.
    "casme2_5": _emotions("happiness", "surprise", "disgust", "repression", "others"),
    # SAMM's classes of ten clips or more.
    "samm_5": _emotions("anger", "contempt", "happiness", "surprise", "others"),
    "psn7": Scheme(_OBJECTIVE, _psn_class),  # PSN Table 2
    "psn4": Scheme(("positive", "negative", "surprise", "others"), _psn),  # PSN Tables 3, 4
    "objective": Scheme(_OBJECTIVE, objective),
    "objective5": Scheme(  # the 2018 challenge
        _OBJECTIVE[:5],
        lambda clip: objective(clip) if objective(clip) in _OBJECTIVE[:5] else None,
        "objective classes VI and VII are left out",
    ),
    "r3d": Scheme(_THREE, _r3d, "is in objective class VI or VII, which R3D leaves out"),
    "stcnn_casme_squared": Scheme(("happy", "angry", "disgust"), _stimulus),
    "stcnn_smic": Scheme(_THREE, _stimulus),
    "cd6me": Scheme(tuple(f"AU{number}" for number in _CD6ME), _cd6me, several=True),
}


def schemes() -> list[str]:
    """The names `label` takes."""
    return sorted(_SCHEMES)


def label(scheme: str, clips: Sequence[Clip]) -> Labeled:
    """The clips a scheme has a class for, in their order, with their classes.

    "own" takes each database's words (one class each, in alphabetical order), any words of a
    database of your own. "strcn4" and "mer_rcnn" have no class "other" where all clips come from
    SMIC, which has no such clip. "cd6me" marks each of twelve action units: its labels are
    [N, 12]. "casme2_5" has 249 clips of CASME II's sheet of 2019, 246 of that of 2014, which
    most papers count, and one more of a sheet of 256 rows (data.labels chooses).

    Args:
      scheme: one of `schemes()`, or "package.module:name", a function of your own from a clip to
        its class, None for a clip that is left out.
      clips: of one or several databases.

    Raises:
      UserError: for a scheme that does not exist, or a mistake in one of your own.
      DataError: for emotions that no scheme knows, each with its clip.

    >>> from mer_jax.datasets import load
    >>> clips = load("synthetic", subjects=2, clips_per_subject=3, frames=(8, 8), size=(24, 24))
    >>> found = label("megc2019", clips)
    >>> found.classes, len(found.clips) == len(found.labels), len(found.excluded)
    (('negative', 'positive', 'surprise'), True, 0)
    """
    found = find("label scheme", scheme, _SCHEMES)
    classes, assign, outside, several = found if isinstance(found, Scheme) else Scheme((), found)
    known = set(datasets.names())
    strange = [
        Problem(clip.key, f"emotion {clip.emotion!r} is not known; {_suggest(clip.emotion)}")
        for clip in clips
        if not set(emotion(clip).split("+")) <= set(_EMOTIONS)
        and not (scheme == "own" and clip.database not in known)
    ]
    if strange and scheme in _SCHEMES and assign not in (_cd6me, _psn, _psn_class):
        raise DataError(f"label scheme {scheme!r}", strange)
    with own_code("label scheme", scheme):
        assigned = [assign(clip) for clip in clips]
    if not classes:
        if other := {type(each).__name__ for each in assigned} - {"str", "NoneType"}:
            raise UserError(f"label scheme {scheme} gives {min(other)}; it must give text or None")
        classes = tuple(sorted({str(each) for each in assigned if each is not None}))
    if assign is _four and clips and all(clip.database == "smic" for clip in clips):
        classes = classes[:3]
    assigned_clips = [(clip, found) for clip, found in zip(clips, assigned) if found is not None]
    if several:
        rows = [[name in found for name in classes] for _, found in assigned_clips]
        labels = np.array(rows, np.int32).reshape(len(assigned_clips), len(classes))
    else:
        labels = np.array([classes.index(found) for _, found in assigned_clips], np.int32)
    excluded = tuple(
        (clip.key, f"{outside} (emotion {clip.emotion!r})")
        for clip, found in zip(clips, assigned)
        if found is None
    )
    return Labeled(tuple(clip for clip, _ in assigned_clips), labels, classes, excluded)


def _suggest(word: str) -> str:
    near = suggestion(word.strip().lower(), [*_EMOTIONS, *_SAME])
    return near if near.endswith("?") else f"known: {', '.join(_EMOTIONS)}"
