"""The flags of the commands that read a database: its name, its folder, its options."""

import ast
import contextlib
from typing import Any

from absl import flags

from mer_jax import datasets
from mer_jax.datasets import composites
from mer_jax.errors import UserError

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "database",
    None,
    "The database or composite: " + ", ".join([*datasets.names(), *composites.names()]),
)
flags.DEFINE_string("root", None, "Its folder.")
flags.DEFINE_multi_string("option", [], "An option of the database as NAME=VALUE, e.g. images=raw.")
flags.DEFINE_multi_string("exclude", [], "The key of a clip to leave out.")
flags.DEFINE_bool("allow_mismatch", False, "Continue where the sheet and the frames disagree.")

HINTS = (
    "--exclude=KEY leaves out a clip that cannot be repaired; "
    "--allow_mismatch continues where the sheet and the frames disagree."
)


def options() -> dict[str, Any]:
    """The database's options as the flags set them; values are Python literals or plain text.

    Raises `UserError` for an --option that is not NAME=VALUE.
    """
    found: dict[str, Any] = {}
    for option in FLAGS.option:
        name, equals, value = option.partition("=")
        if not equals:
            raise UserError(f"--option={option} is not of the form NAME=VALUE")
        found[name] = value
        with contextlib.suppress(ValueError, SyntaxError):
            found[name] = ast.literal_eval(value)
    found |= {"allow_mismatch": True} if FLAGS.allow_mismatch else {}
    return found | ({"exclude": FLAGS.exclude} if FLAGS.exclude else {})
