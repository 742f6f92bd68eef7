"""How folds lie on devices: the fold axis is added here and nowhere else.

    sharded   jit(shard_map(local)) over a mesh axis "fold": each device runs its own folds and no
              device waits for another (jit(vmap) with a sharded fold axis would not: XLA merges
              the folds' convolutions into one and gathers everything everywhere)
    pmap      jax.pmap(local), for who wants it; the same numbers

On a CPU each core is a device of its own (`use_all_cores`, which programs call at their start).
Inside a device the folds are vmapped on GPU and TPU and mapped one after the other on CPU, where
one fold's arrays fit the cache and a grouped convolution does not pay.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mer_jax.errors import UserError
from mer_jax.options import checked

Tree = Any

ACROSS = ("shard_map", "pmap")
WITHIN = ("auto", "vmap", "map")
_MOST_CORES = 16


class Layout(NamedTuple):
    """Devices, and how folds run across and inside them."""

    devices: tuple[jax.Device, ...]
    across: str  # "shard_map" or "pmap"
    within: str  # "vmap" or "map"

    @property
    def mesh(self) -> jax.sharding.Mesh:
        """The devices along one axis, "fold"."""
        auto = (jax.sharding.AxisType.Auto,)
        return jax.make_mesh((len(self.devices),), ("fold",), axis_types=auto, devices=self.devices)


def use_all_cores() -> None:
    """Gives each core its own folds on a machine without accelerators; before JAX's first use.

    One device works on one fold at a time, and a fold's arrays are too small for all cores to share
    the work on them. Each device holds the clips, hence no more than `_MOST_CORES`. The environment
    variable JAX_NUM_CPU_DEVICES says otherwise.
    """
    if jax.config.jax_num_cpu_devices < 1:  # type: ignore[attr-defined]  # made as it runs
        mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
        cores = min(len(mine), _MOST_CORES)
        jax.config.update("jax_num_cpu_devices", cores)


@checked
def create(
    *,
    across: str = "shard_map",
    within: str = "auto",
    devices: Sequence[jax.Device] | None = None,
) -> Layout:
    """A layout over `devices` (default: all there are)."""
    if across == "pmap" and jax.process_count() > 1:
        raise UserError("fold_map=pmap runs in one process; several need shard_map")
    devices = tuple(devices or jax.devices())
    if within == "auto":
        within = "map" if devices[0].platform == "cpu" else "vmap"
    return Layout(devices, across, within)


def free_memory(layout: Layout) -> float | None:
    """Bytes that a device of `layout` has to spare, a margin left; None where nobody knows.

    CPU devices share what the machine has.
    """
    device = layout.devices[0]
    if device.platform == "cpu":
        here = [d for d in layout.devices if d.process_index == jax.process_index()]
        return 0.8 * psutil.virtual_memory().available / max(1, len(here))
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return 0.9 * (stats["bytes_limit"] - stats.get("bytes_in_use", 0))


def replicate(layout: Layout, tree: Tree) -> Tree:
    """`tree` on every device, once."""
    return _put(tree, NamedSharding(layout.mesh, P()))


def shard(layout: Layout, tree: Tree) -> Tree:
    """`tree` with its leading axis F divided over the devices (F is a multiple of them)."""
    return _put(tree, NamedSharding(layout.mesh, P("fold")))


def _put(tree: Tree, sharding: NamedSharding) -> Tree:
    """Every process has the whole of `tree`, and puts what belongs on its own devices there."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(leaf):
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(one(jax.random.key_data(leaf)))
        return jax.make_array_from_callback(leaf.shape, sharding, np.asarray(leaf).__getitem__)

    return jax.tree.map(one, tree)


def over_folds(
    function: Callable[..., Tree], layout: Layout, *, donate: tuple[int, ...] = ()
) -> Callable[..., Tree]:
    """(data, *one fold's trees) -> tree becomes (data, *trees with a leading F) -> tree with F.

    F must be a multiple of the number of devices. The result is compiled, once for each shape.
    """

    def local(data, *trees):
        if layout.within == "vmap":
            return jax.vmap(lambda *one: function(data, *one))(*trees)
        return jax.lax.map(lambda one: function(data, *one), trees)

    if layout.across == "pmap":
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
        return shard(layout, tree)

    def join(tree):
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), tree)

    @functools.cache
    def mapped(trees):
        axes = (None, *(0 for _ in range(trees)))
        return jax.pmap(local, axis_name="fold", in_axes=axes, devices=layout.devices)

    return lambda data, *trees: join(mapped(len(trees))(data, *map(split, trees)))
