"""The sentences on a run's verdict in metrics.json: strict, or the ways in which test clips leaked.

headline(summary["verdict"])
[sentence(leak) for leak in summary["verdict"]["leaks"]]
"""

from collections.abc import Mapping
from typing import Any

from mer_jax.leakage import Reason

_STRICT = "No test clip was used for training, statistics or model selection."
_LEAKY = "Not strict: test clips influenced training, statistics or model selection."
_UNVERIFIED = "Not verified: the networks were trained elsewhere."
_SENTENCES = {
    Reason.EPOCH: "Each fold's epoch was chosen on its own test clips.",
    Reason.STOPPING: "Each fold's epoch was chosen, its rate lowered and its training stopped on "
    "its own test clips.",
    Reason.STATISTICS: "Statistics (mask, mean) were taken over all clips, test clips included.",
    Reason.SUBJECTS: "Clips of one subject are in two of training, validation and test.",
    Reason.PRETRAINING: "Networks start from {run}, which was trained on {count} of the test "
    "subjects.",
    Reason.UNVERIFIED: "Networks start from {run}, which was trained elsewhere: whether on test "
    "clips is not recorded.",
    Reason.THRESHOLD: "The threshold's p is fixed at {p:g}: whether it was chosen on test subjects "
    "is not recorded.",
    Reason.DUPLICATE: "Fold {fold} trains or selects on {train_clip}, a duplicate of {test_clip}, "
    "which it holds out.",
}


def headline(verdict: Mapping[str, Any]) -> str:
    """One sentence: whether the scores are strict.

    >>> headline({"strict": True, "leaks": []})
    'No test clip was used for training, statistics or model selection.'
    """
    if [leak["reason"] for leak in verdict["leaks"]] == [Reason.UNVERIFIED]:
        return _UNVERIFIED
    return _STRICT if verdict["strict"] else _LEAKY


def sentence(leak: Mapping[str, Any]) -> str:
    """One sentence on a leak, as `leakage.Leak.to_json` gives it.

    >>> sentence({"reason": "pretraining", "run": "runs/macro", "count": 3})
    'Networks start from runs/macro, which was trained on 3 of the test subjects.'
    """
    return _SENTENCES[Reason(leak["reason"])].format_map(leak)
