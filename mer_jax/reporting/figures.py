"""Charts of a job: functions from arrays to a matplotlib `Figure`.

    >>> chart = confusion_matrix(np.array([[3, 1], [0, 4]]), ["negative", "positive"])
    >>> png(chart)[:4]  # for a file
    b'\\x89PNG'
    >>> svg(chart, name="confusion", alt="7 of 8 are right")[:45]  # for a page, light and dark
    '<svg role="img" aria-label="7 of 8 are right"'

Charts fit a column of about 14 cm and are legible on a phone. Matplotlib is imported only when a
figure is drawn, and its global state does not change.
"""

import functools
import html
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from mer_jax.reporting import colors
from mer_jax.reporting.colors import BLUE, CYCLE, FAINT, INK, LINE, ON_BLUE, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Args = ParamSpec("_Args")
_Out = TypeVar("_Out")
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.edgecolor": LINE,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$x$"
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "mer_jax",
}
_VARIABLES = {
    INK: "ink", FAINT: "faint", LINE: "line", ON_BLUE: "on-blue",
    **dict(zip(CYCLE, ("blue", "orange", "green", "purple", "vermilion", "sky", "olive"))),
}  # fmt: skip


def styled(draw: Callable[_Args, _Out]) -> Callable[_Args, _Out]:
    """Decorator: runs `draw` with the style of this module; matplotlib's settings do not change."""

    @functools.wraps(draw)
    def wrapped(*args: _Args.args, **options: _Args.kwargs) -> _Out:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **options)

    return wrapped


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of `width` by `height` inches, with constrained layout, without a window."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def png(figure: "Figure", *, dpi: int = 180) -> bytes:
    """The figure as a PNG file on white, `dpi` px per inch."""
    return _saved(figure, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})


def svg(figure: "Figure", *, name: str, alt: str) -> str:
    """The figure as an <svg> element for a page, with its letters as text.

    Colors are the page's variables (--ink, --blue, ...) and fall back to the palette's values.

    Args:
      figure: drawn by a function of this module.
      name: prefix of all ids, unique on the page.
      alt: description for screen readers.
    """
    text = _saved(figure, format="svg", transparent=True).decode()
    ((view, body),) = re.findall(r'<svg.*?(viewBox="[^"]*").*?>(.*)', text, re.DOTALL)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # Inside tags only: a class may be called `id="` or "#1f2933".
    body = re.sub(r"<[^>]*>", lambda tag: _themed(tag[0], name), body)
    width = 72 * figure.get_figwidth()
    attributes = f'role="img" aria-label="{html.escape(printable(alt))}"'
    return f'<svg {attributes} {view} style="max-width:{width:.0f}pt">{body.strip()}'


def _themed(tag: str, name: str) -> str:
    tag = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag)
    for value, variable in _VARIABLES.items():
        tag = tag.replace(value, f"var(--{variable}, {value})")
    return tag


def _saved(figure: "Figure", **options) -> bytes:
    import matplotlib

    out = io.BytesIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Characters missing in the font are boxes in a PNG; in an SVG the browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(out, **options)
    return out.getvalue()


def plain(axes: Any, *hidden: str, grid: str = "", integer: bool = False) -> None:
    """Takes the marks of ticks and the lines `hidden` ("left", "bottom") off a chart.

    Args:
      grid: axis with lines across the chart, "x" or "y".
      integer: whole numbers along x.
    """
    if grid:
        axes.grid(axis=grid)
    axes.tick_params(length=0)
    axes.spines[list(hidden)].set_visible(False)
    if integer:
        axes.xaxis.get_major_locator().set_params(integer=True)


