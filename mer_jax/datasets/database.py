"""What all databases share: from a folder and a label sheet to clips, and all that is wrong.

A database is a `Database` record: how its folders are named, which sheets it was published with,
which headings they carry, which emotions it knows, and where the published data themselves are
at odds (`Quirk`, keyed by subject and clip, so that it holds in any release). `inspect` reads one
to its end. What the user can mend is a problem; what the publishers left so is a note that says how it
was settled.
"""

import collections
import dataclasses
import difflib
import fnmatch
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from mer_jax.clips import Clip
from mer_jax.datasets import annotations, folders
from mer_jax.datasets.action_units import unread
from mer_jax.datasets.annotations import Column
from mer_jax.datasets.folders import Folder, Tree
from mer_jax.problems import Problem, unknown

# Headings of the columns that most sheets share.
SUBJECT = Column(("Subject",))
NAME = Column(("Filename", "File name", "Clip"))
AUS = Column(("Action Units", "AUs", "AU"), needed=False)
EMOTION = Column(("Estimated Emotion", "Emotion"))
OBJECTIVE = Column(("Objective Classes", "Objective Class", "Objective"), needed=False)
ANY = object()


class Quirk(NamedTuple):
    """A known fault of the published data and how it is settled.

    With `field` a field of `Row`: the value `seen` (default any) becomes `use`. "span": the
    releases disagree on (onset, offset) and the one in `use` is taken where it fits the frames.
    Otherwise `field` is an event that is then a note: "no folder", "no row", "apex".
    """

    field: str
    why: str
    use: object = None
    seen: object = ANY


@dataclasses.dataclass
class Row:
    """What a database says of one clip. Instants are frame numbers as in the file names."""

    where: str
    subject: str
    name: str
    emotion: str
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    action_units: str = ""
    objective: str = ""
    folder: str = ""  # the folder's name where it is not the clip's
    marked: bool = True  # whether the database marks onset and offset at all
    broken: bool = False  # a cell of it is a problem already


class Inspection(NamedTuple):
    """The sound clips of a database, what is wrong with it, and what was settled."""

    clips: list[Clip]
    problems: list[Problem]
    notes: list[Problem]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Database:
    name: str
    title: str
    fps: float  # Hz
    trees: Mapping[str, Tree]  # kind of images -> how they lie; the first that is there is read
    emotions: tuple[str, ...]
    sheets: tuple[str, ...] = ()  # file patterns, the preferred release first
    columns: Mapping[str, Column] = dataclasses.field(default_factory=dict)
    sheet: tuple[str, ...] = ()  # names of the workbook's sheet
    positions: tuple[str, ...] = ()  # fields from left to right where there is no header
    subject: Callable[[str], str] = str  # any spelling -> the one clips carry
    clip: Callable[[str], str] = str
    adapt: Callable[[Row, Mapping], Row | None] = lambda row, values: row
    unsheeted: Callable[[Folder], Row | None] | None = None  # labels that lie in the folders
    quirks: Mapping[tuple[str, str], tuple[Quirk, ...]] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()  # sheets with objective classes, apart from the labels
    gaps: bool = False  # the published recordings lack frames here and there
    grey: bool = False
    published: Mapping[str, int] = dataclasses.field(default_factory=dict)  # clips an emotion
    subjects: int = 0  # as published


class _Log:
    """Problems and notes as they come up; a quirk turns a problem into a note."""

    def __init__(self, quirks):
        self.problems, self.notes, self._quirks = [], [], quirks

    def problem(self, key, event, where, what):
        for quirk in self._quirks.get(key, ()):
            if quirk.field == event:
                return self.note(where, f"{what}; {quirk.why}")
        self.problems.append(Problem(where, what))

    def note(self, where, what):
        self.notes.append(Problem(where, what))


