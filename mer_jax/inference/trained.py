"""The trained networks of a finished run, read from its last checkpoint."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from mer_jax import configuration, explain, methods, models
from mer_jax.clips import Clip
from mer_jax.errors import UserError, unknown_name
from mer_jax.io import reading
from mer_jax.methods import Examples
from mer_jax.protocols import Folds
from mer_jax.runtime import pinned
from mer_jax.training import checkpoints, records, single_fold

PARTS = tuple(part for part in checkpoints.PARTS if part != "status")
_Metrics = msgspec.defstruct("_Metrics", [("classes", list[str])])  # of metrics.json
# Methods whose maps of the frames' size are put together of other parts of the face.
_OTHER_LAYOUTS = ("skd_tstsan",)
_SALIENCY_FOLDS = 5  # folds whose saliency maps are averaged


class TrainedNetworks(NamedTuple):
    """The folds of a run, each a network and the statistics of its training clips."""

    config: ConfigDict
    classes: tuple[str, ...]
    folds: tuple[str, ...]  # names of the folds loaded
    all_folds: tuple[str, ...]  # of the run's seeds, also those without a network
    state: dict  # host arrays [F, ...]
    programs: dict  # (clips, shape of their frames) -> compiled (inputs) -> probabilities

    @property
    def label_scheme(self) -> str:
        """The scheme of a run with several labels a clip (action units); "" with one."""
        several = self.config.train.loss == "multilabel_bce"
        return str(self.config.data.label_scheme) if several else ""

    @pinned()
    def probabilities(self, clips: Sequence[Clip]) -> np.ndarray:
        """[F, N, K] float32: each fold's class probabilities of each clip, by the run's own method.

        Computed as for a fold's test clips: `eval_transform` with the fold's statistics, then the
        network of the selected epoch.
        """
        examples = self._examples(clips)
        shape = (len(clips), clips[0].frames.shape)
        if shape not in self.programs:
            predict, state = self._predict(examples, len(clips))
            self.programs[shape] = lambda inputs: predict(inputs, state)
        return np.asarray(self.programs[shape](examples.inputs))

    @pinned()
    def probabilities_of(self, clips: Sequence[Clip], folds: Sequence[Sequence[int]]) -> np.ndarray:
        """[N, K] float32: class probabilities of each clip by networks of its own.

        Args:
          clips: N clips, of any lengths.
          folds: of each clip, the rows of `folds` whose networks predict it; their mean counts.
        """
        found = np.zeros((len(clips), len(self.classes)), np.float32)
        if not len(clips):
            return found
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, rows in enumerate(folds):
            groups.setdefault(tuple(rows), []).append(index)
        examples, size = self._examples(clips), max(map(len, groups.values()))
        predict, state = self._predict(examples, size)
        for rows, members in groups.items():
            indices = np.resize(members, size)  # one shape, one compiled program
            inputs = jax.tree.map(lambda a, indices=indices: a[indices], examples.inputs)
            of_rows = jax.tree.map(lambda a, rows=rows: a[np.array(rows)], state)
            found[members] = np.asarray(predict(inputs, of_rows)).mean(0)[: len(members)]
        return found

    def _predict(
        self, examples: Examples, count: int
    ) -> tuple[Callable[[Any, records.State], jax.Array], records.State]:
        """(compiled (inputs of `count` clips, states) -> [F, N, K], the states of all folds)."""
        static, state = self._static_config(examples, count)
        indices = jnp.arange(count, dtype=jnp.int32)
        labels = (count, len(self.classes)) if self.label_scheme else (count,)
        # The other fields are for training only.
        unused: dict[str, Any] = dict.fromkeys(records.FoldArrays._fields)
        row = records.FoldArrays(**unused | {"eval_index": indices})

        @jax.jit
        def predict(inputs, state):
            data = records.Data(inputs, jnp.zeros(labels, jnp.int32), {})
            predict_held_out = lambda s: single_fold.predict_held_out(static, data, row, s)
            return jax.lax.map(lambda s: predict_held_out(s).probabilities, state)

        return predict, state

    @pinned()
    def selected_model(
        self, clips: Sequence[Clip], *, fold: int = 0
    ) -> tuple[nnx.Module, Any, Callable[[jax.Array], jax.Array]]:
        """(network, x, combine_views): the selected network of row `fold`, its inputs for `clips`,
        and the method's function from the views' logits to those of a clip.

        x: [N, ...], or [N * num_views, ...] for a method with several views of a clip.
        """
        examples = self._examples(clips)
        static, state = self._static_config(examples, len(clips))
        return *self._selected_model(examples, static, state, fold), examples.combine_views

    @pinned()
    def saliency(self, clips: Sequence[Clip], label: np.ndarray) -> np.ndarray | None:
        """[N, H, W] float32 in [0, 1]: saliency of each clip's class `label` [N].

        `explain.saliency`, mean over up to five folds and maximum over a clip's frames. None for a
        method whose inputs are not laid out like the frames.
        """
        examples = self._examples(clips)
        static, state = self._static_config(examples, len(clips))
        method, num_views, found = self.config.method, examples.num_views, []
        size = method.get("size")
        if method.get("regions") or method.name in _OTHER_LAYOUTS:
            return None
        for fold in np.unique(np.linspace(0, len(self.folds) - 1, _SALIENCY_FOLDS).astype(int)):
            network, x = self._selected_model(examples, static, state, fold)
            if not isinstance(x, jax.Array) or size is None or x.shape[-3:-1] != tuple(size):
                return None
            heat = np.array(explain.saliency(network, x, label=np.repeat(label, num_views)))
            heat = heat.reshape(len(clips), num_views, -1, *heat.shape[-2:])
            if method.get("mirror") and num_views > 1:  # the second half are mirror images
                heat[:, num_views // 2 :] = heat[:, num_views // 2 :, ..., ::-1]
            heat = heat.max((1, 2))
            found.append(_normalize(heat))
        return _normalize(np.mean(found, 0))

    def _selected_model(
        self, examples: Examples, static, state, fold: int
    ) -> tuple[nnx.Module, Any]:
        one = jax.tree.map(lambda a: a[fold], state)
        network = nnx.merge(static.eval_graph, *(one.best or (one.params, one.model_state)))
        transform = jax.vmap(static.examples.eval_transform, (0, None))
        x = jax.jit(transform)(examples.inputs, one.statistics)
        if static.examples.num_views > 1:
            x = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), x)
        return network, x

    def _examples(self, clips: Sequence[Clip]) -> Examples:
        """`clips` as examples of the run's own method, without the options of augmentation."""
        options = configuration.options_of(self.config, "method")
        options |= {name: () for name in ("alphas", "percents") if name in options}
        return methods.create(self.config.method.name, clips, **options)

    def _static_config(
        self, examples: Examples, count: int
    ) -> tuple[single_fold.StaticConfig, records.State]:
        """The configuration that the folds share, and their states."""
        config, classes = self.config, len(self.classes)
        sizes = configuration.options_of(config, "model") | {"shape": examples.input_shape}
        build = lambda rngs: models.create(
            config.model.name, num_classes=classes, rngs=rngs, **sizes
        )
        settings = configuration.check(config)
        static = single_fold.make_static_config(
            examples, count, settings, num_classes=classes, build=build
        )
        return static, self._state(examples, build, static.settings.model_selection)

    def _state(self, examples, build, model_selection: str) -> records.State:
        """The folds' states as trees of the network and the method."""
        _, *parts = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))), nnx.Param, ...)
        params, model_state = map(nnx.as_pure, parts)
        weights = jax.ShapeDtypeStruct((len(jax.tree.leaves(examples.inputs)[0]),), jnp.float32)
        statistics = jax.eval_shape(examples.fit_statistics, examples.inputs, weights)
        like = {
            "params": params,
            "model_state": model_state,
            "statistics": statistics,
            "best": () if model_selection == "last" else (params, model_state),
        }
        trees = {name: _filled(tree, self.state[name]) for name, tree in like.items()}
        # The other fields are for training only.
        unused = dict.fromkeys(records.State.__dataclass_fields__, jnp.zeros(len(self.folds)))
        return records.State(**unused | trees)


