"""Who trains, who validates, who is tested: every protocol returns `Folds`, plain rows of booleans.

    folds = protocols.create("loso", clips, labels)

A protocol sees which clip belongs to whom and its label, never a frame. `validate` carves an inner
validation set out of each fold's training clips, subject by subject, for whoever needs a choice
to be made (an epoch, a width) without looking at the test clips.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mer_jax.clips import Clip
from mer_jax.errors import UserError, unknown_name
from mer_jax.options import check, defaults
from mer_jax.protocols.folds import Folds, validate
from mer_jax.protocols.schemes import (
    hold_out,
    k_fold,
    leave_one_database_out,
    loso,
    lovo,
    repeat_of,
)

__all__ = [
    "Folds",
    "create",
    "hold_out",
    "k_fold",
    "leave_one_database_out",
    "loso",
    "lovo",
    "names",
    "options",
    "repeat_of",
    "validate",
]

_SCHEMES = {
    "loso": loso,
    "megc2019": loso,  # LOSO over the persons of the composite; its scores pool the folds
    "lovo": lovo,
    "k_fold": k_fold,
    "hold_out": hold_out,
    "leave_one_database_out": leave_one_database_out,
}


def names() -> tuple[str, ...]:
    """The protocols that `create` knows."""
    return tuple(_SCHEMES)


def options(name: str) -> dict[str, Any]:
    """The options of protocol `name` and their defaults."""
    if name not in _SCHEMES:
        raise unknown_name("protocol", name, _SCHEMES)
    return defaults(_SCHEMES[name])


def create(name: str, clips: Sequence[Clip], labels: np.ndarray, **given) -> Folds:
    """The folds of protocol `name` over `clips` with `labels` [N] int.

    Raises `UserError` for an unknown protocol or option, and where a protocol cannot be laid over
    these clips (a single subject, more folds than clips, ...).
    """
    given = check("protocol", name, given, options(name))
    if not len(clips):
        raise UserError(
            f"protocol {name}: there are no clips; check data.name and data.label_scheme"
        )
    return _SCHEMES[name](clips, np.asarray(labels), **given)
