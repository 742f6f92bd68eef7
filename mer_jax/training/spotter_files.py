"""The files of a spotting run with what its folds have fitted: spotters.json, networks/."""

import pathlib
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple
from urllib import parse

import msgspec
import numpy as np

from mer_jax.io import reading
from mer_jax.recordings import KINDS

SPOTTERS = "spotters.json"
NETWORKS = "networks"
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Fold(NamedTuple):
    """What is fitted to the training subjects of one fold for one kind. Lengths are frames."""

    subject: str  # the test subject, "database/subject"
    kind: str  # "micro" or "macro"
    duration: int  # mean of the training subjects' expressions
    shortest: int
    longest: int
    span: int  # of the evidence
    fps: float  # Hz, of the training videos
    p: float = float("nan")  # of the threshold
    train_f1: float = float("nan")  # of that p, on the videos that chose it

    @property
    def name(self) -> str:
        """'subject kind'."""
        return f"{self.subject} {self.kind}"


class Record(msgspec.Struct):
    """The content of spotters.json."""

    recordings: list[str]  # keys of all recordings of the run
    folds: list[dict[str, Any]]  # fields of `Fold`
    classes: list[str] = []  # of a network that recognizes as well
    recognized: tuple[str, ...] = KINDS  # kinds that have expressions with a class
    diverged: list[str] = []  # names of networks whose training diverged
    # `inference.profile.Framing` of the recordings, which videos are cropped like.
    eyes: tuple[float, float, _Positive, _Positive] | None = None
    largest: dict[str, _NotNegative] = {}
    # Of each recording whose frames are not numbered from 0, without a gap: `runs`.
    numbers: dict[str, list[tuple[int, int, int]]] = {}


def runs(numbers: np.ndarray, *, step: int = 1) -> list[tuple[int, int, int]]:
    """(first, count, step) of each run of ascending numbers that are `step` apart.

    >>> runs(np.array([3, 4, 5, 9, 10]))
    [(3, 3, 1), (9, 2, 1)]
    """
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != step) + 1)
    return [(int(part[0]), len(part), step) for part in parts]


def index_of(found: Sequence[tuple[int, int, int]], number: int) -> int:
    """The index of the number, among those of `runs`, that stands for `number`; the one before, if
    none does.

    >>> index_of([(3, 3, 1), (9, 2, 1)], 9), index_of([(1, 5, 8)], 16)
    (3, 1)
    """
    passed = sum(min(count, max(0, (number - first) // step + 1)) for first, count, step in found)
    return max(0, passed - 1)


def read_record(workdir: pathlib.Path) -> Record:
    """The spotters.json of a run. Raises `UserError` if it is damaged."""
    return reading.load_json(workdir / SPOTTERS, Record)


def read_folds(workdir: pathlib.Path) -> list[Fold]:
    """The folds of a run. Raises `UserError` if its spotters.json is damaged."""
    record = read_record(workdir)
    with reading.report_damage(workdir / SPOTTERS):
        return [Fold(**fold) for fold in record.folds]


def group_name(fold: Fold) -> str:
    """KIND_SPAN: folds of one group share their samples, and a folder."""
    return f"{fold.kind}_{fold.span}"


def weights_file(folder: pathlib.Path, network: Fold) -> pathlib.Path:
    """The file of a network's weights (`scorers.network_of`) in the folder of `networks.train`.

    Parts of its name are percent-encoded, so that no two subjects have one file.

    >>> weights_file(pathlib.Path("x"), Fold("mine/s-1", "micro", 9, 9, 9, span=6, fps=30.0)).name
    'mine-s%2D1-micro.npz'
    """
    parts = (*network.subject.split("/"), network.kind)
    name = "-".join(parse.quote(part).replace("-", "%2D") for part in parts)
    return folder / group_name(network) / f"{name}.npz"


def read_weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The weights in a file. Raises `UserError` if they are damaged or missing."""
    with reading.report_damage(path), np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
