"""From long videos to intervals: evidence per frame, intervals from it, and strict LOSO runs.

    recordings = mer_jax.load_recordings("samm_lv", root)
    found = spotting.leave_one_subject_out(recordings, method="mdmd")
    metrics.spotting.summary(metrics.spotting.events(recordings), found.events)

Spans, durations and thresholds come from the training subjects of a fold alone.
"""

from mer_jax.spotting.evidence import EVIDENCE, compute
from mer_jax.spotting.intervals import above_threshold, around_peaks, smooth, threshold
from mer_jax.spotting.proposals import Proposals, propose, suppress
from mer_jax.spotting.protocol import Fold, Found, leave_one_subject_out
from mer_jax.spotting.region_flows import region_flows
from mer_jax.spotting.targets import Boundaries, boundaries, soft_labels, windows

__all__ = [
    "EVIDENCE",
    "Boundaries",
    "Fold",
    "Found",
    "Proposals",
    "above_threshold",
    "around_peaks",
    "boundaries",
    "compute",
    "leave_one_subject_out",
    "propose",
    "region_flows",
    "smooth",
    "soft_labels",
    "suppress",
    "threshold",
    "windows",
]
