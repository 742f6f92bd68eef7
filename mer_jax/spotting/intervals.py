"""From the evidence of each frame to intervals: a threshold, then peaks or runs of frames."""

import numpy as np

from mer_jax.options import checked


@checked
def smooth(values: np.ndarray, *, width: int) -> np.ndarray:
    """[T] -> [T]: the mean of the `width` frames around each (at the ends of those that exist)."""
    values = np.asarray(values, np.float64)
    around = slice((width - 1) // 2, (width - 1) // 2 + len(values))
    total, count = (np.convolve(x, np.ones(width))[around] for x in (values, np.ones_like(values)))
    return total / count


@checked
def threshold(values: np.ndarray, *, p: float) -> float:
    """mean + p (max - mean) of a video's evidence (Moilanen, Zhao & Pietikainen 2014).

    >>> threshold(np.array([0.0, 0.0, 4.0, 0.0]), p=0.5)
    2.5
    """
    mean = float(np.mean(values, dtype=np.float64))
    return mean + p * (float(np.max(values)) - mean)


@checked
def around_peaks(values: np.ndarray, *, p: float, duration: int) -> np.ndarray:
    """[M, 2] int64 onset and offset: `duration` frames around each peak above the threshold.

    Peaks are at least half a duration apart, the higher of two first; what lies outside of the
    video is cut off. A constant video has none.

    >>> around_peaks(np.array([0.0, 0, 0, 1, 3, 1, 0, 0, 0]), p=0.5, duration=3).tolist()
    [[3, 5]]
    """
    from scipy.signal import find_peaks

    values = np.asarray(values, np.float64)
    if np.max(values) <= np.min(values):
        return np.zeros((0, 2), np.int64)
    # A movement may be under way where the video begins or ends.
    padded = np.concatenate([[-np.inf], values, [-np.inf]])
    height = threshold(values, p=p)
    peaks = find_peaks(padded, height=height, distance=max(1, (duration + 1) // 2))[0] - 1
    onset = peaks - (duration - 1) // 2
    ends = np.stack([onset, onset + duration - 1], axis=-1)
    return np.clip(ends, 0, len(values) - 1).astype(np.int64)


@checked
def above_threshold(values: np.ndarray, *, p: float, shortest: int, longest: int) -> np.ndarray:
    """[M, 2] int64 onset and offset: runs of frames above the threshold, of a length that counts.

    shortest, longest: frames; runs of another length are left out, as in the baseline of MEGC 2020
    (He, Wang, Li, Yap 2019).

    >>> runs = np.array([0.0, 5, 5, 0, 0, 5, 0, 5, 5, 5, 5])
    >>> above_threshold(runs, p=0.1, shortest=2, longest=3).tolist()
    [[1, 2]]
    """
    above = np.asarray(values) > threshold(values, p=p)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], above, [False]])))
    ends = edges.reshape(-1, 2) - np.array([[0, 1]])
    length = ends[:, 1] - ends[:, 0] + 1
    return ends[(length >= shortest) & (length <= longest)].astype(np.int64)
