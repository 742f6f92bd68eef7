"""MMNet: the frames of onset and apex, standardized as for ImageNet (Li et al. 2022, its code)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.datasets import folders
from mer_jax.methods import per_clip, preprocessing
from mer_jax.methods.examples import Examples
from mer_jax.options import checked

# Of red, green and blue in [0, 1]: torchvision's for networks trained on ImageNet.
MEAN = np.array((0.485, 0.456, 0.406), np.float32)
DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)


@checked
def mmnet(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (224, 224),
    apex: str = "given",
    jitter: float = 0.0375,
    mirror: bool = True,
    rotation: float = 3.0,
    shift: Sequence[int] = (15, 15),
) -> Examples:
    """[2, H, W, 3] float32: onset and apex in color, less ImageNet's mean, over its deviation.

    A training sample has a frame shortly after the onset and one shortly before the apex, both
    moved alike. Beyond the edges of a moved frame they are repeated; in the authors' code the mean
    color is there.

    Args:
      clips: videos.
      size: (H, W) px.
      apex: as in `preprocessing.choose_apex`.
      jitter: of the frames from onset to apex, the share after the onset, and before the apex, of
        which a training sample has one each.
      mirror, rotation, shift: of a training sample, as in `preprocessing.moved_at_random`.
    """
    most = max(_frames_to_apex(clip, apex) for clip in clips)

    def compute(clip):
        frames = clip.frames
        last = preprocessing.choose_apex(clip, frames, apex=apex)
        near = int(jitter * (last - clip.onset))
        at = np.minimum(np.arange(1 + int(jitter * most)), near)
        pairs = [clip.onset + at, last - at]  # [2, J], the frame itself first
        chosen = preprocessing.to_size(frames[np.concatenate(pairs)], size, gray=False)
        chosen = (chosen - MEAN) / DEVIATION
        return {"frames": chosen.reshape(2, len(at), *chosen.shape[1:]), "near": np.int32(near)}

    inputs = per_clip.compute(clips, compute, depends_on=most)

    def augment(key, example, statistics):
        del statistics
        for_frames, for_motion = jax.random.split(key)
        at = jax.random.randint(for_frames, (2,), 0, example["near"] + 1)
        pair = jnp.take_along_axis(example["frames"], at[:, None, None, None, None], 1)[:, 0]
        return preprocessing.moved_at_random(
            for_motion, pair, mirror=mirror, rotation=rotation, shift=shift
        )

    return Examples(
        inputs=inputs,
        augment=augment,
        eval_transform=lambda example, statistics: example["frames"][:, 0],
        input_shape=(2, *size, 3),
    )


def _frames_to_apex(clip: Clip, apex: str) -> int:
    """From the onset; where the apex is to be found, to the last frame that it can be."""
    last = folders.length(clip) - 1 if clip.offset is None else clip.offset
    return (clip.apex if apex == "given" and clip.apex is not None else last) - clip.onset
