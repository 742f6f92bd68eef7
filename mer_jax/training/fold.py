"""One fold: its state, its step, its epoch. No fold axis is in sight here; `layout` adds it.

Everything static (the network's graph, the loss, the optimiser, the numbers of steps) stands in
`Task`, which the compiled functions close over; everything that differs between folds is an array
in `Fold` or `State`.
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
from mer_jax.training import initial, optimisers, streams, targets
from mer_jax.training.losses import Loss
from mer_jax.training.settings import PLATEAU_RULES, PRECISIONS

Tree = Any

RUNNING, STOPPED, SICK = 0, 1, 2  # what `State.status` says


class Task(NamedTuple):
    """What all folds of a job share and no array of the state carries."""

    examples: Examples  # its functions; its arrays are passed as Data
    train_graph: Any  # nnx.GraphDef in training mode
    eval_graph: Any  # nnx.GraphDef in evaluation mode
    build: Callable[[jax.Array], nnx.Module]  # key -> network
    loss: Loss
    optimiser: optax.GradientTransformation
    num_classes: int
    steps: int  # S, steps an epoch
    width: int  # B, rows a batch
    sampler: str  # "shuffle" or "balanced"
    choice: str  # which epoch's network speaks: "last", "validation", "test" (as published)
    patience: int  # epochs in a row without a better score until a fold stops; 0: never
    stop_change: float  # a fold stops when its loss changes by less; 0: never
    plateau: int  # epochs in a row without until the learning rate falls to a tenth; 0: never
    plateau_rule: str  # a key of `settings.PLATEAU_RULES`
    precision: str  # a key of `settings.PRECISIONS`
    remat: bool  # compute what lies between convolutions again for the gradient, do not keep it


class Data(NamedTuple):
    """On every device once, shared by all folds."""

    inputs: Tree  # [N, ...], float32 or stored as float16
    labels: jax.Array  # [N] int32, or [N, K] of 0 and 1: see `targets`
    start: initial.Weights  # what every fold's network starts from, by dotted path


class Fold(NamedTuple):
    """One fold's row: who trains, who validates, who is tested."""

    key: jax.Array  # typed PRNG key, from the seed and the fold's name
    rate: jax.Array  # [] float32, learning rate
    train: jax.Array  # [N] bool
    learned: jax.Array  # [N] bool: whom the statistics see; `train`, or all clips as published
    held: jax.Array  # [M] int32: the clips that are watched, test first; padded with 0
    test: jax.Array  # [M] float32: 1 where `held` is a test clip
    validation: jax.Array  # [M] float32: 1 where `held` is a validation clip


@chex.dataclass(frozen=True)
class State:
    """One fold's network and where it stands."""

    params: Tree
    rest: Tree  # batch statistics, dropout counters
    opt: Tree
    statistics: Tree  # what the method learned from this fold's training clips
    epoch: jax.Array  # [] int32, epochs seen
    status: jax.Array  # [] int32: RUNNING, STOPPED or SICK
    loss: jax.Array  # [] float32, last epoch's training loss
    scale: jax.Array  # [] float32, plateau factor on the learning rate
    plateau_best: jax.Array  # [] float32, best score as `Task.plateau_rule` counts
    plateau_waited: jax.Array  # [] int32, epochs since, or since the rate fell
    best: Tree  # (params, rest) of the chosen epoch, or () for "last"
    best_score: jax.Array  # [] float32, higher is better
    best_epoch: jax.Array  # [] int32
    waited: jax.Array  # [] int32, epochs since the last better score
    visits: jax.Array  # [N] int32: how often a batch held each clip, for the guard
    learned: jax.Array  # [N] bool: which clips the statistics saw, for the guard


class Record(NamedTuple):
    """What one epoch of one fold reports."""

    train_loss: jax.Array  # [] float32, mean over the epoch's samples, as they were trained on
    train_accuracy: jax.Array  # [] float32, likewise
    test_accuracy: jax.Array  # [] float32, watched; it decides nothing unless choice is "test"
    validation_loss: jax.Array  # [] float32, `Task.loss` of them; infinite without them
    predicted: jax.Array  # [M] int32, what is said of each held clip after this epoch
    status: jax.Array  # [] int32


