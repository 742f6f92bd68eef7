"""report.html: the results of a job on one self-contained page.

The page shows the main scores, then charts, tables and provenance. For more than 40 classes a table
of the most frequent mistakes replaces the confusion matrix and the class balance.
"""

import collections
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mer_jax.io import saving
from mer_jax.metrics.intervals import COMPARED
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import OVERALL, PER_CLASS
from mer_jax.reporting import figures, page
from mer_jax.reporting.page import number

TITLES = {
    "uf1": "UF1", "uar": "UAR", "accuracy": "accuracy", "micro_f1": "micro F1",
    "macro_f1": "macro F1", "macro_tnr": "macro TNR", "precision": "precision",
    "recall": "recall", "f1": "F1", "tpr": "TPR", "tnr": "TNR", "support": "clips",
}  # fmt: skip

_MAX_CLASSES = 40  # that fit in a confusion matrix and a legend
_MAX_MISTAKES = 20


class Picture(NamedTuple):
    """A picture of a clip for the report."""

    content: bytes  # PNG or WebP
    caption: str
    alt: str
    clip: str = ""  # key of the clip it shows, if that was wrong

    @property
    def kind(self) -> str:
        """ "png", "webp", or "" for what is neither."""
        webp = self.content[:4] == b"RIFF" and self.content[8:12] == b"WEBP"
        return "png" if self.content.startswith(b"\x89PNG") else "webp" if webp else ""


def write(
    path: str | os.PathLike,
    *,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    predictions: Predictions,
    history: Mapping[str, Any] | None = None,
    pictures: Sequence[Picture] = (),
    provenance: Mapping[str, Any],
) -> pathlib.Path:
    """Writes the page and returns its path.

    Args:
      path: of the HTML file.
      config: content of config.json; `title` is the heading, by default made of `model.name` (or
        `method.name`) and `data.name`.
      summary: from `metrics.summary`, or content of metrics.json; "diverged_folds" if training
        diverged.
      predictions: of all tested clips.
      history: learning curves, from `io.learning_curves.read`.
      pictures: in the order of the page; those with a `clip` show wrong clips, others are examples.
      provenance: {"command": str, "versions": {name: version}, "device": str, "seed": int,
        "wall_seconds": float, ...}: text, numbers and mappings of these.

    >>> import tempfile
    >>> from mer_jax import metrics
    >>> predictions = metrics.Predictions(
    ...     classes=("negative", "positive"), database=np.full(4, "mine"),
    ...     subject=np.array(list("aabb")), clip=np.array(list("1212")),
    ...     fold=np.array(list("aabb")), label=np.array([0, 1, 0, 1]),
    ...     probabilities=np.eye(2, dtype=np.float32)[[0, 0, 0, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     html = write(
    ...         f"{folder}/report.html", config={"title": "Four clips"}, predictions=predictions,
    ...         summary=metrics.summary(predictions, protocol="loso", draws=10),
    ...         provenance={"seed": 0}).read_text()
    >>> "<title>Four clips</title>" in html, "0.7333" in html  # UF1 is (2/3 + 4/5) / 2
    (True, True)
    """
    databases = [("all", summary["overall"])]
    if len(summary["databases"]) > 1:
        databases += summary["databases"].items()
    html = page.render(
        "report.html",
        summary=summary,
        titles=TITLES,
        compared=COMPARED,
        headings=[TITLES[name] for name in COMPARED],
        inflation=_score_rows(_inflation(summary), COMPARED) if "inflation" in summary else (),
        databases=_score_rows(databases, COMPARED),
        variants=_variants(summary["variants"]) if "variants" in summary else (),
        repeats=_repeats(summary["over_repeats"]) if "over_repeats" in summary else (),
        num_repeats=round(len(predictions) / max(1, summary["protocol"]["clips"])),
        multi_label=summary.get("multi_label"),
        **_charts(summary, predictions, history),
        all_headings=[TITLES[name] for name in OVERALL],
        all_scores=_score_rows(databases, ("clips", "subjects", *OVERALL)),
        class_headings=[TITLES[name] for name in PER_CLASS],
        class_scores=_class_rows(summary["per_class"]),
        alternative_scores=[(n, number(v)) for n, v in summary["alternative_scores"].items()],
        subjects=_subject_counts(predictions),
        examples=[picture for picture in pictures if not picture.clip],
        wrong_pictures=[picture for picture in pictures if picture.clip],
        wrong=_wrong_rows(
            predictions,
            pictured=[picture.clip for picture in pictures],
            # A set of labels has no probability of its own.
            with_probabilities=not summary.get("multi_label"),
        ),
        num_wrong=int((~predictions.correct).sum()),
        num_tested=len(predictions),
        **page.made(config, provenance),
    )
    return saving.write(path, html)


