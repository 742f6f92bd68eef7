"""DFME: 2,629 published micro-expressions at 200, 300 or 500 Hz (Zhao et al., TAC 2024).

    DFME_train/sub0003_01/00109.png     or DFME_train/sub0003/sub0003_01/; test_data_A, test_data_B
    training_full_with_AU.xlsx, testA_full_with_AU.xlsx, testB_full_with_AU.xlsx

The three parts are those of the CCAC challenge: 1,856 to train, 474 and 299 to test, of different
subjects. Each clip has its own frame rate. A part of which no clip is on disk is left out.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Mapping

from mer_jax.datasets import annotations, database, records, sheets
from mer_jax.datasets.annotations import Column, zero_padded
from mer_jax.datasets.folders import Folder, FolderLayout
from mer_jax.datasets.records import Inspection, Row, Source
from mer_jax.errors import Problem, unknown_name
from mer_jax.io import reading

# Patterns of their sheets; that of test B ends in "with_AU".
PARTS = {
    "train": ("train*",),
    "test_a": ("testA*", "test[-_ ]A*", "test?data?A*"),
    "test_b": ("testB*", "test[-_ ]B*", "test?data?B*"),
}
_COUNTS = {"train": 1856, "test_a": 474, "test_b": 299}
_RATES = ("200", "300", "500")
_COLUMNS = {**records.COLUMNS, "fps": Column(("Fps",))}

SPEC = records.Database(
    name="dfme",
    title="DFME",
    fps=500.0,  # a row's own rate comes first
    layouts={"images": FolderLayout(("DFME",), r"(^|/)(?P<name>(?P<subject>sub\d+)_\d+)$")},
    emotions=("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"),
    normalize_subject=functools.partial(zero_padded, "sub", 4),
    normalize_clip=str.lower,
    published=dict(
        anger=241, contempt=171, disgust=735, fear=365, happiness=311, sadness=359, surprise=447
    ),
    subjects=259,
)


def inspect(
    root: str | pathlib.Path,
    *,
    part: str = "",
    allow_mismatch: bool = False,
    exclude: Iterable[str] = (),
) -> Inspection:
    """As `database.inspect`; `part` is "train", "test_a" or "test_b", "" all that are there."""
    if part and part not in PARTS:
        raise unknown_name("part of DFME", part, PARTS)
    path = reading.expanded(root)
    if missing := SPEC.missing(path, ""):
        return Inspection([], missing, [], SPEC.published, SPEC.subjects)
    rows, problems, sources = dict[str, Row](), list[Problem](), list[Source]()
    of_part = dict[str, tuple[str, list[str]]]()  # the name of its sheet, and its clips
    for name in [part] if part else PARTS:
        fuller = [f"{pattern}full_with_AU*" for pattern in PARTS[name]]
        found = sheets.locate([*fuller, *PARTS[name]], path)
        if found:
            how = "move the first elsewhere to read another"
            sources.append(sheets.source(f"labels of {name}", found, how))
            read, wrong = _rows(found[0], rows)
            problems += wrong
            of_part[name] = found[0].name, [*read]
            rows |= read
        elif part:
            what = f"holds no label sheet {PARTS[name][0]!r} of {SPEC.title}"
            problems.append(Problem(str(path), what))
    if not of_part and not part:
        what = f"holds no label sheet of {SPEC.title}, like training_full_with_AU.xlsx"
        problems.append(Problem(str(path), what))
    seen = set[str]()

    def row(folder: Folder) -> Row | None:
        name = folder.groups["name"].lower()
        seen.add(name)
        return rows.get(name)

    spec = dataclasses.replace(SPEC, row_from_folder=row)
    if part:
        spec = dataclasses.replace(spec, published={}, subjects=0)
    found_clips = database.inspect(spec, path, allow_mismatch=allow_mismatch, exclude=exclude)
    notes = list(found_clips.notes)
    for file, names in of_part.values():
        missing = [name for name in names if name not in seen]
        if len(missing) == len(names) and seen and not part:
            what = f"none of its {len(names)} clips is on disk; the part is left out"
            notes.append(Problem(file, what))
            continue
        known = {f"{SPEC.name}/{rows[name].subject}/{name}" for name in missing} & {*exclude}
        problems += [
            Problem(rows[name].where, f"{name} has no folder of frames")
            for name in missing
            if f"{SPEC.name}/{rows[name].subject}/{name}" not in known
        ]
    for name, (file, names) in of_part.items():
        if len(names) != _COUNTS[name]:
            what = f"has {len(names)} clips where {_COUNTS[name]} are published"
            notes.append(Problem(file, what))
    return found_clips._replace(
        problems=[*problems, *found_clips.problems],
        notes=notes,
        sources=[*found_clips.sources, *sources],
    )


def _rows(path: pathlib.Path, before: Mapping[str, Row]) -> tuple[Mapping[str, Row], list[Problem]]:
    """The rows of one sheet by clip, and what is wrong with it; `before`: those of other sheets."""
    found, problems = annotations.read(path, _COLUMNS)
    rows = dict[str, Row]()
    for record in found:
        cells = record.values
        name = cells["name"].lower()
        invalid = record.invalid
        if cells["fps"] not in _RATES and not invalid:
            what = f"Fps is {cells['fps']!r}; it is one of {', '.join(_RATES)}"
            problems.append(Problem(record.where, what))
            invalid = True
        if first := rows.get(name) or before.get(name):
            what = f"clip {name} again (first in {first.where}); remove one"
            problems.append(Problem(record.where, what))
        rows.setdefault(
            name,
            Row(
                where=record.where,
                subject=SPEC.normalize_subject(cells["subject"]),
                name=name,
                emotion=cells["emotion"].lower(),
                onset=cells["onset"],
                apex=cells["apex"],
                offset=cells["offset"],
                action_units=cells.get("action_units") or "",
                invalid=invalid,
                fps=0.0 if invalid else float(cells["fps"]),
            ),
        )
    return rows, problems
