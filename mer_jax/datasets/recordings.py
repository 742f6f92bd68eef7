"""Reads databases of long videos by name into `Recording`s, or lists all their problems.

    recordings = load("samm_lv", "~/data/SAMM Long Videos")  # names(): the databases
    recordings = load("synthetic", None)
    recordings = load("package.module:name", root)  # your function (root, *, OPTION=..., ...)

A recording without a row in the label sheet has no expressions; in SMIC it is not annotated and is
left out. Frame numbers in a sheet are those of the file names; in a video file they count from 1.
"""

import collections
import dataclasses
import functools
import importlib
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mer_jax import faces
from mer_jax.datasets import annotations, folders, sheets
from mer_jax.datasets.action_units import note_of_unread
from mer_jax.datasets.frame_sources import FrameFolder, VideoFile, list_frames, nearest
from mer_jax.datasets.long_videos import SPECS, LongVideos, Mark
from mer_jax.datasets.records import NOT_THERE, IssueLog
from mer_jax.errors import DataError, Problem, UserError, own_code
from mer_jax.io import reading, video_files
from mer_jax.keys import ambiguous
from mer_jax.options import check, defaults, find
from mer_jax.recordings import KINDS, Interval, Recording

_VIDEO_SUFFIXES = {".avi", ".mp4", ".mov", ".mpg", ".mkv"}


class _MarkedRow(NamedTuple):
    """An expression that the label sheet marks, and the row that does."""

    where: str
    mark: Mark


class Inspection(NamedTuple):
    """The recordings of a database, its problems, and notes on resolved mismatches."""

    recordings: list[Recording]
    problems: list[Problem]
    notes: list[Problem]
    published: Mapping[str, int]  # of "recordings", "micro", "macro"; one that lacks is unchecked


def names() -> list[str]:
    """The databases that `load` reads."""
    return sorted([*SPECS, "synthetic"])


def options(name: str) -> dict[str, Any]:
    """The options of database `name` and their defaults."""
    return defaults(_reader(name), without=("root",))


def load(name: str, root: str | pathlib.Path | None, **given) -> list[Recording]:
    """The recordings of a database, sorted by subject and name; frames are read on access.

    Args:
      name: a database (`names()`), or "package.module:name", a function of the root, with its
        options by keyword, that returns `Recording`s or an `Inspection`. Instants count from 0;
        an attribute `numbers` of a recording's `read`, [T] integers, gives what files of spotted
        intervals count by. `faces.crop_recording` crops.
      root: its folder; None for "synthetic".
      **given: options of the database (`options(name)`).

    Raises:
      UserError: an unknown database or option, or no root.
      DataError: for problems of the database; it lists all.

    >>> video = load("synthetic", None, subjects=1, seconds=3.0, micro=1, macro=0)[0]
    >>> len(video), [each.kind for each in video.intervals]
    (90, ['micro'])
    """
    found = inspect(name, root, **given)
    if found.problems:
        raise DataError(name, found.problems, max_per_kind=10)
    if found.notes:
        from absl import logging

        other = differences(found.recordings)
        level = logging.WARNING if other else logging.INFO
        first = f"{', '.join(other)}; " if other else ""
        logging.log(
            level, "%s: %s%d note(s), e.g. %s", name, first, len(found.notes), found.notes[0]
        )
    return found.recordings


def inspect(name: str, root: str | pathlib.Path | None, **given) -> Inspection:
    """The recordings of a database, its problems, notes on resolved mismatches, published counts.

    Raises `UserError` for an unknown database or option, or no root.
    """
    reader, given = _reader(name), check("data", name, given, options(name))
    if name in SPECS:
        if root is None:
            raise UserError(f"{name} is read from a folder; give it as root=")
        return reader(folders.absolute(root), **given)
    with own_code("database of long videos", name):
        found = reader(**given) if name == "synthetic" else reader(root, **given)
        if not isinstance(found, Inspection):
            found = Inspection(list(found), [], [], {})
    return found._replace(problems=found.problems + ambiguous(found.recordings))


