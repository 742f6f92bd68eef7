"""`Folds`: the division of clips by a protocol, as data."""

import dataclasses
import itertools
import os
import zlib
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from mer_jax.errors import UserError
from mer_jax.io import reading, saving
from mer_jax.options import checked


class _Fold(TypedDict):
    name: str
    train: list[int]
    validation: list[int]
    test: list[int]


class _Record(TypedDict):
    """What `Folds.to_json` gives."""

    clips: list[str]
    subjects: list[str]
    folds: list[_Fold]


@dataclasses.dataclass(frozen=True, eq=False)
class Folds:
    """F ways of dividing N clips. A clip that a fold does not use is in none of its rows.

    Raises:
      UserError: for two folds of one name, and a clip in two sets of a fold.

    >>> test = np.eye(2, dtype=bool)
    >>> subjects = ("d/s1", "d/s2")
    >>> folds = Folds(("a", "b"), ("d/s1/c", "d/s2/c"), subjects, ~test, test, test & False)
    >>> len(folds), folds.subject_disjoint
    (2, True)
    """

    names: tuple[str, ...]  # [F]
    clips: tuple[str, ...]  # [N] clip keys
    subjects: tuple[str, ...]  # [N] "database/subject"
    train: np.ndarray  # [F, N] bool
    test: np.ndarray  # [F, N] bool
    validation: np.ndarray  # [F, N] bool; all False without validation

    def __post_init__(self):
        if len(set(self.names)) != len(self.names):
            raise UserError("fold names must differ from each other")
        for left, right in (("train", "test"), ("train", "validation"), ("validation", "test")):
            both = np.argwhere(getattr(self, left) & getattr(self, right))
            if len(both):
                fold, clip = both[0]
                raise UserError(
                    f"fold {self.names[fold]}: clip {self.clips[clip]} is in {left} and in {right}"
                )

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        rows = [
            f"{len(self)} folds over {len(self.clips)} clips of {len(set(self.subjects))} subjects"
        ]
        for name, *parts in zip(self.names, self.train, self.validation, self.test):
            train, validation, test = (int(part.sum()) for part in parts)
            rows.append(f"  {name}: train {train}, validation {validation}, test {test}")
        return "\n".join(rows)

    @property
    def subject_disjoint(self) -> bool:
        """Whether no subject is in two of a fold's training, validation and test clips."""
        code = np.unique(self.subjects, return_inverse=True)[1]
        return all(
            not np.intersect1d(code[row], code[other]).size
            for rows in zip(self.train, self.validation, self.test)
            for row, other in itertools.combinations(rows, 2)
        )

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits of all names, clips and rows."""
        names = ("\0".join(each) for each in (self.names, self.clips, self.subjects))
        rows = (np.packbits(each) for each in (self.train, self.test, self.validation))
        return saving.digest(*names, *rows)[:12]

    def take(self, folds: Sequence[int]) -> "Folds":
        """Some of the folds, by index and in this order, over the same clips."""
        folds = np.asarray(folds)
        return dataclasses.replace(
            self,
            names=tuple(self.names[f] for f in folds),
            train=self.train[folds],
            test=self.test[folds],
            validation=self.validation[folds],
        )

    def check_classes(self, labels: np.ndarray, classes: Sequence[str]) -> list[str]:
        """A message for the classes that no clip has, or else for each fold that trains on none.

        Args:
          labels: [N] class indices, or [N, K] of 0 and 1.
          classes: [K] names.
        """
        present = (
            labels.astype(bool) if labels.ndim == 2 else labels[:, None] == np.arange(len(classes))
        )
        counts = present.sum(axis=0)
        if absent := [repr(name) for name, count in zip(classes, counts) if not count]:
            return [f"no clip has the class {' or '.join(absent)}"]
        return [
            f"fold {name}: no training clip of class {label!r}"
            for name, train in zip(self.names, self.train)
            for k, label in enumerate(classes)
            if not present[train, k].any()
        ]

    def to_json(self) -> dict:
        """A dictionary of JSON types (see `_Record`): folds are lists of indices into the clips."""
        indices = lambda row: np.flatnonzero(row).tolist()
        return {
            "clips": list(self.clips),
            "subjects": list(self.subjects),
            "fingerprint": self.fingerprint,
            "folds": [
                {"name": n, "train": indices(a), "validation": indices(v), "test": indices(t)}
                for n, a, v, t in zip(self.names, self.train, self.validation, self.test)
            ],
        }

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Folds":
        """The folds of a folds.json. Raises `UserError` if it is damaged or missing."""
        record = reading.load_json(path, _Record)
        with reading.report_damage(path):
            return cls.from_json(record)

    @classmethod
    def from_json(cls, record: dict) -> "Folds":
        """The inverse of `to_json`. Raises `ValueError` or `UserError` for invalid folds."""
        folds, clips = record["folds"], range(len(record["clips"]))
        if len(record["subjects"]) != len(clips) or len(set(record["clips"])) != len(clips):
            raise ValueError("a clip has no subject, or two clips have one key")
        rows = {
            part: np.zeros((len(folds), len(record["clips"])), bool)
            for part in ("train", "validation", "test")
        }
        for f, fold in enumerate(folds):
            for part, row in rows.items():
                if not all(index in clips for index in fold[part]):
                    raise ValueError(f"fold {fold['name']} has the index of no clip")
                row[f, fold[part]] = True
        return cls(
            names=tuple(fold["name"] for fold in folds),
            clips=tuple(record["clips"]),
            subjects=tuple(record["subjects"]),
            **rows,
        )


@checked
def with_validation(folds: Folds, *, fraction: float = 0.2, seed: int = 0) -> Folds:
    """Moves about `fraction` of each fold's training subjects, with all their clips, to validation.

    Args:
      folds: without validation clips.
      fraction: of the training subjects: the nearest number of them, but at least one and not all;
        0: none.
      seed: of the draw, which depends on the fold's name, too: a fold trained alone validates on
        the same subjects.

    Returns:
      The new folds.

    Raises:
      UserError: for a fold that trains on fewer than two subjects, or a fraction not in [0, 1).

    >>> test = np.eye(4, dtype=bool)
    >>> keys = tuple("abcd")
    >>> folds = Folds(keys, keys, keys, ~test, test, np.zeros_like(test))
    >>> with_validation(folds, fraction=0.3).validation.sum(axis=1).tolist()
    [1, 1, 1, 1]
    """
    if not fraction:
        return folds
    subjects = np.asarray(folds.subjects)
    train, validation = folds.train.copy(), folds.validation.copy()
    for name, row, held_out in zip(folds.names, train, validation):
        known = np.unique(subjects[row])
        if len(known) < 2:
            raise UserError(
                f"fold {name}: {len(known)} training subject(s) are too few for a validation set "
                "of other subjects; set train.validation=0"
            )
        count = min(len(known) - 1, max(1, round(fraction * len(known))))
        chosen = _generator(seed, name).permutation(known)[:count]
        moved = row & np.isin(subjects, chosen)
        row &= ~moved
        held_out |= moved
    return dataclasses.replace(folds, train=train, validation=validation)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
