"""Protocols divide clips into training, validation and test sets: each returns `Folds`.

    folds = protocols.create("loso", clips, labels)

`package.module:name` is a function of your own, (clips, labels, *, options) -> Folds. A protocol
uses the subject, database and label of a clip, not its frames. `with_validation` splits an inner
validation set off each fold's training clips, by subject, so that an epoch or a size can be
selected without the test clips.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mer_jax.clips import Clip, check_axes
from mer_jax.errors import UserError, own_code
from mer_jax.options import check, defaults, find
from mer_jax.protocols.folds import Folds, with_validation
from mer_jax.protocols.schemes import (
    hold_out,
    k_fold,
    leave_one_database_out,
    loso,
    lovo,
    repetition_name,
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
    "repetition_name",
    "with_validation",
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
    """The protocols that `create` knows.

    >>> "loso" in names()
    True
    """
    return tuple(_SCHEMES)


def options(name: str) -> dict[str, Any]:
    """The options of a protocol.

    Args:
      name: one of `names`, or "package.module:name".

    Returns:
      Name -> default.

    Raises:
      UserError: for an unknown protocol.

    >>> options("lovo")
    {'fraction': 0.05, 'repeats': 1, 'seed': 0}
    """
    return defaults(find("protocol", name, _SCHEMES))


def create(name: str, clips: Sequence[Clip], labels: np.ndarray, **given) -> Folds:
    """The folds of a protocol.

    Args:
      name: one of `names`, or "package.module:name".
      clips: N clips.
      labels: [N] int class indices, or [N, K] of 0 and 1.
      given: options of the protocol.

    Returns:
      `Folds` over `clips`.

    Raises:
      UserError: for an unknown protocol or option, and for clips that the protocol cannot divide (a
        single subject, more folds than clips, another number of labels, ...).

    >>> from mer_jax.clips import in_memory
    >>> read = in_memory(np.ones((1, 8, 8, 1)))
    >>> clips = [Clip("d", subject, "c", read, "") for subject in ("s1", "s2", "s3")]
    >>> print(create("loso", clips, [0, 1, 0]))
    3 folds over 3 clips of 3 subjects
      d/s1: train 2, validation 0, test 1
      d/s2: train 2, validation 0, test 1
      d/s3: train 2, validation 0, test 1
    """
    given = check("protocol", name, given, options(name))
    if not len(clips):
        raise UserError(
            f"protocol {name}: there are no clips; check data.name and data.label_scheme"
        )
    check_axes(labels, f"{len(clips)}...", name="labels")
    with own_code("protocol", name):
        folds = find("protocol", name, _SCHEMES)(clips, np.asarray(labels), **given)
    expected = [(clip.key, clip.subject_key) for clip in clips]
    if list(zip(folds.clips, folds.subjects)) != expected or folds.train.shape[1] != len(clips):
        raise UserError(
            f"protocol {name}: its folds are not over the given clips in their order; take "
            "clips=tuple(clip.key for clip in clips), and likewise subjects from clip.subject_key"
        )
    return folds
