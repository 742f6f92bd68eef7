"""The sets of clips that papers put together from several databases, by name.

Each is a list of databases, a label scheme and, where the paper has one, a shortest clip; which
clips are in it follows from these rules. `inspect` compares the result with the published counts.
Where the published set is known clip by clip (`Composite.digests`), a difference is a problem;
where it is not, a note. Where the published count cannot be reached, `remark` gives the reason.
"""

import collections
import hashlib
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mer_jax import datasets
from mer_jax.clips import Clip
from mer_jax.datasets import folders, labels, records
from mer_jax.datasets.records import Inspection, Source
from mer_jax.errors import Problem, unknown_name
from mer_jax.io import reading


class Composite(NamedTuple):
    """`parts` are databases with the options of `datasets.load`; counts are the paper's."""

    parts: tuple[tuple[str, Mapping], ...]
    scheme: str
    published: Mapping[str, int]  # clips by class; by database for several labels a clip
    subjects: int = 0  # 0: not printed
    min_frames: int = 0
    remark: str = ""
    # database -> (clips by class, digest of its clips and their classes: `digest`), if published
    digests: Mapping[str, tuple[Mapping[str, int], str]] = {}


def _parts(*names: str) -> tuple[tuple[str, Mapping], ...]:
    return tuple((name, {}) for name in names)


_COMPOSITES = {
    # See, Yap, Li, Hong & Wang, FG 2019; the organizers' combined_3class_gt.csv.
    "megc2019": Composite(
        _parts("casme2", "smic", "samm"),
        "megc2019",
        {"negative": 250, "positive": 109, "surprise": 83},
        subjects=68,
        digests={
            "casme2": ({"negative": 88, "positive": 32, "surprise": 25}, "afaf7d194417febd"),
            "smic": ({"negative": 70, "positive": 51, "surprise": 43}, "eb21b504a4dfc1fa"),
            "samm": ({"negative": 92, "positive": 26, "surprise": 15}, "c72fbcdb1ed30f62"),
        },
    ),
    # Yap, See, Hong & Wang, FG 2018: objective classes I to V.
    "megc2018": Composite(
        _parts("casme2", "samm"),
        "objective5",
        {"I": 49, "II": 28, "III": 119, "IV": 34, "V": 23},
        subjects=47,
        remark="CASME II's classes are those of CASME2-ObjectiveClasses.xlsx",
    ),
    # PSN, Table 4.
    "psn": Composite(
        _parts("casme", "casme2", "casme_squared", "samm"),
        "psn4",
        {"positive": 55, "negative": 280, "surprise": 50, "others": 265},
        # By the sheet of 2014, CASME II's row (24, 132, 15, 77) is that of all 255 clips without
        # the five whose action units are "?" and two negative ones, as many as have no apex, or one
        # that is their onset. CAS(ME)^2's (2, 18, 7, 27) is none that three clips less could give:
        # its two sheets have (4, 17, 8, 28) and (3, 13, 7, 34).
        remark="the paper leaves out seven clips of CASME II and three of CAS(ME)^2, unnamed, "
        "which robust PCA could not extract; its rows of CAS(ME)^2 (2, 18, 7, 27) and SAMM "
        "(21, 30, 14, 94) follow from no printed rule: Table 2 gives 17, 30, 13, 99 for SAMM",
    ),
    # R3D-ConvLSTM, Table 1.
    "r3d": Composite(
        (
            ("smic", {"part": "hs"}),
            ("smic", {"part": "vis"}),
            *_parts("casme", "casme2", "casme_squared", "samm"),
        ),
        "r3d",
        {"negative": 368, "positive": 139, "surprise": 111},
        subjects=87,
        # The sheet's classes II (13) and III to V (31) are the paper's. It cuts every clip at its
        # apex, and some releases give three SAMM clips none; it names no clip that is left out. The
        # other sheet of CAS(ME)^2 has 14, 3, 7.
        remark="SAMM has 24 clips of objective class I where the paper counts 23, and CAS(ME)^2 19 "
        "negative, 4 positive and 8 surprise where it counts 19, 6 and 6",
    ),
    # R3D-ConvLSTM, Table 1, the macro-expressions it is trained on first.
    "r3d_macro": Composite(
        _parts("ck_plus", "mug", "oulu_casia"),
        "r3d",
        {"negative": 717, "positive": 301, "surprise": 295},
        remark="the paper does not name the clips of MUG and Oulu-CASIA that it uses",
    ),
    # MicroExpSTCNN, Table IV and the text below it.
    "stcnn_casme_squared": Composite(
        (("casme_squared", {"kind": "all"}),),
        "stcnn_casme_squared",
        {"happy": 94, "angry": 76, "disgust": 36},
        min_frames=96,
        # The paper has "more than 96 frames"; the network takes 96.
        remark="by the published sheet five of the 357 expressions last 96 frames or more",
    ),
    "stcnn_smic": Composite(
        _parts("smic"),
        "stcnn_smic",
        {"negative": 79, "positive": 34, "surprise": 43},
        min_frames=18,
        remark="SMIC-HS has 70 negative clips; the authors' code uses 66, 47 and 43",
    ),
    # Varanka, Li, Peng & Zhao 2022, twelve action units.
    "cd6me": Composite(
        _parts("casme", "casme2", "samm", "fourdme", "mmew", "casme3"),
        "cd6me",
        {"casme": 189, "casme2": 256, "samm": 159, "fourdme": 267, "mmew": 300, "casme3": 860},
    ),
}


def names() -> list[str]:
    """The names `inspect` takes."""
    return sorted(_COMPOSITES)


