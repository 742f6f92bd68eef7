"""From long videos to intervals: evidence per frame, intervals from it, and strict LOSO runs.

    recordings = mer_jax.load_recordings("samm_lv", root)
    found = spotting.leave_one_subject_out(recordings, method="mdmd")
    metrics.spotting.summary(metrics.spotting.events(recordings), found.events)

Spans, durations and thresholds come from the training subjects of a fold alone.
"""

from mer_jax.spotting.evidence import EVIDENCE, compute
from mer_jax.spotting.intervals import above_threshold, around_peaks, smooth, threshold
from mer_jax.spotting.protocol import Fold, Found, leave_one_subject_out

__all__ = [
    "EVIDENCE",
    "Fold",
    "Found",
    "above_threshold",
    "around_peaks",
    "compute",
    "leave_one_subject_out",
    "smooth",
    "threshold",
]
