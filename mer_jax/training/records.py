"""`Result`: what the folds of a job have to say, filled in block by block."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mer_jax.training.single_fold import DIVERGED, FoldArrays, FoldPredictions, Record


class Result(NamedTuple):
    """What F folds have to say about their held-out clips. Host arrays."""

    names: tuple[str, ...]  # [F]
    eval_index: np.ndarray  # [F, M] int32, clip of each column, test clips first
    test: np.ndarray  # [F, M] bool
    validation: np.ndarray  # [F, M] bool
    probabilities: np.ndarray  # [F, M, K] float32, by the network of the chosen epoch
    predicted: np.ndarray  # [F, E, M] int32, what `targets` calls said, after each epoch
    train_loss: np.ndarray  # [F, E] float32, NaN after a fold has stopped
    train_accuracy: np.ndarray  # [F, E] float32
    test_accuracy: np.ndarray  # [F, E] float32, watched
    validation_loss: np.ndarray  # [F, E] float32, NaN without validation clips
    status: np.ndarray  # [F, E] int8
    chosen_epoch: np.ndarray  # [F] int32, 1-based
    epochs_run: np.ndarray  # [F] int32
    sample_counts: np.ndarray  # [F, N] int32: how often a batch held each clip
    statistics_mask: np.ndarray  # [F, N] bool: which clips the statistics saw
    seconds: float  # of training, this process

    @property
    def diverged(self) -> list[str]:
        """Folds whose loss stopped being a number; their predictions are from before."""
        return [n for n, s in zip(self.names, self.status[:, -1]) if s == DIVERGED]


def empty(names: tuple[str, ...], rows: FoldArrays, epochs: int, num_classes: int) -> Result:
    """A result in which no fold has said anything yet."""
    many, most = rows.eval_index.shape
    nan = lambda: np.full((many, epochs), np.nan, np.float32)
    return Result(
        names=names,
        eval_index=np.asarray(rows.eval_index),
        test=np.asarray(rows.test > 0),
        validation=np.asarray(rows.validation > 0),
        probabilities=np.zeros((many, most, num_classes), np.float32),
        predicted=np.full((many, epochs, most), -1, np.int32),
        train_loss=nan(),
        train_accuracy=nan(),
        test_accuracy=nan(),
        validation_loss=nan(),
        status=np.zeros((many, epochs), np.int8),
        chosen_epoch=np.zeros(many, np.int32),
        epochs_run=np.zeros(many, np.int32),
        sample_counts=np.zeros(rows.train.shape, np.int32),
        statistics_mask=np.zeros(rows.train.shape, bool),
        seconds=0.0,
    )


_CHECKPOINTED = (
    "probabilities",
    "predicted",
    "train_loss",
    "train_accuracy",
    "test_accuracy",
    "validation_loss",
    "status",
    "chosen_epoch",
    "epochs_run",
    "sample_counts",
    "statistics_mask",
)


def checkpoint_arrays(result: Result) -> dict[str, np.ndarray]:
    """What of a result goes into a checkpoint."""
    return {name: getattr(result, name) for name in _CHECKPOINTED}


def set_final(result: Result, predictions: FoldPredictions, members: range) -> None:
    """Writes what the folds `members` end with into the result."""
    for name, value in predictions._asdict().items():
        getattr(result, name)[members] = value[: len(members)]


def set_epochs(result: Result, record: Record, members: range, done: int) -> None:
    """Writes a block's records [F, block, ...] into the result."""
    for name, value in record._asdict().items():
        target = getattr(result, name)
        target[members, done : done + value.shape[1]] = value[: len(members)]
    alone = [row for row in members if not result.validation[row].any()]
    result.validation_loss[alone, done:] = np.nan


def notify(
    on_epoch_end: Callable[[int, dict], None],
    result: Result,
    members: range,
    epochs: range,
    count: int,
) -> None:
    """Calls `on_epoch_end` with each epoch of the rows `members`, for each of `count` parts apart."""
    size = len(result.names) // count
    for part in range(members.start // size, -(-members.stop // size)):
        rows = slice(max(members.start, part * size), min(members.stop, (part + 1) * size))
        for epoch in epochs:
            line = {"epoch": epoch + 1, "folds": list(result.names[rows])}
            for name in ("train_loss", "train_accuracy", "test_accuracy"):
                line[name] = getattr(result, name)[rows, epoch].tolist()
            on_epoch_end(part, line)


def split_variants(result: Result, count: int) -> list[Result]:
    """A result whose rows are `count` times the same folds, as so many results."""
    size = len(result.names) // count
    cut = lambda part: {
        name: value[part * size : (part + 1) * size]
        for name, value in result._asdict().items()
        if name != "seconds"
    }
    return [result._replace(**cut(part)) for part in range(count)]
