"""Single frames: the apex for CapsuleNet, all frames in turn for an image CNN.

apex    [H, W, 3], one frame a clip (Van Quang, Chun, Tokuyama 2019)
frames  [H, W, 3], each a training sample; most of a test clip's decide (STRCN, Table II)
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.methods import preprocessing
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.video import apex_index


@checked
def apex(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (224, 224),
    apex: str = "given",
    subtract_onset: bool = False,
) -> Examples:
    """The apex frame: the marked one where there is one ("given"), or found by STRCN's Eq. 5.

    subtract_onset: subtract the clip's first frame, which leaves the movement and not the face.
    """
    out = []
    for clip, frames in zip(clips, preprocessing.read_frames(clips, size, gray=False), strict=True):
        given = clip.apex is not None and apex == "given"
        frame = frames[clip.apex if given else int(apex_index(jnp.asarray(frames)))]
        out.append(frame - frames[0] if subtract_onset else frame)
    return Examples(inputs=jnp.asarray(np.stack(out)), input_shape=out[0].shape)


@checked
def frames(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (224, 224),
    num_frames: int = 16,
    subtract_onset: bool = False,
    repeats_per_epoch: int = 4,
) -> Examples:
    """`num_frames` frames of each clip, evenly spaced from the first to the last.

    An epoch visits each clip `repeats_per_epoch` times, each time with one of its frames; a test
    clip's class is the one most of its frames get. Frames are standardized by the mean frame of a
    fold's training clips, as in VGG's own training, and by the deviation from it: otherwise all
    frames are nearly the same input to a network of thirteen layers without normalization, and its
    loss does not fall. A deviation under 1e-4 (a fortieth of an 8-bit level) is rounding and
    becomes 1e-4. `subtract_onset` as in `apex`.
    """
    indices = lambda n: np.round(np.linspace(0, n - 1, num_frames)).astype(int)
    sampled = np.stack(
        [
            frames[indices(len(frames))]
            for frames in preprocessing.read_frames(clips, size, gray=False)
        ]
    )
    if subtract_onset:  # the first index is 0
        sampled = sampled - sampled[:, :1]

    def fit_statistics(inputs, weights):
        normalized = weights / jnp.sum(weights)
        mean = jnp.einsum("n,nvhwc->hwc", normalized, inputs) / num_frames
        variance = jnp.einsum(
            "n,n->", normalized, jnp.mean(jnp.square(inputs - mean[None, None]), (1, 2, 3, 4))
        )
        return {"mean": mean, "deviation": jnp.sqrt(jnp.maximum(variance, 1e-8))}

    def eval_transform(example, statistics):
        mean = jnp.broadcast_to(statistics["mean"], example.shape)
        return (example - mean) / statistics["deviation"]

    def augment(key, example, statistics):
        return eval_transform(example[jax.random.randint(key, (), 0, num_frames)], statistics)

    return Examples(
        inputs=jnp.asarray(sampled),
        fit_statistics=fit_statistics,
        augment=augment,
        eval_transform=eval_transform,
        num_views=num_frames,
        repeats_per_epoch=repeats_per_epoch,
        input_shape=sampled.shape[2:],
    )