def init(task: Task, data: Data, fold: Fold) -> State:
    """A fresh state: parameters from the fold's key, statistics from its training clips."""
    model = task.build(streams.named(fold.key, "init"))
    _, *trees = nnx.split(model, nnx.Param, ...)
    params, rest = (initial.put(nnx.as_pure(tree), data.start) for tree in trees)
    zero = jnp.zeros((), jnp.int32)
    return State(
        params=params,
        rest=rest,
        opt=optimisers.init(task.optimiser, params),
        statistics=task.examples.learn(wide(data.inputs), fold.learned.astype(jnp.float32)),
        epoch=zero,
        status=zero,
        loss=jnp.full((), jnp.inf, jnp.float32),
        scale=jnp.ones(()),
        plateau_best=jnp.full((), jnp.finfo(jnp.float32).min),  # a finite one can be scaled
        plateau_waited=zero,
        best=() if task.choice == "last" else (params, rest),
        best_score=jnp.full((), -jnp.inf, jnp.float32),
        best_epoch=zero,
        waited=zero,
        visits=jnp.zeros(fold.train.shape, jnp.int32),
        learned=fold.learned,
    )


def epoch(task: Task, data: Data, fold: Fold, state: State) -> tuple[State, Record]:
    """One pass over the fold's training clips, then a look at its held-out ones.

    What the look sees is recorded; it changes the state only through validation clips (patience,
    choice "validation") or, as published, choice "test".
    """
    key = jax.random.fold_in(fold.key, state.epoch)
    index, mask = _batches(task, data, fold, streams.named(key, "batches"))
    kind = targets.of(data.labels)
    counts = kind.counts(data.labels, fold.train, task.num_classes)
    augment_key = streams.named(key, "augment")
    learner = training(task)

    def step(carry, batch):
        params, rest, opt = carry
        index, mask, number = batch
        keys = jax.random.split(jax.random.fold_in(augment_key, number), task.width)
        samples = wide(jax.tree.map(lambda a: a[index], data.inputs))
        x = jax.vmap(task.examples.augment, (0, 0, None))(keys, samples, state.statistics)
        labels = data.labels[index]

        def objective(params):
            logits, rest_after = learner(params, rest, x, mask)
            return task.loss(logits, labels, mask, counts), (rest_after, logits)

        (loss, (rest, logits)), grads = jax.value_and_grad(objective, has_aux=True)(params)
        rate = fold.rate * state.scale
        params, opt = optimisers.descend(task.optimiser, params, grads, opt, rate)
        hits = jnp.sum(kind.right(logits, labels) * mask)
        return (params, rest, opt), (loss * jnp.sum(mask), hits)

    numbers = jnp.arange(task.steps, dtype=jnp.int32)
    carry = (state.params, state.rest, state.opt)
    (params, rest, opt), (losses, hits) = jax.lax.scan(step, carry, (index, mask, numbers))
    samples = jnp.sum(mask)
    loss = jnp.sum(losses) / samples

    after = dataclasses.replace(
        state,
        params=params,
        rest=rest,
        opt=opt,
        epoch=state.epoch + 1,
        visits=state.visits.at[index].add(1),
    )
    logits = _held_logits(task, data, fold, after)
    labels = data.labels[fold.held]
    right = kind.right(logits, labels) * fold.test
    # Infinite without validation clips: NaN would end every job under JAX_DEBUG_NANS.
    validation_loss = task.loss(logits, labels, fold.validation, counts)
    validation_loss = jnp.where(jnp.any(fold.validation > 0), validation_loss, jnp.inf)
    test_accuracy = jnp.sum(right) / jnp.sum(fold.test)
    after = _decide(task, state, after, loss, validation_loss, test_accuracy)

    # A fold that has stopped, or whose loss is no number, keeps the state it had.
    running = state.status == RUNNING
    finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(logits))
    kept = dataclasses.replace(
        state, status=jnp.where(running, SICK, state.status).astype(jnp.int32)
    )
    state = jax.lax.cond(running & finite, lambda: after, lambda: kept)
    record = Record(
        train_loss=loss,
        train_accuracy=jnp.sum(hits) / samples,
        test_accuracy=test_accuracy,
        validation_loss=validation_loss,
        predicted=kind.said(logits),
        status=state.status,
    )
    return state, record


class Outcome(NamedTuple):
    """What a fold ends with."""

    probabilities: jax.Array  # [M, K] of the held clips, by the network of the chosen epoch
    chosen_epoch: jax.Array  # [] int32, counted from 1; "last" is the last that the fold ran
    epochs_run: jax.Array  # [] int32
    visits: jax.Array  # [N] int32
    learned: jax.Array  # [N] bool


def finish(task: Task, data: Data, fold: Fold, state: State) -> Outcome:
    """What the fold has to say, and what the guard wants to know."""
    speaker, chosen = state, state.epoch
    if task.choice != "last":
        params, rest = state.best
        speaker, chosen = dataclasses.replace(state, params=params, rest=rest), state.best_epoch
    probabilities = targets.of(data.labels).chances(_held_logits(task, data, fold, speaker))
    return Outcome(probabilities, chosen, state.epoch, state.visits, state.learned)


