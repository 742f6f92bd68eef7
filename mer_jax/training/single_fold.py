"""One fold: its state, its step, its epoch. No fold axis is in sight here; `layout` adds it.

Everything static (the network's graph, the loss, the optimiser, the numbers of steps) stands in
`StaticConfig`, which the compiled functions close over; everything that differs between folds is an array
in `FoldArrays` or `State`.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from flax import nnx

from mer_jax.methods.examples import Examples
from mer_jax.nn import KEPT
from mer_jax.training import initialization, label_kinds, optimizers, rng
from mer_jax.training.losses import Loss
from mer_jax.training.settings import PLATEAU_RULES, PRECISIONS

Tree = Any

RUNNING, STOPPED, DIVERGED = 0, 1, 2  # what `State.status` says


class StaticConfig(NamedTuple):
    """What all folds of a job share and no array of the state carries."""

    examples: Examples  # its functions; its arrays are passed as Data
    train_graph: Any  # nnx.GraphDef in training mode
    eval_graph: Any  # nnx.GraphDef in evaluation mode
    build: Callable[[jax.Array], nnx.Module]  # key -> network
    loss: Loss
    optimizer: optax.GradientTransformation
    num_classes: int
    steps: int  # S, steps an epoch
    batch_size: int  # B, rows a batch
    sampler: str  # "shuffle" or "balanced"
    model_selection: (
        str  # which epoch's network speaks: "last", "best_val", "best_test" (as published)
    )
    early_stopping_patience: (
        int  # epochs in a row without a better score until a fold stops; 0: never
    )
    min_loss_change: float  # a fold stops when its loss changes by less; 0: never
    lr_plateau_patience: (
        int  # epochs in a row without until the learning rate falls to a tenth; 0: never
    )
    lr_plateau_rule: str  # a key of `settings.PLATEAU_RULES`
    precision: str  # a key of `settings.PRECISIONS`
    remat: bool  # compute what lies between convolutions again for the gradient, do not keep it


class Data(NamedTuple):
    """On every device once, shared by all folds."""

    inputs: Tree  # [N, ...], float32 or stored as float16
    labels: jax.Array  # [N] int32, or [N, K] of 0 and 1: see `targets`
    initial_weights: initialization.Weights  # what every fold's network starts from, by dotted path


class FoldArrays(NamedTuple):
    """One fold's row: who trains, who validates, who is tested."""

    key: jax.Array  # typed PRNG key, from the seed and the fold's name
    rate: jax.Array  # [] float32, learning rate
    train: jax.Array  # [N] bool
    statistics_mask: (
        jax.Array
    )  # [N] bool: whom the statistics see; `train`, or all clips as published
    eval_index: jax.Array  # [M] int32: the clips that are watched, test first; padded with 0
    test: jax.Array  # [M] float32: 1 where `eval_index` is a test clip
    validation: jax.Array  # [M] float32: 1 where `eval_index` is a validation clip


@chex.dataclass(frozen=True)
class State:
    """One fold's network and where it stands."""

    params: Tree
    model_state: Tree  # batch statistics, dropout counters
    opt: Tree
    statistics: Tree  # what the method learned from this fold's training clips
    epoch: jax.Array  # [] int32, epochs seen
    status: jax.Array  # [] int32: RUNNING, STOPPED or SICK
    loss: jax.Array  # [] float32, last epoch's training loss
    lr_scale: jax.Array  # [] float32, plateau factor on the learning rate
    plateau_best: jax.Array  # [] float32, best score as `Task.lr_plateau_rule` counts
    plateau_waited: jax.Array  # [] int32, epochs since, or since the rate fell
    best: Tree  # (params, rest) of the chosen epoch, or () for "last"
    best_score: jax.Array  # [] float32, higher is better
    best_epoch: jax.Array  # [] int32
    epochs_without_improvement: jax.Array  # [] int32, epochs since the last better score
    sample_counts: jax.Array  # [N] int32: how often a batch held each clip, for the guard
    statistics_mask: jax.Array  # [N] bool: which clips the statistics saw, for the guard


