"""What a trained network looks at and what its layers say: the pictures that the papers draw.

    heat = saliency(network, x)                     # of the class that the network names
    maps = feature_maps(network, x)                 # {"backbone.convs.0": [...], ...}
    tp = temporal_perception(network, x)            # PSN's tp_t

All take any network of `mer_jax.models` and its input [B, ...] (an array, or a dict of them), and
run it in evaluation mode; the network itself stays as it is. `of_run` reads network and input from
a finished run, `pictures` draws.
"""

import collections
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models import calls
from mer_jax.nn import Conv, RecurrentConv
from mer_jax.nn.tpu import TPU

__all__ = ["feature_maps", "logits", "outputs", "saliency", "temporal_perception"]

Tree = Any
LAYERS = (RecurrentConv, Conv)  # what counts as a convolutional layer


def logits(network: nnx.Module, inputs: Tree) -> jax.Array:
    """What `network` says of `inputs` [B, ...]: class scores [B, K] float32."""
    return _logits(*nnx.split(network), inputs)


def saliency(
    network: nnx.Module, inputs: Tree, *, label: int | jax.Array | np.ndarray | None = None
) -> Tree:
    """How much each number of the input weighs in a class score.

    |d score / d input|, of the channels the largest (Simonyan, Vedaldi and Zisserman 2014, section
    3; Fig. 4 of MicroExpSTCNN shows such maps of clips). The score is the network's output before
    any softmax.

    Args:
      network: of `mer_jax.models`.
      inputs: float32 [B, ..., C], or a dict of such, as the network takes them.
      label: the class, one for all or [B]; None: the one that the network names for each.

    Returns:
      float32 [B, ...] for each input, without its last axis; 0 or more.

    Raises:
      UserError: for a label that is no class of the network, or not one for each of [B].
    """
    graph, state = nnx.split(network)
    if label is None:
        label = jnp.argmax(_logits(graph, state, inputs), -1)
    count, classes = jax.eval_shape(functools.partial(_logits, graph), state, inputs).shape
    label = label if isinstance(label, jax.Array) else np.asarray(label)
    if label.shape not in ((), (count,)) or not jnp.issubdtype(label.dtype, jnp.integer):
        raise UserError(
            f"saliency: label is {label.dtype} of shape {label.shape}; it must be one integer, or "
            f"one for each of the {count} samples"
        )
    if not isinstance(label, jax.core.Tracer):
        outside = np.asarray(label)[(label < 0) | (label >= classes)]
        if outside.size:
            raise UserError(f"saliency: label {outside[0]} is outside 0..{classes - 1}")
    return _saliency(graph, state, inputs, jnp.broadcast_to(label.astype(np.int32), (count,)))


def outputs(
    network: nnx.Module, inputs: Tree, kinds: type | tuple[type, ...]
) -> dict[str, jax.Array]:
    """What the modules of `kinds` give, by their dotted paths, in the order of their calls.

    Of modules one within another the outermost speaks; of a module that is called again (a
    recurrent one) the last call does. Shapes are as the network has them: PSN, for one, lays the
    frames of its clips along the first axis.
    """
    return dict(_outputs(kinds, *nnx.split(network), inputs))


def feature_maps(network: nnx.Module, inputs: Tree) -> dict[str, jax.Array]:
    """The maps of all convolutional layers, first to last, [..., H', W', F] by dotted path.

    As they leave the convolution; a `RecurrentConv` counts as one layer, behind its ReLU, and the
    3-D networks' first layer gives its maps pooled. PSN's Fig. 8 shows the first and the fifth.
    """
    return outputs(network, inputs, LAYERS)


def temporal_perception(network: nnx.Module, inputs: Tree) -> jax.Array:
    """tp_t [B, T] of a network with a Temporal Perception Unit (PSN, Equation 7), as it used it.

    Raises `UserError` where the network has no such unit.
    """
    found = outputs(network, inputs, TPU)
    if not found:
        raise UserError(f"{type(network).__name__} has no Temporal Perception Unit; PSN has one")
    ((_, tp),) = found.values()
    return tp


@functools.partial(jax.jit, static_argnums=0)
def _logits(graph, state, inputs):
    return _evaluating(graph, state)(inputs)


@functools.partial(jax.jit, static_argnums=0)
def _saliency(graph, state, inputs, label):
    def score(inputs):
        each = _evaluating(graph, state)(inputs)
        return jnp.sum(jnp.take_along_axis(each, label[:, None], 1))  # clips do not meet

    return jax.tree.map(lambda slope: jnp.abs(slope).max(-1), jax.grad(score)(inputs))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _outputs(kinds, graph, state, inputs):
    network = _evaluating(graph, state)
    with calls.record_calls(network) as found:
        network(inputs)
    chosen = [call for call in found.values() if isinstance(call.module, kinds)]
    within = lambda call: any(call.path.startswith(f"{other.path}.") for other in chosen)
    # In order: a plain dict would come back sorted by name.
    return collections.OrderedDict((c.path, c.outputs) for c in chosen if not within(c))


def _evaluating(graph, state) -> nnx.Module:
    """A copy in evaluation mode."""
    network = nnx.merge(graph, state)
    network.eval()
    return network
