"""Several processes as one job, each with devices of its own.

    with joined(True):      # before JAX is used for anything else
        ...                 # the same program in every process

Every process reads all clips and goes through the same blocks of epochs; the folds are divided over
the devices of all. What a block reports is gathered in every process, so that all have the whole
result; only `first` writes where the user looks. With one process everything here is the identity.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from mer_jax.errors import UserError

Tree = Any

_HEARTBEAT_TIMEOUT = 30  # seconds without a sign of life after which a process counts as lost
_START_TIMEOUT = 300  # seconds that the others may take to start


@contextlib.contextmanager
def session(wanted: bool) -> Iterator[None]:
    """The body as one of several processes, if `wanted`; otherwise just the body.

    Who the others are is found by `jax.distributed` under Slurm, Kubernetes, Open MPI and on Cloud
    TPU. Elsewhere the environment says it: JAX_COORDINATOR_ADDRESS (host:port of process 0),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    A process that ends by a mistake or an error ends at once, and one that loses another says so
    and ends too: nobody waits for who will not come. Raises `UserError` where nothing says who the
    others are, or they do not come.
    """
    if not wanted:
        yield
        return
    _initialize()
    code = 1
    try:
        yield
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        raise
    except UserError as error:
        code = 2
        print(f"error: {error}", file=sys.stderr)
    except jax.errors.JaxRuntimeError as error:
        words = " ".join(str(error).split())[:160]
        print(
            f"error: process {jax.process_index()} lost another process of this job, or a device "
            f"({words}); the same command in all of them goes on from the last checkpoint",
            file=sys.stderr,
        )
    except BaseException:
        traceback.print_exc()
    finally:
        if code in (1, 2):  # any other end is an end in all processes
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        jax.distributed.shutdown()


def is_primary() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def all_gather(array: Any) -> np.ndarray:
    """[P, ...]: what each of the P processes has. Their arrays have one shape and dtype."""
    if jax.process_count() == 1:
        return np.asarray(array)[None]
    return multihost_utils.process_allgather(np.asarray(array))


def broadcast(tree: Tree) -> Tree:
    """What process 0 has, to the bit, as host arrays; typed keys stay keys."""
    return jax.tree.map(lambda leaf: _raw(lambda a: all_gather(a)[0], leaf), tree)


def gather_to_host(tree: Tree) -> Tree:
    """Device arrays as host arrays, wherever their parts lie; typed keys stay keys."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    gathered = lambda a: multihost_utils.process_allgather(a, tiled=True)
    return jax.tree.map(lambda leaf: _raw(gathered, leaf), tree)


def _raw(function, leaf):
    """`function` of an array, or of a typed key's data."""
    if jax.numpy.issubdtype(getattr(leaf, "dtype", int), jax.dtypes.prng_key):
        return jax.random.wrap_key_data(function(jax.random.key_data(leaf)))
    return function(leaf)


def _initialize() -> None:
    number = lambda name: int(os.environ[name]) if os.environ.get(name, "").isdecimal() else None
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            num_processes=number("JAX_NUM_PROCESSES"),
            process_id=number("JAX_PROCESS_ID"),
            initialization_timeout=_START_TIMEOUT,
            heartbeat_timeout_seconds=_HEARTBEAT_TIMEOUT,
            shutdown_timeout_seconds=_HEARTBEAT_TIMEOUT,
        )
    except ValueError as error:
        raise UserError(
            f"nothing says who the other processes are ({error}); start under Slurm, Kubernetes, "
            "Open MPI or on Cloud TPU, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID"
        ) from None
    except RuntimeError as error:
        words = " ".join(str(error).split())[:160]
        raise UserError(f"the processes of this job did not find each other ({words})") from None
    _connect_devices()


def _connect_devices() -> None:
    """Connects every device with every other while the processes stand at the same place.

    On CPU a connection that is first used later fails if one process comes half a minute after the
    other, which may be reading a checkpoint.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("all",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("all"))
    numbers = np.arange(jax.device_count())
    gather_to_host(jax.make_array_from_callback(numbers.shape, spread, numbers.__getitem__))
    all_gather(jax.process_index())
