"""The records that describe a database and what was found in it.

A database is a `Database`: how its folders are named, which sheets it was published with, which
headings they carry, which emotions it has, and where the published data contradict themselves
(`KnownIssue`, keyed by subject and clip and by the value in the sheet, so that it holds in any
release and not in a corrected one).
"""

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mer_jax.clips import Clip
from mer_jax.datasets.annotations import Column
from mer_jax.datasets.folders import Folder, Tree
from mer_jax.errors import Problem

# Headings that most sheets share.
SUBJECT = Column(("Subject",))
NAME = Column(("Filename", "File name", "Clip"))
AUS = Column(("Action Units", "AUs", "AU"), needed=False)
EMOTION = Column(("Estimated Emotion", "Emotion"))
OBJECTIVE = Column(("Objective Classes", "Objective Class", "Objective"), needed=False)
ANY = object()


class KnownIssue(NamedTuple):
    """A known fault of the published data and how it is resolved.

    Where `field` is a field of `Row`, the value `seen` (default: any) becomes `use`; where the two
    are equal, the value stays and only the note is given. "instants" is (onset, apex, offset).
    "numbering": `use` has the instants by two numberings of the frames; where the sheet has those
    of `seen` and the frames are not numbered so, they become `use`. Otherwise `field` is what goes
    wrong, and the problem becomes a note: "no folder", "no row", "outside" (of the apex, which is
    then None).
    """

    field: str
    why: str
    use: object = None
    seen: object = ANY


class Source(NamedTuple):
    """A file or folder that is read."""

    what: str  # that is read from it
    where: str
    others: str = ""  # that could be read instead, and how

    def __str__(self) -> str:
        instead = f", not from {self.others}" if self.others else ""
        return f"{self.what}: from {self.where}{instead}"


@dataclasses.dataclass
class Row:
    """A database's labels of one clip. Instants are frame numbers as in the file names."""

    where: str
    subject: str
    name: str
    emotion: str
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    action_units: str = ""
    objective: str = ""
    video: str = ""  # the recording it is part of, where frames lie by recording
    folder: str = ""  # the clip's name before it was corrected
    marked: bool = True  # whether the database marks instants at all
    fault: str = ""  # what `Database.adapt` finds wrong with it
    wanted: bool = True  # False: a row of another kind, which only accounts for its folder
    broken: bool = False  # a cell of it is among the problems already
    fps: float = 0.0  # Hz, where the clips of a database differ

    @property
    def instants(self) -> tuple[int | None, int | None, int | None]:
        """(onset, apex, offset)."""
        return self.onset, self.apex, self.offset

    @instants.setter
    def instants(self, values: tuple[int | None, int | None, int | None]) -> None:
        """Sets onset, apex and offset."""
        self.onset, self.apex, self.offset = values


class Inspection(NamedTuple):
    """The sound clips of a database, what is wrong with it, and what was resolved."""

    clips: list[Clip]
    problems: list[Problem]
    notes: list[Problem]
    published: Mapping[str, int] = types.MappingProxyType({})  # clips by emotion
    subjects: int = 0  # as published
    sources: Sequence[Source] = ()  # which files are read
    groups: Sequence[str] = ()  # what `published` counts, one a clip; () is its emotion


@dataclasses.dataclass(frozen=True, kw_only=True)
class Database:
    """How a database lies on disk and how its sheets are read."""

    name: str
    title: str
    fps: float  # Hz
    trees: Mapping[str, Tree]  # kind of images -> how they lie; the first found is read
    emotions: tuple[str, ...]
    sheets: tuple[str, ...] = ()  # patterns of file names without suffix, the preferred first
    columns: Mapping[str, Column] = dataclasses.field(default_factory=dict)
    sheet: tuple[str, ...] = ()  # names of the workbook's sheet
    positions: tuple[str, ...] = ()  # fields from left to right where there is no header
    classes: tuple[str, ...] = ()  # patterns of a sheet with objective classes alone
    subject: Callable[[str], str] = str  # any spelling -> the one that clips carry
    clip: Callable[[str], str] = str
    adapt: Callable[[Row, Mapping], Row] = lambda row, cells: row  # what is peculiar to its rows
    row_from_folder: Callable[[Folder], Row | str | None] | None = (
        None  # a folder's row, or its problem
    )
    known_issues: Mapping[tuple[str, str], tuple[KnownIssue, ...]] = dataclasses.field(
        default_factory=dict
    )
    folder_label: Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )  # emotion -> folder's word
    allow_mismatch: bool = False  # the published frames are known to be incomplete
    gray: bool = False
    published: Mapping[str, int] = dataclasses.field(default_factory=dict)  # clips by emotion
    subjects: int = 0  # as published


class Log:
    """Problems and notes as they come up, and the known issues."""

    def __init__(self, spec: Database):
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.sources: list[Source] = []
        self._known_issues = spec.known_issues

    def known_issues(self, row: Row) -> tuple[KnownIssue, ...]:
        """Those of the clip and of its recording."""
        known = self._known_issues.get((row.subject, row.name), ())
        return known + (self._known_issues.get((row.subject, row.video), ()) if row.video else ())

    def known_issue(self, key: tuple[str, str], event: str) -> str:
        """Why `event` is no problem of this (subject, clip), or ''."""
        known = self._known_issues.get(key, ())
        return next((issue.why for issue in known if issue.field == event), "")

    def add_problem(self, where: str, what: str) -> None:
        """Something that is wrong."""
        self.problems.append(Problem(where, what))

    def add_note(self, where: str, what: str) -> None:
        """Something that was resolved."""
        self.notes.append(Problem(where, what))
