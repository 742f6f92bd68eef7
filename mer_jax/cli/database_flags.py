"""The flags of the commands that read a database: its name, its folder, its options."""

from typing import Any

from absl import flags

from mer_jax import datasets
from mer_jax.cli.command import named_values
from mer_jax.datasets import composites

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "database",
    None,
    "The database or composite: " + ", ".join([*datasets.names(), *composites.names()]),
)
flags.DEFINE_string("root", None, "Its folder.")
_OPTION = flags.DEFINE_multi_string(
    "option", [], "An option of the database as NAME=VALUE, e.g. images=raw."
)
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
    found = named_values(_OPTION)
    found |= {"allow_mismatch": True} if FLAGS.allow_mismatch else {}
    return found | ({"exclude": FLAGS.exclude} if FLAGS.exclude else {})
