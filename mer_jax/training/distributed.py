"""Several processes as one job, each with its own devices.

    with session(True):     # before JAX is used for anything else
        ...                 # the same program in every process

Every process reads all clips and runs the same blocks of epochs; the folds are divided over the
devices of all. Records are gathered in every process; only the primary one writes files. With one
process all functions here are the identity.
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
from mer_jax.training import rng

Tree = Any

_HEARTBEAT_TIMEOUT = 30  # seconds without a sign of life after which a process counts as lost
_START_TIMEOUT = 300  # seconds that the others may take to start


@contextlib.contextmanager
def session(wanted: bool) -> Iterator[None]:
    """Runs the body as one of several processes, if `wanted`; otherwise just the body.

    `jax.distributed` finds the other processes under Slurm, Kubernetes, Open MPI and on Cloud TPU.
    Elsewhere set JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and
    JAX_PROCESS_ID.

    A process that fails exits at once, and one that loses another reports it and exits too.

    Raises `UserError` if the other processes are not known, or do not start.
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
        reason = " ".join(str(error).split())[:160]
        print(
            f"error: process {jax.process_index()} lost another process of this job, or a device "
            f"({reason}); the same command in all of them goes on from the last checkpoint",
            file=sys.stderr,
        )
    except BaseException:
        traceback.print_exc()
    finally:
        if code in (1, 2):  # otherwise all processes exit alike
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        jax.distributed.shutdown()


def is_primary() -> bool:
    """Whether this process writes the files."""
    return jax.process_index() == 0


def all_gather(array: Any) -> np.ndarray:
    """[P, ...]: the arrays of the P processes, of one shape and dtype."""
    if jax.process_count() == 1:
        return np.asarray(array)[None]
    return multihost_utils.process_allgather(np.asarray(array))


def broadcast(tree: Tree) -> Tree:
    """The tree of process 0, bit for bit, as host arrays; typed keys stay keys."""
    return jax.tree.map(lambda leaf: rng.map_key_data(lambda a: all_gather(a)[0], leaf), tree)


def gather_to_host(tree: Tree) -> Tree:
    """Device arrays of all processes as host arrays; typed keys stay keys."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    gathered = lambda a: multihost_utils.process_allgather(a, tiled=True)
    return jax.tree.map(lambda leaf: rng.map_key_data(gathered, leaf), tree)


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
            f"the other processes are not known ({error}); start under Slurm, Kubernetes, "
            "Open MPI or on Cloud TPU, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID"
        ) from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"the processes of this job did not find each other ({reason})") from None
    _connect_devices()


def _connect_devices() -> None:
    """Connects every device with every other while the processes are in step.

    On CPU a connection that is first used later fails if one process comes half a minute after the
    other, which may be reading a checkpoint.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("all",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("all"))
    numbers = np.arange(jax.device_count())
    gather_to_host(jax.make_array_from_callback(numbers.shape, sharding, numbers.__getitem__))
    all_gather(jax.process_index())
