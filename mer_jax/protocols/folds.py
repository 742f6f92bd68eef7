"""`Folds`: a protocol as data, printable, storable and hashable."""

import dataclasses
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
    """F ways of dividing N clips. A clip that a fold leaves out altogether is in no row of it.

    `subjects` lets the fold check itself: it names who is on each clip ("database/subject").
    """

    names: tuple[str, ...]  # [F]
    clips: tuple[str, ...]  # [N] clip keys
    subjects: tuple[str, ...]  # [N]
    train: np.ndarray  # [F, N] bool
    test: np.ndarray  # [F, N] bool
    validation: np.ndarray  # [F, N] bool; all False where nothing is chosen by validation

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
            f"{len(self)} folds over {len(self.clips)} clips of {len(set(self.subjects))} persons"
        ]
        for name, *parts in zip(self.names, self.train, self.validation, self.test):
            train, validation, test = (int(part.sum()) for part in parts)
            rows.append(f"  {name}: train {train}, validation {validation}, test {test}")
        return "\n".join(rows)

    @property
    def subject_disjoint(self) -> bool:
        """True where no fold tests (or validates on) a person it also trains on."""
        code = np.unique(self.subjects, return_inverse=True)[1]
        for train, held_out in zip(self.train, self.test | self.validation):
            if np.intersect1d(code[train], code[held_out]).size:
                return False
        return True

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change when a name, a clip or a row changes."""
        names = ("\0".join(each) for each in (self.names, self.clips, self.subjects))
        rows = (np.packbits(each) for each in (self.train, self.test, self.validation))
        return saving.digest(*names, *rows)[:12]

    def take(self, folds: Sequence[int]) -> "Folds":
        """The same clips with only these folds, in this order."""
        folds = np.asarray(folds)
        return dataclasses.replace(
            self,
            names=tuple(self.names[f] for f in folds),
            train=self.train[folds],
            test=self.test[folds],
            validation=self.validation[folds],
        )

    def check_classes(self, labels: np.ndarray, classes: Sequence[str]) -> list[str]:
        """A sentence for each fold whose training clips lack a class that the job scores."""
        lacking = []
        here = (
            labels.astype(bool) if labels.ndim == 2 else labels[:, None] == np.arange(len(classes))
        )
        for name, train in zip(self.names, self.train):
            for k, label in enumerate(classes):
                if not here[train, k].any():
                    lacking.append(f"fold {name}: no training clip of class {label!r}")
        return lacking

    def to_json(self) -> dict:
        """A plain dictionary: clip keys once, each fold as lists of indices into them."""
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
        """Those of a folds.json. Raises `UserError` where it is damaged or not there."""
        record = reading.load_json(path, _Record)
        with reading.report_damage(path):
            return cls.from_json(record)

    @classmethod
    def from_json(cls, record: dict) -> "Folds":
        """The inverse of `to_json`. Raises `ValueError` for what no folds are like."""
        folds, clips = record["folds"], range(len(record["clips"]))
        if len(record["subjects"]) != len(clips) or len(set(record["clips"])) != len(clips):
            raise ValueError("each clip has one key and one person")
        rows = {
            part: np.zeros((len(folds), len(record["clips"])), bool)
            for part in ("train", "validation", "test")
        }
        for f, fold in enumerate(folds):
            for part, row in rows.items():
                if not all(index in clips for index in fold[part]):
                    raise ValueError(f"fold {fold['name']} has a clip that is not there")
                row[f, fold[part]] = True
        return cls(
            names=tuple(fold["name"] for fold in folds),
            clips=tuple(record["clips"]),
            subjects=tuple(record["subjects"]),
            **rows,
        )


@checked
def validate(folds: Folds, *, fraction: float = 0.2, seed: int = 0) -> Folds:
    """Moves about `fraction` of each fold's training persons, with all their clips, to validation.

    The nearest whole number of persons, but one at least and not all; with a fraction of 0 nobody
    is moved. The draw depends on the seed and the fold's own name, so that a fold trained alone
    validates on the same persons. Raises `UserError` where a fold trains on fewer than two persons,
    and for a fraction below 0 or not below 1.
    """
    if not fraction:
        return folds
    subjects = np.asarray(folds.subjects)
    train, validation = folds.train.copy(), folds.validation.copy()
    for name, row, held_out in zip(folds.names, train, validation):
        known = np.unique(subjects[row])
        if len(known) < 2:
            raise UserError(
                f"fold {name}: {len(known)} training person(s) are too few for a validation set "
                "that shares none of them; set train.validation=0"
            )
        count = min(len(known) - 1, max(1, round(fraction * len(known))))
        chosen = _generator(seed, name).permutation(known)[:count]
        moved = row & np.isin(subjects, chosen)
        row &= ~moved
        held_out |= moved
    return dataclasses.replace(folds, train=train, validation=validation)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