def _reader(name: str) -> Callable[..., Any]:
    if name in SPECS:
        return functools.partial(read, SPECS[name])
    if name == "synthetic":
        return importlib.import_module("mer_jax.datasets.synthetic.long_videos").recordings
    return find("database of long videos", name, dict.fromkeys(names()))


def counts(recordings: Sequence[Recording]) -> dict[str, int]:
    """How many recordings, micro- and macro-expressions there are."""
    kinds = collections.Counter(each.kind for video in recordings for each in video.intervals)
    return {"recordings": len(recordings), **{kind: kinds[kind] for kind in KINDS}}


def differences(recordings: Sequence[Recording]) -> list[str]:
    """Where recordings of one database are not as many as published, or their expressions.

    >>> differences([Recording("smic", "s01", "s01_ne_01", None, 9, 100.0)])
    ['1 recordings where 157 are published']
    """
    names = {video.database for video in recordings}
    published = SPECS[names.pop()].published if len(names) == 1 and names <= {*SPECS} else {}
    return [
        f"{count} {'recordings' if name == 'recordings' else f'{name}-expressions'} where "
        f"{published[name]} are published"
        for name, count in counts(recordings).items()
        if count != published.get(name, count)
    ]


def read(
    spec: LongVideos,
    root: str | pathlib.Path,
    *,
    images: str = "",
    labels: str = "",
    crop: str = "eyes",
    crop_size: tuple[int, int] | None = None,
    step: int = 1,
    allow_mismatch: bool = False,
    exclude: Iterable[str] = (),
) -> Inspection:
    """Reads a database of long videos; no image is decoded.

    They are published as whole frames. A recording is cropped to its face when it is read.

    Args:
      spec: the database.
      root: its folder, or a parent of it.
      images: which kind of images, a key of `spec.layouts`; "" takes the first that exists.
      labels: the label sheet, if it is elsewhere or there are several releases.
      crop: "eyes", "box" or "none", of `faces.crop_recording`; "none": the frames as stored.
      crop_size: (H, W) px of a crop; None: that of the face.
      step: take every which frame, for a lower rate; each stands for those up to the next one, also
        for the instants marked there.
      allow_mismatch: take the nearest frame for an instant whose frame is missing, and leave out
        intervals of which all frames are; each case is a note.
      exclude: keys of recordings ("samm_lv/006/006_1") to leave out.
    """
    root = reading.expanded(root)
    if missing := spec.missing(root, images):
        return Inspection([], missing, [], spec.published)
    log = IssueLog()
    marks = _marks(spec, root, labels, log)
    videos = _videos(spec, root, images, log)
    excluded = set(exclude)
    keys = {f"{spec.name}/{subject}/{name}" for subject, name in [*videos, *marks]}
    for key in sorted(excluded - keys):
        log.add_problem(key, NOT_THERE)
    recordings = []
    for (subject, name), source in sorted(videos.items()):
        key = f"{spec.name}/{subject}/{name}"
        rows = marks.pop((subject, name), [])
        if key in excluded:
            continue
        if not rows and spec.unlisted == "left out":
            log.add_note(str(source.path), "has no row in the label sheet; it is left out")
            continue
        tolerance = None if allow_mismatch else spec.tolerance
        recording = _recording(spec, key, source, rows, tolerance, step, log)
        recordings += [recording] if recording else []
    for (subject, name), rows in marks.items():
        key = f"{spec.name}/{subject}/{name}"
        if videos and key not in excluded:
            what = f"is marked in {rows[0].where} ({len(rows)} expression(s)) but has no frames"
            report = log.add_note if (subject, name) in spec.absent else log.add_problem
            report(key, what)
    for difference in differences(recordings):
        log.add_note(spec.title, f"has {difference}")
    if crop != "none" or crop_size is not None:
        config = faces.CropConfig(crop, crop_size)
        recordings = [faces.crop_recording(video, config) for video in recordings]
    return Inspection(recordings, log.problems, log.notes, spec.published)


