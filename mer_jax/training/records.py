"""The records of a job: what its folds start from, carry from epoch to epoch, and report."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError, first_of
from mer_jax.protocols import Folds
from mer_jax.training import rng
from mer_jax.training.settings import Settings

Tree = Any
Weights = dict[str, np.ndarray]  # dotted path of a tensor -> its values

RUNNING, STOPPED, DIVERGED = 0, 1, 2  # values of `State.status`


@jax.tree_util.register_static
class OnHost:
    """Inputs that stay on the host: compiled calls fetch the rows that they read.

    tree: host arrays [N, ...], in memory or mapped. To JAX this has no arrays.
    """

    def __init__(self, tree: Tree):
        self.tree = tree

    def rows(self, index: jax.Array) -> Tree:
        """The rows `index` [...] of each array: [..., ...]."""
        return jax.pure_callback(
            lambda index: jax.tree.map(lambda a: a.take(index, 0, mode="clip"), self.tree),
            jax.tree.map(
                lambda a: jax.ShapeDtypeStruct((*index.shape, *a.shape[1:]), a.dtype), self.tree
            ),
            index,
            vmap_method="expand_dims",
        )


class Data(NamedTuple):
    """Shared by all folds: on each device once, and once for all devices of a CPU."""

    inputs: Tree | OnHost  # [N, ...], float32 or stored as float16
    labels: jax.Array  # [N] int32, [N, K] of 0 and 1, or [N, K] float32: see `label_kinds`
    initial_weights: Weights  # replace the fresh tensors of every fold's network


class FoldArrays(NamedTuple):
    """One fold's arrays: its key, learning rate and clips; of a job with a leading F."""

    key: jax.Array  # typed PRNG key, from the seed and the fold's name
    rate: jax.Array  # [] float32, learning rate
    train: jax.Array  # [N] bool
    statistics_mask: jax.Array  # [N] bool: `train`, or all clips as published
    eval_index: jax.Array  # [M] int32: evaluated clips, test first; padded with 0
    test: jax.Array  # [M] float32: 1 where `eval_index` is a test clip
    validation: jax.Array  # [M] float32: 1 where `eval_index` is a validation clip
    initial_weights: Weights  # of this fold's own; replace those of `Data`


@chex.dataclass(frozen=True)
class State:
    """One fold's network and training progress."""

    params: Tree
    model_state: Tree  # batch statistics, dropout counters
    opt: Tree
    statistics: Tree  # fitted by the method on this fold's training clips
    epoch: jax.Array  # [] int32, epochs seen
    status: jax.Array  # [] int32: RUNNING, STOPPED or DIVERGED
    loss: jax.Array  # [] float32, last epoch's training loss
    lr_scale: jax.Array  # [] float32, plateau factor on the learning rate
    plateau_best: jax.Array  # [] float32, best score by `StaticConfig.lr_plateau_rule`
    plateau_waited: jax.Array  # [] int32, epochs since it, or since the rate fell
    best: Tree  # (params, model_state) of the best epoch, or () for "last"
    best_score: jax.Array  # [] float32, higher is better
    best_epoch: jax.Array  # [] int32
    epochs_without_improvement: jax.Array  # [] int32, epochs since the last better score
    sample_counts: (
        jax.Array
    )  # [N] int32: times that each clip was in a batch, for the leakage check
    statistics_mask: jax.Array  # [N] bool: clips in the statistics, for the leakage check


class PartialEpoch(NamedTuple):
    """One fold's network within an epoch of S steps."""

    params: Tree
    model_state: Tree
    opt: Tree
    losses: jax.Array  # [S] float32, loss of a step summed over its samples; 0 if it is to come
    correct: jax.Array  # [S] float32, correct predictions of a step, likewise


class Record(NamedTuple):
    """Measurements of one epoch of one fold."""

    train_loss: jax.Array  # [] float32, mean over the epoch's samples, as they were trained on
    train_accuracy: jax.Array  # [] float32, likewise
    test_accuracy: jax.Array  # [] float32; used by model_selection "best_test" only
    validation_loss: jax.Array  # [] float32, `StaticConfig.loss` of the validation clips; else inf
    predicted: jax.Array  # [M] int32, prediction for each evaluated clip after this epoch
    status: jax.Array  # [] int32


