"""How folds lie on devices: the fold axis is added here and nowhere else.

    sharded   jit(shard_map(local)) over a mesh axis "fold": each device runs its own folds and no
              device waits for another (jit(vmap) with a sharded fold axis would not: XLA merges
              the folds' convolutions into one and gathers everything everywhere)
    pmap      jax.pmap(local), for who wants it; the same numbers

Inside a device the folds are vmapped on GPU and TPU and mapped one after the other on CPU, where
one fold's arrays fit the cache and a grouped convolution does not pay.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mer_jax.problems import unknown

Tree = Any

_FOLD_MAPS = ("shard_map", "pmap")
_INNER = ("auto", "vmap", "map")


class Layout(NamedTuple):
    """Devices, and how folds run across and inside them."""

    devices: tuple[jax.Device, ...]
    fold_map: str  # "shard_map" or "pmap"
    inner: str  # "vmap" or "map"

    @property
    def mesh(self) -> jax.sharding.Mesh:
        auto = (jax.sharding.AxisType.Auto,)
        return jax.make_mesh((len(self.devices),), ("fold",), axis_types=auto, devices=self.devices)


def create(
    *,
    fold_map: str = "shard_map",
    inner: str = "auto",
    devices: Sequence[jax.Device] | None = None,
) -> Layout:
    """A layout over `devices` (default: all there are)."""
    if fold_map not in _FOLD_MAPS:
        raise unknown("fold_map", fold_map, _FOLD_MAPS)
    if inner not in _INNER:
        raise unknown("fold_inner", inner, _INNER)
    devices = tuple(devices or jax.devices())
    if inner == "auto":
        inner = "map" if devices[0].platform == "cpu" else "vmap"
    return Layout(devices, fold_map, inner)


def replicate(layout: Layout, tree: Tree) -> Tree:
    """`tree` on every device, once."""
    return jax.device_put(tree, NamedSharding(layout.mesh, P()))


def spread(layout: Layout, tree: Tree) -> Tree:
    """`tree` with its leading axis F divided over the devices (F is a multiple of them)."""
    return jax.device_put(tree, NamedSharding(layout.mesh, P("fold")))


def over_folds(
    function: Callable[..., Tree], layout: Layout, *, donate: tuple[int, ...] = ()
) -> Callable[..., Tree]:
    """(data, *one fold's trees) -> tree becomes (data, *trees with a leading F) -> tree with F.

    F must be a multiple of the number of devices. The result is compiled, once for each shape.
    """

    def local(data, *trees):
        if layout.inner == "vmap":
            return jax.vmap(lambda *one: function(data, *one))(*trees)
        return jax.lax.map(lambda one: function(data, *one), trees)

    if layout.fold_map == "pmap":
        return _over_pmap(local, layout)

    def sharded(data, *trees):
        specs = (P(), *(P("fold") for _ in trees))
        mapped = jax.shard_map(
            local, mesh=layout.mesh, in_specs=specs, out_specs=P("fold"), check_vma=False
        )
        return mapped(data, *trees)

    return jax.jit(sharded, donate_argnums=donate)


def _over_pmap(local, layout: Layout) -> Callable[..., Tree]:
    count = len(layout.devices)

    def split(tree):
        tree = jax.tree.map(lambda a: a.reshape(count, a.shape[0] // count, *a.shape[1:]), tree)
        return spread(layout, tree)

    def join(tree):
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), tree)

    @functools.cache
    def mapped(trees):
        axes = (None, *(0 for _ in range(trees)))
        return jax.pmap(local, axis_name="fold", in_axes=axes, devices=layout.devices)

    return lambda data, *trees: join(mapped(len(trees))(data, *map(split, trees)))
