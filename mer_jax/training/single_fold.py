"""One fold: initialization, an epoch, predictions. `parallel` adds the fold axis.

Everything static (graph of the network, loss, optimizer, numbers of steps) is in `StaticConfig`,
which the compiled functions close over; everything that differs between folds is an array in
`FoldArrays` or `State`.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mer_jax.errors import UserError, first_of
from mer_jax.methods.examples import Examples
from mer_jax.nn import SAVEABLE
from mer_jax.training import label_kinds, losses, optimizers, records, rng
from mer_jax.training.records import (
    DIVERGED,
    RUNNING,
    STOPPED,
    Data,
    FoldArrays,
    FoldPredictions,
    PartialEpoch,
    Record,
    State,
    Tree,
)
from mer_jax.training.settings import PLATEAU_RULES, PRECISIONS, Settings


class StaticConfig(NamedTuple):
    """What all folds of a job share, arrays apart."""

    examples: Examples  # its functions; its arrays are passed as Data
    train_graph: Any  # nnx.GraphDef in training mode
    eval_graph: Any  # nnx.GraphDef in evaluation mode
    build: Callable[[jax.Array], nnx.Module]  # key -> network
    loss: losses.Loss
    train_loss: losses.Loss  # the same with label smoothing
    optimizer: optax.GradientTransformation
    num_classes: int
    steps: int  # S, steps an epoch
    batch_size: int  # B, rows a batch
    settings: Settings  # without `variants`: of these, seed and rate are in `FoldArrays`
    remat: bool  # recompute activations between convolutions for the gradient
    in_parts: bool  # an epoch is several calls, between which a job can stop
    skips: bool = True  # a batch may be empty, and is no step


# Numbers that an epoch reads: half a second of a small network on one core, minutes of a large one.
_LONG_EPOCH = 2**24


def make_static_config(
    examples: Examples,
    clips: int,
    settings: Settings,
    *,
    num_classes: int,
    build: Callable[[nnx.Rngs], nnx.Module],
    remat: bool = False,
) -> StaticConfig:
    """The static configuration of a job of N = `clips` clips.

    build: makes a network of K = `num_classes` from its random streams.
    """
    steps, batch_size = rng.steps_and_batch_size(
        clips, settings.batch_size, examples.repeats_per_epoch, sampler=settings.sampler
    )
    model = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    model.train()
    train_graph = nnx.split(model)[0]
    model.eval()
    eval_graph = nnx.split(model)[0]
    rates = optimizers.schedule(
        settings.schedule,
        epochs=settings.epochs,
        steps=steps,
        rate=settings.schedule_rate,
        every=settings.schedule_every,
    )
    loss = losses.create(settings.loss)
    is_shape = lambda s: isinstance(s, tuple) and all(isinstance(n, int) for n in s)
    shapes = jax.tree.leaves(examples.input_shape, is_leaf=is_shape)
    shapes = shapes or [a.shape[1:] for a in jax.tree.leaves(examples.inputs)]
    size = sum(map(math.prod, shapes))
    return StaticConfig(
        examples=dataclasses.replace(examples, inputs=None),
        train_graph=train_graph,
        eval_graph=eval_graph,
        build=lambda key: build(nnx.Rngs(key)),
        loss=loss,
        train_loss=losses.smoothed(loss, settings.label_smoothing),
        optimizer=optimizers.create(
            settings.optimizer,
            rates,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        ),
        num_classes=num_classes,
        steps=steps,
        batch_size=batch_size,
        settings=settings,
        remat=remat,
        in_parts=steps > 1 and steps * batch_size * size > _LONG_EPOCH,
    )


def init(static: StaticConfig, data: Data, fold: FoldArrays) -> State:
    """A fresh state: parameters from the fold's key, statistics from its training clips.

    Not of inputs on the host, see `programs.compile_programs`.
    """
    model = static.build(rng.fold_in_name(fold.key, "init"))
    trees = [nnx.as_pure(tree) for tree in nnx.split(model, nnx.Param, ...)[1:]]
    given = {**data.initial_weights, **fold.initial_weights}
    known = {name: leaf for tree in trees for name, leaf in records.named_leaves(tree).items()}
    if unknown := sorted(given.keys() - known.keys()):
        raise UserError(f"the network has no tensor {first_of(unknown)} of the initial weights")
    for name, value in given.items():
        if np.shape(value) != known[name].shape:
            raise UserError(
                f"{name} is {known[name].shape}, and the weights for it are {np.shape(value)}"
            )
    params, model_state = (records.replace_leaves(tree, given) for tree in trees)
    zero = jnp.zeros((), jnp.int32)
    return State(
        params=params,
        model_state=model_state,
        opt=optimizers.init(static.optimizer, params),
        statistics=static.examples.fit_statistics(
            records.to_float32(data.inputs), fold.statistics_mask.astype(jnp.float32)
        ),
        epoch=zero,
        status=zero,
        loss=jnp.full((), jnp.inf, jnp.float32),
        lr_scale=jnp.ones(()),
        plateau_best=jnp.full((), jnp.finfo(jnp.float32).min),  # a finite one can be scaled
        plateau_waited=zero,
        best=() if static.settings.model_selection == "last" else (params, model_state),
        best_score=jnp.full((), -jnp.inf, jnp.float32),
        best_epoch=zero,
        epochs_without_improvement=zero,
        sample_counts=jnp.zeros(fold.train.shape, jnp.int32),
        statistics_mask=fold.statistics_mask,
    )


def epoch(static: StaticConfig, data: Data, fold: FoldArrays, state: State) -> tuple[State, Record]:
    """Trains on the fold's training clips once, then evaluates its held-out clips.

    The evaluation is recorded. It changes the state only by validation clips (early stopping, lower
    learning rate, model_selection "best_val") or, as published, by model_selection "best_test".
    """
    trained = train_steps(static, data, fold, state, begin_epoch(static, state), 0, static.steps)
    return end_epoch(static, data, fold, state, trained)


def begin_epoch(static: StaticConfig, state: State) -> PartialEpoch:
    """An epoch of which no step is done."""
    zeros = jnp.zeros(static.steps)
    return PartialEpoch(state.params, state.model_state, state.opt, losses=zeros, correct=zeros)


def end_epoch(
    static: StaticConfig, data: Data, fold: FoldArrays, state: State, trained: PartialEpoch
) -> tuple[State, Record]:
    """The second half of `epoch`. state: before it; trained: after its last step."""
    index, mask = _batches(static, data, fold, state)
    kind = label_kinds.label_kind(data.labels)
    counts = kind.counts(data.labels, fold.train, static.num_classes)
    samples = jnp.sum(mask)
    loss = jnp.sum(trained.losses) / samples
    after = dataclasses.replace(
        state,
        params=trained.params,
        model_state=trained.model_state,
        opt=trained.opt,
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
    after = _decide(static.settings, state, after, loss, validation_loss, test_accuracy)

    # A fold that has stopped, or that diverged, keeps its state; what it predicts has no say in it.
    running = state.status == RUNNING
    weights = [a for a in jax.tree.leaves((after.params, after.model_state)) if _is_real(a)]
    finite = jnp.isfinite(loss) & jnp.all(jnp.array([jnp.all(jnp.isfinite(a)) for a in weights]))
    unchanged = dataclasses.replace(
        state, status=jnp.where(running, DIVERGED, state.status).astype(jnp.int32)
    )
    state = jax.lax.cond(running & finite, lambda: after, lambda: unchanged)
    record = Record(
        train_loss=loss,
        train_accuracy=jnp.sum(trained.correct) / samples,
        test_accuracy=test_accuracy,
        validation_loss=validation_loss,
        predicted=kind.predict(logits),
        status=state.status,
    )
    return state, record


def _is_real(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def train_steps(
    static: StaticConfig,
    data: Data,
    fold: FoldArrays,
    state: State,
    before: PartialEpoch,
    start: int | jax.Array,
    stop: int | jax.Array,
) -> PartialEpoch:
    """Trains on the batches `start` to `stop` - 1 of the epoch after `state`, one after the other.

    before: the epoch after its steps up to `start`.
    """
    batches, masks = _batches(static, data, fold, state)
    kind, forward = label_kinds.label_kind(data.labels), train_forward(static)
    counts = kind.counts(data.labels, fold.train, static.num_classes)
    augment_key = _epoch_key(fold, state, "augment")

    def step(number, carry):
        params, model_state, opt, losses, correct = carry
        index, mask = batches[number], masks[number]
        keys = jax.random.split(jax.random.fold_in(augment_key, number), static.batch_size)
        samples = records.input_rows(data, index)
        x = jax.vmap(static.examples.augment, (0, 0, None))(keys, samples, state.statistics)
        labels = data.labels[index]
        if static.settings.mixup:
            mix_key = jax.random.fold_in(rng.fold_in_name(augment_key, "mixup"), number)
            x, weight, partner = _mix(mix_key, x, mask, static.settings.mixup)

        def objective(params):
            logits, new_model_state = forward(params, model_state, x, mask)
            loss = static.train_loss(logits, labels, mask, counts)
            if static.settings.mixup:
                other = static.train_loss(logits, labels[partner], mask, counts)
                loss = weight * loss + (1 - weight) * other
            return loss, (new_model_state, logits)

        # Custom gradients are traced here, outside of the network's own context.
        with jax.default_matmul_precision(PRECISIONS[static.settings.precision][1]):
            (loss, (model_state, logits)), grads = jax.value_and_grad(objective, has_aux=True)(
                params
            )
        rate = fold.rate * state.lr_scale
        params, opt = optimizers.apply_gradients(static.optimizer, params, grads, opt, rate)
        after = carry._replace(params=params, model_state=model_state, opt=opt)
        if static.skips:
            after = optimizers.skip_step(jnp.any(mask > 0), after, carry)
        real = jnp.sum(mask)
        # A loss of the user's may be NaN for a batch without a sample.
        losses = losses.at[number].set(jnp.where(real > 0, loss * real, 0.0))
        correct = correct.at[number].set(jnp.sum(kind.accuracy(logits, labels) * mask))
        return after._replace(losses=losses, correct=correct)

    return jax.lax.fori_loop(start, stop, step, before)


def _mix(
    key: jax.Array, x: Tree, mask: jax.Array, alpha: float
) -> tuple[Tree, jax.Array, jax.Array]:
    """Mixup (Zhang, Cisse, Dauphin & Lopez-Paz 2018) of the samples x [B, ...], mask [B].

    Returns:
      Weighted means of each sample and its partner; the sample's weight, in [0.5, 1] and one for
      the batch; the partners [B], which permute the real samples (they come first).
    """
    for_weight, for_order = jax.random.split(key)
    weight = jax.random.beta(for_weight, alpha, alpha)
    weight = jnp.maximum(weight, 1 - weight)
    order = jnp.argsort(jnp.where(mask > 0, jax.random.uniform(for_order, mask.shape), 2.0))
    return jax.tree.map(lambda a: weight * a + (1 - weight) * a[order], x), weight, order


def predict_held_out(
    static: StaticConfig, data: Data, fold: FoldArrays, state: State
) -> FoldPredictions:
    """The predictions of the selected epoch's network for the fold's evaluated clips."""
    selected_state, chosen_epoch = state, state.epoch
    if static.settings.model_selection != "last":
        params, model_state = state.best
        selected_state = dataclasses.replace(state, params=params, model_state=model_state)
        chosen_epoch = state.best_epoch
    logits = _eval_logits(static, data, fold, selected_state)
    return FoldPredictions(
        probabilities=label_kinds.label_kind(data.labels).probabilities(logits),
        chosen_epoch=chosen_epoch,
        epochs_run=state.epoch,
        sample_counts=state.sample_counts,
        statistics_mask=state.statistics_mask,
    )


def train_forward(static: StaticConfig) -> Callable[..., tuple[jax.Array, Tree]]:
    """(params, model_state, x, mask) -> `apply_model` in training mode, with `remat` if set."""
    forward = partial(apply_model, static, static.train_graph)
    return jax.checkpoint(forward, policy=SAVEABLE) if static.remat else forward


def apply_model(
    static: StaticConfig,
    graph: Any,
    params: Tree,
    model_state: Tree,
    x: Tree,
    mask: jax.Array | None = None,
) -> tuple[jax.Array, Tree]:
    """(logits [B, K] float32, new model_state), computed in `static.settings.precision`."""
    dtype, products = PRECISIONS[static.settings.precision]

    def narrow(tree):
        real = lambda a: jnp.issubdtype(a.dtype, jnp.floating)
        return jax.tree.map(lambda a: a.astype(dtype) if real(a) else a, tree)

    with jax.default_matmul_precision(products):
        model = nnx.merge(graph, narrow(params), model_state)
        logits = model(narrow(x), mask=mask)
    return logits.astype(jnp.float32), nnx.as_pure(nnx.state(model, nnx.Not(nnx.Param)))


def _epoch_key(fold: FoldArrays, state: State, purpose: str) -> jax.Array:
    return rng.fold_in_name(jax.random.fold_in(fold.key, state.epoch), purpose)


def _batches(
    static: StaticConfig, data: Data, fold: FoldArrays, state: State
) -> tuple[jax.Array, jax.Array]:
    """Clips [S, B] and their mask [S, B] of the epoch after `state`."""
    return rng.batches(
        _epoch_key(fold, state, "batches"),
        fold.train,
        data.labels,
        sampler=static.settings.sampler,
        num_classes=static.num_classes,
        steps=static.steps,
        batch_size=static.batch_size,
        repeats_per_epoch=static.examples.repeats_per_epoch,
    )


def _eval_logits(static: StaticConfig, data: Data, fold: FoldArrays, state: State) -> jax.Array:
    """Logits [M, K] of the evaluated clips, a batch at a time to bound memory."""

    def one(index):
        return static.examples.eval_transform(records.input_rows(data, index), state.statistics)

    def batch(index):
        model = lambda x: apply_model(
            static, static.eval_graph, state.params, state.model_state, x
        )[0]
        samples = jax.vmap(one)(index)
        if static.examples.num_views == 1:
            return model(samples)
        views = jax.tree.map(lambda a: a.swapaxes(0, 1), samples)
        return static.examples.combine_views(jax.lax.map(model, views))

    count = fold.eval_index.shape[0]
    batch_size = min(static.batch_size, count)
    rows = jnp.pad(fold.eval_index, (0, -count % batch_size)).reshape(-1, batch_size)
    if len(rows) == 1:
        return batch(rows[0])
    return jax.lax.map(batch, rows).reshape(rows.size, -1)[:count]


def _decide(settings: Settings, before, after, loss, validation_loss, test_accuracy) -> State:
    """Early stopping, learning-rate plateau and model selection."""
    stop = jnp.abs(before.loss - loss) < settings.min_loss_change
    score = {"last": -loss, "best_val": -validation_loss, "best_test": test_accuracy}[
        settings.model_selection
    ]
    better = score > before.best_score
    waited = jnp.where(better, 0, before.epochs_without_improvement + 1).astype(jnp.int32)
    if settings.early_stopping_patience:
        stop |= waited >= settings.early_stopping_patience
    plateau_best, plateau_waited, falls = _plateau(
        settings, before.plateau_best, before.plateau_waited, score
    )
    best = before.best
    if settings.model_selection != "last":
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
        epochs_without_improvement=waited,
    )


def _plateau(settings, best, waited, score) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(best score, epochs since it or since the rate last fell, whether the rate falls now)."""
    threshold, more = PLATEAU_RULES[settings.lr_plateau_rule]
    better = score > best + threshold * jnp.abs(best)
    waited = jnp.where(better, 0, waited + 1).astype(jnp.int32)
    falls = (
        waited >= settings.lr_plateau_patience + more
        if settings.lr_plateau_patience
        else jnp.zeros((), bool)
    )
    return jnp.where(better, score, best), jnp.where(falls, 0, waited), falls