class FoldPredictions(NamedTuple):
    """Final predictions of one fold, and what the leakage check needs."""

    probabilities: jax.Array  # [M, K] for the evaluated clips, by the chosen epoch's network
    chosen_epoch: jax.Array  # [] int32, counted from 1; "last" is the last that the fold ran
    epochs_run: jax.Array  # [] int32
    sample_counts: jax.Array  # [N] int32
    statistics_mask: jax.Array  # [N] bool


def whole_inputs(data: Data) -> Tree:
    """The inputs of all clips, also those on the host."""
    return data.inputs.tree if isinstance(data.inputs, OnHost) else data.inputs


def input_rows(data: Data, index: jax.Array) -> Tree:
    """The inputs of the clips `index` [...], float16 as float32."""
    if isinstance(data.inputs, OnHost):
        return to_float32(data.inputs.rows(index))
    return to_float32(jax.tree.map(lambda a: a[index], data.inputs))


def to_float32(inputs: Tree) -> Tree:
    """`inputs` with float16 arrays as float32."""
    return jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float16 else a, inputs)


def replace_leaves(tree: Tree, replacements: Mapping[str, Any]) -> Tree:
    """`tree` with the leaves that `replacements` names by dotted path replaced.

    >>> replace_leaves({"conv": {"kernel": 0, "bias": 1}}, {"conv.bias": 5})
    {'conv': {'bias': 5, 'kernel': 0}}
    """
    replace = lambda path, leaf: replacements.get(_dotted(path), leaf)
    return jax.tree_util.tree_map_with_path(replace, tree)


