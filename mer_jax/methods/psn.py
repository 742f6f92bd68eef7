"""PSN: the sparse part of a clip and its gray frames (Li, Wang, Wang, Zhou, Fu; section 3.2)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.errors import UserError
from mer_jax.methods import preprocessing, rows
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

    A clip is resampled to `length` frames by TIM, of which number 1, 11, ..., 141 and 150 are used.
    E of D = A + E (Eqs. 1, 2) is computed over all `length` frames (split="length": the paper finds
    more columns better) or over those that are used (split="frames"). Of the nonzero entries of E
    those between the quantiles `low` and `high` of their size stay (`video.keep_quantiles`): the
    largest 30 % by default, Fig. 10's ten bands by other values. lam: the weight of E; 0: the
    default of `video.rpca`.

    E is small against [0, 1]; it is divided by the root of its mean square over a fold's training
    clips, or by 1e-5, the precision of RPCA, if that is more. Decided, as is the augmentation the
    paper does not detail: a training sample is rotated by up to `rotation` degrees either way and
    flipped or not, all its frames alike.
    """
    if frames > length:
        raise UserError(f"method.frames is {frames}; it must be at most method.length, {length}")
    used = np.array([*(i * (length // (frames - 1)) for i in range(frames - 1)), length - 1])
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

    inputs = jax.tree.map(jnp.asarray, rows.make(clips, compute))
    inputs["square"] = jnp.mean(jnp.square(inputs["sparse"]), (1, 2, 3, 4))  # [N]
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