def get(name: str) -> Composite:
    """A composite's rules and published counts."""
    if name not in _COMPOSITES:
        raise unknown_name("composite", name, _COMPOSITES)
    return _COMPOSITES[name]


def compose(name: str, clips: Sequence[Clip]) -> labels.Labeled:
    """The composite's part of `clips`, labeled; what is left out is listed with the reason.

    A clip's length is the number of its frames, which are not read for it.
    """
    rules = get(name)
    databases = {part for part, _ in rules.parts}
    included, excluded = [], []
    for clip in clips:
        if clip.database not in databases:
            excluded.append((clip.key, f"{clip.database} is not part of {name}"))
        elif rules.min_frames and folders.length(clip) < rules.min_frames:
            why = f"has {folders.length(clip)} frames and {name} needs {rules.min_frames}"
            excluded.append((clip.key, why))
        else:
            included.append(clip)
    found = labels.label(rules.scheme, included)
    return found._replace(excluded=(*excluded, *found.excluded))


def digest(clips: Iterable[tuple[str, str, str]]) -> str:
    """16 hexadecimal digits for a set of clips and classes, in any order.

    Args:
      clips: (subject, clip, class) of each.
    """
    lines = sorted(f"{subject}/{name} {label}" for subject, name, label in clips)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def differences(name: str, found: labels.Labeled) -> list[str]:
    """How the composed clips differ from the published set, each with both values."""
    rules = get(name)
    groups = _groups(found)
    wrong = _compare("", collections.Counter(groups), rules.published)
    subjects = len({clip.subject_key for clip in found.clips})
    if rules.subjects and subjects != rules.subjects:
        wrong.append(f"{subjects} subjects where {rules.subjects} are published")
    for part, (counts, published) in rules.digests.items():
        rows = [(c.subject, c.name, g) for c, g in zip(found.clips, groups) if c.database == part]
        here = _compare(f"{part} ", collections.Counter(group for *_, group in rows), counts)
        if not here and digest(rows) != published:
            here = [f"{part} has the published counts but other clips or classes than published"]
        wrong += here
    return wrong


def _compare(part: str, here: Mapping[str, int], published: Mapping[str, int]) -> list[str]:
    return [
        f"{part}{group} has {here.get(group, 0)} clip(s) where {published.get(group, 0)} are "
        "published"
        for group in dict.fromkeys([*published, *here])
        if here.get(group, 0) != published.get(group, 0)
    ]


def _groups(found: labels.Labeled) -> list[str]:
    """The group of each clip in `Composite.published`: its class, or (several labels) database."""
    if found.labels.ndim > 1:
        return [clip.database for clip in found.clips]
    return [found.classes[k] for k in found.labels]


def inspect(
    name: str,
    root: str | pathlib.Path,
    *,
    allow_mismatch: bool = False,
    exclude: Iterable[str] = (),
) -> Inspection:
    """Reads the databases of a composite, composes it and compares it with the published set.

    Args:
      name: one of `names()`.
      root: a folder with one for each database, named like it ("casme2", "CASME II", ...).
      allow_mismatch: as of `database.inspect`, for every database; the composite may then also
        differ from the published set.
      exclude: keys of clips ("casme2/sub01/EP02_01f") to leave out; the rest may then differ from
        the published set.

    Returns:
      The clips of the composite; `groups` has their classes. All problems of all databases.
    """
    rules, root, exclude = get(name), reading.expanded(root), tuple(exclude)
    databases = dict.fromkeys(part for part, _ in rules.parts)
    problems = [
        Problem(key, f"is to be excluded but {name} has no clips of such a database")
        for key in exclude
        if key.split("/")[0] not in databases
    ]
    clips, notes, sources = [], list[Problem](), list[Source]()
    for part in databases:
        shared = {
            "allow_mismatch": allow_mismatch,
            "exclude": [key for key in exclude if key.startswith(f"{part}/")],
        }
        inspections = [
            datasets.inspect(part, _folder(root, part), **options, **shared)
            for other, options in rules.parts
            if other == part
        ]
        for found in inspections:
            clips += found.clips
            notes += found.notes
            sources += found.sources
            problems += [
                problem
                for problem in found.problems
                if problem not in problems
                and not (  # a clip of another part
                    problem.what == records.NOT_THERE
                    and any(problem not in other.problems for other in inspections)
                )
            ]
    composed = compose(name, clips)
    if composed.left_out:
        notes.insert(0, Problem(name, composed.left_out))
    if not problems and (wrong := differences(name, composed)):
        strict = rules.digests and not allow_mismatch and not exclude
        if strict:
            wrong.append("is a clip missing, or a label edited? allow_mismatch=True continues")
        elif rules.remark:
            wrong.append(rules.remark)
        problem = Problem(name, f"differs from the published set: {'; '.join(wrong)}")
        (problems if strict else notes).insert(0, problem)
    return Inspection(
        list(composed.clips),
        problems,
        notes,
        rules.published,
        rules.subjects,
        sources,
        _groups(composed),
    )


def _folder(root: pathlib.Path, part: str) -> pathlib.Path:
    normalize = lambda name: re.sub(r"[\s_-]", "", name).casefold()
    if not root.is_dir() or (root / part).is_dir():
        return root / part
    there = {
        normalize(e.name): pathlib.Path(e.path) for e in folders.list_entries(root) if e.is_dir()
    }
    usual = map(normalize, (part, *datasets.FOLDER_NAMES.get(part, ())))
    return next((there[name] for name in usual if name in there), root / part)
