"""Saliency, feature maps and temporal perception of a trained network.

    heat = saliency(network, x)                     # of the predicted class
    maps = feature_maps(network, x)                 # {"backbone.convs.0": [...], ...}
    tp = temporal_perception(network, x)            # PSN's tp_t

All take a network and its float32 input [B, ...] (an array, or a dict of them), and apply it in
evaluation mode under `runtime.pinned`; the network is not changed. `mer_jax.tested_clip` reads
network and input from a finished run, `reporting.explanations` draws.
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
from mer_jax.nn import RecurrentConv
from mer_jax.nn.tpu import TPU
from mer_jax.runtime import pinned

__all__ = ["feature_maps", "logits", "outputs", "saliency", "temporal_perception"]

Tree = Any
LAYERS = (RecurrentConv, nnx.Conv)  # convolutional layers; `nn.Conv` is one of the second


@pinned()
def logits(network: nnx.Module, inputs: Tree) -> jax.Array:
    """The class scores [B, K] float32 of `network` for `inputs` [B, ...].

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax import explain
    >>> class Net(nnx.Module):  # the score of class 0 is the input's sum, that of class 1 is 0
    ...     def __call__(self, x, *, mask=None):
    ...         return jnp.stack([x.sum((1, 2)), jnp.zeros(len(x))], -1)
    >>> explain.logits(Net(), jnp.ones((1, 2, 3)))
    Array([[6., 0.]], dtype=float32)
    """
    return _logits(*nnx.split(network), inputs)


@pinned()
def saliency(
    network: nnx.Module, inputs: Tree, *, label: int | jax.Array | np.ndarray | None = None
) -> Tree:
    """The magnitude of the gradient of a class score with respect to the input.

    |d score / d input|, maximum over channels (Simonyan, Vedaldi and Zisserman 2014, section 3;
    Fig. 4 of MicroExpSTCNN has such maps of clips). The score is the network's output before any
    softmax.

    Args:
      network: of `mer_jax.models`, or your own.
      inputs: float32 [B, ..., C], or a dict of such, as the network takes them.
      label: the class, one for all or [B]; None: the predicted class of each sample.

    Returns:
      float32 [B, ...] for each input, without its last axis; 0 or more, in score per unit of input.

    Raises:
      UserError: for a label that is no class of the network, or not one for each of [B].

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax import explain
    >>> class Net(nnx.Module):
    ...     def __call__(self, x, *, mask=None):
    ...         return jnp.stack([x[:, 0, 0] - 2 * x[:, 1, 1], x[:, 0, 0]], -1)
    >>> explain.saliency(Net(), jnp.ones((1, 2, 3)), label=0)  # [B, W, C] -> [B, W]
    Array([[1., 2.]], dtype=float32)
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


@pinned()
def outputs(
    network: nnx.Module, inputs: Tree, kinds: type | tuple[type, ...]
) -> dict[str, jax.Array]:
    """The outputs of the modules of `kinds` by their dotted paths, in the order of their calls.

    Of nested modules the outermost is used; of a module that is called several times (a recurrent
    one) the last call. Shapes are those in the network: PSN's backbone, for example, has all frames
    of all clips on its first axis.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax import explain, nn
    >>> net = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), lambda x, mask=None: x)
    >>> {path: y.shape for path, y in explain.outputs(net, jnp.ones((4, 3)), nnx.Linear).items()}
    {'layers.0': (4, 2)}
    """
    return dict(_outputs(kinds, *nnx.split(network), inputs))


def feature_maps(network: nnx.Module, inputs: Tree) -> dict[str, jax.Array]:
    """The maps of all convolutional layers, first to last, [..., H', W', F] by dotted path.

    The outputs of the convolutions, before normalization and ReLU; a `RecurrentConv` is one layer,
    behind its ReLU, and the first layer of the 3-D networks is pooled. PSN's Fig. 8 has the first
    and the fifth. Empty for networks without such layers, and for SOFTNet, MTSN and SFAMNet, whose
    convolutions are parts of other operations.
    """
    return outputs(network, inputs, LAYERS)


def temporal_perception(network: nnx.Module, inputs: Tree) -> jax.Array:
    """tp_t [B, T] of a network with a Temporal Perception Unit (PSN, Equation 7), in its units.

    Raises:
      UserError: if the network has no such unit, or several.
    """
    found, name = outputs(network, inputs, TPU), type(network).__name__
    if not found:
        raise UserError(f"{name} has no Temporal Perception Unit; PSN has one")
    if len(found) > 1:
        raise UserError(f"{name} has {len(found)} Temporal Perception Units; see explain.outputs")
    ((_, tp),) = found.values()
    return tp


@functools.partial(jax.jit, static_argnums=0)
def _logits(graph, state, inputs):
    return _evaluating(graph, state)(inputs)


@functools.partial(jax.jit, static_argnums=0)
def _saliency(graph, state, inputs, label):
    def score(inputs):
        each = _evaluating(graph, state)(inputs)
        return jnp.sum(jnp.take_along_axis(each, label[:, None], 1))  # samples are independent

    return jax.tree.map(lambda slope: jnp.abs(slope).max(-1), jax.grad(score)(inputs))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _outputs(kinds, graph, state, inputs):
    network = _evaluating(graph, state)
    with calls.record_calls(network) as found:
        network(inputs)
    chosen = [call for call in found.values() if isinstance(call.module, kinds)]
    within = lambda call: any(call.path.startswith(f"{other.path}.") for other in chosen)
    # Ordered: jit would return a plain dict sorted by name.
    return collections.OrderedDict((c.path, c.outputs) for c in chosen if not within(c))


def _evaluating(graph, state) -> nnx.Module:
    """A copy in evaluation mode."""
    network = nnx.merge(graph, state)
    network.eval()
    return network
