"""Prints a network's layers, their input and output shapes, and its parameters.

    mer-jax summary NAME [--classes=K] [--sizes=NAME=VALUE,...]

Shapes are those of one example, without the batch. No weight is allocated and nothing is computed,
so that a network of any size is printed at once. The last column is what the paper prints of a
module (its output or its number of parameters); the last lines compare the number of all parameters
with a count by hand or the authors' code, and with the paper.

Example:

    mer-jax summary strcn_a --classes=5 --sizes="maps=32,recurrent_layers=2"
"""

import ast
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import flags
from flax import nnx

from mer_jax import models
from mer_jax.errors import UserError
from mer_jax.models import calls
from mer_jax.models.sizes import by
from mer_jax.nn import formulation

_CLASSES = flags.DEFINE_integer("classes", None, "Classes; the paper's own number by default.")
_SIZES = flags.DEFINE_string("sizes", "", "The network's sizes as name=value, separated by commas.")


class Layer(NamedTuple):
    """One module; where it is called again, its last call."""

    path: str
    layer: str
    inputs: Any  # shapes of its first argument, without B
    outputs: Any  # shapes of its result, without B
    parameters: int  # trainable, in the module and below it


def rows(name: str, *, num_classes: int, **sizes) -> list[Layer]:
    """The modules of network `name` in the order of their first calls, itself first."""
    found: list[Layer] = []
    shapes = lambda tree: jax.tree.map(lambda a: a.shape[1:], tree)

    def run():
        network: Any = models.create(name, num_classes=num_classes, rngs=nnx.Rngs(0), **sizes)
        x = jax.tree.map(
            lambda shape: jnp.zeros((2, *shape)),
            network.input_shape,
            is_leaf=lambda shape: isinstance(shape, tuple),
        )
        # Layer by layer: the fused formulations call no layers.
        with formulation("xla"), calls.record_calls(network) as made:
            network(x)
        found.extend(
            Layer(
                call.path or "(network)",
                type(call.module).__name__,
                shapes(call.inputs),
                shapes(call.outputs),
                sum(a.size for a in jax.tree.leaves(nnx.state(call.module, nnx.Param))),
            )
            for call in made.values()
        )

    jax.eval_shape(run)
    return found


def text(name: str, *, num_classes: int | None = None, **sizes) -> str:
    """The table of network `name`, as printed."""
    classes = models.info(name).classes if num_classes is None else num_classes
    return table(name, rows(name, num_classes=classes, **sizes), num_classes=classes)


def table(name: str, found: Sequence[Layer], *, num_classes: int) -> str:
    """Rows of network `name`, compared with its paper."""
    info = models.info(name)
    head = ("module", "layer", "in", "out", "parameters", "paper" if info.printed else "")
    cells = [head] + [
        (
            row.path,
            row.layer,
            _format(row.inputs),
            _format(row.outputs),
            f"{row.parameters:,}",
            _format(info.printed.get(row.path, ())),
        )
        for row in found
    ]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for *left, count, printed in cells:
        padded = [cell.ljust(width) for cell, width in zip(left, widths)]
        lines.append("  ".join([*padded, count.rjust(widths[-2]), printed]).rstrip())
    ours = found[0].parameters
    end = ["", info.paper, f"{ours:,} trainable parameters for {num_classes} classes"]
    same = "the same" if ours == info.parameters else "this network has other sizes or classes"
    counted = f"{info.parameters:,} for {info.classes} classes by hand or its authors' code"
    if info.parameters:
        end.append(f"{counted}: {same}")
    if info.stated:
        end.append(f"the paper: {info.stated}")
    return "\n".join([f"{name}", *lines, *end])


def _format(figure: Any) -> str:
    """A shape, several of them (by name or in order), or a count."""
    if isinstance(figure, dict):
        return ", ".join(f"{key} {_format(shape)}" for key, shape in figure.items())
    if isinstance(figure, tuple) and figure and isinstance(figure[0], tuple):
        return ", ".join(map(_format, figure))
    return by(figure) if isinstance(figure, tuple) else f"{figure:,}"


def _sizes(outputs: str) -> dict[str, Any]:
    """The sizes that `outputs` names: "maps=32,shape=(140,20,3)"."""
    try:
        call: Any = ast.parse(f"f({outputs})", mode="eval").body
        if call.args or any(word.arg is None for word in call.keywords):
            raise ValueError(outputs)
        found = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise UserError(f"--sizes={outputs}: write name=value,name=value") from error
    if given := found.keys() & {"name", "num_classes", "rngs"}:
        raise UserError(f"--sizes={outputs}: {min(given)} is no size; --classes is their number")
    return found


def main(argv: list[str]) -> None:
    """Prints the table of the network that `argv` names."""
    if len(argv) != 2:
        raise UserError(f"name one network: {', '.join(models.networks())}")
    print(text(argv[1], num_classes=_CLASSES.value, **_sizes(_SIZES.value)))