class Record(NamedTuple):
    """What one epoch of one fold reports."""

    train_loss: jax.Array  # [] float32, mean over the epoch's samples, as they were trained on
    train_accuracy: jax.Array  # [] float32, likewise
    test_accuracy: jax.Array  # [] float32, watched; it decides nothing unless choice is "test"
    validation_loss: jax.Array  # [] float32, `Task.loss` of them; infinite without them
    predicted: jax.Array  # [M] int32, what is said of each held clip after this epoch
    status: jax.Array  # [] int32


def init(static: StaticConfig, data: Data, fold: FoldArrays) -> State:
    """A fresh state: parameters from the fold's key, statistics from its training clips."""
    model = static.build(rng.fold_in_name(fold.key, "init"))
    _, *trees = nnx.split(model, nnx.Param, ...)
    params, model_state = (
        initialization.replace_leaves(nnx.as_pure(tree), data.initial_weights) for tree in trees
    )
    zero = jnp.zeros((), jnp.int32)
    return State(
        params=params,
        model_state=model_state,
        opt=optimizers.init(static.optimizer, params),
        statistics=static.examples.fit_statistics(
            to_float32(data.inputs), fold.statistics_mask.astype(jnp.float32)
        ),
        epoch=zero,
        status=zero,
        loss=jnp.full((), jnp.inf, jnp.float32),
        lr_scale=jnp.ones(()),
        plateau_best=jnp.full((), jnp.finfo(jnp.float32).min),  # a finite one can be scaled
        plateau_waited=zero,
        best=() if static.model_selection == "last" else (params, model_state),
        best_score=jnp.full((), -jnp.inf, jnp.float32),
        best_epoch=zero,
        epochs_without_improvement=zero,
        sample_counts=jnp.zeros(fold.train.shape, jnp.int32),
        statistics_mask=fold.statistics_mask,
    )


def epoch(static: StaticConfig, data: Data, fold: FoldArrays, state: State) -> tuple[State, Record]:
    """One pass over the fold's training clips, then a look at its held-out ones.

    What the look sees is recorded; it changes the state only through validation clips (patience,
    choice "validation") or, as published, choice "test".
    """
    key = jax.random.fold_in(fold.key, state.epoch)
    index, mask = _batches(static, data, fold, rng.fold_in_name(key, "batches"))
    kind = label_kinds.label_kind(data.labels)
    counts = kind.counts(data.labels, fold.train, static.num_classes)
    augment_key = rng.fold_in_name(key, "augment")
    forward = train_forward(static)

    def step(carry, batch):
        params, model_state, opt = carry
        index, mask, number = batch
        keys = jax.random.split(jax.random.fold_in(augment_key, number), static.batch_size)
        samples = to_float32(jax.tree.map(lambda a: a[index], data.inputs))
        x = jax.vmap(static.examples.augment, (0, 0, None))(keys, samples, state.statistics)
        labels = data.labels[index]

        def objective(params):
            logits, new_model_state = forward(params, model_state, x, mask)
            return static.loss(logits, labels, mask, counts), (new_model_state, logits)

        (loss, (model_state, logits)), grads = jax.value_and_grad(objective, has_aux=True)(params)
        rate = fold.rate * state.lr_scale
        params, opt = optimizers.apply_gradients(static.optimizer, params, grads, opt, rate)
        correct = jnp.sum(kind.accuracy(logits, labels) * mask)
        return (params, model_state, opt), (loss * jnp.sum(mask), correct)

    numbers = jnp.arange(static.steps, dtype=jnp.int32)
    carry = (state.params, state.model_state, state.opt)
    (params, model_state, opt), (losses, correct) = jax.lax.scan(step, carry, (index, mask, numbers))
    samples = jnp.sum(mask)
    loss = jnp.sum(losses) / samples

    after = dataclasses.replace(
        state,
        params=params,
        model_state=model_state,
        opt=opt,
        epoch=state.epoch + 1,
        sample_counts=state.sample_counts.at[index].add(1),
    )
    logits = _eval_logits(static, data, fold, after)
    labels = data.labels[fold.eval_index]
    test_correct = kind.accuracy(logits, labels) * fold.test
    # Infinite without validation clips: NaN would end every job under JAX_DEBUG_NANS.
    validation_loss = static.loss(logits, labels, fold.validation, counts)
    validation_loss = jnp.where(jnp.any(fold.validation > 0), validation_loss, jnp.inf)
    test_accuracy = jnp.sum(test_correct) / jnp.sum(fold.test)
    after = _decide(static, state, after, loss, validation_loss, test_accuracy)

    # A fold that has stopped, or whose loss is no number, keeps the state it had.
    running = state.status == RUNNING
    finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(logits))
    kept = dataclasses.replace(
        state, status=jnp.where(running, DIVERGED, state.status).astype(jnp.int32)
    )
    state = jax.lax.cond(running & finite, lambda: after, lambda: kept)
    record = Record(
        train_loss=loss,
        train_accuracy=jnp.sum(correct) / samples,
        test_accuracy=test_accuracy,
        validation_loss=validation_loss,
        predicted=kind.predict(logits),
        status=state.status,
    )
    return state, record


