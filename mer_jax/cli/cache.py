"""Lists the cached examples of jobs on disk, or removes them.

    mer-jax cache [--clear[=METHOD]] [--examples_dir=DIR]

Examples are the clips in the form that a method gives to the network (flow, magnified frames, ...),
and the samples and evidence of the recordings of spotting jobs, one entry each. The next job with
the same data, method and options reads them instead of computing them again.
The size limit is --config.examples_limit_gib of `mer-jax run`.

Example:

    mer-jax cache
    mer-jax cache --clear=strcn_g
"""

import datetime

from absl import flags

from mer_jax import runtime
from mer_jax.cli.command import no_arguments
from mer_jax.io import reading

_DIR = flags.DEFINE_string("examples_dir", None, "The folder; default: in the user's cache folder.")
_CLEAR = flags.DEFINE_string("clear", None, "Remove the examples of this method, or of 'all'.")


def parse(argv: list[str]) -> list[str]:
    """Parses the flags; `--clear` without a value means all methods."""
    return flags.FLAGS(["--clear=all" if arg in ("--clear", "-clear") else arg for arg in argv])


def main(argv: list[str]) -> None:
    """Prints a line for each method, after removing what --clear names."""
    from mer_jax.io import array_cache

    no_arguments(argv)
    folder = reading.expanded(_DIR.value or runtime.cache_folder() / "examples")
    if _CLEAR.value:
        group = None if _CLEAR.value == "all" else _CLEAR.value
        removed = array_cache.clear(folder, group=group)
        entries, size = (sum(getattr(t, f) for t in removed.values()) for f in ("entries", "bytes"))
        print(f"removed {entries} entries, {size / 2**20:,.1f} MiB")
    found = array_cache.usage(folder)
    print(f"{folder}: {'empty' if not found else ''}".rstrip())
    for name, (entries, size, last_used) in found.items():
        day = datetime.datetime.fromtimestamp(last_used).strftime("%Y-%m-%d %H:%M")
        print(f"  {name:<16} {entries:>7} entries {size / 2**20:>12,.1f} MiB   last used {day}")