def named_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a tree by their dotted paths."""
    return {_dotted(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _dotted(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def fold_arrays(
    folds: Sequence[Folds], settings: Settings, *, initial_weights: Sequence[Weights] = ()
) -> FoldArrays:
    """The rows of a job on the host: all folds of the first variant, then those of the next.

    initial_weights: of each fold, if they have some of their own.

    Raises `UserError` if a fold has no training or no test clips, or no validation clips where they
    choose the epoch, and if `folds` or `initial_weights` are not as many as they must be.
    """
    variants = settings.variants.values()
    if len(folds) != len(variants):
        raise UserError(f"give one Folds for each of {len(variants)} variants, not {len(folds)}")
    if settings.model_selection == "best_val":
        for part in folds:
            lacking = [n for n, row in zip(part.names, part.validation) if not row.any()]
            if lacking:
                raise UserError(
                    f"fold {first_of(lacking)} has no validation clips, by which "
                    "train.model_selection='best_val' chooses; see protocols.with_validation"
                )
    if initial_weights and len(initial_weights) != len(folds[0]):
        raise UserError(f"{len(folds[0])} folds start from {len(initial_weights)} sets of weights")
    if any(each.keys() != initial_weights[0].keys() for each in initial_weights):
        raise UserError("the initial weights of two folds have other names")
    for name, train, test in zip(folds[0].names, folds[0].train, folds[0].test):
        for role, row in (("training", train), ("test", test)):
            if not row.any():
                raise UserError(
                    f"fold {name} has no {role} clips; check protocol and data.label_scheme, or "
                    "evidence.drop_zeros"
                )
    keys = [
        rng.fold_key(variant.seed, name)
        for variant, part in zip(variants, folds, strict=True)
        for name in part.names
    ]
    rates = np.repeat([variant.learning_rate for variant in variants], len(folds[0]))
    statistics_on_all_clips = np.repeat(
        [variant.statistics_on_all_clips for variant in variants], len(folds[0])
    )
    train, test, validation = (
        np.concatenate([getattr(part, name) for part in folds])
        for name in ("train", "test", "validation")
    )
    eval_index = [np.r_[np.flatnonzero(t), np.flatnonzero(v)] for t, v in zip(test, validation)]
    longest = max(map(len, eval_index))
    index = np.stack([np.pad(i, (0, longest - len(i))) for i in eval_index]).astype(np.int32)
    real = np.arange(longest) < np.array([[len(i)] for i in eval_index])
    is_test = np.arange(longest) < test.sum(1)[:, None]
    stacked = jax.tree.map(lambda *each: np.stack(each * len(folds)), *initial_weights or [{}])
    rows: dict[str, Any] = dict(
        key=jnp.stack(keys),
        rate=rates.astype(np.float32),
        train=train,
        statistics_mask=train | statistics_on_all_clips[:, None],
        eval_index=index,
        test=is_test.astype(np.float32),
        validation=(real & ~is_test).astype(np.float32),
        initial_weights=stacked,
    )
    return FoldArrays(**rows)


def take_rows(rows: Tree, members: range, count: int) -> Tree:
    """The rows `members` of each leaf [F, ...], the last repeated up to `count` rows.

    >>> take_rows(np.array([10, 11, 12, 13]), range(1, 3), 4)
    array([11, 12, 12, 12])
    """
    index = np.minimum(np.arange(members.start, members.start + count), members.stop - 1)
    return jax.tree.map(lambda a: a[index], rows)


class Position(NamedTuple):
    """Progress of a job: rows in training, or just finished, and the epochs they have trained."""

    members: range
    epochs: int


class Result(NamedTuple):
    """Predictions of F folds for their held-out clips, and their training curves; host arrays."""

    names: tuple[str, ...]  # [F]
    eval_index: np.ndarray  # [F, M] int32, evaluated clips, test clips first
    test: np.ndarray  # [F, M] bool
    validation: np.ndarray  # [F, M] bool
    probabilities: np.ndarray  # [F, M, K] float32, by the chosen epoch's network
    predicted: np.ndarray  # [F, E, M] int32, `LabelKind.predict` after each epoch
    train_loss: np.ndarray  # [F, E] float32; after a fold has stopped (not diverged), its last one
    train_accuracy: np.ndarray  # [F, E] float32
    test_accuracy: np.ndarray  # [F, E] float32
    validation_loss: np.ndarray  # [F, E] float32, NaN without validation clips
    status: np.ndarray  # [F, E] int8
    chosen_epoch: np.ndarray  # [F] int32, 1-based
    epochs_run: np.ndarray  # [F] int32
    sample_counts: np.ndarray  # [F, N] int32: times that each clip was in a batch
    statistics_mask: np.ndarray  # [F, N] bool: clips in the statistics
    seconds: float  # of training, also before it was resumed

    @property
    def diverged(self) -> list[str]:
        """Folds whose loss became NaN or infinite; their predictions are from the epoch before."""
        final = zip(self.names, self.status[:, -1:])  # none without an epoch
        return [name for name, status in final if (status == DIVERGED).any()]


def empty(names: tuple[str, ...], rows: FoldArrays, epochs: int, num_classes: int) -> Result:
    """A result without predictions, for `set_epochs` and `set_final` to fill in.

    Args:
      names: [F] folds.
      rows: of the job.
      epochs: E.
      num_classes: K.
    """
    num_folds, evaluated = rows.eval_index.shape
    nan = lambda: np.full((num_folds, epochs), np.nan, np.float32)
    return Result(
        names=names,
        eval_index=np.asarray(rows.eval_index),
        test=np.asarray(rows.test > 0),
        validation=np.asarray(rows.validation > 0),
        probabilities=np.zeros((num_folds, evaluated, num_classes), np.float32),
        predicted=np.full((num_folds, epochs, evaluated), -1, np.int32),
        train_loss=nan(),
        train_accuracy=nan(),
        test_accuracy=nan(),
        validation_loss=nan(),
        status=np.zeros((num_folds, epochs), np.int8),
        chosen_epoch=np.zeros(num_folds, np.int32),
        epochs_run=np.zeros(num_folds, np.int32),
        sample_counts=np.zeros(rows.train.shape, np.int32),
        statistics_mask=np.zeros(rows.train.shape, bool),
        seconds=0.0,
    )


# Known without these arrays: from the folds, or from the checkpoint's position.
_NOT_SAVED = ("names", "eval_index", "test", "validation", "seconds")


def checkpoint_arrays(result: Result) -> dict[str, np.ndarray]:
    """The arrays of a result that a checkpoint saves; without an epoch there are no curves."""
    arrays = {k: v for k, v in result._asdict().items() if k not in _NOT_SAVED}
    return {name: array for name, array in arrays.items() if array.size}


# Of an epoch's record in metrics.jsonl.
_CURVES = ("test_accuracy", "train_accuracy", "train_loss")


def learning_curves(result: Result) -> dict[str, Any]:
    """The learning curves of a result, as `io.learning_curves.read` reads them."""
    curves = {name: getattr(result, name).astype(np.float64) for name in _CURVES}
    return {"folds": result.names, "epochs": np.arange(result.status.shape[1]) + 1} | curves


def set_final(result: Result, predictions: FoldPredictions, members: range) -> None:
    """Writes the final predictions of the rows `members` into the result, in place."""
    for name, value in predictions._asdict().items():
        getattr(result, name)[members] = value[: len(members)]


def set_epochs(result: Result, record: Record, members: range, done: int) -> None:
    """Writes a block's records [F, block, ...] into the result, in place, from epoch `done` on."""
    for name, value in record._asdict().items():
        target = getattr(result, name)
        target[members, done : done + value.shape[1]] = value[: len(members)]
    _hold_ended(result, members, done, done + record.status.shape[1])
    unvalidated = [row for row in members if not result.validation[row].any()]
    result.validation_loss[unvalidated, done:] = np.nan


