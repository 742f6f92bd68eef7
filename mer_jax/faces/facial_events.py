"""Blinks and speech, read off the landmarks of consecutive frames."""

import itertools

import numpy as np

_SECONDS = 3.0  # s around a frame, over which the usual openness of the eyes is taken
_USUAL = 0.75  # quantile of the openness in them: of eyes that are not shut
_SHUT, _OPEN = 0.75, 0.88  # of the usual openness: a blink falls below one, and lasts to the other
_LONGEST = 0.6  # s: eyes that are narrow for longer do not blink, they smile
_RISE = 0.04  # of the eyes' distance: how far a mouth opens for a syllable, at least
_PAUSE = 0.7  # s: openings of the mouth that follow within it are speech


def blinks(openness: np.ndarray, fps: float) -> np.ndarray:
    """[T] bool: the frames in which the eyes close, are closed or open again.

    Args:
      openness: [T] `faces.eye_openness`; NaN where there is no face.
      fps: Hz.

    >>> blinks(np.array([0.3, 0.3, 0.24, 0.1, 0.2, 0.3, 0.3]), fps=25.0).astype(int)
    array([0, 0, 1, 1, 1, 0, 0])
    """
    around = max(1, round(_SECONDS * fps / 2))
    closing, shut = np.zeros((2, len(openness)), bool)
    for frame, value in enumerate(openness):
        near = openness[max(0, frame - around) : frame + around + 1]
        if not np.isnan(value):
            usual = np.nanquantile(near, _USUAL)
            closing[frame], shut[frame] = value < _OPEN * usual, value < _SHUT * usual
    edges = np.flatnonzero(np.diff(closing)) + 1
    for part in np.split(np.arange(len(openness)), edges):
        closing[part] &= shut[part].any() and len(part) <= _LONGEST * fps
    return closing


def speech(opening: np.ndarray, fps: float) -> np.ndarray:
    """[T] bool: the frames in which the mouth opens and closes repeatedly, not once as in surprise.

    Args:
      opening: [T] `faces.mouth_opening`; NaN where there is no face.
      fps: Hz.

    >>> speech(np.array([0, 0, 0.1, 0, 0.1, 0, 0, 0]), fps=6.0).astype(int)
    array([0, 1, 1, 1, 1, 1, 0, 0])
    """
    from scipy.signal import find_peaks

    out = np.zeros(len(opening), bool)
    known = np.flatnonzero(~np.isnan(opening))
    if not len(known):
        return out
    filled = np.interp(np.arange(len(opening)), known, opening[known])
    peaks, _ = find_peaks(filled, prominence=_RISE)
    around = round(_PAUSE * fps / 4)
    for first, second in itertools.pairwise(peaks):
        if second - first <= _PAUSE * fps:
            out[max(0, first - around) : second + around + 1] = True
    return out & ~np.isnan(opening)
