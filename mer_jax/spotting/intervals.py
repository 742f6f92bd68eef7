"""From the evidence of each frame to intervals: a threshold, then peaks or runs of frames; or
proposals, from a network's scores of start, end and apex. Frames whose evidence is NaN were not
computed: they are in no mean, and nothing is found in them."""

from typing import NamedTuple

import numpy as np

from mer_jax.options import checked
from mer_jax.spotting.proposals import propose, suppress


@checked
def smooth(values: np.ndarray, *, width: int) -> np.ndarray:
    """[T] -> [T]: the mean of the `width` frames around each (at the ends of those that exist).

    The frames are those of an interval that `around_peaks` puts around a peak: of an even width one
    more after the frame than before it.

    >>> smooth(np.array([0.0, 0, 0, 4, 0, 0, 0, 0]), width=4).tolist()
    [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    around = slice(width // 2, width // 2 + len(values))
    total, count = (
        np.convolve(x, np.ones(width))[around] for x in (np.where(known, values, 0), 1.0 * known)
    )
    return np.where(known, total / np.maximum(count, 1), np.nan)


@checked
def threshold(values: np.ndarray, *, p: float) -> float:
    """mean + p (max - mean) of a video's evidence (Moilanen, Zhao & Pietikainen 2014).

    >>> threshold(np.array([0.0, 0.0, 4.0, 0.0]), p=0.5)
    2.5
    """
    mean = float(np.nanmean(values, dtype=np.float64))
    return mean + p * (float(np.nanmax(values)) - mean)


@checked
def around_peaks(
    values: np.ndarray, *, p: float, duration: int, relative: bool = True
) -> np.ndarray:
    """[M, 2] int64 onset and offset: `duration` frames around each peak above the threshold.

    Peaks are at least half a duration apart, the higher of two first; what lies outside of the
    video is cut off. A constant video has none.

    relative: the threshold is that of `threshold`; otherwise it is p itself.

    >>> around_peaks(np.array([0.0, 0, 0, 1, 3, 1, 0, 0, 0]), p=0.5, duration=3).tolist()
    [[3, 5]]
    """
    from scipy.signal import find_peaks

    values = np.asarray(values, np.float64)
    if np.nanmax(values) <= np.nanmin(values):
        return np.zeros((0, 2), np.int64)
    # A movement may be under way where the video begins or ends.
    padded = np.concatenate([[-np.inf], _known(values), [-np.inf]])
    height = threshold(values, p=p) if relative else p
    peaks = find_peaks(padded, height=height, distance=max(1, (duration + 1) // 2))[0] - 1
    onset = peaks - (duration - 1) // 2
    ends = np.stack([onset, onset + duration - 1], axis=-1)
    return np.clip(ends, 0, len(values) - 1).astype(np.int64)


@checked
def above_threshold(
    values: np.ndarray, *, p: float, shortest: int, longest: int, relative: bool = True
) -> np.ndarray:
    """[M, 2] int64 onset and offset: runs of frames above the threshold, of a length that counts.

    shortest, longest: frames; runs of another length are left out, as in the baseline of MEGC 2020
    (He, Wang, Li, Yap 2019). relative: as in `around_peaks`.

    >>> runs = np.array([0.0, 5, 5, 0, 0, 5, 0, 5, 5, 5, 5])
    >>> above_threshold(runs, p=0.1, shortest=2, longest=3).tolist()
    [[1, 2]]
    """
    above = np.asarray(values) > (threshold(values, p=p) if relative else p)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], above, [False]])))
    ends = edges.reshape(-1, 2) - np.array([[0, 1]])
    length = ends[:, 1] - ends[:, 0] + 1
    return ends[(length >= shortest) & (length <= longest)].astype(np.int64)


class Rule(NamedTuple):
    """How evidence becomes intervals.

    Attributes:
      name: "peaks" (`around_peaks`, of the mean duration of the training subjects' expressions),
        "runs" (`above_threshold`, from their shortest to their longest) or "proposals" (`propose`
        and `suppress`, of evidence [T, 3]; an apex has half the shortest to half the mean duration
        to each side, and p is the threshold of the apex score).
      p: of the threshold; None: chosen on training subjects. A number is a published setting, such
        as the 0.01 of MEGC 2020's baseline or the 0.55 of SOFTNet.
      relative: whether the threshold is mean + p (max - mean) of the video, or p itself: for a
        network that predicts an overlap.
      smoothing: width of the moving average, in durations (of peaks only); 0: none.
      most: proposals of a video that remain, those of the highest scores; None: all.
    """

    name: str = "peaks"
    p: float | None = None
    relative: bool = True
    smoothing: float = 1.0
    most: int | None = None

    def smooth(self, values: np.ndarray, duration: int) -> np.ndarray:
        """The moving average of the evidence [T] for expressions of a mean duration (frames); of
        proposals the evidence [T, 3] as it is."""
        if self.name == "proposals":
            return values
        share = self.smoothing if self.name == "peaks" else 0.0
        return smooth(values, width=max(1, round(share * duration)))

    def intervals(
        self, values: np.ndarray, p: float, duration: int, shortest: int, longest: int
    ) -> np.ndarray:
        """[M, 2] onset and offset in smoothed evidence [T] or [T, 3]; durations are frames."""
        if self.name == "proposals":
            around = (min(shortest, duration) // 2, duration // 2)
            found = propose(
                *values.T,
                before=around,
                after=around,
                duration=(shortest, longest),
                apex_threshold=p,
            )
            return np.sort(suppress(found, most=self.most).intervals, axis=0)
        if self.name == "peaks":
            return around_peaks(values, p=p, duration=duration, relative=self.relative)
        return above_threshold(
            values, p=p, shortest=shortest, longest=longest, relative=self.relative
        )


RULES = ("peaks", "runs", "proposals")


def peak(evidence: np.ndarray, onset: int, offset: int) -> int:
    """The frame of the largest evidence [T] from onset to offset, both included.

    >>> peak(np.array([9, 0, 1, 3, 2]), 1, 4)
    3
    """
    return onset + int(_known(evidence[onset : offset + 1]).argmax())


def _known(values: np.ndarray) -> np.ndarray:
    """Values whose maximum is never where nothing was computed."""
    return np.where(np.isnan(values), -np.inf, values)


def strength(values: np.ndarray) -> np.ndarray:
    """[T]: the evidence [T] itself, or the apex score of [T, 3]."""
    return values if values.ndim == 1 else values[:, -1]