def _normalize(heat: np.ndarray) -> np.ndarray:
    """[N, H, W], each divided by its maximum."""
    return heat / np.maximum(heat.max((1, 2), keepdims=True), 1e-12)


def read(workdir: pathlib.Path, *, fold: str | int | None = None) -> TrainedNetworks:
    """Loads the networks of `workdir`; with `fold` (a name, or a number from 0) only that one.

    Loads the folds of all seeds. Of variants that differ in more than the seed (learning rates,
    strict and as published) it loads those like the first one.

    Raises `UserError` for no finished run, a model without a network, or a missing fold.
    """
    return select(_of_workdir(workdir), fold, workdir)


def select(
    networks: TrainedNetworks, fold: str | int | None, run: str | os.PathLike
) -> TrainedNetworks:
    """The networks of one fold, or all. run: for messages."""
    name = None if fold is None else _fold_name(networks, fold)
    rows = [row for row, each in enumerate(networks.folds) if name in (None, each)]
    if not rows:
        raise UserError(f"training of {name or 'all folds'} in {run} diverged, or was not saved")
    return networks._replace(
        folds=tuple(networks.folds[row] for row in rows),
        all_folds=tuple(each for each in networks.all_folds if name in (None, each)),
        state=jax.tree.map(lambda a: a[rows], networks.state),
    )