def printable(text: str, *, allowed: str = "") -> str:
    """`text` with a box for each character that cannot be printed and is not in `allowed`."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in allowed else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def shorten(name: str, *, longest: int = 22) -> str:
    """A name for a chart: printable, at most `longest` characters.

    >>> shorten("leave one subject out", longest=12)
    'leave one s…'
    """
    clean = printable(name)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


@styled
def confusion_matrix(confusion: np.ndarray, classes: Sequence[str]) -> "Figure":
    """A confusion matrix: color and percentage of a cell are its share of the row.

    For more than ten classes the cells without a clip stay empty.

    Args:
      confusion: [K, K] clips, rows true, columns predicted.
      classes: K names.
    """
    from matplotlib.patches import Rectangle

    counts = np.asarray(confusion)
    share = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    number = len(classes)
    size = max(3.6, 1.5 + 0.75 * number)
    figure = new_figure(size, 0.86 * size)
    axes = figure.subplots()
    for row, column in np.argwhere(counts if number > 10 else np.ones_like(counts)).tolist():
        part = share[row, column]
        axes.add_patch(
            Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=BLUE, linewidth=0,
                      alpha=0.06 + 0.94 * part)
        )  # fmt: skip
        ink = ON_BLUE if part > 0.68 else INK
        small = 10 if number <= 5 else 8
        axes.text(column, row - 0.1, f"{part:.0%}", ha="center", va="center", color=ink,
                  fontsize=small + 4, fontweight="bold" if row == column else "normal")  # fmt: skip
        axes.text(column, row + 0.24, f"{counts[row, column]:g}", ha="center", va="center",
                  color=ink, fontsize=small)  # fmt: skip
    axes.set(xlim=(-0.5, number - 0.5), ylim=(number - 0.5, -0.5), aspect="equal")
    names = [shorten(name, longest=14) for name in classes]
    axes.set_xticks(range(number), names, rotation=0 if number <= 4 else 40)
    axes.set_yticks(range(number), [f"{n}\n({s:g})" for n, s in zip(names, counts.sum(-1))])
    axes.set(xlabel="predicted", ylabel="true (clips)")
    plain(axes, "left", "bottom")
    return figure


@styled
def learning_curves(
    history: Mapping[str, Any], *, weights: np.ndarray | None = None, chance: float | None = None
) -> "Figure":
    """Loss and accuracy over epochs: the mean of the folds, and the band of their middle half.

    Args:
      history: from `io.learning_curves.read`.
      weights: [F] test clips of each fold, for the test accuracy of the pooled clips.
      chance: accuracy of a dashed line.
    """
    figure = new_figure(5.2, 2.7)
    left, right = figure.subplots(1, 2)
    epochs = np.asarray(history["epochs"])
    for axes, curves in (
        (left, [("train_loss", "training", BLUE, None)]),
        (right, [("train_accuracy", "training", BLUE, None),
                 ("test_accuracy", "test", VERMILION, weights)]),
    ):  # fmt: skip
        for name, title, color, weight in curves:
            if name not in history or not np.isfinite(history[name]).any():
                continue
            values = np.ma.masked_invalid(history[name])
            middle = np.ma.filled(np.ma.average(values, axis=0, weights=weight), np.nan)
            if len(values) > 1:
                known = ~values.mask.all(0) if np.ma.is_masked(values) else slice(None)
                low, high = np.nanquantile(values.filled(np.nan)[:, known], [0.25, 0.75], axis=0)
                axes.fill_between(epochs[known], low, high, color=color, alpha=0.18, linewidth=0)
            axes.plot(epochs, middle, color=color, linewidth=1.8, label=title,
                      marker="o" if len(epochs) == 1 else None)  # fmt: skip
        axes.set_xlabel("epoch")
        plain(axes, "left", grid="y", integer=True)
    left.set_title("Training loss")
    right.set(title="Accuracy", ylim=(0, 1.02))
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    if chance is not None:
        right.axhline(
            chance, color=FAINT, linestyle=(0, (4, 3)), linewidth=1, label="majority class"
        )
    if right.get_legend_handles_labels()[0]:
        right.legend(loc="best")
    return figure


@styled
def per_subject(
    names: Sequence[str],
    correct: np.ndarray | Sequence[int],
    total: np.ndarray | Sequence[int],
    *,
    groups: Sequence[str] | None = None,
) -> "Figure":
    """Share of correct clips of each subject, sorted within its group; larger dots, more clips.

    A dashed line is the share over all clips of the group.

    Args:
      names: [S].
      correct, total: [S] numbers of clips.
      groups: [S] database of each subject.
    """
    groups = np.array([""] * len(names) if groups is None else list(groups), object)
    correct, total = np.asarray(correct, float), np.asarray(total, float)
    share = correct / np.maximum(total, 1)
    # Titles of many or small groups would overlap: a legend has them instead.
    count, least = len(set(groups)), min(np.unique(groups, return_counts=True)[1])
    crowded = count > 1 and (least + 1.5) / (len(names) + 1.5 * count) < 0.22
    figure = new_figure(5.2, 2.9 + 0.25 * (-(-count // 2) - 1) * crowded)
    axes = figure.subplots()
    left, ticks = 0, []
    for index, group in enumerate(dict.fromkeys(groups.tolist())):
        mine = np.flatnonzero(groups == group)
        mine = mine[np.lexsort((total[mine], share[mine]))[::-1]]
        x = left + np.arange(len(mine))
        color = CYCLE[index % len(CYCLE)]
        pooled = correct[mine].sum() / max(float(total[mine].sum()), 1.0)
        axes.vlines(x, pooled, share[mine], color=color, alpha=0.45, linewidth=1.2)
        axes.hlines(
            pooled, x[0] - 0.5, x[-1] + 0.5, color=color, linewidth=1, linestyle=(0, (4, 3))
        )
        sizes = 10 + 90 * total[mine] / total.max()
        dots = axes.scatter(x, share[mine], s=sizes, color=color, linewidth=0, zorder=3)
        of_all = f"{pooled:.0%} of {total[mine].sum():g} clips"
        if crowded:
            dots.set_label(f"{shorten(group, longest=14)}: {of_all}")
        else:
            title = f"{shorten(group, longest=14)}\n{of_all}".strip()
            axes.text(
                *(float(x.mean()), 1.1, title),
                ha="center",
                va="bottom",
                color=color,
                linespacing=1.3,
            )
        ticks += [(position, names[row]) for position, row in zip(x, mine)]
        left += len(mine) + 1.5
    axes.set(ylim=(-0.06, 1.06), xlim=(-1.2, left - 1.3))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    if len(names) <= 24:
        texts = [shorten(str(name), longest=12) for _, name in ticks]
        axes.set_xticks([x for x, _ in ticks], texts, rotation=90, fontsize=9)
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(names)} subjects, sorted; larger dots: more clips")
    plain(axes, "left", "bottom", grid="y")
    if crowded:
        legend = figure.legend(loc="outside upper left", ncols=2)
        for handle in legend.legend_handles:
            handle.set(sizes=[40])  # type: ignore[union-attr]  # all are dots
    return figure


_HATCHES = ("", "////", "....", "xxxx", "----", "||||")  # of the same color again


@styled
def class_balance(counts: np.ndarray, databases: Sequence[str], classes: Sequence[str]) -> "Figure":
    """Clips of each class, a bar per database.

    Args:
      counts: [D, K] clips.
      databases, classes: D and K names.
    """
    counts = np.asarray(counts, float)
    legend = max(0, len(classes) - 8) // 4  # its lines beyond two
    figure = new_figure(5.2, 1.0 + 0.42 * len(databases) + 0.24 * legend)
    axes = figure.subplots()
    start = np.zeros(len(databases))
    for index, name in enumerate(classes):
        color = CYCLE[index % len(CYCLE)]
        bars = axes.barh(range(len(databases)), counts[:, index], left=start, height=0.68,
                         color=color, alpha=0.85, label=shorten(name, longest=16),
                         hatch=_HATCHES[index // len(CYCLE) % len(_HATCHES)], edgecolor="white",
                         linewidth=0)  # fmt: skip
        fits = counts[:, index] > 0.05 * counts.sum(1).max()
        texts = [f"{n:g}" if fit else "" for n, fit in zip(counts[:, index], fits)]
        ink = "white" if color in (BLUE, colors.GREEN, VERMILION) else "#10151b"
        axes.bar_label(bars, texts, label_type="center", color=ink, fontweight="bold")
        start += counts[:, index]
    axes.set_yticks(range(len(databases)), [shorten(str(name)) for name in databases])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.invert_yaxis()
    axes.set_xlabel("clips")
    plain(axes, "left", "bottom")
    figure.legend(loc="outside upper left", ncols=min(len(classes), 4), handlelength=1,
                  handleheight=1)  # fmt: skip
    return figure


@styled
def score_intervals(names: Sequence[str], scores: Mapping[str, Sequence]) -> "Figure":
    """Scores with intervals, a line per run and a panel per score.

    Args:
      names: S runs.
      scores: by title, [S, 3] low, value, high.
    """
    figure = new_figure(5.4, 1.0 + 0.42 * len(names))
    panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    positions = np.arange(len(names))
    for axes, (title, values) in zip(panels, scores.items()):
        low, value, high = np.array(values, float).T
        axes.hlines(positions, low, high, color=BLUE, alpha=0.35, linewidth=6)
        axes.plot(value, positions, "o", color=BLUE, markersize=6)
        axes.set_title(title)
        plain(axes, "left", "bottom", grid="x")
        axes.margins(y=0.5 / max(len(names), 1))
        axes.xaxis.get_major_locator().set_params(nbins=4)
    panels[0].set_yticks(positions, [shorten(name, longest=28) for name in names])
    panels[0].tick_params(axis="y", labelcolor=INK)
    panels[0].invert_yaxis()
    return figure
