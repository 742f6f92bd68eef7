"""Single frames: the apex for CapsuleNet, all frames in turn for an image CNN.

apex    [H, W, 3], one frame a clip (Van Quang, Chun, Tokuyama 2019)
frames  [H, W, 3], a training sample is a random frame; a test clip's frames vote (STRCN, Table II)
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.methods import film
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.video import apex_index


@checked
def apex(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (224, 224),
    apex: str = "given",
    less_first: bool = False,
) -> Examples:
    """The apex frame: the marked one where there is one ("given"), or found by STRCN's Eq. 5.

    less_first: take the clip's first frame away, which leaves the movement and not the face.
    """
    out = []
    for clip, frames in zip(clips, film.films(clips, size, grey=False), strict=True):
        given = clip.apex is not None and apex == "given"
        frame = frames[clip.apex if given else int(apex_index(jnp.asarray(frames)))]
        out.append(frame - frames[0] if less_first else frame)
    return Examples(inputs=jnp.asarray(np.stack(out)), input_shape=out[0].shape)


@checked
def frames(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (224, 224),
    looks: int = 16,
    less_first: bool = False,
    copies: int = 4,
) -> Examples:
    """`looks` frames of each clip, evenly spaced from the first to the last; `less_first` as above.

    An epoch visits each clip `copies` times, each time one of its frames; a test clip's class is
    the one most of its frames get. The mean frame of a fold's training clips is taken away, as in
    VGG's own training, and what is left is divided by its deviation over them: without that all
    frames are nearly the same input to a network of thirteen layers that normalises nothing, and
    its loss stays where it began. A deviation under 1e-4 (a fortieth of an 8-bit level) is rounding
    and is taken for 1e-4.
    """
    spread = lambda n: np.round(np.linspace(0, n - 1, looks)).astype(int)
    seen = np.stack([each[spread(len(each))] for each in film.films(clips, size, grey=False)])
    if less_first:  # spread begins at 0
        seen = seen - seen[:, :1]

    def learn(inputs, weights):
        share = weights / jnp.sum(weights)
        mean = jnp.einsum("n,nvhwc->hwc", share, inputs) / looks
        variance = jnp.einsum("n,n->", share, jnp.mean(jnp.square(inputs - mean), (1, 2, 3, 4)))
        return {"mean": mean, "deviation": jnp.sqrt(jnp.maximum(variance, 1e-8))}

    def view(example, learned):
        return (example - learned["mean"]) / learned["deviation"]

    def augment(key, example, learned):
        return view(example[jax.random.randint(key, (), 0, looks)], learned)

    return Examples(
        inputs=jnp.asarray(seen),
        learn=learn,
        augment=augment,
        view=view,
        votes=looks,
        copies=copies,
        input_shape=seen.shape[2:],
    )
