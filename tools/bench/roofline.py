"""Operations and memory traffic of a training step, against the measured peak rates here.

Operations are counted from the program's shapes: two for each product of a convolution or a matrix
product, loops times their length; minimal filtering on CPUs (nn/cpu/minimal_filtering.py) needs
fewer. Bytes are those that the compiler's cost analysis gives for the compiled step, without
caches: an upper bound. Memory is by its
analysis, too: the state of a fold between steps, and the temporary memory of a step.
"""

import math
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxprs_in_params
from jax.interpreters import partial_eval

from tools.bench.timing import Table, compare
from tools.bench.workloads import STEPS, jax_step, select


def tables(rounds: int, quick: bool, *, only: str = "") -> Iterator[Table]:
    size = 1024 if quick else 2048
    products = {
        dtype: _rate(lambda a: a @ a, jnp.ones((size, size), dtype), 2 * size**3)
        for dtype in ("float32", "bfloat16")
    }
    numbers = jnp.ones(2**24 if quick else 2**26)
    # In place, repeatedly: memory that is new to a process comes at a third of the rate.
    add_repeatedly = lambda a: jax.lax.fori_loop(0, 8, lambda _, a: a + 1, a)
    copy = _rate(add_repeatedly, numbers, 8 * 8 * numbers.size)
    yield Table(
        "Peak rates measured here",
        ("what", "rate"),
        [
            *(
                (f"{name} products, {size} x {size}, GFLOP/s", rate)
                for name, rate in products.items()
            ),
            ("copying, GB/s", copy),
        ],
    )
    rows = []
    for work in select(quick=quick, only=only):
        mine = jax_step(work, folds=1, devices=jax.devices()[:1])
        step, arguments = mine.step
        flop = operations(jax.make_jaxpr(step)(*arguments)) / 1e9
        compiled = jax.jit(step).lower(*arguments).compile()
        moved = (compiled.cost_analysis() or {}).get("bytes accessed", math.nan) / 1e9
        memory = compiled.memory_analysis()
        needed = math.nan if memory is None else memory.temp_size_in_bytes / 1e6
        (row,) = compare({"ours": mine.run}, rounds=rounds, per=STEPS)
        seconds = row.milliseconds / 1e3
        rows.append(
            (
                str(work),
                flop,
                moved,
                row.milliseconds,
                flop / seconds,
                flop / seconds / products["float32"],
                flop / products["float32"] * 1e3,
                mine.state_bytes / 1e6,
                needed,
            )
        )
        print(f"  {rows[-1]}", flush=True)
    columns = (
        "step of",
        "GFLOP",
        "GB",
        "ms",
        "GFLOP/s",
        "share of products",
        "floor, ms",
        "state of a fold, MB",
        "temporary, MB",
    )
    yield Table("One training step against the peak rates, float32", columns, rows)


def operations(program: ClosedJaxpr) -> int:
    """Floating-point operations of the products and convolutions whose results are used."""
    jaxpr, _ = partial_eval.dce_jaxpr(program.jaxpr, [True] * len(program.jaxpr.outvars))
    return _operations(jaxpr)


def _operations(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            contracted = equation.params["dimension_numbers"][0][0]
            inputs = equation.invars[0].aval.shape
            depth = math.prod(inputs[axis] for axis in contracted)
            total += 2 * depth * equation.outvars[0].aval.size
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            maps = equation.params["dimension_numbers"].rhs_spec[0]
            # The gradient of a strided one reads its own with zeros between: those are no work.
            zeros = math.prod(equation.params["lhs_dilation"])
            products = equation.outvars[0].aval.size * math.prod(kernel) // kernel[maps] // zeros
            total += 2 * products
        elif name == "cond":  # the last branch is the one without a CPU formulation
            total += _operations(equation.params["branches"][-1].jaxpr)
        else:
            times = equation.params["length"] if name == "scan" else 1
            for within in jaxprs_in_params(equation.params):
                total += times * _operations(within)
    return total


def _rate(function, array, work: float, *, times: int = 5) -> float:
    """Work a nanosecond, the best of some calls."""
    run = jax.jit(function)
    run(array).block_until_ready()
    best = math.inf
    for _ in range(times):
        began = time.perf_counter()
        run(array).block_until_ready()
        best = min(best, time.perf_counter() - began)
    return work / best / 1e9
