"""AUW-GCN: a graph convolution of regions by their action units in front of PEM (Yin et al. 2023).

"AU-aware graph convolutional network for macro- and micro-expression spotting", ICME 2023;
xjtupanda/AUW-GCN.
"""

import itertools
from collections.abc import Collection, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.pem import FrameClassifier, outputs_per_frame
from mer_jax.models.sizes import require
from mer_jax.nn import BatchNorm, conv, pytorch_init

_REGIONS = 12
# Action unit -> the regions of `descriptors.region_flow` that it moves, by the authors' code.
MOVES = {
    1: (0, 1, 4, 5),
    2: (2, 3),
    12: (8, 10),
    14: (8, 10),
    25: (9, 11),
    26: (9, 11),
}


def region_graph(expressions: Iterable[Collection[int]]) -> np.ndarray:
    """How often action units move two regions together.

    An expression with one unit of `MOVES` adds 1 to each of its regions, paired with itself. One
    with several adds, for each two of them, 1 to each pair of their regions in both orders. Each
    row is divided by its sum.

    Args:
      expressions: action units of each marked expression, by number. They must be those of training
        subjects; the authors counted all subjects, test subjects included.

    Returns:
      [12, 12] float32 in [0, 1]; the rows sum to 1, or to 0 where a region has no unit.

    >>> region_graph([{1, 2}, {14}, {4}])[[0, 2, 8]].round(2).tolist()[1][:6]
    [0.25, 0.25, 0.0, 0.0, 0.25, 0.25]
    """
    counts = np.zeros((_REGIONS, _REGIONS))
    for expression in expressions:
        units = sorted(MOVES.keys() & set(expression))
        if len(units) == 1:
            own = list(MOVES[units[0]])
            counts[own, own] += 1
        for first, second in itertools.combinations(units, 2):
            for i, j in itertools.product(MOVES[first], MOVES[second]):
                counts[i, j] += 1
                counts[j, i] += 1
    sums = counts.sum(1, keepdims=True)
    return (counts / np.where(sums > 0, sums, 1)).astype(np.float32)


class Graph(nnx.Variable):
    """[nodes, nodes] fixed weights of the nodes in each other."""


class AUWGCN(nnx.Module):
    """relu(norm(G X W + b)) of the regions' flow vectors X with a fixed graph G, 2 -> 16 a region,
    then PEM's convolutions of all regions' features over time: 39,248 parameters for ten outputs a
    frame.

    Outputs are those of `models.pem.PEM`. In training all normalizations use the statistics of the
    batch, the first one over frames and regions. The authors' code has no dropout and one graph
    layer; the two of its class are commented out.

    Args:
      num_classes, rngs: as in `models.create`; K is T times the outputs of a frame.
      shape: (T, regions, 2) of one example, from `spotting.region_flows`; T changes no parameter.
      maps: feature maps of the convolutions over time.
      hidden: features of each region.
      graph: G row by row, regions^2 numbers in [0, 1], as `region_graph` counts it. (): each unit
        of `MOVES` once alone and once with each other (ours: it needs no data).

    Raises:
      UserError: for a `shape` of another rank, a K that is no multiple of T, or another length of
        `graph`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (270, _REGIONS, 2),
        maps: int = 64,
        hidden: int = 16,
        graph: Sequence[float] = (),
    ):
        self.input_shape = frames, regions, components = require("AUW-GCN", shape, (1, 1, 1))
        if not graph and regions == _REGIONS:
            units = itertools.chain(*(itertools.combinations(MOVES, size) for size in (1, 2)))
            graph = tuple(region_graph(units).ravel().tolist())
        if len(graph) != regions**2:
            raise UserError(
                f"model.graph has {len(graph)} numbers; {regions} regions have {regions**2}"
            )
        self.graph = Graph(jnp.reshape(jnp.asarray(graph, jnp.float32), (regions, regions)))
        self.dense = nnx.Linear(components, hidden, rngs=rngs, **pytorch_init(hidden))
        self.norm = BatchNorm(hidden, rngs=rngs)
        outputs = outputs_per_frame("AUW-GCN", num_classes, frames)
        self.frames = FrameClassifier(regions * hidden, maps, outputs, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, T, regions, 2], mask [B] -> logits [B, K], [T, outputs] of each example."""
        # G X W as one product of a frame: the gradient of W alone would transpose all features.
        graph, weights = self.graph[...].astype(x.dtype), self.dense.kernel[...].astype(x.dtype)
        kernel = jnp.einsum("ij,co->jcio", graph, weights, precision="highest")
        frames = x.reshape(*x.shape[:2], 1, -1)
        y = conv(frames, kernel.reshape(1, 1, frames.shape[-1], -1))
        bias = self.dense(jnp.zeros((1, 1, 1, x.shape[-1]), x.dtype))  # what remains of it at 0
        y = nnx.relu(self.norm(y.reshape(*x.shape[:3], -1) + bias, mask))
        return self.frames(jnp.reshape(y, (*y.shape[:2], -1)), mask)
