"""The page of a spotting run: its scores, and each recording's evidence, truth and predictions.

build(recordings, found, metrics.spotting.summary(...), config=config.json) -> HTML
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from mer_jax.datasets.recordings import differences
from mer_jax.recordings import Recording
from mer_jax.reporting import figures
from mer_jax.reporting.page import made, number, render
from mer_jax.spotting import Found, Rule, analysis, intervals

SHOWN = 12  # recordings before the fold of the page
_POINTS = 2000  # of a curve


def build(
    recordings: Sequence[Recording],
    found: Found,
    summary: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    rule: Rule,
) -> str:
    """The HTML of a run.

    Args:
      recordings: those that were spotted.
      found: of `spotting.leave_one_subject_out`.
      summary: content of metrics.json.
      config: the content of config.json.
      rule: from evidence to intervals.
    """
    causes = analysis.false_alarms(recordings, found.events)
    curves = analysis.precision_recall(recordings, found, rule)
    curve = precision_over_recall(curves, summary["spotting"])
    keys = ("tp", "fp", "fn", "f1", "precision", "recall")
    charts = [
        (
            f"{video.key}: {video.length / video.fps:.1f} s at {video.fps:g} Hz",
            _svg(time_line(video, found), f"v{n}", f"time line {video.key}"),
        )
        for n, video in enumerate(recordings)
    ]
    return render(
        "spotting.html",
        **made(config, summary.get("provenance", {})),
        videos=len(recordings),
        subjects=len({video.subject_key for video in recordings}),
        scores=[(kind, *(part[key] for key in keys)) for kind, part in summary["spotting"].items()],
        chance=[(kind, number(f1)) for kind, f1 in summary["chance"].items()],
        overall=list(summary["spotting"].values())[-1]["f1"],
        moved=config["data"]["move_intervals"],
        differences=differences(recordings),
        verdict=summary["verdict"],
        diverged_folds=summary["diverged_folds"],
        **_recognition(summary),
        causes=[(cause, kind, count) for kind in causes for cause, count in causes[kind].items()],
        recall=_recall(recordings, found),
        curve=_svg(curve, "curve", "precision over recall for every p"),
        charts=charts,
        shown=SHOWN,
        folds=[
            (f.subject, f.kind, f.duration, f.span, number(f.p), number(f.train_f1))
            for f in found.folds
        ],
        alternatives=[(name, number(v)) for name, v in summary["alternative_scores"].items()],
    )


def _svg(figure: "figures.Figure", name: str, alt: str) -> Markup:
    return Markup(figures.svg(figure, name=name, alt=alt))


def _recognition(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of the emotions of the hits; nothing where none were recognized."""
    if "recognition" not in summary:
        return {}
    part = summary["recognition"]
    names = {"UF1": "uf1", "UAR": "uar", "accuracy": "accuracy", "F1_a": "f1_a"}
    matrix = np.array(part["confusion"])[:, : len(part["classes"])]
    chart = figures.confusion_matrix(matrix, part["classes"])
    alt = f"{np.trace(matrix)} of {matrix.sum()} hits are right"
    return {
        "strs": summary["strs"],
        "emotions": [(name, part[key]) for name, key in names.items()],
        "confusion": _svg(chart, "confusion", alt),
    }


def _recall(recordings: Sequence[Recording], found: Found) -> list[tuple[str, str, str, int, str]]:
    """Rows of kind, value, its range, number of expressions and the share that was found."""
    rows = []
    for kind in dict.fromkeys(fold.kind for fold in found.folds):
        for value, unit in (("duration", "frames"), ("intensity", "px")):
            for low, high, count, hits in analysis.hits_by(
                recordings, found.events, value, kind=kind
            ):
                span = f"{low:.3g} to {high:.3g} {unit}"
                rows.append((kind, value, span, count, f"{hits / count:.0%}"))
    return rows


@figures.styled
def precision_over_recall(
    curves: Mapping[str, Sequence[tuple[float, float, float]]], scores: Mapping[str, Any]
) -> "figures.Figure":
    """One line a kind over all p, and a point for the p that the folds chose."""
    figure = figures.new_figure(5.0, 3.2)
    axes = figure.subplots()
    for color, (kind, rows) in zip(figures.CYCLE, curves.items()):
        _, precision, recall = np.array(rows).T
        axes.plot(recall, precision, color=color, linewidth=1.4, label=kind)
        if kind in scores:
            chosen = scores[kind]["recall"]["value"], scores[kind]["precision"]["value"]
            axes.plot(*chosen, "o", color=color)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper right")
    return figure


@figures.styled
def time_line(video: Recording, found: Found) -> "figures.Figure":
    """The evidence of each kind over time, over the marked and the predicted intervals."""
    kinds = [kind for key, kind in found.evidence if key == video.key]
    figure = figures.new_figure(8.6, 0.5 + 1.15 * len(kinds))
    rows = figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
    for axes, kind in zip(rows, kinds):
        values = intervals.strength(found.evidence[video.key, kind])
        step = max(1, len(values) // _POINTS)
        seconds = np.arange(0, len(values), step) / video.fps
        axes.plot(seconds, values[::step], color=figures.FAINT, linewidth=0.9)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        height = (high - low) or 1.0
        marked = [(each.onset, each.offset) for each in video.of_kind(kind)]
        events = [each for each in found.events if (each.key, each.kind) == (video.key, kind)]
        predicted = [(each.onset, each.offset) for each in events]
        for spans, level, color, label in (
            (marked, 1.12, figures.CYCLE[2], "marked"),
            (predicted, 1.3, figures.CYCLE[0], "predicted"),
        ):
            for n, (onset, offset) in enumerate(spans):
                axes.plot(
                    [onset / video.fps, (offset + 1) / video.fps],
                    [low + level * height] * 2,
                    color=color,
                    linewidth=4,
                    solid_capstyle="butt",
                    label=label if n == 0 else None,
                )
        axes.set(ylabel=kind, yticks=[])
        if marked or predicted:
            axes.legend(loc="upper right", ncols=2, bbox_to_anchor=(1, 1.35))
    rows[-1].set(xlabel="s", xlim=(0, video.length / video.fps))
    return figure
