"""How folds are divided over devices: the fold axis is added here and nowhere else.

Across devices:
    shard_map  jit(shard_map(local)) over a mesh axis "fold": each device runs its own folds and
               waits for no other (jit(vmap) with a sharded fold axis would: XLA merges the folds'
               convolutions into one and gathers all inputs on every device)
    pmap       jax.pmap(local): the same numbers

Within a device:
    vmap       all folds at once: the default on GPU and TPU
    map        one after the other: the default on CPU, where one fold's arrays fit the cache and a
               grouped convolution does not pay

On a CPU each core is a device of its own (`use_all_cores`, which programs call at their start).
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mer_jax import options, runtime
from mer_jax.errors import UserError
from mer_jax.io import large_arrays
from mer_jax.training import rng

Tree = Any

ACROSS = ("shard_map", "pmap")
WITHIN = ("auto", "vmap", "map")
_MAX_CORES = 16


class Layout(NamedTuple):
    """Devices, and how folds run across and within them."""

    devices: tuple[jax.Device, ...]
    across: str  # "shard_map" or "pmap"
    within: str  # "vmap" or "map"

    @property
    def mesh(self) -> jax.sharding.Mesh:
        """The devices along one axis, "fold"."""
        auto = (jax.sharding.AxisType.Auto,)
        return jax.make_mesh((len(self.devices),), ("fold",), axis_types=auto, devices=self.devices)


@dataclasses.dataclass(frozen=True)
class Parallel:
    """How a job uses its devices; no field changes its numbers beyond rounding.

    across: "shard_map" or "pmap". within: "vmap", "map" or "auto". folds_per_device: folds that a
    device trains at a time, 0 for as many as its memory holds. remat: recompute activations between
    convolutions for the gradient. examples_on_host: devices fetch the examples of each batch from
    the host, as they always do where one cannot hold all. devices: those of the job, all if None.

    Raises `UserError` for a value out of its bounds.
    """

    across: str = "shard_map"
    within: str = "auto"
    folds_per_device: int = 0
    remat: bool = False
    examples_on_host: bool = False
    devices: Sequence[jax.Device] | None = None

    def __post_init__(self):
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, value in options.check("parallel", "", values, values).items():
            object.__setattr__(self, name, value)

    def layout(self, folds: int) -> Layout:
        """The layout of a job with so many folds: in one process no more devices than folds."""
        if self.across == "pmap" and jax.process_count() > 1:
            raise UserError("parallel.across=pmap runs in one process; several need shard_map")
        devices = tuple(self.devices or jax.devices())
        if jax.process_count() == 1:
            devices = devices[:folds]
        within = self.within
        if within == "auto":
            within = "map" if devices[0].platform == "cpu" else "vmap"
        return Layout(devices, self.across, within)


def use_all_cores() -> None:
    """Makes each core of a machine without accelerators a device; call it before JAX's first use.

    One device trains one fold at a time, whose arrays are too small to divide the work on them over
    all cores. Each device has its activations, hence at most `_MAX_CORES`. The environment variable
    JAX_NUM_CPU_DEVICES takes precedence.
    """
    if jax.config.jax_num_cpu_devices < 1:  # type: ignore[attr-defined]  # made as it runs
        jax.config.update("jax_num_cpu_devices", min(runtime.cores(), _MAX_CORES))


def host_layout() -> Layout:
    """The host of accelerators as a layout of one device.

    Raises `UserError` if JAX was told not to use it.
    """
    try:
        devices = jax.local_devices(backend="cpu")
    except RuntimeError as error:
        raise UserError(
            "the examples stay on the host, which JAX_PLATFORMS leaves out; add cpu to it, as in "
            "JAX_PLATFORMS=cuda,cpu"
        ) from error
    return Layout((devices[0],), "shard_map", "map")


def local_devices(layout: Layout) -> int:
    """How many devices of `layout` are this process's."""
    return sum(device.process_index == jax.process_index() for device in layout.devices)


def free_memory(layout: Layout) -> float | None:
    """Free bytes of a device of `layout`, less a margin; None if unknown.

    CPU devices share the machine's memory.
    """
    # JAX has statistics of this process's devices only.
    device = next(d for d in layout.devices if d.process_index == jax.process_index())
    if device.platform == "cpu":
        return 0.8 * runtime.available_memory() / max(1, local_devices(layout))
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return 0.9 * (stats["bytes_limit"] - stats.get("bytes_in_use", 0))


def replicate(layout: Layout, tree: Tree) -> Tree:
    """`tree` on every device; all CPU devices share its memory, which must not change any more."""
    if layout.devices[0].platform == "cpu":
        tree = jax.tree.map(large_arrays.aligned, tree)
    return _put(tree, NamedSharding(layout.mesh, P()))


def shard(layout: Layout, tree: Tree) -> Tree:
    """`tree` with its leading axis F divided over the devices (F is a multiple of them)."""
    return _put(tree, NamedSharding(layout.mesh, P("fold")))


def _put(tree: Tree, sharding: NamedSharding) -> Tree:
    """Every process has all of `tree`, and puts its own devices' part of it there."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(leaf):
        return jax.make_array_from_callback(leaf.shape, sharding, np.asarray(leaf).__getitem__)

    return jax.tree.map(lambda leaf: rng.map_key_data(one, leaf), tree)


def over_folds(
    function: Callable[..., Tree], layout: Layout, *, donate: tuple[int, ...] = ()
) -> Callable[..., Tree]:
    """`function` of one fold, (data, *trees) -> tree, for F folds: trees have a leading F.

    F must be a multiple of the number of devices. Compiles once for each shape.

    Args:
      function: of arrays shared by all folds, and of one fold's own.
      layout: the devices.
      donate: arguments whose memory the result may take, as in `jax.jit`.
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