def inspect(
    spec: Database,
    root: str | pathlib.Path,
    *,
    images: str = "",
    labels: str = "",
    nearest: bool = False,
    leave_out: Iterable[str] = (),
) -> Inspection:
    """Reads a database to its end; no image is decoded.

    Args:
      spec: the database.
      root: its folder.
      images: which kind of images, a key of `spec.trees`; "" takes the first that is there.
      labels: the label sheet, where it lies elsewhere or several releases are there.
      nearest: takes the nearest frame on the disk for a marked frame that is missing.
      leave_out: keys of clips ("casme2/sub01/EP02_01f") to go without.
    """
    root = pathlib.Path(root).expanduser()
    if images and images not in spec.trees:
        raise unknown(f"kind of {spec.title} images", images, spec.trees)
    if not root.is_dir():
        return Inspection(
            [], [Problem(str(root), f"is no folder; {spec.title} should be there")], []
        )
    log, without = _Log(spec.quirks), set(leave_out)
    tree, top = _tree(spec, root, images, log)
    found = folders.scan(top, tree) if top else ([], [], [])
    log.problems += found[1]
    log.notes += found[2]
    by_key = _by_key(spec, tree, found[0], log)
    rows = (
        _sheet_rows(spec, root, labels, log) if spec.sheets else _folder_rows(spec, found[0], log)
    )
    rows = _distinct(spec, rows, log)
    keys = {f"{spec.name}/{row.subject}/{row.name}" for row in rows}
    keys |= {f"{spec.name}/{subject}/{name}" for subject, name in by_key}
    for key in sorted(without - keys):
        log.problem(None, "", key, "was to be left out but is not in the database")
    rows = [row for row in rows if f"{spec.name}/{row.subject}/{row.name}" not in without]
    if not top:
        return Inspection([], log.problems, log.notes)
    clips, used, homeless = [], set(), collections.defaultdict(list)
    for row in rows:
        home = (row.subject, row.folder or row.name)
        used.add(home)
        _settle(spec, row, by_key.get(home), log)
        if home not in by_key:
            homeless[row.subject].append(row)
        elif not row.broken:
            clips += _clip(spec, tree, row, by_key[home], nearest or spec.gaps, log)
    _report_homeless(spec, homeless, {subject for subject, _ in by_key}, log)
    if spec.sheets and rows and not tree.video:
        for home, folder in sorted(by_key.items()):
            if home not in used and "/".join((spec.name, *home)) not in without:
                what = "has frames but no row in the label sheet"
                log.problem(home, "no row", str(folder.path), what)
    return Inspection(clips, log.problems, log.notes)


def _tree(spec, root, images, log):
    kinds = [images] if images else list(spec.trees)
    for kind in kinds:
        top = folders.find(root, spec.trees[kind])
        if top:
            return spec.trees[kind], top
    tops = " nor ".join(repr(top) for kind in kinds for top in spec.trees[kind].tops)
    there = ", ".join(entry.name for entry in folders.visible(root)[:8]) or "nothing"
    log.problem(None, "", str(root), f"holds no folder {tops} with clips; there is: {there}")
    return spec.trees[kinds[0]], None


def _by_key(spec, tree, found, log):
    by_key = {}
    for folder in found:
        subject = spec.subject(folder.groups["subject"])
        name = folder.groups["name"] if tree.video else spec.clip(folder.groups["name"])
        if (subject, name) in by_key:
            other = by_key[subject, name].path
            log.problem(None, "", str(folder.path), f"is the same clip as {other}; remove one")
        by_key.setdefault((subject, name), folder)
    return by_key


def _sheet_rows(spec, root, labels, log):
    path = _sheet(spec.sheets, root, labels, log)
    if path is None:
        return []
    records, problems = annotations.read(
        path, spec.columns, sheets=spec.sheet, positions=spec.positions
    )
    log.problems += problems
    rows = []
    for record in records:
        cells = dict(record.values)
        row = Row(
            where=record.where,
            subject=spec.subject(cells["subject"] or ""),
            name=spec.clip(cells["name"] or ""),
            emotion=(cells.get("emotion") or "").lower(),
            action_units=cells.get("action_units") or "",
            objective=(cells.get("objective") or "").upper(),
            **{field: cells.get(field) for field in ("onset", "apex", "offset")},
            broken=record.broken,
        )
        row = spec.adapt(row, cells)
        rows += [row] if row else []
    if spec.classes:
        _add_classes(spec, root, rows, log)
    return rows


