"""PSN: the sparse part of a clip and its gray frames (Li, Wang, Wang, Zhou, Fu; section 3.2)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.methods import per_clip, preprocessing
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.video.rpca import keep_quantiles, rpca


@checked
def psn(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (112, 112),
    length: int = 150,
    frames: int = 16,
    split: str = "length",
    lam: float = 0.0,
    low: float = 0.7,
    high: float = 1.0,
    rotation: float = 8.0,
    flip: str = "horizontal",
) -> Examples:
    """{"sparse", "gray"}: [frames, H, W, 1] each.

    A clip is resampled to `length` frames by TIM, of which number 1, 11, ..., 141 and 150 are used;
    of other lengths those that are as evenly spaced, the first and the last among them.
    E is the sparse part of D = A + E (Eqs. 1, 2).

    Our choice: E, which is small, is divided by its root mean square over a fold's training clips,
    but at least by 1e-5, the precision of RPCA; and the augmentation, which the paper does not
    detail: a training sample is rotated and flipped at random, all its frames alike.

    Args:
      clips: videos.
      size: (H, W) px of the resized frames.
      length: frames after resampling.
      frames: frames of an example.
      split: "length": E is computed over all `length` frames (better in the paper); "frames": over
        those that are used.
      lam: weight of E; 0: the default of `video.rpca`.
      low, high: quantiles of the magnitude of the nonzero entries of E, between which they are
        used (`video.keep_quantiles`): the largest 30 % by default; Fig. 10 sweeps ten bands.
      rotation: largest angle in degrees, either way.
      flip: "vertical", "horizontal" or "none", with probability 1/2.

    Raises:
      UserError: for more `frames` than `length`.
    """
    used = np.minimum(np.arange(frames) * length // (frames - 1), length - 1)
    over = used if split == "frames" else np.arange(length)
    among = np.searchsorted(over, used)

    @jax.jit
    def sparse(columns):  # [len(over), H, W, 1] -> [frames, H, W, 1]
        _, error = rpca(columns.reshape(len(over), -1).T, lam=lam or None)
        return keep_quantiles(error.T[among], low=low, high=high).reshape(frames, *size, 1)

    def compute(clip):
        video = preprocessing.to_size(clip.frames, size, gray=True)
        video = preprocessing.resample_frames(video, length)
        return {"sparse": sparse(video[over]), "gray": video[used]}

    inputs = per_clip.compute(clips, compute)
    square = lambda rows: jnp.mean(jnp.square(rows), (1, 2, 3, 4))
    inputs["square"] = per_clip.reduce(square, inputs["sparse"])
    flipped = preprocessing.flip_matrix(flip)

    def fit_statistics(inputs, weights):
        square = jnp.where(weights > 0, weights * inputs["square"], 0)
        return jnp.sqrt(jnp.maximum(jnp.sum(square) / jnp.sum(weights), 1e-10))

    def eval_transform(example, size_of_sparse):
        return {"sparse": example["sparse"] / size_of_sparse, "gray": example["gray"]}

    def augment(key, example, size_of_sparse):
        for_angle, for_flip = jax.random.split(key)
        rotation_matrix = preprocessing.rotation_matrix(
            rotation * jax.random.uniform(for_angle, (), minval=-1, maxval=1)
        )
        rotation_matrix = jnp.where(
            jax.random.bernoulli(for_flip), rotation_matrix @ flipped, rotation_matrix
        )
        return {
            k: preprocessing.transform(v, rotation_matrix)
            for k, v in eval_transform(example, size_of_sparse).items()
        }

    return Examples(
        inputs=inputs,
        fit_statistics=fit_statistics,
        augment=augment,
        eval_transform=eval_transform,
        input_shape=(frames, *size, 1),
    )
