"""Predictions of clips with several labels each, and their scores.

Each class has its own 2 x 2 confusion matrix (rows: absent, present); those of K classes are one
array [K, 2, 2], added over folds as any confusion matrix. `scores` computes from it what
`scores.scores` computes from [K, K], under the same names: UF1 is the mean over classes of
F1 = 2 TP / (2 TP + FP + FN), what CD6ME calls the mean F1 of its
action units (Varanka, Li, Peng & Zhao 2022).

predictions.csv of such a job has each clip's set of labels ("AU4+AU7", "none") as one class, which
is correct only if all of its labels are; units/NAME.csv has one label each, "present" or "absent",
with its probability.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mer_jax.errors import UserError
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import ratio, scores_of_classes

NONE = "none"
BINARY_CLASSES = ("absent", "present")


@dataclasses.dataclass(frozen=True, eq=False)
class MultiLabelPredictions:
    """R tested clips, each with K labels; the same methods as `Predictions`."""

    units: tuple[Predictions, ...]  # [K] of the same R clips, of `BINARY_CLASSES`
    classes: tuple[str, ...]  # [K]

    def __len__(self) -> int:
        return len(self.units[0])

    @property
    def fold(self) -> np.ndarray:
        """[R] str."""
        return self.units[0].fold

    def take(self, rows: np.ndarray) -> "MultiLabelPredictions":
        """The given clips: an index array or a mask."""
        return MultiLabelPredictions(tuple(unit.take(rows) for unit in self.units), self.classes)

    def by_database(self) -> dict[str, "MultiLabelPredictions"]:
        """The clips of each database."""
        database = self.units[0].database
        return {name: self.take(database == name) for name in dict.fromkeys(database.tolist())}

    def confusion(self) -> np.ndarray:
        """[K, 2, 2] int64: all clips pooled."""
        return np.stack([unit.confusion() for unit in self.units])

    def by_subject(self) -> tuple[tuple[str, ...], np.ndarray]:
        """'database/subject' [S] and their matrices [S, K, 2, 2]."""
        return self._grouped([unit.by_subject() for unit in self.units])

    def by_fold(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The folds that tested a clip [F] and their matrices [F, K, 2, 2]."""
        return self._grouped([unit.by_fold() for unit in self.units])

    def fold_sizes(self, names: Sequence[str]) -> np.ndarray:
        """[F] float64: how many clips each named fold tested."""
        return self.units[0].fold_sizes(names)

    def label_sets(self) -> Predictions:
        """Each clip's set of labels as one class, correct only if all labels are."""
        label = np.stack([unit.label for unit in self.units], 1) > 0
        predicted = np.stack([unit.predicted for unit in self.units], 1) > 0
        names = [self._set_name(row) for row in (*label, *predicted)]
        classes = tuple(dict.fromkeys(names))
        indices = np.array([classes.index(name) for name in names], np.int32)
        return dataclasses.replace(
            self.units[0],
            classes=classes,
            label=indices[: len(self)],
            probabilities=np.eye(len(classes), dtype=np.float32)[indices[len(self) :]],
        )

    def _set_name(self, row: np.ndarray) -> str:
        return "+".join(name for name, present in zip(self.classes, row) if present) or NONE

    @staticmethod
    def _grouped(found) -> tuple[tuple[str, ...], np.ndarray]:
        return found[0][0], np.stack([matrices for _, matrices in found], 1)


def from_arrays(
    rows: Mapping[str, Any], classes: Sequence[str], labels: np.ndarray, probabilities: np.ndarray
) -> MultiLabelPredictions:
    """Makes predictions of R clips.

    Args:
      rows: database, subject, clip and fold, [R] str each.
      classes: K names.
      labels: [R, K], 0 or 1.
      probabilities: [R, K] in [0, 1].

    Raises:
      UserError: for other shapes or labels.
    """
    if not np.shape(labels)[1:] == np.shape(probabilities)[1:] == (len(classes),):
        raise UserError(
            f"labels {np.shape(labels)} and probabilities {np.shape(probabilities)} are not [R, K] "
            f"of {len(classes)} classes"
        )
    if not np.isin(labels, (0, 1)).all():
        raise UserError("multi-label targets must be 0 or 1")
    units = [
        Predictions(
            **rows,
            classes=BINARY_CLASSES,
            label=label.astype(np.int32),
            probabilities=np.stack([1 - present, present], 1).astype(np.float32),
        )
        for label, present in zip(labels.T, probabilities.T)
    ]
    return MultiLabelPredictions(tuple(units), tuple(classes))


def scores(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """All scores of one or many sets of K binary confusion matrices.

    uf1, uar and macro_tnr are means over classes of F1, TPR and TNR (UAR and TNR of the classes
    that have such clips); accuracy is the share of correct decisions among the K of each clip;
    micro F1 is that of the summed counts; macro F1 is over classes that occur or are predicted.

    Args:
      matrices: [..., K, 2, 2] counts, rows true (absent, present).

    Returns:
      float64: the names of `scores.OVERALL` [...] and the names of `scores.PER_CLASS` [..., K].

    >>> found = scores([[[5, 1], [0, 2]], [[4, 0], [2, 2]]])  # two action units, eight clips
    >>> found["f1"].round(4), float(found["accuracy"])
    (array([0.8   , 0.6667]), 0.8125)
    """
    matrices = np.asarray(matrices, np.float64)
    (tn, fp), (fn, tp) = np.moveaxis(matrices, (-2, -1), (0, 1))
    clips = matrices.sum((-2, -1))
    accuracy = ratio((tp + tn).sum(-1), clips.sum(-1))
    return scores_of_classes(tp, tp + fn, tp + fp, clips, accuracy)


def alternative_scores(matrices: np.ndarray) -> dict[str, float]:
    """Scores of the folds [F, K, 2, 2] by other definitions in use: description -> value."""
    folds = scores(matrices)
    return {
        "UF1, mean of folds (CD6ME: of databases)": float(folds["uf1"].mean()),
        "UAR, mean of folds": float(folds["uar"].mean()),
    }