def _score_rows(parts: Sequence[tuple[str, Mapping]], names: Sequence[str]) -> list[tuple]:
    return [(title, *(part[name] for name in names)) for title, part in parts]


def _inflation(summary: Mapping[str, Any]) -> list[tuple[str, Mapping]]:
    """The scores as published, of the strict counterpart, and the gap between them."""
    gap = summary["inflation"]
    gaps = {
        name: {"value": gap["difference"][name]} | dict(zip(("low", "high"), gap["interval"][name]))
        for name in COMPARED
    }
    other = f"the same job, {'fewer leaks' if gap['remaining_leaks'] else 'strict'}"
    return [("as published", summary["overall"]), (other, gap["strict"]), ("inflation", gaps)]


def _variants(variants: Mapping[str, Any]) -> list[tuple]:
    """A row per seed and learning rate of the job, their mean, and their ensemble."""
    overall = variants["overall"]
    rows = [
        (name, *(number(overall[score]["values"][index]) for score in COMPARED))
        for index, name in enumerate(variants["names"])
    ]
    rows.append(("mean ± deviation", *(overall[score] for score in COMPARED)))
    if "ensemble" in variants:
        rows.append(("mean probability of all", *(variants["ensemble"][name] for name in COMPARED)))
    return rows


def _repeats(scores: Mapping[str, Any]) -> list[tuple]:
    title = f"mean ± deviation of {scores['uf1']['count']} repeats"
    return [(title, *(scores[score] for score in COMPARED))]


def _class_rows(per_class: Mapping[str, Mapping[str, Any]]) -> list[tuple]:
    digits = {"support": 0}
    return [
        (name, *(number(part[score], digits=digits.get(score, 4)) for score in PER_CLASS))
        for name, part in per_class.items()
    ]


class _Chart(NamedTuple):
    svg: str
    caption: str


