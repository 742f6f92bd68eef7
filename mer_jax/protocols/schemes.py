"""The protocols themselves: clips and labels in, `Folds` out; a seed fixes what is drawn."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mer_jax.clips import Clip
from mer_jax.options import checked
from mer_jax.problems import UserError
from mer_jax.protocols.folds import Folds


def loso(clips: Sequence[Clip], labels: np.ndarray) -> Folds:
    """Leave one subject out: each person is tested once by a network that never saw them.

    Over a composite (MEGC2019) the persons of every database take their turn and the rest of the
    whole composite trains.
    """
    del labels
    return _leave_out(clips, [clip.person for clip in clips], "persons")


def leave_one_database_out(clips: Sequence[Clip], labels: np.ndarray) -> Folds:
    """Each database is tested once by a network trained on the others (CD6ME)."""
    del labels
    return _leave_out(clips, [clip.database for clip in clips], "databases")


@checked
def lovo(
    clips: Sequence[Clip],
    labels: np.ndarray,
    *,
    fraction: float = 0.05,
    repeats: int = 1,
    seed: int = 0,
) -> Folds:
    """Leave videos out, `fraction` of them at a time (STRCN, section IV-B: 5 %).

    A person stands on both sides: the score says how well a network knows known faces. repeats:
    see `repeat`.
    """
    if repeats != 1:
        return repeat(lambda seed: lovo(clips, labels, fraction=fraction, seed=seed), repeats, seed)
    count = min(len(clips), round(1 / fraction))
    order = np.random.default_rng(seed).permutation(len(clips))
    part = np.empty(len(clips), int)
    part[order] = np.arange(len(clips)) % count
    return _leave_out(clips, [f"videos{p + 1:02d}" for p in part], "videos")


@checked
def k_fold(
    clips: Sequence[Clip],
    labels: np.ndarray,
    *,
    folds: int = 5,
    by: str = "subject",
    stratified: bool = True,
    repeats: int = 1,
    seed: int = 0,
) -> Folds:
    """K folds, by "subject" (a person's clips stay together) or by "sample".

    Stratified: units are dealt out so that every fold comes close to the class ratio of the whole;
    a unit (a person, or one clip) goes to the fold whose class counts it unbalances least. repeats:
    see `repeat`.
    """
    if repeats != 1:
        options: dict[str, Any] = {"folds": folds, "by": by, "stratified": stratified}
        return repeat(lambda seed: k_fold(clips, labels, **options, seed=seed), repeats, seed)
    units = np.array([clip.person if by == "subject" else clip.key for clip in clips])
    names, unit = np.unique(units, return_inverse=True)
    if folds > len(names):
        raise UserError(f"protocol.folds is {folds}; there are {len(names)} {by}s to divide")
    rng = np.random.default_rng(seed)
    if not stratified:
        part = rng.permutation(len(names)) % folds
    else:
        part = _deal(_counts(unit, labels), folds, rng)
    return _leave_out(clips, [f"part{part[u] + 1:02d}" for u in unit], "parts")


@checked
def hold_out(
    clips: Sequence[Clip],
    labels: np.ndarray,
    *,
    fraction: float = 0.2,
    by: str = "subject",
    repeats: int = 1,
    seed: int = 0,
) -> Folds:
    """One stratified split that tests `fraction` of the clips (MicroExpSTCNN: 20 % by sample).

    repeats: see `repeat`.
    """
    if repeats != 1:
        options: dict[str, Any] = {"fraction": fraction, "by": by}
        return repeat(lambda seed: hold_out(clips, labels, **options, seed=seed), repeats, seed)
    parts = k_fold(
        clips, labels, folds=max(2, round(1 / fraction)), by=by, stratified=True, seed=seed
    )
    sizes = parts.test.mean(1)
    nearest = int(np.argmin(np.abs(sizes - fraction)))
    one = parts.take([nearest])
    return Folds(("hold_out",), one.clips, one.persons, one.train, one.test, one.validation)


def repeat(deal: Callable[[int], Folds], repeats: int, seed: int) -> Folds:
    """The same protocol dealt `repeats` times, by `seed` and those after it, as one job.

    Folds are named "repeat2.part03" (see `repeat_of`); each clip is tested once a repeat.
    """
    dealt = [deal(seed + number) for number in range(repeats)]
    rows: dict[str, Any] = {
        part: np.concatenate([getattr(folds, part) for folds in dealt])
        for part in ("train", "test", "validation")
    }
    names = [
        f"repeat{number}.{name}" for number, folds in enumerate(dealt, 1) for name in folds.names
    ]
    return dataclasses.replace(dealt[0], names=tuple(names), **rows)


def repeat_of(fold: str) -> str:
    """The repeat that a fold of `repeat` belongs to ("repeat2"); "" for every other fold."""
    found = re.match(r"(repeat\d+)\.", fold)
    return found[1] if found else ""


def _leave_out(clips: Sequence[Clip], groups: Sequence[str], what: str) -> Folds:
    names, group = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise UserError(f"there is one group of {what} ({names[0]}); at least two are needed")
    test = group == np.arange(len(names))[:, None]
    return Folds(
        names=tuple(str(name) for name in names),
        clips=tuple(clip.key for clip in clips),
        persons=tuple(clip.person for clip in clips),
        train=~test,
        test=test,
        validation=np.zeros_like(test),
    )


def _counts(unit: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[U, K]: how often each class stands with each unit; labels [N] or, several a clip, [N, K]."""
    rows = labels if labels.ndim == 2 else np.eye(labels.max() + 1, dtype=int)[labels]
    counts = np.zeros((unit.max() + 1, rows.shape[1]))
    np.add.at(counts, unit, rows)
    return counts


def _deal(counts: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Parts [U] of units with class counts [U, K]: large units first, each where it fits best."""
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    ideal = counts.sum(0) / folds
    filled = np.zeros((folds, counts.shape[1]))
    part = np.empty(len(counts), int)
    for unit in order:
        after = filled + counts[unit]
        # The change of the squared distance from the ideal, relative to each class' size.
        cost = (((after - ideal) ** 2 - (filled - ideal) ** 2) / np.maximum(ideal, 1e-9)).sum(1)
        part[unit] = np.argmin(cost)
        filled[part[unit]] += counts[unit]
    return part
