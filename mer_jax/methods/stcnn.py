"""MicroExpSTCNN and MicroExpFuseNet: raw gray clips (Reddy, Karri, Dubey, Mukherjee 2019).

stcnn    the face: [T, 64, 64, 1]
fusenet  both eyes and the mouth, cropped by 68 landmarks: two of [T, 32, 32, 1]

T is 96 on CAS(ME)^2 and 18 on SMIC; the paper excludes shorter clips, as data.name =
stcnn_casme_squared and stcnn_smic do. The scaling of intensities is not printed. Our choice, after
the authors' code: minus the mean of the training set, then divided by its largest value.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import faces
from mer_jax.clips import Clip
from mer_jax.errors import DataError, Problem
from mer_jax.methods import per_clip, preprocessing
from mer_jax.methods.examples import Examples, Tree
from mer_jax.options import checked

SCALINGS = ("set", "none")
_REGIONS = {"eyes": faces.both_eyes_box, "mouth": faces.mouth_box}


@checked
def stcnn(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 64),
    length: int = 96,
    time: str = "first",
    scaling: str = "set",
) -> Examples:
    """[length, H, W, 1]: the gray face.

    Args:
      clips: videos.
      size: (H, W) px of the resized frames.
      length: frames of an example (T).
      time: "first": the first `length` frames; "resample": all frames, resampled by TIM.
      scaling: "set": as above, from a fold's training clips (`train.statistics_on_all_clips`: from
        all clips, as published); "none": in [0, 1].

    Raises:
      DataError: with the clips that have fewer frames than "first" needs.
    """
    preprocessing.require_length("stcnn", clips, length, time=time)

    def compute(clip):
        video = preprocessing.to_size(clip.frames, size, gray=True)
        return preprocessing.to_length(video, length, time=time)

    return _scaled(per_clip.compute(clips, compute), scaling)


@checked
def fusenet(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (32, 32),
    length: int = 96,
    time: str = "first",
    scaling: str = "set",
    margin: float = 0.2,
) -> Examples:
    """{"eyes", "mouth"}: [length, H, W, 1] each, scaled each by its own mean and largest value.

    Args:
      clips: videos with 68 landmarks of the first frame.
      margin: a region is the box of its landmarks, enlarged on each side by this share of the
        box's width (our choice: 0.2, which includes the brows above the eyes). The authors' code
        crops by other points, in each frame: rows y19 to y1 and columns x1 to x15 for the eyes,
        rows y2 to y6 and columns x2 to x14 for nose and mouth.
      size, length, time, scaling: as in `stcnn`.

    Raises:
      DataError: with the clips that have no landmarks, or landmarks outside of the frame.
    """
    without = [clip for clip in clips if clip.landmarks is None]
    if without:
        why = "has no 68 landmarks, by which eyes and mouth are cropped"
        raise DataError("method fusenet", [Problem(clip.key, why) for clip in without])

    preprocessing.require_length("fusenet", clips, length, time=time)

    def compute(clip):
        frames, row = clip.frames, {}
        for name, box in _REGIONS.items():
            pixels = _pixels(clip, box(clip.landmarks, margin=margin), frames.shape[1:3])
            video = preprocessing.to_size(frames[:, *pixels], size, gray=True)
            row[name] = preprocessing.to_length(video, length, time=time)
        return row

    return _scaled(per_clip.compute(clips, compute), scaling)


def _pixels(clip: Clip, box: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice]:
    """(rows, columns) of a box (x, y, width, height) px, cut at the frame."""
    height, width = size
    first = np.clip(np.floor(box[:2]), 0, None).astype(int)
    last = np.clip(np.ceil(box[:2] + box[2:]), None, (width, height)).astype(int)
    if (last - first < 2).any():
        problem = Problem(clip.key, f"its landmarks lie outside of its {height} x {width} frames")
        raise DataError("method fusenet", [problem])
    return slice(first[1], last[1]), slice(first[0], last[0])


def _scaled(videos: Tree, scaling: str) -> Examples:
    """Examples of the arrays [N, T, H, W, 1] in `videos`, scaled array by array."""
    shape = jax.tree.leaves(videos)[0].shape[1:]
    if scaling == "none":
        return Examples(inputs=videos, input_shape=shape)
    each = tuple(range(1, len(shape) + 1))
    inputs = {
        "frames": videos,
        "mean": jax.tree.map(lambda a: per_clip.reduce(lambda rows: rows.mean(each), a), videos),
        "top": jax.tree.map(lambda a: per_clip.reduce(lambda rows: rows.max(each), a), videos),
    }

    def fit_statistics(inputs, weights):
        normalized = weights / jnp.sum(weights)
        mean = jax.tree.map(
            lambda m: jnp.sum(jnp.where(weights > 0, normalized * m, 0)), inputs["mean"]
        )
        top = jax.tree.map(lambda t: jnp.max(jnp.where(weights > 0, t, 0.0)), inputs["top"])
        # At least a quarter of an 8-bit level: a constant training set has no span.
        span = jax.tree.map(lambda t, m: jnp.maximum(t - m, 1e-3), top, mean)
        return {"mean": mean, "span": span}

    def eval_transform(example, statistics):
        scale = lambda video, mean, span: (video - mean) / span
        return jax.tree.map(scale, example["frames"], statistics["mean"], statistics["span"])

    return Examples(
        inputs=inputs,
        fit_statistics=fit_statistics,
        augment=lambda key, example, statistics: eval_transform(example, statistics),
        eval_transform=eval_transform,
        input_shape=shape,
    )