# Seven parameters: what is read (four), how (two), and where problems go.
def _recording(
    spec: LongVideos,
    key: str,
    source: FrameFolder | VideoFile,
    rows: Sequence[_MarkedRow],
    tolerance: int | None,
    step: int,
    log: IssueLog,
) -> Recording | None:
    """The recording `key` of the frames in `source`, or None with a problem in `log`."""
    numbers, path = source.numbers, str(source.path)
    if not len(numbers):
        log.add_problem(path, "has no frames that can be read")
        return None
    if gaps := int(numbers[-1]) - int(numbers[0]) + 1 - len(numbers):
        what = f"lacks {gaps} of the frames {numbers[0]} to {numbers[-1]}; "
        what += "those around a gap become neighbors"
        log.add_note(path, what)
    intervals = [_interval(row, source, tolerance, log) for row in rows]
    first, doubles = _distinct(filter(None, intervals))
    for each in doubles:
        what = f"the {each.kind}-expression from {each.onset} to {each.offset} is there twice"
        log.add_problem(key, f"{what}; remove one row")
    database, subject, name = key.split("/", 2)
    thinned = dataclasses.replace(source, numbers=numbers[::step], step=step)
    kept, joined = _distinct(_thinned(each, step) for each in first)
    for each in joined:
        what = f"two {each.kind}-expressions are from {each.onset} to {each.offset}"
        log.add_note(key, f"{what} of every {step}. frame; they are one")
    return Recording(
        database, subject, name, thinned, len(thinned.numbers), spec.fps / step, tuple(kept)
    )


def _distinct(intervals: Iterable[Interval]) -> tuple[list[Interval], list[Interval]]:
    """The first intervals of each kind, onset and offset, and the others."""
    first, others = dict[tuple[str, int, int], Interval](), list[Interval]()
    for each in intervals:
        if first.setdefault((each.kind, each.onset, each.offset), each) is not each:
            others.append(each)
    return list(first.values()), others


def _thinned(interval: Interval, step: int) -> Interval:
    """The interval in frames that each stand for `step` frames."""
    apex = None if interval.apex is None else interval.apex // step
    return dataclasses.replace(
        interval, onset=interval.onset // step, apex=apex, offset=interval.offset // step
    )


def _marks(
    spec: LongVideos, root: pathlib.Path, labels: str, log: IssueLog
) -> dict[tuple[str, str], list[_MarkedRow]]:
    """The marks of each (subject, video)."""
    path = sheets.choose(spec, root, labels, log)
    if not path:
        return {}
    if others := log.sources[0].alternatives:
        log.add_note(path.name, f"is read instead of {others}")
    rows, wrong = annotations.read(
        path, spec.columns, sheets=spec.worksheets, positions=spec.positions
    )
    log.problems += wrong
    read_marks, rows_of = list[Mark](), list[str]()
    for row in rows:
        if row.invalid:
            continue
        try:
            made = spec.marks(row.values)
        except UserError as error:
            log.add_problem(row.where, str(error))
            continue
        read_marks += made
        rows_of += [row.where] * len(made)
        for mark in made:
            notes = (mark.note, note_of_unread(mark.action_units))
            log.notes += [Problem(row.where, note) for note in notes if note]
    if spec.emotions:
        read_marks = spec.emotions(read_marks, root, log)
        unlabeled = [m for m in read_marks if m.kind == "micro" and m.emotion is None]
        if unlabeled:
            what = f"has no emotion of {len(unlabeled)} micro-expression(s); theirs is None"
            log.add_note(path.name, what)
    out: dict[tuple[str, str], list[_MarkedRow]] = {}
    for where, mark in zip(rows_of, read_marks, strict=True):
        out.setdefault((mark.subject, mark.video), []).append(_MarkedRow(where, mark))
    return out


