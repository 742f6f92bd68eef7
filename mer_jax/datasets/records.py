"""The records that describe a database and what was found in it.

A database is a `Database`: the names of its folders and sheets, the headings of these, its
emotions, and where the published data contradict themselves
(`KnownIssue`, keyed by subject and clip and by the value in the sheet, so that it holds in any
release and not in a corrected one).
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from mer_jax.clips import Clip
from mer_jax.datasets.annotations import Column
from mer_jax.datasets.folders import Folder, FolderLayout
from mer_jax.errors import Problem, unknown_name

# Headings that most sheets share.
SUBJECT = Column(("Subject",))
NAME = Column(("Filename", "File name", "Clip"))
AUS = Column(("Action Units", "AUs", "AU"), required=False)
EMOTION = Column(("Estimated Emotion", "Emotion"))
INSTANTS = {
    "onset": Column(("OnsetFrame", "Onset"), int),
    "apex": Column(("ApexFrame", "Apex"), int),
    "offset": Column(("OffsetFrame", "Offset"), int),
}
OBJECTIVE = Column(("Objective Classes", "Objective Class", "Objective"), required=False)
COLUMNS = {"subject": SUBJECT, "name": NAME, **INSTANTS, "action_units": AUS, "emotion": EMOTION}
ANY = object()
NOT_THERE = (
    "is to be excluded but is not in the database (a key is like casme2/sub01/EP02_01f; give each "
    "by an exclude of its own)"
)


class KnownIssue(NamedTuple):
    """A known fault of the published data and how it is resolved.

    Where `field` is a field of `Row`, the value `published` (default: any) becomes `corrected`;
    where the two are equal, the value stays and only the note is given. "instants" is (onset, apex,
    offset). "numbering": where the sheet has the instants `published` and the frames are not
    numbered so, they become `corrected`. Otherwise `field` is the problem that becomes a note: "no
    folder", "no row", "outside" (of the apex, which is then None).
    """

    field: str
    why: str
    corrected: object = None
    published: object = ANY


class Source(NamedTuple):
    """A file or folder that is read."""

    what: str  # that is read from it
    where: str
    alternatives: str = ""  # that could be read instead, and how

    def __str__(self) -> str:
        instead = f", not from {self.alternatives}" if self.alternatives else ""
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
    has_instants: bool = True  # whether the database marks instants at all
    problem: str = ""  # that `Database.adapt_row` found
    is_clip: bool = True  # False: a row of another kind, which only accounts for its folder
    invalid: bool = False  # a cell of it is among the problems already
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
    """The valid clips of a database, its problems, and notes on what was resolved."""

    clips: list[Clip]
    problems: list[Problem]
    notes: list[Problem]
    published: Mapping[str, int] = MappingProxyType({})  # clips by emotion
    subjects: int = 0  # as published
    sources: Sequence[Source] = ()  # which files are read
    groups: Sequence[str] = ()  # of each clip, by which `published` counts; (): its emotion


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatabaseFiles:
    """The folders and label sheets of a database, and its published counts."""

    name: str
    title: str
    fps: float  # Hz
    layouts: Mapping[str, FolderLayout]  # by kind of images; the first found is read
    sheets: tuple[str, ...] = ()  # patterns of file names without suffix, the preferred first
    columns: Mapping[str, Column] = dataclasses.field(default_factory=dict)
    worksheets: tuple[str, ...] = ()  # names of the workbook's sheet
    positions: tuple[str, ...] = ()  # fields from left to right where there is no header
    gray: bool = False
    published: Mapping[str, int] = dataclasses.field(default_factory=dict)  # name -> count

    def missing(self, root: pathlib.Path, images: str) -> list[Problem]:
        """A problem if `root` is no folder. Raises `UserError` for an unknown kind of images."""
        if images and images not in self.layouts:
            raise unknown_name(f"kind of {self.title} images", images, self.layouts)
        if root.is_dir():
            return []
        return [Problem(str(root), f"is no folder; {self.title} should be there")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Database(DatabaseFiles):
    """A database of clips. `published` counts clips by emotion."""

    emotions: tuple[str, ...]
    class_sheets: tuple[str, ...] = ()  # patterns of a sheet with objective classes alone
    normalize_subject: Callable[[str], str] = str  # any spelling -> that of `Clip.subject`
    normalize_clip: Callable[[str], str] = str  # any spelling -> that of `Clip.name`
    adapt_row: Callable[[Row, Mapping], Row] = lambda row, cells: row  # (row, its cells) -> row
    # a folder's row, or its problem
    row_from_folder: Callable[[Folder], Row | str | None] | None = None
    known_issues: Mapping[tuple[str, str], tuple[KnownIssue, ...]] = dataclasses.field(
        default_factory=dict
    )
    # emotion -> the folder's word
    folder_label: Mapping[str, str] = dataclasses.field(default_factory=dict)
    allow_mismatch: bool = False  # the published frames are known to be incomplete
    subjects: int = 0  # as published


class IssueLog:
    """Problems and notes as they come up, and the known issues."""

    def __init__(
        self, known_issues: Mapping[tuple[str, str], tuple[KnownIssue, ...]] = MappingProxyType({})
    ):
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.sources: list[Source] = []
        self._known_issues = known_issues

    def known_issues(self, row: Row) -> tuple[KnownIssue, ...]:
        """Those of the clip and of its recording."""
        known = self._known_issues.get((row.subject, row.name), ())
        return known + (self._known_issues.get((row.subject, row.video), ()) if row.video else ())

    def known_issue(self, key: tuple[str, str], event: str) -> str:
        """Why `event` is no problem of this (subject, clip), or ''."""
        known = self._known_issues.get(key, ())
        return next((issue.why for issue in known if issue.field == event), "")

    def add_problem(self, where: str, what: str) -> None:
        """Adds something that the user must repair."""
        self.problems.append(Problem(where, what))

    def add_note(self, where: str, what: str) -> None:
        """Adds something that was resolved."""
        self.notes.append(Problem(where, what))