def _sheet(patterns, root, labels, log):
    if labels:
        path = pathlib.Path(labels).expanduser()
        path = path if path.is_file() else root / labels
        if path.is_file():
            return path
        return log.problem(None, "", str(path), "is no file; labels= should name the label sheet")
    files = [
        pathlib.Path(entry.path)
        for _, entries in folders.below(root, depth=2)
        for entry in entries
        if not entry.is_dir() and not entry.name.startswith("~$")  # a lock of an open workbook
    ]
    there = [
        file
        for pattern in patterns
        for file in files
        if fnmatch.fnmatch(file.name.lower(), pattern.lower())
    ]
    there = list(dict.fromkeys(there))
    if not there:
        return log.problem(
            None, "", str(root), f"holds no label sheet {patterns[0]!r} (nor another release of it)"
        )
    if len(there) > 1:
        others = ", ".join(file.name for file in there[1:])
        log.note(there[0].name, f"is read; also there: {others} (labels= chooses)")
    return there[0]


def _add_classes(spec, root, rows, log):
    """Objective classes from a sheet of their own, where it is there."""
    quiet = _Log({})
    path = _sheet(spec.classes, root, "", quiet)
    if path is None:
        return
    columns = {"subject": SUBJECT, "name": NAME, "objective": OBJECTIVE._replace(needed=True)}
    records, problems = annotations.read(path, columns)
    log.problems += problems
    classes = {
        (spec.subject(r.values["subject"] or ""), spec.clip(r.values["name"] or "")): r
        for r in records
    }
    for row in rows:
        record = classes.get((row.subject, row.name))
        row.objective = (record.values["objective"] or "") if record else ""


def _folder_rows(spec, found, log):
    rows = []
    for folder in found:
        row = spec.unsheeted(folder)
        if isinstance(row, Row):
            rows.append(row)
        elif row:
            log.problem(None, "", str(folder.path), row)
    return rows


def _distinct(spec, rows, log):
    first = {}
    for row in rows:
        other = first.setdefault((row.subject, row.name), row)
        if other is not row and row.name:
            what = f"clip {row.subject}/{row.name} again (first in {other.where}); remove one"
            log.problem((row.subject, row.name), "twice", row.where, what)
    return list(first.values())


def _settle(spec, row, folder, log):
    """Applies the quirks that change a row's values, and checks its words."""
    key = f"{spec.name}/{row.subject}/{row.name}"
    for quirk in spec.quirks.get((row.subject, row.name), ()):
        if quirk.field == "span" and folder and folder.numbers:
            ends = (folder.numbers[0], folder.numbers[-1])
            inside = row.onset is not None and ends[0] <= row.onset <= ends[1]
            if not inside and ends[0] <= quirk.use[0] and quirk.use[1] <= ends[1]:
                log.note(key, f"frames {row.onset} to {row.offset} became {quirk.use}; {quirk.why}")
                row.onset, row.offset = quirk.use
                if row.apex is not None and not row.onset <= row.apex <= row.offset:
                    row.apex = None
        elif hasattr(row, quirk.field) and quirk.seen in (ANY, getattr(row, quirk.field)):
            was = getattr(row, quirk.field)
            log.note(key, f"{quirk.field} {was!r} became {quirk.use!r}; {quirk.why}")
            setattr(row, quirk.field, quirk.use)
    if row.broken:
        return
    if row.emotion not in spec.emotions:
        near = difflib.get_close_matches(row.emotion, spec.emotions, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(spec.emotions)}"
        log.problem(None, "", row.where, f"{key} has the unknown emotion {row.emotion!r}; {hint}")
        row.broken = True
    strange = unread(row.action_units)
    if strange:
        log.note(key, f"in the action units {row.action_units!r}, {strange} was passed over")


