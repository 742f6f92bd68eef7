"""Methods: the clips of a job as the examples of one paper.

    examples = methods.create("strcn_a", clips, mask_fraction=0.3)

`package.module:name` is a function of your own, (clips, *, options) -> Examples.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from mer_jax import runtime
from mer_jax.clips import Clip
from mer_jax.errors import UserError, located, own_code
from mer_jax.methods import example_cache
from mer_jax.methods.examples import Examples, check_statistics
from mer_jax.options import check, defaults, find

__all__ = ["Examples", "create", "names", "options"]

_METHODS = {  # name: the module that holds a function of that name
    "apex": "apex",
    "bi_woof": "descriptors",
    "flow_maps": "flow_maps",
    "frames": "apex",
    "fusenet": "stcnn",
    "lbp_sip": "descriptors",
    "lbp_tics": "descriptors",
    "lbp_top": "descriptors",
    "mdmo": "descriptors",
    "mer_rcnn": "mer_rcnn",
    "mmnet": "mmnet",
    "psn": "psn",
    "r3d": "r3d",
    "skd_tstsan": "skd_tstsan",
    "stcnn": "stcnn",
    "stlbp_ip": "descriptors",
    "strcn_a": "strcn",
    "strcn_g": "strcn",
}


def names() -> tuple[str, ...]:
    """The names that `create` knows."""
    return tuple(_METHODS)


def options(name: str) -> dict[str, Any]:
    """The options of method `name` and their defaults.

    Raises:
      UserError: for an unknown name.

    >>> from mer_jax import methods
    >>> methods.options("skd_tstsan")["frame_size"]
    (128, 128)
    """
    return defaults(_method(name))


@runtime.pinned()
def create(name: str, clips: Sequence[Clip], **given) -> Examples:
    """The examples of method `name` of `clips`, arrays on the host.

    Args:
      name: one of `names()`, or `package.module:name` of your own.
      clips: one or more.
      **given: options of the method, see `options`.

    Raises:
      UserError: for an unknown method or option, for no clips, or clips the method cannot use.

    >>> import numpy as np
    >>> from mer_jax import methods
    >>> from mer_jax.clips import Clip, in_memory
    >>> ramp = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1) / 10  # T = 6, brighter each frame
    >>> clip = Clip("db", "s1", "c1", in_memory(np.tile(ramp, (1, 4, 4, 1))), "surprise", apex=3)
    >>> examples = methods.create("r3d", [clip, clip], size=(4, 4), length=3)  # onset to apex
    >>> examples.input_shape, examples.inputs[0, :, 0, 0, 0]
    ((3, 4, 4, 3), array([0. , 0.2, 0.3], dtype=float32))
    """
    given = check("method", name, given, options(name))
    if not len(clips):
        raise UserError(f"method {name} has no clips to make examples of: the list is empty")
    if name in _METHODS and name != "flow_maps" and any(clip.content != "video" for clip in clips):
        raise UserError(f"method {name} needs videos; pre-computed maps go with method flow_maps")
    function = _method(name)
    with example_cache.for_method(name, given, function), own_code("method", name):
        examples = function(clips, **given)
    if name not in _METHODS:  # ours are tested
        with located(f"method {name}"):
            check_statistics(examples)
    return examples


def _method(name: str) -> Callable[..., Examples]:
    found = find("method", name, _METHODS)
    return (
        getattr(importlib.import_module(f"{__name__}.{found}"), name) if name in _METHODS else found
    )
