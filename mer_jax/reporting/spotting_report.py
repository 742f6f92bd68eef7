"""The page of a spotting run: its scores, and each recording's evidence, truth and predictions.

build(recordings, found, metrics.spotting.summary(...), config=config.json) -> HTML
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from mer_jax.metrics.spotting import Event
from mer_jax.recordings import Recording
from mer_jax.reporting import figures
from mer_jax.reporting.page import number, render
from mer_jax.spotting import Found

SHOWN = 12  # recordings before the fold of the page
_POINTS = 2000  # of a curve


def build(
    recordings: Sequence[Recording],
    found: Found,
    summary: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
) -> str:
    """The HTML of a run.

    Args:
      recordings: those that were spotted.
      found: of `spotting.leave_one_subject_out`.
      summary: of `metrics.spotting.summary`.
      config: the content of config.json.
    """
    keys = ("tp", "fp", "fn", "f1", "precision", "recall")
    charts = [
        (
            f"{video.key}: {video.length / video.fps:.1f} s at {video.fps:g} Hz",
            Markup(
                figures.svg(time_line(video, found), name=f"v{n}", alt=f"time line {video.key}")
            ),
        )
        for n, video in enumerate(recordings)
    ]
    return render(
        "spotting.html",
        title=config["title"] or f"{config['evidence']['name']} on {config['data']['name']}",
        fixed_p=config["intervals"]["p"],
        videos=len(recordings),
        subjects=len({video.subject_key for video in recordings}),
        scores=[(kind, *(part[key] for key in keys)) for kind, part in summary["spotting"].items()],
        charts=charts,
        shown=SHOWN,
        folds=[
            (f.subject, f.kind, f.duration, f.span, number(f.p), number(f.train_f1))
            for f in found.folds
        ],
        alternatives=[(name, number(v)) for name, v in summary["alternative_scores"].items()],
    )


@figures.styled
def time_line(video: Recording, found: Found) -> "figures.Figure":
    """The evidence of each kind over time, over the marked and the predicted intervals."""
    kinds = [kind for key, kind in found.evidence if key == video.key]
    figure = figures.new_figure(8.6, 0.5 + 1.15 * len(kinds))
    rows = figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
    for axes, kind in zip(rows, kinds):
        values = found.evidence[video.key, kind]
        step = max(1, len(values) // _POINTS)
        seconds = np.arange(0, len(values), step) / video.fps
        axes.plot(seconds, values[::step], color=figures.FAINT, linewidth=0.9)
        low, high = float(np.min(values)), float(np.max(values))
        height = (high - low) or 1.0
        marked = [(each.onset, each.offset) for each in video.of_kind(kind)]
        predicted = [(e.onset, e.offset) for e in found.events if _is_of(e, video, kind)]
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


def _is_of(event: Event, video: Recording, kind: str) -> bool:
    place = (video.database, video.subject, video.name, kind)
    return (event.database, event.subject, event.video, event.kind) == place
