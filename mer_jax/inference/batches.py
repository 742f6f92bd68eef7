"""Predictions of a stream of windows, in batches of one size and with constant memory."""

import math
import tempfile

import numpy as np

from mer_jax.clips import Clip
from mer_jax.inference.trained import TrainedNetworks

_BATCH = 16  # windows in one call of the method, at most
_BYTES = 2**28  # of float32 frames in them


class BatchedPredictions:
    """The predictions of clips of one shape, which are added one after the other.

    All batches have one size, so that they share one compiled program; the last one is padded.
    Saliency maps wait in a temporary file.
    """

    def __init__(self, networks: TrainedNetworks, *, saliency: bool):
        self._networks = networks
        self._saliency = saliency
        self.lacks_saliency = False  # the inputs are not laid out like the face
        self._pending: list[Clip] = []
        self._size = 0  # of a full batch; 0 before the first
        self._means: list[np.ndarray] = []  # [n, K] of each batch
        self._stds: list[np.ndarray] = []
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the object
        self._map_shape: tuple[int, ...] = ()

    def add(self, clip: Clip) -> None:
        """Adds the next clip; computes a batch where it is full."""
        self._pending.append(clip)
        full = min(_BATCH, max(1, _BYTES // (4 * clip.frames.size)))
        if len(self._pending) == full:
            self._size = full
            self._compute()

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the folds of all clips [M, K], float32 each."""
        if self._pending:
            self._size = self._size or 2 ** math.ceil(math.log2(len(self._pending)))
            self._compute()
        empty = np.zeros((0, len(self._networks.classes)), np.float32)
        return np.concatenate([empty, *self._means]), np.concatenate([empty, *self._stds])

    def saliency(self) -> np.ndarray | None:
        """[M, h, w] float32 in a file; None without maps."""
        if not self._map_shape:
            return None
        self._file.flush()
        return np.memmap(self._file, np.float32, "r").reshape(-1, *self._map_shape)

    def _compute(self) -> None:
        count, self._pending, clips = len(self._pending), [], self._pending
        padded = clips + clips[-1:] * (self._size - count)
        folds = self._networks.probabilities(padded)[:, :count]
        mean = folds.mean(0)
        self._means.append(mean)
        self._stds.append(folds.std(0))
        if self._saliency and not self.lacks_saliency:
            label = np.pad(mean.argmax(1).astype(np.int32), (0, self._size - count), "edge")
            heat = self._networks.saliency(padded, label)
            self.lacks_saliency = heat is None
            if heat is not None:
                self._map_shape = heat.shape[1:]
                self._file.write(np.float32(heat[:count]).tobytes())
