"""A fold's trained network: its weights on disk, and its scores of any recording."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mer_jax import models, runtime
from mer_jax.errors import UserError
from mer_jax.recordings import Recording
from mer_jax.spotting import samples, targets
from mer_jax.spotting.samples import NetworkEvidence, Sampling
from mer_jax.training import records
from mer_jax.training.spotter_files import Fold, read_weights, weights_file

_BATCH = 128  # samples of one call of a trained network


class Architecture(NamedTuple):
    """A network by name and sizes."""

    name: str  # of `models.networks()`
    sizes: Mapping[str, Any]
    outputs: int = 1

    def build(self, shape: Sequence[int]) -> Callable[[nnx.Rngs], nnx.Module]:
        """A function that makes the network for samples of `shape` from its random streams."""
        return lambda rngs: models.create(
            self.name, num_classes=self.outputs, rngs=rngs, shape=tuple(shape), **self.sizes
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
    """A fold's trained network: scores the frames of any recording."""

    sampling: Sampling
    architecture: Architecture
    normalize: str
    weights: Mapping[str, np.ndarray]  # dotted path -> values, "params.", "model_state.", ...
    kind: str  # of the expressions

    @runtime.pinned()
    def samples(self, inputs: np.ndarray) -> np.ndarray:
        """[M, H, W, C] samples of `samples.stream` -> [M, K] outputs."""
        if not len(inputs):
            return np.zeros((0, self.architecture.outputs), np.float32)
        shape, (name, sizes, outputs) = inputs.shape[1:], self.architecture
        apply, like = _apply(name, tuple(sorted(sizes.items())), outputs, shape, self.normalize)
        leaves = records.named_leaves(like).items()
        needed = {path: leaf.shape for path, leaf in leaves if leaf.dtype == np.float32}
        if needed != {path: array.shape for path, array in self.weights.items()}:
            raise UserError(
                f"the weights are not those of {name} for samples of {shape}; run the job again"
            )
        trees = records.replace_leaves(like, self.weights)
        found = []
        for begin in range(0, len(inputs), _BATCH):
            part = inputs[begin : begin + _BATCH]
            padded = np.concatenate([part, np.zeros((_BATCH - len(part), *shape), part.dtype)])
            found.append(np.asarray(apply(trees, padded.astype(np.float32)))[: len(part)])
        return np.concatenate(found)

    @runtime.pinned()
    def evidence(self, recording: Recording) -> np.ndarray:
        """The evidence of every frame, as `samples.of_frames`, streamed in constant memory."""
        parts = [(at, self.samples(x)) for at, x in samples.stream(recording, self.sampling)]
        return self.of_frames(parts, recording.length)

    def of_frames(self, parts: Iterable[tuple[np.ndarray, np.ndarray]], length: int) -> np.ndarray:
        """`samples.of_frames` of this network's outputs."""
        return samples.of_frames(parts, length, self.sampling, kind=self.kind)


@functools.lru_cache(maxsize=16)
def _apply(
    name: str, sizes: tuple, outputs: int, shape: tuple[int, ...], normalize: str
) -> tuple[Callable[[Any, Any], jax.Array], dict[str, Any]]:
    """(compiled (trees, samples [B, ...]) -> scores [B, K], the trees of a fresh network)."""
    network = Architecture(name, dict(sizes), outputs).build(shape)(nnx.Rngs(0))
    network.eval()
    graph, *trees = nnx.split(network, nnx.Param, ...)
    params, model_state = map(nnx.as_pure, trees)
    examples = samples.examples(
        np.zeros((1, *shape), np.float32), normalize=normalize, mirror=False
    )
    statistics = examples.fit_statistics(examples.inputs, jnp.ones(1))
    like = {"params": params, "model_state": model_state, "statistics": statistics}

    @jax.jit
    def apply(trees, inputs):
        x = jax.vmap(examples.eval_transform, (0, None))(inputs, trees["statistics"])
        return nnx.merge(graph, trees["params"], trees["model_state"])(x)

    return apply, like


def network_of(fold: Fold, pairs: str) -> Fold:
    """A fold's own network by kind and span; of "regions" the one of its subject."""
    if pairs != samples.REGIONS:
        return fold
    return Fold(fold.subject, "both", 0, 0, 0, fold.span, fold.fps)


def read(
    folder: pathlib.Path, fold: Fold, architecture: Architecture, evidence: NetworkEvidence
) -> Scorer:
    """The trained network of `fold` in the folder of `networks.train`.

    Raises `UserError` if its weights are damaged or missing.
    """
    sampling = evidence.sampling(fold.span)
    if sampling.pairs == samples.REGIONS:
        outputs = len(targets.OUTPUTS) * sampling.shape[0]
        architecture = architecture._replace(outputs=outputs)
    weights = read_weights(weights_file(folder, network_of(fold, sampling.pairs)))
    return Scorer(sampling, architecture, evidence.normalize, weights, fold.kind)