def _clip(spec, tree, row, folder, nearest, log):
    """[the clip], or [] where its instants do not fit its frames."""
    key = f"{spec.name}/{row.subject}/{row.name}"
    place = f"{key} ({row.where})"
    before = len(log.problems)
    numbers, files = folder.numbers, folder.files
    if not files:
        return []
    onset, apex, offset = row.onset, row.apex, row.offset
    if row.marked:
        onset, apex, offset = _order_of(row, place, log)
        if onset is None:
            return []
    if tree.video and offset is None:
        offset = apex if apex is not None else onset
        log.note(key, f"has no offset; the clip ends at frame {offset}")
    if tree.video:
        inside = [i for i, number in enumerate(numbers) if onset <= number <= offset]
        ends = numbers[0], numbers[-1]
        numbers = tuple(numbers[i] for i in inside)
        files = tuple(files[i] for i in inside)
        if len(files) < 2:
            what = f"frames {onset} to {offset} are not in {folder.path} (frames %d to %d)" % ends
            log.problem(None, "", place, what)
            return []
    if len(files) < 2:
        log.problem(None, "", place, f"{folder.path} has {len(files)} frame; a clip has at least 2")
        return []
    holes = _holes(numbers)
    if holes:
        what = f"{folder.path} lacks frame(s) {holes}"
        if nearest:
            log.note(key, f"{what}; the frames around them follow each other")
        else:
            log.problem(None, "", place, what)

    def index(number, what):
        if number is None or number in numbers:
            return None if number is None else numbers.index(number)
        best = min(range(len(numbers)), key=lambda i: abs(numbers[i] - number))
        where = (
            f"{what} frame {number} is not in {folder.path} (frames {numbers[0]} to {numbers[-1]})"
        )
        if nearest:
            log.note(key, f"{where}; frame {numbers[best]} stands for it")
        else:
            log.problem(
                None, "", place, f"{where}; nearest=True takes the nearest, {numbers[best]}"
            )
        return best

    instants = dict(onset=index(onset, "onset") or 0, apex=index(apex, "apex"))
    instants["offset"] = index(offset, "offset")
    if len(log.problems) > before:
        return []
    return [
        Clip(
            database=spec.name,
            subject=row.subject,
            name=row.name,
            read=folders.Frames(key, files, spec.grey),
            emotion=row.emotion,
            fps=spec.fps,
            action_units=row.action_units,
            objective=row.objective,
            **instants,
        )
    ]


def _order_of(row, place, log):
    """Onset, apex and offset as frame numbers in order; onset None where they are not."""
    key = (row.subject, row.name)
    onset, apex, offset = row.onset, row.apex, row.offset
    if onset is None:
        log.problem(key, "onset", place, "has no onset frame; fill in the cell")
        return None, None, None
    if offset is None:
        log.note(place, "has no offset frame; the movement ends with the clip's last")
    elif offset <= onset:
        what = f"the offset frame {offset} is not after the onset frame {onset}; see the sheet"
        log.problem(key, "offset", place, what)
        return None, None, None
    if apex is None:
        log.note(place, "has no apex frame; the clip's apex is None")
    elif apex < onset or (offset is not None and apex > offset):
        what = f"the apex frame {apex} is outside the clip's {onset} to {offset}"
        if any(quirk.field == "outside" for quirk in log._quirks.get(key, ())):
            log.problem(key, "outside", place, what)
            return onset, None, offset
        log.problem(key, "apex", place, f"{what}; correct the sheet")
        return None, None, None
    elif apex in (onset, offset):
        end = "onset" if apex == onset else "offset"
        log.note(place, f"the apex frame {apex} is the {end} frame; kept as published")
    return onset, apex, offset


def _holes(numbers):
    """The frame numbers that are missing between the first and the last, in words."""
    steps = [b - a for a, b in zip(numbers, numbers[1:])]
    usual = collections.Counter(steps).most_common(1)[0][0]
    holes = [
        f"{a + usual}" if b - a == 2 * usual else f"{a + usual} to {b - usual}"
        for a, b in zip(numbers, numbers[1:])
        if b - a > usual
    ]
    return ", ".join(holes[:6]) + (f" and {len(holes) - 6} more" if len(holes) > 6 else "")


def _report_homeless(spec, homeless, there, log):
    for subject, rows in homeless.items():
        if subject not in there and len(rows) > 1:
            what = f"none of its {len(rows)} clips has a folder, from {rows[0].name} on"
            log.problem(None, "", f"{spec.name}/{subject}", what)
            continue
        for row in rows:
            what = f"{row.where} names it but it has no folder of frames"
            log.problem((subject, row.name), "no folder", f"{spec.name}/{subject}/{row.name}", what)
