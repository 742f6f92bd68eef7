"""The networks of a finished run: what its last checkpoint holds, and how they answer."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from mer_jax import config as configs
from mer_jax import methods, models, reading
from mer_jax.clips import Clip
from mer_jax.methods import Examples
from mer_jax.problems import UserError, unknown
from mer_jax.programs import pinned
from mer_jax.protocols import Folds
from mer_jax.training import checkpoints, engine, initial
from mer_jax.training import fold as fold_room

_LOOKS = 5  # folds' networks that are asked where they look


class Networks(NamedTuple):
    """The folds of a run, each a network and what it learned of its training clips."""

    config: ConfigDict
    classes: tuple[str, ...]
    folds: tuple[str, ...]  # names of those that are here
    of: int  # folds of the run
    state: dict  # host arrays [F, ...]
    programs: dict  # (clips, shape of their frames) -> compiled (inputs) -> probabilities

    @pinned()
    def probabilities(self, clips: Sequence[Clip]) -> np.ndarray:
        """[F, N, K] float32: what each fold's network says of each clip, by the run's own method.

        As the engine does for a fold's test clips: `view` with the fold's statistics, then the
        network of the chosen epoch.
        """
        examples = self._examples(clips)
        kind = (len(clips), clips[0].frames.shape)
        if kind not in self.programs:
            self.programs[kind] = self._program(examples, len(clips))
        return np.asarray(self.programs[kind](examples.inputs))

    def _program(self, examples: Examples, count: int) -> Callable[[Any], jax.Array]:
        task, state = self._task(examples, count)
        every = jnp.arange(count, dtype=jnp.int32)
        # The rest of a fold is for training alone: nothing that answers looks at it.
        unused: dict[str, Any] = dict.fromkeys(fold_room.Fold._fields)
        row = fold_room.Fold(**unused | {"held": every})

        @jax.jit
        def answer(inputs, state):
            data = fold_room.Data(inputs, jnp.zeros(count, jnp.int32), {})
            finish = lambda s: fold_room.finish(task, data, row, s)
            return jax.lax.map(lambda s: finish(s).probabilities, state)

        return lambda inputs: answer(inputs, state)

    @pinned()
    def speaker(self, clips: Sequence[Clip], *, fold: int = 0) -> tuple[nnx.Module, Any]:
        """(network, x): row `fold`'s network of the chosen epoch, and `clips` as it is given them.

        x: [N, ...]; of a method that lets `votes` looks at a clip decide, [N votes, ...].
        """
        examples = self._examples(clips)
        return self._speaker(examples, *self._task(examples, len(clips)), fold)

    @pinned()
    def saliency(self, clips: Sequence[Clip], label: np.ndarray) -> np.ndarray | None:
        """[N, H, W] float32 in [0, 1]: what weighs in the score of each clip's class `label` [N].

        `analysis.saliency`, the mean of up to five folds' networks, of a clip's frames the largest.
        None where the method does not give its network frames as they are, in rows and columns.
        """
        from mer_jax import analysis

        examples = self._examples(clips)
        task, state = self._task(examples, len(clips))
        size, votes, found = self.config.method.get("size"), examples.votes, []
        for fold in np.unique(np.linspace(0, len(self.folds) - 1, _LOOKS).astype(int)):
            network, x = self._speaker(examples, task, state, fold)
            if not isinstance(x, jax.Array) or size is None or x.shape[-3:-1] != tuple(size):
                return None
            heat = np.asarray(analysis.saliency(network, x, label=np.repeat(label, votes)))
            heat = heat.reshape(len(clips), -1, *heat.shape[-2:]).max(1)
            found.append(_to_one(heat))
        return _to_one(np.mean(found, 0))

    def _speaker(self, examples: Examples, task, state, fold: int) -> tuple[nnx.Module, Any]:
        one = jax.tree.map(lambda a: a[fold], state)
        network = nnx.merge(task.eval_graph, *(one.best or (one.params, one.rest)))
        see = jax.vmap(task.examples.view, (0, None))
        x = jax.jit(lambda inputs, statistics: see(inputs, statistics))(
            examples.inputs, one.statistics
        )
        if task.examples.votes > 1:
            x = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), x)
        return network, x

    def _examples(self, clips: Sequence[Clip]) -> Examples:
        """`clips` as examples of the run's own method, without what only augmentation draws."""
        options = configs.options_of(self.config, "method")
        options |= {name: () for name in ("alphas", "percents") if name in options}
        return methods.create(self.config.method.name, clips, **options)

    def _task(self, examples: Examples, count: int) -> tuple[fold_room.Task, fold_room.State]:
        """What the folds share, and their states."""
        config, classes = self.config, len(self.classes)
        sizes = configs.options_of(config, "model") | {"shape": examples.input_shape}
        build = lambda rngs: models.create(
            config.model.name, num_classes=classes, rngs=rngs, **sizes
        )
        settings = configs.check(config)
        task = engine.make_task(examples, count, settings, num_classes=classes, build=build)
        return task, self._state(examples, build, task.choice)

    def _state(self, examples, build, choice: str) -> fold_room.State:
        """The folds' states in the tree that the network and the method give them."""
        _, *parts = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))), nnx.Param, ...)
        params, rest = map(nnx.as_pure, parts)
        weights = jax.ShapeDtypeStruct((len(jax.tree.leaves(examples.inputs)[0]),), jnp.float32)
        learned = jax.eval_shape(examples.learn, examples.inputs, weights)
        like = {
            "params": params,
            "rest": rest,
            "statistics": learned,
            "best": () if choice == "last" else (params, rest),
        }
        trees = {name: _filled(tree, self.state[name]) for name, tree in like.items()}
        # Likewise.
        unused = dict.fromkeys(fold_room.State.__dataclass_fields__, jnp.zeros(len(self.folds)))
        return fold_room.State(**unused | trees)