class FoldPredictions(NamedTuple):
    """What a fold ends with."""

    probabilities: jax.Array  # [M, K] of the held clips, by the network of the chosen epoch
    chosen_epoch: jax.Array  # [] int32, counted from 1; "last" is the last that the fold ran
    epochs_run: jax.Array  # [] int32
    sample_counts: jax.Array  # [N] int32
    statistics_mask: jax.Array  # [N] bool


def predict_held_out(
    static: StaticConfig, data: Data, fold: FoldArrays, state: State
) -> FoldPredictions:
    """What the fold has to say, and what the guard wants to know."""
    selected_state, chosen = state, state.epoch
    if static.model_selection != "last":
        params, model_state = state.best
        selected_state, chosen = (
            dataclasses.replace(state, params=params, model_state=model_state),
            state.best_epoch,
        )
    probabilities = label_kinds.label_kind(data.labels).probabilities(
        _eval_logits(static, data, fold, selected_state)
    )
    return FoldPredictions(
        probabilities, chosen, state.epoch, state.sample_counts, state.statistics_mask
    )


def to_float32(inputs: Tree) -> Tree:
    """What was stored in 16 bits, in 32."""
    return jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float16 else a, inputs)


def train_forward(static: StaticConfig) -> Callable[..., tuple[jax.Array, Tree]]:
    """(params, rest, x, mask) -> what `apply_model` says in training mode, ready for the gradient."""
    forward = partial(apply_model, static, static.train_graph)
    return jax.checkpoint(forward, policy=KEPT) if static.remat else forward


def apply_model(
    static: StaticConfig,
    graph: Any,
    params: Tree,
    model_state: Tree,
    x: Tree,
    mask: jax.Array | None = None,
) -> tuple[jax.Array, Tree]:
    """(logits [B, K] float32, the rest as the network leaves it), in the task's precision."""
    dtype, products = PRECISIONS[static.precision]

    def narrow(tree):
        real = lambda a: jnp.issubdtype(a.dtype, jnp.floating)
        return jax.tree.map(lambda a: a.astype(dtype) if real(a) else a, tree)

    with jax.default_matmul_precision(products):
        model = nnx.merge(graph, narrow(params), model_state)
        logits = model(narrow(x), mask=mask)
    return logits.astype(jnp.float32), nnx.as_pure(nnx.state(model, nnx.Not(nnx.Param)))


