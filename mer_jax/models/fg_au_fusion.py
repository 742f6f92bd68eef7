"""FG-AU-Fusion: patches at landmarks as a graph, weighed by a graph of action units.

Lei, Chen, Li & Li 2021, "Micro-expression recognition based on facial graph representation learning
and facial action unit fusion", CVPR workshops; authors' code, raying777/FGRMER.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.auw_gcn import Graph
from mer_jax.models.sizes import require, scaled
from mer_jax.nn import BatchNorm, LayerNorm, linear, pytorch_init

UNITS = (1, 2, 4, 10, 12, 14, 15, 17, 25)  # the first three are of the brows, the rest of the mouth
_OF_BROWS = 3


def unit_graph(expressions: Iterable[Collection[int]]) -> np.ndarray:
    """How often one action unit of `UNITS` comes with another.

    Args:
      expressions: action units of each expression, by number. They must be those of training
        subjects; the authors counted them anew for each fold.

    Returns:
      [9, 9] float32 in [0, 1]: at [i, j] the share of the expressions with unit j that have unit i,
      too; 0 on the diagonal, and for a j that none has.

    >>> unit_graph([{1, 2}, {1}, {4, 7}])[:3, :3].tolist()
    [[0.0, 1.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    present = np.array([[unit in units for unit in UNITS] for units in map(set, expressions)], int)
    together = present.T @ present
    return (together * (1 - np.eye(len(UNITS))) / np.maximum(np.diag(together), 1)).astype(
        np.float32
    )


class Encoder(nnx.Module):
    """Attention among patches and two dense layers, each added to its input and normalized."""

    def __init__(
        self,
        features: int,
        *,
        heads: int,
        head_features: int,
        hidden: int,
        dropout: float,
        rngs: nnx.Rngs,
    ):
        self.heads, inner = heads, heads * head_features
        project = lambda a, b: linear(a, b, use_bias=False, rngs=rngs)
        self.query, self.key, self.value = (project(features, inner) for _ in range(3))
        self.out = project(inner, features)
        self.wide = linear(features, hidden, rngs=rngs)
        self.narrow = linear(hidden, features, rngs=rngs)
        self.norms = nnx.List([LayerNorm(features, epsilon=1e-6) for _ in range(2)])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        # The authors do not pass their rate on to the attention, which keeps its own.
        self.attention_dropout = nnx.Dropout(min(dropout, 0.1), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, N, C] -> [B, N, C]."""
        query, key, value = (
            layer(x).reshape(*x.shape[:2], self.heads, -1)
            for layer in (self.query, self.key, self.value)
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
        weights = self.attention_dropout(jax.nn.softmax(scores))
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(*x.shape[:2], -1)
        x = self.norms[0](x + self.dropout(self.out(mixed)))
        return self.norms[1](x + self.dropout(self.narrow(nnx.relu(self.wide(x)))))


class FGAUFusion(nnx.Module):
    """Patches' features of brows and of mouth, multiplied by features of their action units.

    A 3 x 3 convolution of each patch by itself, batch normalization, ReLU; attention among the ten
    patches of the brows and among the twenty of the mouth; dense layers of 320 and 160 units each;
    products with three and six units' 160 features, two graph convolutions of learned vectors;
    layer normalization, a dense layer. 666,508 parameters for three classes.

    In the authors' code each part has six encoders that all take the same input, and the last one's
    output is used: the others (380,050 of 1,046,669 parameters) change nothing and are left out, as
    are 30 biases in front of the batch normalization. Their graph is a parameter (81 numbers) that
    gets no gradient: here it is none.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, patches) of one example: features of the shape encoder of a motion-magnification
        network (Oh et al.) at 30 landmarks, 7 x 7 each; nothing in the package computes them. A
        third of the patches are around the brows, the rest around the mouth.
      heads: of the attention; 16 features each.
      dropout: rate of the encoders and between the dense layers; of the attention at most 0.1.
      width: multiplies the number of units of every layer.
      graph: [9, 9] row by row, numbers in [0, 1], as `unit_graph` counts it. (): each unit once
        alone and once with each other (ours: it needs no data).

    Raises:
      UserError: for a `shape` whose patches are no multiple of 3, or another length of `graph`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (7, 7, 30),
        heads: int = 8,
        dropout: float = 0.5,
        width: float = 1.0,
        graph: Sequence[float] = (),
    ):
        self.input_shape = height, columns, patches = require("FG-AU-Fusion", shape, (1, 1, 3))
        if patches % 3:
            raise UserError(
                f"FG-AU-Fusion needs a third of the patches at the brows, not {patches} in all"
            )
        if not graph:
            pairs = itertools.chain(*(itertools.combinations(UNITS, size) for size in (1, 2)))
            graph = tuple(unit_graph(pairs).ravel().tolist())
        if len(graph) != len(UNITS) ** 2:
            raise UserError(f"model.graph has {len(graph)} numbers; nine action units have 81")
        adjacency = np.reshape(np.asarray(graph, np.float32), (len(UNITS),) * 2) + np.eye(
            len(UNITS), dtype=np.float32
        )
        scale = adjacency.sum(1) ** -0.5
        self.graph = Graph(jnp.asarray(scale[:, None] * adjacency.T * scale[None, :]))

        init = pytorch_init(9)["kernel_init"]
        self.depthwise = nnx.Param(init(rngs.params(), (3, 3, 1, patches)))
        self.norm = BatchNorm(patches, rngs=rngs)
        size, features = height * columns, scaled(160, width)
        sizes = {"head_features": scaled(16, width), "hidden": scaled(128, width)}
        self.encoders = nnx.List(
            [Encoder(size, heads=heads, dropout=dropout, rngs=rngs, **sizes) for _ in range(2)]
        )
        third, hidden = patches // 3, scaled(320, width)
        self.wide = nnx.List([linear(n * size, hidden, rngs=rngs) for n in (third, 2 * third)])
        self.narrow = nnx.List([linear(hidden, features, rngs=rngs) for _ in range(2)])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

        embedded, middle = scaled(40, width), scaled(80, width)
        normal = nnx.initializers.normal(0.01)
        self.embedding = nnx.Param(normal(rngs.params(), (len(UNITS), embedded)))
        self.graph_layers = nnx.List(
            [
                nnx.Linear(a, b, use_bias=False, rngs=rngs, **pytorch_init(b))
                for a, b in ((embedded, middle), (middle, features))
            ]
        )
        self.unit_norm = LayerNorm(len(UNITS), epsilon=1e-6)
        self.classifier = linear(len(UNITS), num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, patches], mask [B] -> logits [B, K]."""
        batch, height, columns, patches = x.shape
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel = self.depthwise[...].astype(x.dtype)
        x = jnp.zeros_like(x)
        for i, j in itertools.product(range(3), repeat=2):
            x = x + padded[:, i : i + height, j : j + columns] * kernel[i, j][None, None]
        x = nnx.relu(self.norm(x, mask)).reshape(batch, -1, patches)
        parts = jnp.split(jnp.swapaxes(x, 1, 2), (patches // 3,), 1)

        units = self.embedding[...].astype(x.dtype)
        for layer in self.graph_layers:
            units = nnx.leaky_relu(self.graph[...].astype(x.dtype) @ layer(units), 0.2)
        fused = []
        for number, (part, of_part) in enumerate(zip(parts, jnp.split(units, (_OF_BROWS,)))):
            flat = self.encoders[number](part).reshape(batch, -1)
            y = self.dropout(nnx.relu(self.wide[number](flat)))
            fused.append(nnx.relu(self.narrow[number](y)) @ of_part.T)
        return self.classifier(self.unit_norm(jnp.concatenate(fused, -1)))