def _interval(
    row: _MarkedRow, source: FrameFolder | VideoFile, tolerance: int | None, log: IssueLog
) -> Interval | None:
    """The interval in indices of the existing frames, or None with a problem or note in `log`.

    tolerance: most frames between an instant and the nearest existing frame; None: any number.
    """
    (where, mark), numbers = row, source.numbers
    if mark.onset is None or mark.offset is None:
        name = "onset" if mark.onset is None else "offset"
        log.add_problem(where, f"has no {name} frame; fill in the cell")
        return None
    if mark.offset < mark.onset:
        what = f"the offset frame {mark.offset} is before the onset frame {mark.onset}"
        log.add_problem(where, what)
        return None
    ends = f"{source.path} (frames {numbers[0]} to {numbers[-1]})"
    hint = "; allow_mismatch=True "
    if mark.onset > numbers[-1] or mark.offset < numbers[0]:
        what = f"none of the frames {mark.onset} to {mark.offset} is in {ends}"
        if tolerance is None:
            log.add_note(where, f"{what}; the interval is left out")
        else:
            log.add_problem(where, f"{what}{hint}leaves the interval out")
        return None
    marked = {"onset": mark.onset, "offset": mark.offset}
    marked |= {} if mark.apex is None else {"apex": mark.apex}
    index = {name: nearest(numbers, number) for name, number in marked.items()}
    taken = {name: numbers[i] for name, i in index.items() if numbers[i] != marked[name]}
    for name, number in taken.items():
        if tolerance is not None and abs(int(number) - marked[name]) > tolerance:
            what = f"{name} frame {marked[name]} is not in {ends}"
            log.add_problem(where, f"{what}{hint}takes the nearest frame")
            return None
    if taken:
        what = ", ".join(f"{name} frame {marked[name]} became {n}" for name, n in taken.items())
        log.add_note(where, f"{what}: {ends}")
    onset, apex, offset = index["onset"], index.get("apex"), index["offset"]
    if apex is not None and not onset <= apex <= offset:
        what = f"the apex frame {mark.apex} is outside of {mark.onset} to {mark.offset}"
        log.add_note(where, f"{what}; it is set to None")
        apex = None
    return Interval(onset, apex, offset, mark.kind, mark.emotion or None, mark.action_units)


def _videos(
    spec: LongVideos, root: pathlib.Path, images: str, log: IssueLog
) -> dict[tuple[str, str], FrameFolder | VideoFile]:
    """The recordings on disk by (subject, video)."""
    list_frames.cache_clear()  # the folder may have changed
    kinds = [images] if images else list(spec.layouts)
    for layout in (spec.layouts[kind] for kind in kinds):
        slugs = set(map(annotations.slug, layout.folder_names))
        levels = (folder for folder, _ in folders.walk(root, depth=3))
        top = next((folder for folder in levels if annotations.slug(folder.name) in slugs), root)
        if found := _videos_below(top, spec, layout, log):
            return found
    tops = " or ".join(repr(spec.layouts[kind].folder_names[0]) for kind in kinds)
    log.add_problem(str(root), f"has no recordings below a folder {tops}")
    return {}


def _videos_below(
    top: pathlib.Path, spec: LongVideos, layout: folders.FolderLayout, log: IssueLog
) -> dict[tuple[str, str], FrameFolder | VideoFile]:
    found: dict[tuple[str, str], FrameFolder | VideoFile] = {}
    for folder, entries in folders.walk(top):
        files = [e for e in entries if pathlib.Path(e.name).suffix.lower() in _VIDEO_SUFFIXES]
        for path in map(pathlib.Path, files) if layout.video_files else [folder]:
            stem = path.with_suffix("") if layout.video_files else path
            relative = f"{top.name}/{stem.relative_to(top).as_posix()}"
            match = re.search(layout.clip_pattern, relative, re.I)
            if not match or (layout.exclude and re.search(layout.exclude, relative, re.I)):
                continue
            key = spec.identify(match.groupdict(""))
            if key in found:
                what = f"is the same recording as {found[key].path}; remove one"
                log.add_problem(str(path), what)
                continue
            try:
                if layout.video_files:
                    count = len(video_files.timestamps(path).times)
                    found[key] = VideoFile(path, np.arange(1, count + 1), spec.gray)
                else:
                    numbers = list_frames(path, layout.frame_pattern)[0]
                    found[key] = FrameFolder(path, layout.frame_pattern, numbers, spec.gray)
            except UserError as error:
                log.add_problem(str(path), str(error).removeprefix(f"{path}: "))
    return found
