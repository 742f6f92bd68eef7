"""Protocols divide clips into training, validation and test sets: each returns `Folds`.

    folds = protocols.create("loso", clips, labels)

`package.module:name` is a function of your own, (clips, labels, *, options) -> Folds. A protocol
uses the subject, database and label of a clip, not its frames. `validate` splits an inner
validation set off each fold's training clips, by subject, so that an epoch or a size can be
selected without the test clips.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mer_jax.clips import Clip
from mer_jax.errors import UserError
from mer_jax.options import check, defaults, find
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
    "megc2019": loso,  # LOSO over the subjects of the composite; its scores pool the folds
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
    return defaults(find("protocol", name, _SCHEMES))


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
    return find("protocol", name, _SCHEMES)(clips, np.asarray(labels), **given)
