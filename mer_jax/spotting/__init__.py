"""From long videos to intervals: evidence per frame, intervals from it, and strict LOSO runs.

    recordings = mer_jax.load_recordings("samm_lv", root)
    found = spotting.leave_one_subject_out(recordings, method="mdmd")
    metrics.spotting.summary(metrics.matching.events(recordings), found.events)

Spans, durations, thresholds and networks come from the training subjects of a fold alone.
`trained.load` reads what a finished run (`mer-jax run spot_default`) has fitted, for any other
recording.
"""

from typing import Any

from mer_jax.errors import unknown_name
from mer_jax.options import defaults
from mer_jax.spotting.evidence import EVIDENCE, compute
from mer_jax.spotting.intervals import Rule, above_threshold, around_peaks, smooth, threshold
from mer_jax.spotting.proposals import Proposals, propose, suppress
from mer_jax.spotting.protocol import Found, leave_one_subject_out
from mer_jax.spotting.region_flows import region_flows
from mer_jax.spotting.targets import Boundaries, boundaries, soft_labels, windows
from mer_jax.training.spotter_files import Fold

__all__ = [
    "EVIDENCE",
    "Boundaries",
    "Fold",
    "Found",
    "Proposals",
    "Rule",
    "above_threshold",
    "around_peaks",
    "boundaries",
    "compute",
    "leave_one_subject_out",
    "options",
    "propose",
    "region_flows",
    "smooth",
    "soft_labels",
    "suppress",
    "threshold",
    "windows",
]


def options(name: str) -> dict[str, Any]:
    """The options of an evidence, a member of EVIDENCE or "network", and their defaults.

    Raises `UserError` for an unknown name.

    >>> options("strain")
    {'span': 0, 'size': (64, 64), 'preset': 'horn_schunck'}
    """
    if name == "network":
        from mer_jax.spotting.samples import NetworkEvidence

        return defaults(NetworkEvidence)
    if name not in EVIDENCE:
        raise unknown_name("evidence", name, (*EVIDENCE, "network"))
    return {"span": 0, **defaults(compute, without=("evidence", "span"))}
