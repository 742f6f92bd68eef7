"""The protocols themselves: clips and labels in, `Folds` out; a seed fixes what is drawn."""

import dataclasses
import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mer_jax.clips import Clip
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.protocols.folds import Folds


def loso(clips: Sequence[Clip], labels: np.ndarray) -> Folds:
    """Leave one subject out: each person is tested once by a network that never saw them.

    Over a composite (MEGC2019) the persons of every database take their turn and the rest of the
    whole composite trains.
    """
    del labels
    return _leave_out(clips, [clip.subject_key for clip in clips], "subjects")


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

    Every video is tested once, in one of about 1 / fraction parts of `fraction` of the videos each,
    to one video. A person stands on both sides: the score says how well a network knows known
    faces. repeats: see `repeat`.

    Raises:
      UserError: the fraction is not above 0 and at most a half, or no number of parts has it.
    """
    if repeats != 1:
        return repeat(lambda seed: lovo(clips, labels, fraction=fraction, seed=seed), repeats, seed)
    if fraction > 0.5:
        raise UserError(
            f"protocol.fraction is {fraction}; where every video is tested once it must be above 0 "
            "and at most 0.5"
        )
    count = min(len(clips), round(1 / fraction))
    asked = round(fraction * len(clips))
    smallest, largest = len(clips) // count, -(-len(clips) // count)
    if max(asked - smallest, largest - asked) > 1:
        raise UserError(
            f"protocol.fraction is {fraction}; {len(clips)} videos make no parts of {asked}, but "
            f"{count} of {smallest} to {largest}: set it to {1 / count:.3g}"
        )
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

    By sample the folds' sizes differ by one clip at most and, stratified, so do their counts of
    each class. By subject they come as near to that as the persons allow: the largest person is
    dealt first, each to the fold that has least of the person's classes, of several such folds to
    the one with the fewest clips; not stratified, to the fold with the fewest clips. What the seed
    draws is the order of alike persons or clips. repeats: see `repeat`.

    Raises:
      UserError: `by` is neither, or there are fewer subjects or samples than folds.
    """
    if repeats != 1:
        options: dict[str, Any] = {"folds": folds, "by": by, "stratified": stratified}
        return repeat(lambda seed: k_fold(clips, labels, **options, seed=seed), repeats, seed)
    unit = _units(clips, by)
    if folds > unit.max() + 1:
        raise UserError(f"protocol.folds is {folds}; there are {unit.max() + 1} {by}s to divide")
    counts = _counts(unit, labels if stratified else np.zeros(len(clips), int))
    part = _deal(counts, np.bincount(unit), folds, np.random.default_rng(seed))
    return _leave_out(clips, [f"part{part[u] + 1:02d}" for u in unit], "parts")


