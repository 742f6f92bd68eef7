"""From a network's scores of start, end and apex to intervals with a confidence.

By the authors' code of ABPN (Leng et al. 2022) and AUW-GCN (Yin et al. 2023).
"""

from typing import NamedTuple

import numpy as np

from mer_jax.errors import UserError
from mer_jax.metrics.matching import OVERLAP, iou
from mer_jax.options import checked


class Proposals(NamedTuple):
    """Intervals of one video and kind, and how sure they are."""

    intervals: np.ndarray  # [M, 2] int64, onset and offset, both included
    scores: np.ndarray  # [M] float64


@checked
def propose(
    start: np.ndarray,
    end: np.ndarray,
    apex: np.ndarray,
    *,
    before: tuple[int, int] = (2, 7),
    after: tuple[int, int] = (2, 7),
    duration: tuple[int, int] = (6, 31),
    apex_threshold: float = 0.5,
) -> Proposals:
    """An interval for each frame whose apex score is above the threshold.

    Its onset is the frame of the highest start score within `before` frames before the apex, its
    offset that of the highest end score within `after` frames behind it (the nearest to the apex of
    equal ones; what lies outside of the video is its first or last frame). It counts if its onset
    is rather a start than an end, its offset rather an end than a start, and its duration is within
    `duration`. Its score is the product of the three.

    Args:
      start, end, apex: [T] scores in [0, 1].
      before, after: least and most distance from the apex, frames: 2 to half a mean duration.
      duration: least and most frames of an interval. The authors bound offset - onset, one less.
      apex_threshold: of the apex score.

    Returns:
      `Proposals`, in the order of their apexes.

    Raises:
      UserError: scores of different shapes.

    >>> zeros = np.zeros(12)
    >>> at = lambda t: np.eye(12)[t]
    >>> propose(at(2), at(9), 0.9 * at(5) + 0.1)
    Proposals(intervals=array([[2, 9]]), scores=array([1.]))
    """
    start, end, apex = (np.asarray(x, np.float64) for x in (start, end, apex))
    if not start.shape == end.shape == apex.shape == (len(apex),):
        raise UserError(
            f"start, end and apex are scores of the same frames, [T] each; they have the shapes "
            f"{start.shape}, {end.shape} and {apex.shape}"
        )
    peaks = np.flatnonzero(apex > apex_threshold)

    def best(scores, frames):  # [M, distances] -> [M]
        frames = np.clip(frames, 0, len(scores) - 1)
        return np.take_along_axis(frames, scores[frames].argmax(1)[:, None], 1)[:, 0]

    onset = best(start, peaks[:, None] - np.arange(before[0], before[1] + 1)[None, :])
    offset = best(end, peaks[:, None] + np.arange(after[0], after[1] + 1)[None, :])
    frames = offset - onset + 1
    counts = (start[onset] > end[onset]) & (start[offset] < end[offset])
    counts &= (frames >= duration[0]) & (frames <= duration[1])
    scores = start[onset] * end[offset] * apex[peaks]
    intervals = np.stack([onset, offset], axis=-1).astype(np.int64)
    return Proposals(intervals[counts], scores[counts])


@checked
def suppress(
    proposals: Proposals,
    *,
    overlap: float = OVERLAP,
    most: int | None = None,
    inclusive: bool = True,
) -> Proposals:
    """Non-maximum suppression: the highest score first, without what overlaps it.

    Args:
      proposals: of one video and kind.
      overlap: an intersection over union above it is too much.
      most: proposals that remain at most; None: all. The authors take 5 a video and kind.
      inclusive: as of `metrics.matching.iou`; False in the authors' code.

    Returns:
      `Proposals` of positive score, in descending order of it; of equal ones the first comes first.

    >>> intervals = np.array([[0, 9], [1, 10], [20, 29]])
    >>> found = suppress(Proposals(intervals, np.array([0.5, 0.9, 0.7])))
    >>> found.intervals.tolist(), found.scores.tolist()
    ([[1, 10], [20, 29]], [0.9, 0.7])
    """
    intervals = np.asarray(proposals.intervals, np.int64).reshape(-1, 2)
    scores = np.asarray(proposals.scores, np.float64)
    order = [at for at in np.argsort(-scores, kind="stable") if scores[at] > 0]
    chosen: list[int] = []
    for at in order:
        if most is not None and len(chosen) == most:
            break
        shared = iou(intervals[[at]], intervals[chosen], inclusive=inclusive)
        if shared.max(initial=0) <= overlap:
            chosen.append(at)
    return Proposals(intervals[chosen], scores[chosen])
