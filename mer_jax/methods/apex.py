"""Single frames: the apex for CapsuleNet, all frames in turn for an image CNN.

apex    [H, W, 3], one frame a clip (Van Quang, Chun, Tokuyama 2019)
frames  [H, W, 3], each a training sample; a test clip is classified by majority (STRCN, Table II)
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.methods import per_clip, preprocessing
from mer_jax.methods.examples import Examples
from mer_jax.options import checked


@checked
def apex(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (224, 224),
    apex: str = "given",
    subtract_onset: bool = False,
    mirror: bool = False,
    rotation: float = 0.0,
    shift: Sequence[int] = (0, 0),
) -> Examples:
    """[H, W, 3] float32 in [0, 1]: the apex frame.

    Args:
      clips: videos.
      size: (H, W) px.
      apex: "given" or "found", as in `preprocessing.choose_apex`.
      subtract_onset: subtract the onset frame; values are then in [-1, 1].
      mirror, rotation, shift: of a training sample, as in `preprocessing.moved_at_random`.

    >>> from mer_jax import methods
    >>> from mer_jax.clips import Clip, in_memory
    >>> ramp = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1) / 10  # T = 6, brighter each frame
    >>> clip = Clip("db", "s1", "c1", in_memory(np.tile(ramp, (1, 4, 4, 1))), "surprise", apex=3)
    >>> methods.create("apex", [clip], size=(4, 4), subtract_onset=True).inputs[0, 0, 0]
    array([0.3, 0.3, 0.3], dtype=float32)
    """

    def compute(clip):
        frames = preprocessing.to_size(clip.frames, size, gray=False)
        frame = frames[preprocessing.choose_apex(clip, frames, apex=apex)]
        return frame - frames[clip.onset] if subtract_onset else frame

    def augment(key, example, statistics):
        del statistics
        return preprocessing.moved_at_random(
            key, example[None], mirror=mirror, rotation=rotation, shift=shift
        )[0]

    found = per_clip.compute(clips, compute)
    return Examples(inputs=found, augment=augment, input_shape=found.shape[1:])


@checked
def frames(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (224, 224),
    num_frames: int = 16,
    subtract_onset: bool = False,
    repeats_per_epoch: int = 4,
) -> Examples:
    """[H, W, 3]: frames of each clip, evenly spaced from the first to the last.

    Frames are standardized by the mean frame of a fold's training clips, as in VGG-Face's training,
    and by the deviation from it: otherwise all frames are nearly the same input to a network of
    thirteen layers without normalization, and its loss does not fall. A deviation below 1e-4 (a
    fortieth of an 8-bit level) is rounding and becomes 1e-4.

    Args:
      clips: videos.
      size: (H, W) px.
      num_frames: frames of a clip; a test clip has the class that most of them get.
      subtract_onset: subtract the first frame; values are then in [-1, 1].
      repeats_per_epoch: samples of a training clip in an epoch, each one of its frames at random.
    """

    def compute(clip):
        video = clip.frames
        indices = np.round(np.linspace(0, len(video) - 1, num_frames)).astype(int)
        sampled = preprocessing.to_size(video[indices], size, gray=False)
        return sampled - sampled[:1] if subtract_onset else sampled  # the first index is 0

    sampled = per_clip.compute(clips, compute)

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
        inputs=sampled,
        fit_statistics=fit_statistics,
        augment=augment,
        eval_transform=eval_transform,
        num_views=num_frames,
        repeats_per_epoch=repeats_per_epoch,
        input_shape=sampled.shape[2:],
    )
