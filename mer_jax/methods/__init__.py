"""Methods: how the clips of a job become the examples of one paper.

    examples = methods.create("strcn_a", clips, mask_fraction=0.3)

`package.module:name` is a function of your own, (clips, *, options) -> Examples.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from mer_jax import runtime
from mer_jax.clips import Clip
from mer_jax.errors import UserError
from mer_jax.methods import rows
from mer_jax.methods.examples import Examples
from mer_jax.options import check, defaults, find

__all__ = ["Examples", "create", "names", "options"]

_METHODS = {  # name: the module that holds a function of that name
    "apex": "apex",
    "bi_woof": "descriptors",
    "flow_maps": "flow_maps",
    "frames": "apex",
    "fusenet": "stcnn",
    "lbp_sip": "descriptors",
    "lbp_top": "descriptors",
    "mdmo": "descriptors",
    "mer_rcnn": "mer_rcnn",
    "psn": "psn",
    "r3d": "r3d",
    "stcnn": "stcnn",
    "strcn_a": "strcn",
    "strcn_g": "strcn",
}


def names() -> tuple[str, ...]:
    """The methods that `create` knows."""
    return tuple(_METHODS)


def options(name: str) -> dict[str, Any]:
    """The options of method `name` and their defaults."""
    return defaults(_method(name))


@runtime.pinned()
def create(name: str, clips: Sequence[Clip], **given) -> Examples:
    """The examples of method `name` over `clips`, on the default device.

    Raises `UserError` for an unknown method or option, and for clips the method cannot use or none.
    """
    given = check("method", name, given, options(name))
    if not len(clips):
        raise UserError(f"method {name} has no clips to make examples of: the list is empty")
    if name in _METHODS and name != "flow_maps" and any(clip.content != "video" for clip in clips):
        raise UserError(f"method {name} needs videos; pre-computed maps go with method flow_maps")
    function = _method(name)
    with rows.stage(name, given, function):
        return function(clips, **given)


def _method(name: str) -> Callable[..., Examples]:
    found = find("method", name, _METHODS)
    return (
        getattr(importlib.import_module(f"{__name__}.{found}"), name) if name in _METHODS else found
    )