def wide(inputs: Tree) -> Tree:
    """What was stored in 16 bits, in 32."""
    return jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float16 else a, inputs)


def training(task: Task) -> Callable[..., tuple[jax.Array, Tree]]:
    """(params, rest, x, mask) -> what `answer` says in training mode, ready for the gradient."""
    learner = partial(answer, task, task.train_graph)
    return jax.checkpoint(learner, policy=KEPT) if task.remat else learner


def answer(
    task: Task, graph: Any, params: Tree, rest: Tree, x: Tree, mask: jax.Array | None = None
) -> tuple[jax.Array, Tree]:
    """(logits [B, K] float32, the rest as the network leaves it), in the task's precision."""
    dtype, products = PRECISIONS[task.precision]

    def narrow(tree):
        real = lambda a: jnp.issubdtype(a.dtype, jnp.floating)
        return jax.tree.map(lambda a: a.astype(dtype) if real(a) else a, tree)

    with jax.default_matmul_precision(products):
        model = nnx.merge(graph, narrow(params), rest)
        logits = model(narrow(x), mask=mask)
    return logits.astype(jnp.float32), nnx.as_pure(nnx.state(model, nnx.Not(nnx.Param)))


def _batches(task: Task, data: Data, fold: Fold, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    size = dict(steps=task.steps, width=task.width)
    if task.sampler == "balanced":
        return streams.balanced(key, fold.train, data.labels, num_classes=task.num_classes, **size)
    return streams.shuffled(key, fold.train, copies=task.examples.copies, **size)


def _held_logits(task: Task, data: Data, fold: Fold, state: State) -> jax.Array:
    """Logits [M, K], a batch at a time so that memory stays that of a training batch."""

    def one(index):
        sample = wide(jax.tree.map(lambda a: a[index], data.inputs))
        return task.examples.view(sample, state.statistics)

    def batch(index):
        model = lambda x: answer(task, task.eval_graph, state.params, state.rest, x)[0]
        samples = jax.vmap(one)(index)
        if task.examples.votes == 1:
            return model(samples)
        return _majority(jax.lax.map(model, jax.tree.map(lambda a: a.swapaxes(0, 1), samples)))

    held = fold.held.shape[0]
    width = min(task.width, held)
    rows = jnp.pad(fold.held, (0, -held % width)).reshape(-1, width)
    if len(rows) == 1:
        return batch(rows[0])
    return jax.lax.map(batch, rows).reshape(rows.size, -1)[:held]


def _majority(logits: jax.Array) -> jax.Array:
    """[V, M, K] -> [M, K]: the log of each class's share of the votes.

    A thousandth of the mean probability is added: it parts classes with equally many votes.
    """
    votes = jax.nn.one_hot(jnp.argmax(logits, -1), logits.shape[-1], dtype=logits.dtype)
    return jnp.log(jnp.mean(votes + 1e-3 * jax.nn.softmax(logits), 0) / 1.001)


def _decide(task, before, after, loss, validation_loss, test_accuracy) -> State:
    """Stopping, plateau and the choice of the epoch that speaks."""
    stop = jnp.abs(before.loss - loss) < task.stop_change
    score = {"last": -loss, "validation": -validation_loss, "test": test_accuracy}[task.choice]
    better = score > before.best_score
    waited = jnp.where(better, 0, before.waited + 1).astype(jnp.int32)
    if task.patience:
        stop |= waited >= task.patience
    plateau_best, plateau_waited, falls = _plateau(
        task, before.plateau_best, before.plateau_waited, score
    )
    best = before.best
    if task.choice != "last":
        now = (after.params, after.rest)
        best = jax.lax.cond(better, lambda: now, lambda: before.best)
    return after.replace(
        status=jnp.where(stop, STOPPED, RUNNING).astype(jnp.int32),
        loss=loss,
        scale=jnp.where(falls, before.scale * 0.1, before.scale),
        plateau_best=plateau_best,
        plateau_waited=plateau_waited,
        best=best,
        best_score=jnp.where(better, score, before.best_score),
        best_epoch=jnp.where(better, after.epoch, before.best_epoch),
        waited=waited,
    )


def _plateau(task, best, waited, score) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(the best score, epochs since it or since the last fall, whether the learning rate falls)."""
    threshold, more = PLATEAU_RULES[task.plateau_rule]
    better = score > best + threshold * jnp.abs(best)
    waited = jnp.where(better, 0, waited + 1).astype(jnp.int32)
    falls = waited >= task.plateau + more if task.plateau else jnp.zeros((), bool)
    return jnp.where(better, score, best), jnp.where(falls, 0, waited), falls
