"""`Predictions`: labels and class probabilities of every tested clip."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mer_jax.errors import UserError
from mer_jax.metrics.confusion import confusion, grouped


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """R tested clips. A clip that several folds test has several rows."""

    classes: tuple[str, ...]  # [K]
    database: np.ndarray  # [R] str
    subject: np.ndarray  # [R] str
    clip: np.ndarray  # [R] str
    fold: np.ndarray  # [R] str
    label: np.ndarray  # [R] int32 in [0, K)
    probabilities: np.ndarray  # [R, K] float32, finite
    remarks: tuple[str, ...] = ()  # how a file was read: the source of its classes

    def __post_init__(self):
        shapes = {
            **{name: (len(self),) for name in ("database", "subject", "clip", "fold", "label")},
            "probabilities": (len(self), len(self.classes)),
        }
        for name, shape in shapes.items():
            if np.shape(getattr(self, name)) != shape:
                raise UserError(
                    f"predictions: {name} has shape {np.shape(getattr(self, name))}, not {shape}"
                )
        if len(set(self.classes)) != len(self.classes):
            raise UserError("predictions: two classes have the same name")
        if not np.issubdtype(self.label.dtype, np.integer):
            raise UserError(f"predictions: labels are {self.label.dtype}; they must be integers")
        if len(self) and not (self.label.min() >= 0 and self.label.max() < len(self.classes)):
            raise UserError(f"predictions: a label is outside 0..{len(self.classes) - 1}")
        diverged = np.flatnonzero(~np.isfinite(self.probabilities).all(-1))
        if diverged.size:
            raise UserError(
                f"predictions: {self.keys[diverged[0]]} has a probability that is NaN or infinite"
            )

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def predicted(self) -> np.ndarray:
        """[R] int32: the class of the largest probability, the first where several are largest."""
        return self.probabilities.argmax(-1).astype(np.int32)

    @property
    def correct(self) -> np.ndarray:
        """[R] bool."""
        return self.predicted == self.label

    @property
    def keys(self) -> list[str]:
        """[R] 'database/subject/clip'."""
        return ["/".join(row) for row in zip(self.database, self.subject, self.clip)]

    @property
    def subjects(self) -> list[str]:
        """[R] 'database/subject'."""
        return ["/".join(row) for row in zip(self.database, self.subject)]

    def take(self, rows: np.ndarray) -> "Predictions":
        """The given rows: an index array or a mask."""
        parts = ("database", "subject", "clip", "fold", "label", "probabilities")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in parts})

    def by_database(self) -> dict[str, "Predictions"]:
        """The rows of each database, in the order in which databases first occur."""
        names = dict.fromkeys(self.database.tolist())
        return {name: self.take(self.database == name) for name in names}

    def confusion(self) -> np.ndarray:
        """[K, K] int64: all rows pooled."""
        return confusion(self.label, self.predicted, num_classes=len(self.classes))

    def by_subject(self) -> tuple[tuple[str, ...], np.ndarray]:
        """'database/subject' [S] and their confusion matrices [S, K, K]."""
        return self._grouped(self.subjects)

    def by_fold(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The folds that tested a clip [F] and their confusion matrices [F, K, K]."""
        return self._grouped(self.fold)

    def fold_sizes(self, names: Sequence[str]) -> np.ndarray:
        """[F] float64: how many rows each named fold tested, 0 for a fold without one."""
        return np.array([np.count_nonzero(self.fold == name) for name in names], np.float64)

    def _grouped(self, groups):
        return grouped(self.label, self.predicted, groups, num_classes=len(self.classes))


def mean_predictions(each: Sequence[Predictions]) -> Predictions:
    """An ensemble: the mean of the probabilities of predictions of the same rows.

    Raises:
      UserError: if rows or classes differ.

    >>> rows = {name: np.array(["a"]) for name in ("database", "subject", "clip", "fold")}
    >>> make = lambda *p: Predictions(("x", "y"), **rows, label=np.array([1]), probabilities=[p])
    >>> mean_predictions([make(0.75, 0.25), make(0.0, 1.0)]).probabilities
    array([[0.375, 0.625]])
    """
    first = each[0]
    for other in each[1:]:
        same = first.classes == other.classes and first.keys == other.keys
        if not same or (first.fold != other.fold).any() or (first.label != other.label).any():
            raise UserError("an ensemble needs predictions of the same clips, folds and labels")
    mean = np.mean([one.probabilities for one in each], axis=0)
    return dataclasses.replace(first, probabilities=mean)