def _fold_name(networks: TrainedNetworks, fold: str | int) -> str:
    names = networks.all_folds
    if isinstance(fold, int) or (fold.isdigit() and fold not in names):
        if not 0 <= int(fold) < len(names):
            raise UserError(f"there is no fold {fold}; the run's are 0 to {len(names) - 1}")
        return names[int(fold)]
    if fold not in names:
        raise unknown_name("fold", fold, names)
    return fold


def _of_workdir(workdir: pathlib.Path) -> TrainedNetworks:
    """All networks that did not diverge."""
    if configuration.is_spotting_run(workdir):
        raise UserError(f"{workdir} is a run of spotting; give one of recognition")
    for name in ("config.json", "folds.json"):
        if not (workdir / name).is_file():
            raise UserError(
                f"{workdir} is no working directory of a run ({name} is not there); "
                "give the --workdir of mer-jax run"
            )
    if not (workdir / "metrics.json").is_file():
        raise UserError(f"the run in {workdir} has not finished; re-run its command")
    config = configuration.load(workdir / "config.json")
    if models.info(config.model.name).estimator:
        raise UserError(
            f"the model of the run in {workdir} is {config.model.name}, an estimator, which is not "
            "kept; give a run of a network"
        )
    # A job's rows: its folds, variant by variant.
    variants = configuration.check(config).variants.values()
    folds = Folds.read(workdir / "folds.json").names
    names = list(folds) * len(variants)
    settings = [dataclasses.replace(each, seed=0) for each in variants for _ in folds]
    classes = tuple(reading.load_json(workdir / "metrics.json", _Metrics).classes)
    state, members = checkpoints.networks(workdir / "checkpoints")
    if not members or members[-1] >= len(names):
        raise UserError(
            f"{workdir}: its folds.json is not that of its checkpoints; {reading.RERUN_HINT}"
        )
    alike = [each == settings[members[0]] for each in settings]
    same = [alike[row] for row in members]
    converged = state["status"] != records.DIVERGED  # the others may hold NaN
    rows = np.flatnonzero(converged & same)
    return TrainedNetworks(
        config,
        classes,
        tuple(names[members[row]] for row in rows),
        tuple(name for name, own in zip(names, alike) if own),
        {part: jax.tree.map(lambda a: a[rows], state[part]) for part in PARTS},
        programs={},
    )


def _filled(like, given):
    """The tree `like` with the arrays [F, ...] of `given` at the same paths."""
    values = {path: jnp.asarray(leaf) for path, leaf in records.named_leaves(given).items()}

    def fill(leaf, value):
        key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        value = jax.random.wrap_key_data(value) if key else value
        if value.shape[1:] != leaf.shape:
            raise UserError(
                f"the clips give a network of shape {leaf.shape}; the run's has {value.shape[1:]}"
            )
        return value

    missing = sorted(set(records.named_leaves(like)) - set(values))
    if missing:
        raise UserError(
            f"the run's checkpoint has no {missing[0]}: it was written by another version"
        )
    return jax.tree.map(fill, like, records.replace_leaves(like, values))
