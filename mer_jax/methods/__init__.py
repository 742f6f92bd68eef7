"""Methods: how the clips of a job become the examples of one paper.

examples = methods.create("strcn_a", clips, share=0.3)
"""

import importlib
import inspect
from collections.abc import Sequence

from mer_jax.clips import Clip
from mer_jax.methods.examples import Examples
from mer_jax.problems import UserError, unknown

__all__ = ["Examples", "create", "names"]

_METHODS = {  # name: the module that holds a function of that name
    "flow_maps": "flow_maps",
    "mer_rcnn": "mer_rcnn",
    "strcn_a": "strcn",
    "strcn_g": "strcn",
}


def names() -> tuple[str, ...]:
    """The methods that `create` knows."""
    return tuple(_METHODS)


def create(name: str, clips: Sequence[Clip], **options) -> Examples:
    """The examples of method `name` over `clips`, on the default device.

    Raises `UserError` for an unknown method or option, and for clips the method cannot use.
    """
    if name not in _METHODS:
        raise unknown("method", name, _METHODS)
    method = getattr(importlib.import_module(f"{__name__}.{_METHODS[name]}"), name)
    known = list(inspect.signature(method).parameters)[1:]
    for option in options:
        if option not in known:
            raise unknown(f"option of method {name}", option, known)
    if name != "flow_maps" and any(clip.content != "video" for clip in clips):
        raise UserError(f"method {name} needs videos; pre-computed maps go with method flow_maps")
    return method(clips, **options)