def all_ended(result: Result, members: range, done: int) -> bool:
    """Whether none of the rows `members` trains on after `done` epochs."""
    return done > 0 and bool((result.status[members, done - 1] != RUNNING).all())


def repeat_last(result: Result, members: range, done: int, count: int) -> None:
    """Writes the record of epoch `done` to the next `count` epochs of ended rows, in place."""
    for name in Record._fields:
        curve = getattr(result, name)
        curve[members, done : done + count] = curve[members, done - 1 : done]


# Of an epoch's record, what is of the network after it.
_HELD = ("test_accuracy", "validation_loss", "predicted")


def _hold_ended(result: Result, members: range, done: int, end: int) -> None:
    """Of the epochs `done` to `end` - 1 after that in which a fold stopped, the measurements of
    that one, in place: the network does not change any more. A fold that diverged predicts by the
    network before."""
    for row in members:
        ended = np.flatnonzero(result.status[row, :end] != RUNNING)
        if not ended.size:
            continue
        diverged = result.status[row, ended[0]] == DIVERGED
        names = _HELD if diverged else (*_HELD, "train_loss", "train_accuracy")
        last = int(ended[0]) - diverged
        for name in names if last >= 0 else ():
            curve = getattr(result, name)[row]
            curve[max(last + 1, done) : end] = curve[last]


def notify(
    on_epoch_end: Callable[[int, dict], None],
    result: Result,
    members: range,
    epochs: range,
    count: int,
) -> None:
    """Calls `on_epoch_end` with each epoch of the rows `members`, one call a variant."""
    size = len(result.names) // count
    for variant in range(members.start // size, -(-members.stop // size)):
        rows = slice(max(members.start, variant * size), min(members.stop, (variant + 1) * size))
        for epoch in epochs:
            line = {"epoch": epoch + 1, "folds": list(result.names[rows])}
            for name in reversed(_CURVES):
                line[name] = getattr(result, name)[rows, epoch].tolist()
            on_epoch_end(variant, line)


def split_variants(result: Result, count: int) -> list[Result]:
    """The results of `count` variants, whose folds follow one another in the rows of `result`."""
    size = len(result.names) // count
    rows_of_variant = lambda variant: {
        name: value[variant * size : (variant + 1) * size]
        for name, value in result._asdict().items()
        if name != "seconds"
    }
    return [result._replace(**rows_of_variant(variant)) for variant in range(count)]
