"""The scores of spotted intervals as text for a terminal.

print(format_spotting(spotting.summary(truths, predictions)))
"""

from collections.abc import Mapping
from typing import Any

from mer_jax.reporting.page import alternatives, score_text


def format_spotting(result: Mapping[str, Any]) -> str:
    """The result of `metrics.spotting.summary` as lines."""
    head = "".join(f"{name:>22}" for name in ("F1", "precision", "recall"))
    lines = [f"  {'':5} {'TP':>6} {'FP':>6} {'FN':>6}{head}"]
    for kind, part in result["spotting"].items():
        cells = "".join(f"{score_text(part[name]):>22}" for name in ("f1", "precision", "recall"))
        lines.append(f"  {kind:5} {part['tp']:6} {part['fp']:6} {part['fn']:6}{cells}")
    if "recognition" in result:
        part = result["recognition"]
        names = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy", "f1_a": "F1_a"}
        cells = ", ".join(f"{text} {score_text(part[name])}" for name, text in names.items())
        lines.append(f"  of the hits: {cells}")
        lines.append(f"    classes: {', '.join(part['classes'])}")
        lines.append(f"  STRS = F1 * F1_a: {score_text(result['strs'])}")
    videos = ", ".join(f"{count} {name}" for name, count in result["videos"].items())
    lines.append(f"  {result['subjects']} subjects; videos: {videos}")
    lines += [f"    {remark}" for remark in result.get("remarks", ())]
    lines += alternatives(result["alternative_scores"])
    return "\n".join(lines)