@checked
def hold_out(
    clips: Sequence[Clip],
    labels: np.ndarray,
    *,
    fraction: float = 0.2,
    by: str = "subject",
    test_counts: Sequence[int] = (),
    repeats: int = 1,
    seed: int = 0,
) -> Folds:
    """One stratified split that tests `fraction` of the clips.

    By sample it tests the share asked for to one clip, and that share of each class to one clip.
    By subject, where a person's clips stay together, both are as near as the best of some hundred
    random orders of the persons comes.

    Args:
      clips, labels: N clips, and [N] int or [N, K] of 0 and 1.
      fraction: of the clips that are tested.
      by: "subject" or "sample".
      test_counts: by sample, in the place of the fraction: how many clips of each class are tested,
        in the order of the classes (MicroExpSTCNN, Table IV; its split is not stratified).
      repeats: see `repeat`.
      seed: of the draw.

    Raises:
      UserError: the fraction leaves no clip to test or none to train, or a class has fewer clips
        than `test_counts` asks for.
    """
    if repeats != 1:
        options: dict[str, Any] = {"fraction": fraction, "by": by, "test_counts": test_counts}
        return repeat(lambda seed: hold_out(clips, labels, **options, seed=seed), repeats, seed)
    unit = _units(clips, by)
    rng = np.random.default_rng(seed)
    asked = round(fraction * len(clips))
    if len(test_counts):
        test = _drawn(labels, test_counts, by, rng)
    elif not unit.any():
        raise UserError(f"there is one {by}; a part to train and one to test need two at least")
    elif not 0 < asked < len(clips):
        raise UserError(
            f"protocol.fraction is {fraction}, which of {len(clips)} clips leaves none to test or "
            "none to train"
        )
    elif by == "sample":
        # Every so many-th clip, class by class.
        kind = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
        order = rng.permutation(len(clips))
        order = order[np.argsort(kind[order], kind="stable")]
        test = np.zeros(len(clips), bool)
        test[order[(2 * np.arange(asked) + 1) * len(clips) // (2 * asked)]] = True
    else:
        test = _nearest(_counts(unit, labels), np.bincount(unit), asked, rng)[unit]
    return _folds(clips, ["hold_out"], test[None])


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
    return _folds(clips, [str(name) for name in names], group == np.arange(len(names))[:, None])


def _folds(clips: Sequence[Clip], names: Sequence[str], test: np.ndarray) -> Folds:
    """The folds that test the rows of `test` [F, N] and train on all other clips."""
    return Folds(
        names=tuple(names),
        clips=tuple(clip.key for clip in clips),
        subjects=tuple(clip.subject_key for clip in clips),
        train=~test,
        test=test,
        validation=np.zeros_like(test),
    )


def _units(clips: Sequence[Clip], by: str) -> np.ndarray:
    """[N]: the number of the person, or of the clip, that each clip goes with."""
    names = [clip.subject_key if by == "subject" else clip.key for clip in clips]
    return np.unique(names, return_inverse=True)[1]


def _counts(unit: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[U, K] int: clips of each class in each unit; labels [N] or, several a clip, [N, K]."""
    rows = labels if labels.ndim == 2 else np.eye(labels.max() + 1, dtype=int)[labels]
    counts = np.zeros((unit.max() + 1, rows.shape[1]), int)
    np.add.at(counts, unit, rows)
    return counts


def _deal(counts: np.ndarray, size: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Parts [U] of units with class counts [U, K] and `size` [U] clips.

    Large units come first and alike ones class by class, rare classes before frequent ones. Each
    goes where it adds least to the squared distance from equal parts, relative to each class's
    size: where sum_k counts_k filled_k / total_k is smallest, in integers, so that no rounding
    decides; of equal parts to the emptiest.
    """
    total = np.maximum(counts.sum(0), 1)
    rarest = np.where(counts > 0, total, total.max() + 1).argmin(1)
    order = rng.permutation(len(counts))
    order = order[np.lexsort((rarest[order], -size[order]))]
    weight = _inverse(total)
    filled = np.zeros((folds, counts.shape[1]), object)
    clips = np.zeros(folds, int)
    part = np.empty(len(counts), int)
    for unit in order:
        cost = filled @ (weight * counts[unit])
        part[unit] = min(range(folds), key=lambda p: (cost[p], clips[p]))
        filled[part[unit]] += counts[unit]
        clips[part[unit]] += size[unit]
    return part


def _nearest(
    counts: np.ndarray, size: np.ndarray, asked: int, rng: np.random.Generator, *, orders: int = 300
) -> np.ndarray:
    """[U] bool: units that hold about `asked` clips, and that share of each class.

    Of all beginnings of some random orders the one nearest in squares, where each class and the
    number of clips weigh by their totals.
    """
    table = np.column_stack([size, counts]).astype(object)
    total = table.sum(0)
    weight = _inverse(total)
    nearest: Any = math.inf
    chosen = np.zeros(0, int)
    for _ in range(orders):
        order = rng.permutation(len(table))
        filled = table[order].cumsum(0)[:-1]
        distance = np.square(size.sum() * filled - asked * total) @ weight
        if distance.min() < nearest:
            nearest, chosen = distance.min(), order[: distance.argmin() + 1]
    return np.isin(np.arange(len(table)), chosen)


def _inverse(total: np.ndarray) -> np.ndarray:
    """[K] integers in proportion to 1 / total, any size; 0 counts as 1. (No sum of them rounds.)"""
    sizes = [max(1, int(size)) for size in total]
    return np.array([math.lcm(*sizes) // size for size in sizes], object)


def _drawn(
    labels: np.ndarray, test_counts: Sequence[int], by: str, rng: np.random.Generator
) -> np.ndarray:
    """[N] bool: as many clips of each class as `test_counts` says."""
    if by != "sample" or labels.ndim != 1:
        raise UserError("protocol.test_counts needs protocol.by='sample' and one label a clip")
    found = np.bincount(labels, minlength=len(test_counts)).tolist()
    fits = len(found) == len(test_counts) and all(map(operator.le, test_counts, found))
    if not (fits and 0 < sum(test_counts) < len(labels)):
        raise UserError(
            f"protocol.test_counts is {tuple(test_counts)}, and the classes have {tuple(found)} "
            "clips: it is how many of each are tested; () goes by protocol.fraction"
        )
    test = np.zeros(len(labels), bool)
    for k, count in enumerate(test_counts):
        test[rng.permutation(np.flatnonzero(labels == k))[:count]] = True
    return test
