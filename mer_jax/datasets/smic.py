"""SMIC: 16 subjects at 100 Hz (HS), 8 of them also at 25 Hz in color (VIS) and infrared (NIR).

Li et al., FG 2013.

    SMIC_all_cropped/{HS,VIS,NIR}/s1/micro/negative/s1_ne_01/reg_image559740.bmp
    SMIC_all_raw/{HS,VIS,NIR}/s1/micro/negative/s1_ne_01/image559740.bmp
    SMIC-E_raw image/HS_long/SMIC-HS-E/s03/s3_ne_04/image302370.jpg   with frames before and after
    SMIC-HS-E_annotation.xlsx, SMIC-HS-E_annotation_2019.xlsx         for the last

In the first two the folder is the label and the clip is the movement: no sheet is needed, and
there is no apex anywhere. Subjects and clips are padded here as in the lists of the 2019
challenge (s01, s01_ne_01); clips of VIS and NIR end in _vis and _nir, so that both parts
of a subject have one key.
"""

import functools
import pathlib
import re
from collections.abc import Iterable

from mer_jax.datasets import database, folders, records
from mer_jax.datasets.annotations import Column, zero_padded
from mer_jax.datasets.folders import FolderLayout
from mer_jax.datasets.records import Inspection, KnownIssue, Row
from mer_jax.errors import unknown_name
from mer_jax.io import reading

CODES = {"negative": "ne", "positive": "po", "surprise": "sur"}
_HZ = {"hs": 100.0, "vis": 25.0, "nir": 25.0}
_PUBLISHED = {"hs": (70, 51, 43), "vis": (23, 28, 20), "nir": (23, 28, 20)}
_SUBJECTS = {"hs": 16, "vis": 8, "nir": 8}
NO_FOLDER = (KnownIssue("no folder", "the extended release lacks this clip"),)
_NO_ROW = (KnownIssue("no row", "the sheet does not annotate it and it is left out"),)


def clip_name(name: str, *, ending: str = "") -> str:
    """A clip's name as the 2019 challenge writes it: 's03_ne_04' for 'S3_ne_4'."""
    match = re.fullmatch(r"s(\d+)_(\w+?)_(\d+)", name.strip().lower())
    return f"s{int(match[1]):02d}_{match[2]}_{int(match[3]):02d}{ending}" if match else name


def _row(subject, clip, folder) -> Row | str:
    emotion = folder.groups["emotion"].lower()
    name = clip(folder.groups["name"])
    if CODES.get(emotion) != name.split("_")[1]:
        return f"lies in folder {emotion!r}, which its name contradicts; move or rename it"
    return Row(
        str(folder.path), subject(folder.groups["subject"]), name, emotion, has_instants=False
    )


def _shared(part: str) -> dict:
    subject = functools.partial(zero_padded, "s", 2)
    clip = functools.partial(clip_name, ending="" if part == "hs" else f"_{part}")
    return dict(
        name="smic",
        title=f"SMIC-{part.upper()}",
        fps=_HZ[part],
        emotions=tuple(CODES),
        normalize_subject=subject,
        normalize_clip=clip,
        gray=part == "nir",
        published=dict(zip(CODES, _PUBLISHED[part])),
        subjects=_SUBJECTS[part],
    )


def spec(part: str) -> records.Database:
    """HS, VIS or NIR by folders."""
    pattern = rf"(^|/){part}/(?P<subject>s\d+)/micro/(?P<emotion>[a-z]+)/(?P<name>s\d+_[a-z]+_\d+)$"
    shared = _shared(part)
    others = "|".join(other for other in _HZ if other != part)
    exclude = rf"non_micro|(^|/)({others})(/|$)"
    return records.Database(
        layouts={
            "cropped": FolderLayout(("SMIC_all_cropped",), pattern, exclude=exclude),
            "raw": FolderLayout(("SMIC_all_raw",), pattern, exclude=exclude),
        },
        row_from_folder=functools.partial(
            _row, shared["normalize_subject"], shared["normalize_clip"]
        ),
        **shared,
    )


EXTENDED = records.Database(
    layouts={
        "extended": FolderLayout(
            ("SMIC-HS-E", "HS_long"),
            r"(^|/)(?P<subject>s\d+)/(?P<name>s\d+_(?P<emotion>[a-z]+)_\d+)$",
        )
    },
    sheets=("SMIC-HS-E_annotation_2019", "SMIC-HS-E_annotation*"),
    worksheets=("HS",),
    columns={
        "subject": records.SUBJECT,
        "name": records.NAME,
        "onset": Column(("OnsetF", "Onset"), int),
        "offset": Column(("OffsetF", "Offset"), int),
        "emotion": Column(("Emotion",)),
    },
    folder_label=CODES,
    known_issues={
        ("s03", "s03_ne_03"): NO_FOLDER,
        ("s03", "s03_ne_20"): NO_FOLDER,
        ("s04", "s04_ne_05"): NO_FOLDER,
        ("s04", "s04_ne_06"): NO_FOLDER,
        ("s09", "s09_sur_02"): NO_FOLDER,
        ("s01", "s01_ne_02"): _NO_ROW,
        ("s02", "s02_sur_05"): _NO_ROW,
        ("s18", "s18_sur_03"): (
            KnownIssue(
                "emotion",
                "the sheet contradicts the clip's name and the challenge's list",
                corrected="surprise",
                published="negative",
            ),
        ),
    },
    **_shared("hs"),
)


def inspect(
    root: str | pathlib.Path,
    *,
    part: str = "hs",
    images: str = "",
    labels: str = "",
    allow_mismatch: bool = False,
    exclude: Iterable[str] = (),
) -> Inspection:
    """As `database.inspect`; `part` is "hs", "vis" or "nir", `images` also "extended" (HS)."""
    if part not in _HZ:
        raise unknown_name("part of SMIC", part, _HZ)
    chosen = spec(part)
    kinds = (*chosen.layouts, *EXTENDED.layouts)
    if images and images not in kinds:
        raise unknown_name("kind of SMIC images", images, kinds)
    path = reading.expanded(root)
    if part == "hs" and images in ("", "extended") and path.is_dir():
        short = folders.choose(path, chosen.layouts, list(chosen.layouts))
        longer = folders.choose(path, EXTENDED.layouts, ["extended"])
        if images or (longer and not short):
            chosen = EXTENDED
    return database.inspect(
        chosen, root, images=images, labels=labels, allow_mismatch=allow_mismatch, exclude=exclude
    )