def _batches(
    static: StaticConfig, data: Data, fold: FoldArrays, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    size = dict(steps=static.steps, batch_size=static.batch_size)
    if static.sampler == "balanced":
        return rng.balanced(key, fold.train, data.labels, num_classes=static.num_classes, **size)
    return rng.shuffled(
        key, fold.train, repeats_per_epoch=static.examples.repeats_per_epoch, **size
    )


def _eval_logits(static: StaticConfig, data: Data, fold: FoldArrays, state: State) -> jax.Array:
    """Logits [M, K], a batch at a time so that memory stays that of a training batch."""

    def one(index):
        sample = to_float32(jax.tree.map(lambda a: a[index], data.inputs))
        return static.examples.eval_transform(sample, state.statistics)

    def batch(index):
        model = lambda x: apply_model(
            static, static.eval_graph, state.params, state.model_state, x
        )[0]
        samples = jax.vmap(one)(index)
        if static.examples.num_views == 1:
            return model(samples)
        return _majority(jax.lax.map(model, jax.tree.map(lambda a: a.swapaxes(0, 1), samples)))

    eval_index = fold.eval_index.shape[0]
    batch_size = min(static.batch_size, eval_index)
    rows = jnp.pad(fold.eval_index, (0, -eval_index % batch_size)).reshape(-1, batch_size)
    if len(rows) == 1:
        return batch(rows[0])
    return jax.lax.map(batch, rows).reshape(rows.size, -1)[:eval_index]


def _majority(logits: jax.Array) -> jax.Array:
    """[V, M, K] -> [M, K]: the log of each class's share of the votes.

    A thousandth of the mean probability is added: it parts classes with equally many votes.
    """
    num_views = jax.nn.one_hot(jnp.argmax(logits, -1), logits.shape[-1], dtype=logits.dtype)
    return jnp.log(jnp.mean(num_views + 1e-3 * jax.nn.softmax(logits), 0) / 1.001)


def _decide(static, before, after, loss, validation_loss, test_accuracy) -> State:
    """Stopping, plateau and the choice of the epoch that speaks."""
    stop = jnp.abs(before.loss - loss) < static.min_loss_change
    score = {"last": -loss, "best_val": -validation_loss, "best_test": test_accuracy}[
        static.model_selection
    ]
    better = score > before.best_score
    epochs_without_improvement = jnp.where(better, 0, before.epochs_without_improvement + 1).astype(
        jnp.int32
    )
    if static.early_stopping_patience:
        stop |= epochs_without_improvement >= static.early_stopping_patience
    plateau_best, plateau_waited, falls = _plateau(
        static, before.plateau_best, before.plateau_waited, score
    )
    best = before.best
    if static.model_selection != "last":
        now = (after.params, after.model_state)
        best = jax.lax.cond(better, lambda: now, lambda: before.best)
    return after.replace(
        status=jnp.where(stop, STOPPED, RUNNING).astype(jnp.int32),
        loss=loss,
        lr_scale=jnp.where(falls, before.lr_scale * 0.1, before.lr_scale),
        plateau_best=plateau_best,
        plateau_waited=plateau_waited,
        best=best,
        best_score=jnp.where(better, score, before.best_score),
        best_epoch=jnp.where(better, after.epoch, before.best_epoch),
        epochs_without_improvement=epochs_without_improvement,
    )


def _plateau(
    static, best, epochs_without_improvement, score
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(the best score, epochs since it or since the last fall, whether the learning rate falls)."""
    threshold, more = PLATEAU_RULES[static.lr_plateau_rule]
    better = score > best + threshold * jnp.abs(best)
    epochs_without_improvement = jnp.where(better, 0, epochs_without_improvement + 1).astype(
        jnp.int32
    )
    falls = (
        epochs_without_improvement >= static.lr_plateau_patience + more
        if static.lr_plateau_patience
        else jnp.zeros((), bool)
    )
    return jnp.where(better, score, best), jnp.where(falls, 0, epochs_without_improvement), falls