def _charts(
    summary: Mapping[str, Any], predictions: Predictions, history: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The charts, and the most frequent mistakes where a confusion matrix would be illegible."""
    classes, parts = predictions.classes, predictions.by_database()
    single_label = not summary.get("multi_label")
    few_classes = single_label and len(classes) <= _MAX_CLASSES
    charts, frequent_mistakes = list[_Chart](), None
    if few_classes:
        recalls = ", ".join(
            f"{name} {number(found['recall'], digits=2)}"
            for name, found in summary["per_class"].items()
        )
        chart = figures.confusion_matrix(predictions.confusion(), classes)
        alt = f"Confusion matrix of {len(predictions)} predictions. Share that is right: {recalls}."
        caption = "Confusion matrix: share of the true class, and clips."
        charts.append(_Chart(figures.svg(chart, name="confusion", alt=alt), caption))
    elif single_label:
        frequent_mistakes = _frequent_mistakes(predictions.confusion(), classes)

    if history is not None:
        charts.append(_curves(summary, predictions, history))

    groups, names, right, total = zip(*_subject_counts(predictions))
    chart = figures.per_subject(names, right, total, groups=groups)
    perfect = sum(mine == all_ for mine, all_ in zip(right, total))
    alt = (
        f"Share of clips that is right for {len(names)} subjects: all for {perfect}, "
        f"none for {right.count(0)}."
    )
    caption = "Share of each subject's clips that is right; dashed: of all clips of the database."
    charts.append(_Chart(figures.svg(chart, name="subjects", alt=alt), caption))

    if few_classes:
        balance = np.stack([part.confusion().sum(1) for part in parts.values()])
        chart = figures.class_balance(balance, list(parts), classes)
        counts = "; ".join(
            f"{name}: " + ", ".join(f"{count} {label}" for count, label in zip(row, classes))
            for name, row in zip(parts, balance.tolist())
        )
        caption = "Tested clips of each class."
        alt = f"{caption} {counts}."
        charts.append(_Chart(figures.svg(chart, name="balance", alt=alt), caption))
    return {"charts": charts, "frequent_mistakes": frequent_mistakes}


def _frequent_mistakes(confusion: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """The number of kinds of mistake, and rows of the most frequent."""
    wrong = confusion * (1 - np.eye(len(classes), dtype=confusion.dtype))
    largest = np.argsort(-wrong, axis=None, kind="stable")[:_MAX_MISTAKES]
    pairs = [divmod(index, len(classes)) for index in largest.tolist()]
    rows = [
        (classes[t], classes[p], wrong[t, p], f"{wrong[t, p] / confusion[t].sum():.0%}")
        for t, p in pairs if wrong[t, p]
    ]  # fmt: skip
    return {"kinds": np.count_nonzero(wrong), "rows": rows}


def _curves(
    summary: Mapping[str, Any], predictions: Predictions, history: Mapping[str, Any]
) -> _Chart:
    weights = predictions.fold_sizes(history["folds"])
    chart = figures.learning_curves(
        history, weights=weights if weights.any() else None, chance=summary["majority"]["accuracy"]
    )
    folds, epochs = len(history["folds"]), len(history["epochs"])
    alt = (
        f"Training loss, training accuracy and test accuracy of {folds} folds over {epochs} epochs."
    )
    caption = f"Learning curves of {folds} folds: their mean, and the band of their middle half."
    if "last_epochs" in summary:
        late = summary["last_epochs"]
        caption += f" Test accuracy over the last {late['count']} epochs: {page.score_text(late)}."
    return _Chart(figures.svg(chart, name="curves", alt=alt), caption)


def _subject_counts(predictions: Predictions) -> list[tuple[str, str, int, int]]:
    """Of every subject: database, name, number of correct clips, number of clips."""
    return [
        (database, name.removeprefix(f"{database}/"), int(matrix.trace()), int(matrix.sum()))
        for database, part in predictions.by_database().items()
        for name, matrix in zip(*part.by_subject())
    ]


def mistakes(predictions: Predictions) -> np.ndarray:
    """Rows of wrong clips by decreasing probability of the predicted class, [M] int."""
    wrong = np.flatnonzero(~predictions.correct)
    confidence = predictions.probabilities[wrong].max(-1, initial=0)
    return wrong[np.argsort(-confidence, kind="stable")]


def _wrong_rows(
    predictions: Predictions, *, pictured: Sequence[str], with_probabilities: bool = True
) -> list[tuple]:
    """Key, true class, predicted class and the probabilities of the two, of the wrong clips.

    pictured: keys of clips that are left out, each as often as it is there: a clip that several
    folds test may be wrong several times. Pictures are of the first mistakes.
    """
    rows, keys, classes = [], predictions.keys, predictions.classes
    left_out = collections.Counter(pictured)
    for row in mistakes(predictions).tolist():
        true, predicted = int(predictions.label[row]), int(predictions.predicted[row])
        left_out[keys[row]] -= 1
        if left_out[keys[row]] < 0:
            columns = [predicted, true] if with_probabilities else []
            pair = predictions.probabilities[row, columns].tolist()
            cells = (number(probability, digits=2) for probability in pair)
            rows.append((keys[row], classes[true], classes[predicted], *cells))
    return rows
