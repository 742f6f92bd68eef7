"""What networks learn of each frame, or sample, from the marked intervals of a recording.

Of frames, `soft_labels` are MTSN's, `boundaries` those of PEM and AUW-GCN, by their authors' code;
`windows` cuts either, and the inputs, into parts of one length. Of samples, a member of `TARGETS`:
by default the overlap of the frames that a sample compares with the expression they belong to, so
that a network learns to score the proposal around each frame (SOFTNet's pseudo-labels).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mer_jax.metrics.matching import iou
from mer_jax.options import checked
from mer_jax.recordings import KINDS, Interval, Recording

# The outputs of a frame of `models.pem` and `models.auw_gcn`, logits in this order.
OUTPUTS = (
    *(f"{kind} {part}" for kind in KINDS for part in ("start", "end", "neither")),
    *(f"{kind} {part}" for part in ("apex", "action") for kind in KINDS),
)
START, END, NEITHER = range(3)
MARGIN = 7  # frames that a window shows on each side of those it scores
SIGMA = 4.0  # frames, of the apex score


@checked
def soft_labels(recording: Recording, *, kind: str = "", soft: float = 0.3) -> np.ndarray:
    """MTSN's labels of the frames: (1 - `soft`) times the hard plus `soft` times the soft one.

    The hard label is 1 from onset to offset; the soft one rises from 0 at the onset to 1 at the
    apex and falls to 0 at the offset. The squared error of the mixture has the gradient of the
    authors' sum of two, 0.7 of the hard and 0.3 of the soft error; as released, their code sums
    the hard one twice, which is `soft=0`. Of intervals that overlap, the larger label holds; a
    missing apex is the middle of the interval.

    Args:
      kind: "micro", "macro" or "" for both.
      soft: weight of the soft label.

    Returns:
      [T] float32 in [0, 1].

    >>> video = Recording("mine", "s", "v", None, 7, 30.0, (Interval(1, 3, 5),))
    >>> soft_labels(video, soft=0.5).tolist()
    [0.0, 0.5, 0.75, 1.0, 0.75, 0.5, 0.0]
    """
    label = np.zeros(recording.length)
    for each in recording.of_kind(kind):
        frames = np.arange(each.onset, each.offset + 1)
        apex = _apex(each)
        rise = (frames - each.onset) / max(1, apex - each.onset)
        fall = (each.offset - frames) / max(1, each.offset - apex)
        peak = np.where(frames == apex, 1.0, np.minimum(rise, fall))
        part = label[each.onset : each.offset + 1]
        np.maximum(part, (1 - soft) + soft * peak, out=part)
    return label.astype(np.float32)


def _apex(interval: Interval) -> int:
    middle = (interval.onset + interval.offset) // 2
    return middle if interval.apex is None else interval.apex


def shows_expression(targets: np.ndarray) -> np.ndarray:
    """[N] bool: samples of targets [N, K] with a part of an expression; K is 1, or 10 a frame of
    `OUTPUTS`.

    >>> still, action = np.eye(10)[[2]], np.eye(10)[[2]] + np.eye(10)[[8]]
    >>> shows_expression(np.concatenate([still, action])).tolist()
    [False, True]
    """
    if targets.shape[1] % len(OUTPUTS):
        return targets.max(1) > 0
    frames = targets.reshape(len(targets), -1, len(OUTPUTS))
    return frames[..., [name.endswith("action") for name in OUTPUTS]].max((1, 2)) > 0


class Boundaries(NamedTuple):
    """Targets of each frame; columns in the order of `recordings.KINDS`."""

    boundary: np.ndarray  # [T, 2] int32: START, END or NEITHER
    apex: np.ndarray  # [T, 2] float32 in [0, 1]
    action: np.ndarray  # [T, 2] float32, 1 from onset to offset


@checked
def boundaries(recording: Recording, *, reach: Mapping[str, int] | None = None) -> Boundaries:
    """The targets of PEM and AUW-GCN.

    A frame is END within `reach` frames of an offset, else START within `reach` frames of an onset,
    else NEITHER. The apex score is exp(-d^2 / (2 `SIGMA`^2)) at the distance d, up to
    `reach`, from the apex; of several the largest (the authors' code: the last). A missing apex is
    the middle of the interval.

    Args:
      reach: kind -> frames; default 1 of a micro-, 3 of a macro-expression (of 30 Hz).

    >>> video = Recording("mine", "s", "v", None, 9, 30.0, (Interval(2, 4, 6, "micro"),))
    >>> found = boundaries(video)
    >>> found.boundary[:, 0].tolist(), found.action[:, 0].tolist()
    ([2, 0, 0, 0, 2, 1, 1, 1, 2], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    """
    reach = {"micro": 1, "macro": 3} | dict(reach or {})
    shape = (recording.length, len(KINDS))
    boundary, action = np.full(shape, NEITHER, np.int32), np.zeros(shape, np.float32)
    apex = np.zeros(shape)
    time = np.arange(recording.length)
    for column, kind in enumerate(KINDS):
        near = lambda frame, kind=kind: np.abs(time - frame) <= reach[kind]
        marked = recording.of_kind(kind)
        for each in marked:
            boundary[near(each.onset), column] = START
            action[each.onset : each.offset + 1, column] = 1
            score = np.exp(-0.5 * ((time - _apex(each)) / SIGMA) ** 2) * near(_apex(each))
            apex[:, column] = np.maximum(apex[:, column], score)
        for each in marked:
            boundary[near(each.offset), column] = END
    return Boundaries(boundary, apex.astype(np.float32), action)


def one_hot(targets: Boundaries) -> np.ndarray:
    """[T, 10] float32 in the order of `OUTPUTS`: what a network's outputs are compared with.

    >>> marked = (Interval(2, 4, 6, "micro"),)
    >>> one_hot(boundaries(Recording("mine", "s", "v", None, 9, 30.0, marked)))[1].tolist()
    [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    parts = np.eye(3, dtype=np.float32)[targets.boundary]
    return np.concatenate(
        [parts.reshape(len(parts), -1), targets.apex, targets.action], axis=-1, dtype=np.float32
    )


@checked
def read(outputs: np.ndarray, *, kind: str) -> np.ndarray:
    """[T, 10] logits of `OUTPUTS` -> [T, 3] float32 in [0, 1]: start, end and apex of `kind`.

    Start, end and neither add to 1.
    """
    from scipy.special import expit, softmax

    at = KINDS.index(kind)
    logits = np.asarray(outputs, np.float64)
    parts = softmax(logits[:, 3 * at : 3 * at + 3], axis=1)
    apex = expit(logits[:, 6 + at])
    return np.stack([parts[:, START], parts[:, END], apex], axis=-1).astype(np.float32)


@checked
def windows(
    values: np.ndarray, *, length: int = 256, margin: int = MARGIN, fill: float = 0.0
) -> np.ndarray:
    """Values of frames in windows that follow each other, each with a margin on both sides.

    Args:
      values: [T, ...].
      length: frames of a window without its margins.
      margin: frames that neighboring windows show as well; a network's output there is cut off.
      fill: value of frames outside of the recording.

    Returns:
      [W, length + 2 margin, ...], W = ceil(T / length); window w begins `margin` frames before
      frame w * length.

    >>> windows(np.arange(1, 6), length=3, margin=1).tolist()
    [[0, 1, 2, 3, 4], [3, 4, 5, 0, 0]]
    """
    values = np.asarray(values)
    count = -(-len(values) // length)
    after = count * length - len(values) + margin
    pads = [(margin, after)] + [(0, 0)] * (values.ndim - 1)
    padded = np.pad(values, pads, constant_values=fill)
    frames = np.arange(count)[:, None] * length + np.arange(length + 2 * margin)[None, :]
    return padded[frames]


@checked
def overlaps(
    recording: Recording, frames: np.ndarray, *, kind: str, offsets: Sequence[int]
) -> np.ndarray:
    """[M] float32: the largest intersection over union of the frames that a sample spans with an
    expression of `kind`.

    Args:
      frames: [M] int, those of the samples.
      kind: "micro" or "macro".
      offsets: of `Sampling`; a sample spans from the first to the last.

    >>> marked = (Interval(4, None, 7),)
    >>> video = Recording("mine", "s1", "a", lambda i, j: None, 20, 30.0, marked)
    >>> overlaps(video, np.array([4, 6, 15]), kind="micro", offsets=(-1, 0, 1)).tolist()
    [0.4000000059604645, 0.75, 0.0]
    """
    true = [(each.onset, each.offset) for each in recording.of_kind(kind)]
    return _shared(frames, offsets, true).max(1, initial=0).astype(np.float32)


def _shared(
    frames: np.ndarray, offsets: Sequence[int], intervals: Sequence[tuple[int, int]]
) -> np.ndarray:
    """[M, N]: the intersection over union of what each sample spans with intervals."""
    return iou(np.stack([frames + offsets[0], frames + offsets[-1]], axis=-1), intervals)


@checked
def emotions(
    recording: Recording,
    frames: np.ndarray,
    *,
    kind: str,
    offsets: Sequence[int],
    classes: Sequence[int],
    count: int,
) -> np.ndarray:
    """[M, count + 1] float32: the class of the expression that overlaps most with each sample.

    1 in its column; in the last one if none overlaps. All 0 for an expression without a class.

    Args:
      frames, kind, offsets: as of `overlaps`.
      classes: of each interval of the recording, -1 for none.
      count: of all classes.

    >>> marked = (Interval(4, None, 7), Interval(12, None, 15))
    >>> video = Recording("mine", "s1", "a", lambda i, j: None, 20, 30.0, marked)
    >>> given = {"kind": "micro", "offsets": (-1, 0, 1), "classes": (1, -1), "count": 2}
    >>> emotions(video, np.array([4, 10, 13]), **given).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    pairs = zip(recording.intervals, classes, strict=True)
    own = [(each, label) for each, label in pairs if each.kind == kind]
    # Before them what overlaps with nothing: no expression, for samples without one.
    labels = np.array([count, *(label for _, label in own)])
    shared = np.zeros((len(frames), len(labels)))
    shared[:, 1:] = _shared(frames, offsets, [(each.onset, each.offset) for each, _ in own])
    label = labels[shared.argmax(1)]
    found = np.zeros((len(frames), count + 1), np.float32)
    rows = np.flatnonzero(label >= 0)
    found[rows, label[rows]] = 1
    return found


def _boundaries(
    recording: Recording, frames: np.ndarray, *, kind: str, offsets: Sequence[int]
) -> np.ndarray:
    """[M, (span + 14) 10], `targets.one_hot` of the frames of windows; 0 in their margins."""
    del kind
    values = one_hot(boundaries(recording))
    shown = frames[:, None] + np.array(offsets[1:])[None, :]
    scored = (shown >= frames[:, None]) & (shown < recording.length)
    scored[:, -MARGIN:] = False
    found = values[np.where(scored, shown, 0)] * scored[..., None]
    return found.reshape(len(frames), -1).astype(np.float32)


# (recording, frames [M], *, kind, offsets) -> targets [M] or [M, K] float32 in [0, 1].
TARGETS: dict[str, Callable[..., np.ndarray]] = {
    "overlap": overlaps,
    "any": lambda *given, **of: (overlaps(*given, **of) > 0).astype(np.float32),
    "soft": lambda video, frames, *, kind, offsets: soft_labels(video, kind=kind)[frames],
    "boundaries": _boundaries,
}
