"""The scores of spotted intervals as text for a terminal.

print(format_spotting(spotting.summary(truths, predictions)))
"""

from collections.abc import Mapping
from typing import Any

from mer_jax.reporting.page import interval, number


def format_spotting(result: Mapping[str, Any]) -> str:
    """The result of `metrics.spotting.summary` as lines."""
    head = "".join(f"{name:>22}" for name in ("F1", "precision", "recall"))
    lines = [f"  {'':5} {'TP':>6} {'FP':>6} {'FN':>6}{head}"]
    for kind, part in result["spotting"].items():
        cells = "".join(f"{_cell(part[name]):>22}" for name in ("f1", "precision", "recall"))
        lines.append(f"  {kind:5} {part['tp']:6} {part['fp']:6} {part['fn']:6}{cells}")
    if "recognition" in result:
        part = result["recognition"]
        names = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy", "f1_a": "F1_a"}
        cells = ", ".join(f"{text} {_cell(part[name])}" for name, text in names.items())
        lines.append(f"  of the hits: {cells}")
        lines.append(f"    classes: {', '.join(part['classes'])}")
        lines.append(f"  STRS = F1 * F1_a: {_cell(result['strs'])}")
    videos = ", ".join(f"{count} {name}" for name, count in result["videos"].items())
    lines.append(f"  {result['subjects']} subjects; videos: {videos}")
    lines += [f"    {remark}" for remark in result.get("remarks", ())]
    lines.append("  by other definitions:")
    lines += [
        f"    {number(value):6}  {name}" for name, value in result["alternative_scores"].items()
    ]
    return "\n".join(lines)


def _cell(score: Mapping[str, float]) -> str:
    return f"{number(score['value'])} {interval(score)}".rstrip()
