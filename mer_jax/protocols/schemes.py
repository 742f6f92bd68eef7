"""The protocols: functions of clips and labels that return `Folds`; a seed fixes random draws."""

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
    """Leave one subject out: each subject is tested once, by a network trained on all others.

    Over a composite (MEGC2019), those are the other subjects of all databases.

    Args:
      clips: N clips.
      labels: not used.

    Returns:
      One fold a subject, named by its key.

    Raises:
      UserError: for fewer than two subjects.

    >>> from mer_jax.clips import in_memory
    >>> read = in_memory(np.ones((1, 8, 8, 1)))
    >>> clips = [Clip("d", f"s{i // 2}", f"c{i}", read, "") for i in range(8)]
    >>> loso(clips, np.zeros(8, int)).names
    ('d/s0', 'd/s1', 'd/s2', 'd/s3')
    """
    del labels
    return _leave_out(clips, [clip.subject_key for clip in clips], "subjects")


def leave_one_database_out(clips: Sequence[Clip], labels: np.ndarray) -> Folds:
    """Leave one database out: each is tested once, by a network trained on the others (CD6ME).

    Args:
      clips: N clips.
      labels: not used.

    Returns:
      One fold a database, named by it.

    Raises:
      UserError: for fewer than two databases.
    """
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

    Every video is tested once, in one of about 1 / fraction folds whose sizes differ by one video
    at most. A subject is in training and test: the scores are those of known faces.

    Args:
      clips: N clips.
      labels: not used.
      fraction: of the clips, tested by each fold.
      repeats: number of repetitions, see `repeat`.
      seed: of the draw.

    Returns:
      The folds, named "videos01", ...

    Raises:
      UserError: for a fraction that is not above 0 and at most a half, or that no number of folds
        has.
    """
    if repeats != 1:
        return repeat(lambda seed: lovo(clips, labels, fraction=fraction, seed=seed), repeats, seed)
    if fraction > 0.5:
        raise UserError(
            f"protocol.fraction is {fraction}; to test every video once it must be above 0 and at "
            "most 0.5"
        )
    count = min(len(clips), round(1 / fraction))
    target = round(fraction * len(clips))
    smallest, largest = len(clips) // count, -(-len(clips) // count)
    if max(target - smallest, largest - target) > 1:
        raise UserError(
            f"protocol.fraction is {fraction}; {len(clips)} videos make no folds of {target}, but "
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
    """K folds, by "subject" (all clips of a subject are in one fold) or by "sample".

    By sample the folds' sizes differ by one clip at most and, stratified, so do their counts of
    each class. By subject they are as near to that as the subjects allow: in order of size, the
    largest first, each subject goes to the fold with the fewest clips of its classes, of several
    such folds to the one with the fewest clips; not stratified, to the fold with the fewest clips.
    The seed draws the order of equal subjects or clips.

    Args:
      clips: N clips.
      labels: [N] int or [N, K] of 0 and 1.
      folds: K.
      by: "subject" or "sample".
      stratified: balance the classes over the folds.
      repeats: number of repetitions, see `repeat`.
      seed: of the draw.

    Returns:
      The folds, named "part01", ...

    Raises:
      UserError: for an unknown `by`, or fewer subjects or samples than folds.

    >>> from mer_jax.clips import in_memory
    >>> read = in_memory(np.ones((1, 8, 8, 1)))
    >>> clips = [Clip("d", f"s{i // 2}", f"c{i}", read, "") for i in range(8)]
    >>> k_fold(clips, np.arange(8) % 2, folds=2).test.sum(axis=1).tolist()
    [4, 4]
    """
    if repeats != 1:
        options: dict[str, Any] = {"folds": folds, "by": by, "stratified": stratified}
        return repeat(lambda seed: k_fold(clips, labels, **options, seed=seed), repeats, seed)
    unit = _units(clips, by)
    if folds > unit.max() + 1:
        raise UserError(f"protocol.folds is {folds}; there are {unit.max() + 1} {by}s to divide")
    counts = _counts(unit, labels if stratified else np.zeros(len(clips), int))
    part = _distribute(counts, np.bincount(unit), folds, np.random.default_rng(seed))
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

    By sample the test set has that share of all clips and of each class, to one clip. By subject,
    where all clips of a subject are in one set, both are as near to it as the best of several
    hundred random orders of the subjects allows.

    Args:
      clips: N clips.
      labels: [N] int or [N, K] of 0 and 1.
      fraction: of the clips, tested.
      by: "subject" or "sample".
      test_counts: by sample, instead of the fraction: number of tested clips of each class, in the
        order of the classes (MicroExpSTCNN, Table IV; its split is not stratified).
      repeats: number of repetitions, see `repeat`.
      seed: of the draw.

    Returns:
      One fold, named "hold_out".

    Raises:
      UserError: for a fraction that leaves no clip to test or none to train, or `test_counts` above
        the number of clips of a class.

    >>> from mer_jax.clips import in_memory
    >>> read = in_memory(np.ones((1, 8, 8, 1)))
    >>> clips = [Clip("d", f"s{i // 2}", f"c{i}", read, "") for i in range(8)]
    >>> hold_out(clips, np.arange(8) % 2, fraction=0.25, by="sample").test.sum(axis=1).tolist()
    [2]
    """
    if repeats != 1:
        options: dict[str, Any] = {"fraction": fraction, "by": by, "test_counts": test_counts}
        return repeat(lambda seed: hold_out(clips, labels, **options, seed=seed), repeats, seed)
    unit = _units(clips, by)
    rng = np.random.default_rng(seed)
    target = round(fraction * len(clips))
    if len(test_counts):
        test = _drawn(labels, test_counts, by, rng)
    elif not unit.any():
        raise UserError(f"there is one {by}; training and test sets need at least two")
    elif not 0 < target < len(clips):
        raise UserError(
            f"protocol.fraction is {fraction}, which of {len(clips)} clips leaves none to test or "
            "none to train"
        )
    elif by == "sample":
        # At equal steps in the order of classes.
        kind = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
        order = rng.permutation(len(clips))
        order = order[np.argsort(kind[order], kind="stable")]
        test = np.zeros(len(clips), bool)
        test[order[(2 * np.arange(target) + 1) * len(clips) // (2 * target)]] = True
    else:
        test = _nearest(_counts(unit, labels), np.bincount(unit), target, rng)[unit]
    return _folds(clips, ["hold_out"], test[None])


def repeat(split: Callable[[int], Folds], repeats: int, seed: int) -> Folds:
    """Repetitions of a protocol as one job; each clip is tested once in each.

    Args:
      split: the protocol, a function of the seed.
      repeats: number of repetitions.
      seed: of the first one; the others have the next seeds.

    Returns:
      The folds of all, named "repeat2.part03" and so on (see `repetition_name`).
    """
    splits = [split(seed + number) for number in range(repeats)]
    rows: dict[str, Any] = {
        part: np.concatenate([getattr(folds, part) for folds in splits])
        for part in ("train", "test", "validation")
    }
    names = [
        f"repeat{number}.{name}" for number, folds in enumerate(splits, 1) for name in folds.names
    ]
    return dataclasses.replace(splits[0], names=tuple(names), **rows)


def repetition_name(fold: str) -> str:
    """The repetition of a fold of `repeat`; "" for every other fold.

    >>> repetition_name("repeat2.part03"), repetition_name("casme2/sub01")
    ('repeat2', '')
    """
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
    """[N]: the index of the subject, or of the sample, of each clip."""
    names = [clip.subject_key if by == "subject" else clip.key for clip in clips]
    return np.unique(names, return_inverse=True)[1]


def _counts(unit: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[U, K] int: clips of each class in each unit; labels [N] or, several a clip, [N, K]."""
    rows = labels if labels.ndim == 2 else np.eye(labels.max() + 1, dtype=int)[labels]
    counts = np.zeros((unit.max() + 1, rows.shape[1]), int)
    np.add.at(counts, unit, rows)
    return counts


def _distribute(
    counts: np.ndarray, size: np.ndarray, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Parts [U] of units with class counts [U, K] and `size` [U] clips.

    Larger units come first and those of equal size by the number of their rarest class.
    Each goes where it adds least to the squared distance from equal parts, relative to each class's
    size: where sum_k counts_k filled_k / total_k is smallest, in integers, so that rounding has no
    effect; of equal parts to the one with the fewest clips.
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
    counts: np.ndarray,
    size: np.ndarray,
    target: int,
    rng: np.random.Generator,
    *,
    orders: int = 300,
) -> np.ndarray:
    """[U] bool: units with about `target` clips, and that share of each class.

    Of all beginnings of some random orders the one with the smallest squared distance, where each
    class and the number of clips are weighted by their totals.
    """
    table = np.column_stack([size, counts]).astype(object)
    total = table.sum(0)
    weight = _inverse(total)
    nearest: Any = math.inf
    chosen = np.zeros(0, int)
    for _ in range(orders):
        order = rng.permutation(len(table))
        filled = table[order].cumsum(0)[:-1]
        distance = np.square(size.sum() * filled - target * total) @ weight
        if distance.min() < nearest:
            nearest, chosen = distance.min(), order[: distance.argmin() + 1]
    return np.isin(np.arange(len(table)), chosen)


def _inverse(total: np.ndarray) -> np.ndarray:
    """[K] exact integers in proportion to 1 / total, which counts as 1 where it is 0."""
    sizes = [max(1, int(size)) for size in total]
    return np.array([math.lcm(*sizes) // size for size in sizes], object)


def _drawn(
    labels: np.ndarray, test_counts: Sequence[int], by: str, rng: np.random.Generator
) -> np.ndarray:
    """[N] bool: the tested clips, `test_counts` of each class."""
    if by != "sample" or labels.ndim != 1:
        raise UserError("protocol.test_counts needs protocol.by='sample' and one label a clip")
    found = np.bincount(labels, minlength=len(test_counts)).tolist()
    fits = len(found) == len(test_counts) and all(map(operator.le, test_counts, found))
    if not (fits and 0 < sum(test_counts) < len(labels)):
        raise UserError(
            f"protocol.test_counts is {tuple(test_counts)}, and the classes have {tuple(found)} "
            "clips: give the number of tested clips of each, or () to use protocol.fraction"
        )
    test = np.zeros(len(labels), bool)
    for k, count in enumerate(test_counts):
        test[rng.permutation(np.flatnonzero(labels == k))[:count]] = True
    return test