def _to_one(heat: np.ndarray) -> np.ndarray:
    """[N, H, W], each over its largest."""
    return heat / np.maximum(heat.max((1, 2), keepdims=True), 1e-12)


def read(workdir: pathlib.Path, *, fold: str | int | None = None) -> Networks:
    """The networks that `workdir` holds; with `fold` (a name, or a number from 0) one of them.

    Of a run of several variants those of all seeds; of several learning rates, or as published
    beside its strict twin, only those that are like the first one kept but for the seed.

    Raises `UserError` where there is no finished run, its method has no network, or the fold is
    not there.
    """
    for name in ("config.json", "folds.json"):
        if not (workdir / name).is_file():
            raise UserError(
                f"{workdir} is no working directory of a run ({name} is not there); "
                "give what --workdir of experiments.launch was"
            )
    if not (workdir / "metrics.json").is_file():
        raise UserError(f"the run in {workdir} has not finished; give its command again")
    config = configs.load(workdir / "config.json")
    if config.train.loss == "sigmoid":
        raise UserError(f"the run in {workdir} has several labels a clip; prediction is of one")
    # A job's rows: its folds, variant by variant.
    variants = configs.check(config).variants.values()
    folds = Folds.read(workdir / "folds.json").names
    names = list(folds) * len(variants)
    kinds = [dataclasses.replace(each, seed=0) for each in variants for _ in folds]
    classes = tuple(reading.values(workdir / "metrics.json", {"classes": [str]})["classes"])
    tree, place = checkpoints.last(workdir / "checkpoints")
    state = tree["state"]
    kept = names[place.members.start : place.members.stop]
    if not kept or len(kept) < len(place.members):
        raise UserError(
            f"{workdir}: its folds.json is not that of its checkpoints; {reading.AGAIN}"
        )
    kinds = kinds[place.members.start : place.members.stop]
    alike = [kind == kinds[0] for kind in kinds]
    sound = state["status"] != fold_room.SICK  # the others may have no numbers
    rows = np.flatnonzero(sound & alike)
    if fold is not None:
        if isinstance(fold, int) or (fold.isdigit() and fold not in names):
            if not 0 <= int(fold) < len(names):
                raise UserError(f"there is no fold {fold}; the run's are 0 to {len(names) - 1}")
            fold = names[int(fold)]
        if fold not in names:
            raise unknown("fold", fold, names)
        if fold not in kept:
            raise UserError(
                f"the network of fold {fold} was not kept: checkpoints hold the folds that were "
                f"trained last ({kept[0]} to {kept[-1]})"
            )
        rows = np.intersect1d(rows, kept.index(fold))
    if not len(rows):
        raise UserError(f"training of {fold or 'all folds'} in {workdir} diverged; nothing answers")
    return Networks(
        config,
        classes,
        tuple(kept[row] for row in rows),
        len(names),
        jax.tree.map(lambda a: a[rows], state),
        programs={},
    )


def _filled(like, given):
    """The tree `like` with the arrays [F, ...] that `given` has in the same places."""
    values = {path: jnp.asarray(leaf) for path, leaf in initial.named(given).items()}

    def place(leaf, value):
        key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        value = jax.random.wrap_key_data(value) if key else value
        if value.shape[1:] != leaf.shape:
            raise UserError(
                f"the clips give the network {leaf.shape} where the run's has {value.shape[1:]}"
            )
        return value

    missing = sorted(set(initial.named(like)) - set(values))
    if missing:
        raise UserError(f"the run's checkpoint has no {missing[0]}: it is of another version")
    return jax.tree.map(place, like, initial.put(like, values))
