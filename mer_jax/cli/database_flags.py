"""The flags by which commands name a database and say how it is read."""

from typing import Any

from absl import flags

from mer_jax import datasets
from mer_jax.errors import UserError

FLAGS = flags.FLAGS
flags.DEFINE_string("database", None, "The database: " + ", ".join(datasets.names()))
flags.DEFINE_string("root", None, "Its folder.")
flags.DEFINE_multi_string("option", [], "NAME=VALUE of the database's options, e.g. images=raw.")
flags.DEFINE_multi_string("exclude", [], "The key of a clip to go without.")
flags.DEFINE_bool("allow_mismatch", False, "Go on where the sheet and the frames disagree.")

CURES = (
    "A clip that cannot be mended is left out by --leave_out=KEY; "
    "--settle goes on where the sheet and the frames disagree."
)


def options() -> dict[str, Any]:
    """The options that the flags give; `UserError` where one is no NAME=VALUE."""
    found = {}
    for option in FLAGS.option:
        name, equals, value = option.partition("=")
        if not equals:
            raise UserError(f"--option={option} is not of the form NAME=VALUE")
        found[name] = value
    found |= {"allow_mismatch": True} if FLAGS.allow_mismatch else {}
    return found | ({"exclude": FLAGS.exclude} if FLAGS.exclude else {})
