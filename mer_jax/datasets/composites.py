"""The sets of clips that papers put together from several databases, by name.

Each is a list of databases, a label scheme and, where the paper has one, a shortest clip; which
clips are in it follows from these rules. Where the paper's own figure cannot follow, `remark` says
why.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mer_jax import datasets
from mer_jax.clips import Clip
from mer_jax.datasets import folders, labels
from mer_jax.errors import UserError, unknown_name


class Composite(NamedTuple):
    """`parts` are databases with the options of `datasets.load`; counts are the paper's."""

    parts: tuple[tuple[str, Mapping], ...]
    scheme: str
    published: Mapping[str, int]  # clips by class; by database for several labels a clip
    subjects: int = 0  # 0: not printed
    shortest: int = 0  # frames
    remark: str = ""


def _parts(*names: str) -> tuple[tuple[str, Mapping], ...]:
    return tuple((name, {}) for name in names)


_COMPOSITES = {
    # See, Yap, Li, Hong & Wang, FG 2019.
    "megc2019": Composite(
        _parts("casme2", "smic", "samm"),
        "megc2019",
        {"negative": 250, "positive": 109, "surprise": 83},
        subjects=68,
    ),
    # PSN, Table 4.
    "psn": Composite(
        _parts("casme", "casme2", "casme_squared", "samm"),
        "psn4",
        {"positive": 55, "negative": 280, "surprise": 50, "others": 265},
        # Seven is how many CASME II clips are called sadness, of which Tables 3 and 4 say nothing:
        # no rule that is printed takes out these, or the three. Nor does one give SAMM's row.
        remark="the paper leaves out seven clips of CASME II and three of CAS(ME)^2 unnamed; its "
        "row of SAMM (21, 30, 14, 94) follows from no printed rule: Table 2 gives 17, 30, 13, 99",
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
        # apex, and some releases give three SAMM clips none; it does not say that one is out.
        remark="SAMM has 24 clips of objective class I where the paper counts 23",
    ),
    # R3D-ConvLSTM, Table 1, the macro-expressions it is trained on first.
    "r3d_macro": Composite(
        _parts("ck_plus", "mug", "oulu_casia"),
        "r3d",
        {"negative": 717, "positive": 301, "surprise": 295},
        remark="the paper does not name the clips of MUG and Oulu-CASIA that it keeps",
    ),
    # MicroExpSTCNN, Table IV and the text below it.
    "stcnn_casme_squared": Composite(
        (("casme_squared", {"kind": "all"}),),
        "stcnn_casme_squared",
        {"happy": 94, "angry": 76, "disgust": 36},
        shortest=96,
    ),
    "stcnn_smic": Composite(
        _parts("smic"),
        "stcnn_smic",
        {"negative": 79, "positive": 34, "surprise": 43},
        shortest=18,
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
    """The names `compose` takes."""
    return sorted(_COMPOSITES)


def get(name: str) -> Composite:
    """A composite's rules and published counts."""
    if name not in _COMPOSITES:
        raise unknown_name("composite", name, _COMPOSITES)
    return _COMPOSITES[name]


def compose(name: str, clips: Sequence[Clip]) -> labels.Labelled:
    """The composite's part of `clips`, labelled; what is left out is listed with the reason.

    A clip's length is the number of its frames, which are not read for it.
    """
    rules = get(name)
    databases = {part for part, _ in rules.parts}
    kept, excluded = [], []
    for clip in clips:
        if clip.database not in databases:
            excluded.append((clip.key, f"{clip.database} is not part of {name}"))
        elif rules.shortest and folders.length(clip) < rules.shortest:
            why = f"has {folders.length(clip)} frames and {name} needs {rules.shortest}"
            excluded.append((clip.key, why))
        else:
            kept.append(clip)
    found = labels.label(rules.scheme, kept)
    return found._replace(excluded=(*excluded, *found.excluded))


def load(name: str, roots: Mapping[str, str]) -> labels.Labelled:
    """Reads the databases of a composite from their folders and composes it.

    Args:
      name: one of `names()`.
      roots: database -> folder, for each database of the composite.
    """
    parts = get(name).parts
    missing = sorted({database for database, _ in parts} - set(roots))
    if missing:
        raise UserError(f"{name} needs folders of {', '.join(missing)} too; add them to roots")
    clips = [
        clip
        for database, options in parts
        for clip in datasets.load(database, roots[database], **options)
    ]
    return compose(name, clips)
