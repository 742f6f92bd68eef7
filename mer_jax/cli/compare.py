"""Compares runs on the same clips: one table with intervals and significance.

    mer-jax compare RUN RUN... [--out=FILE,FILE] [--seeds]

RUN is a working directory, a predictions.csv or a log. Every run is compared with the first one.
The table is printed as Markdown; an --out file is .md, .tex or .html.

Example:

    mer-jax compare runs/first runs/second --out=table.tex,table.html
    mer-jax compare runs/seed0 runs/seed1 runs/seed2 --seeds
"""

import pathlib

from absl import flags

from mer_jax.errors import UserError, unknown_name
from mer_jax.io import saving
from mer_jax.reporting import comparison

_OUT = flags.DEFINE_list("out", [], "Files to write: names that end in .md, .tex or .html.")
_SEEDS = flags.DEFINE_bool(
    "seeds", False, "The runs differ in their seed only: add their mean and standard deviation."
)


def main(argv: list[str]) -> None:
    """Prints and writes the comparison of the runs that `argv` names."""
    if len(argv) < 3:
        raise UserError("name at least two runs")
    runs = comparison.open_runs(argv[1:])
    rows = comparison.compare(runs)
    lines = comparison.cells(rows, runs=runs if _SEEDS.value else ())
    forms = {
        ".md": lambda: comparison.markdown(lines),
        ".tex": lambda: comparison.latex(lines),
        ".html": lambda: comparison.html(rows, lines),
    }
    for path in _OUT.value:
        if pathlib.Path(path).suffix not in forms:
            raise unknown_name("form of --out", pathlib.Path(path).suffix, forms)
    for path in _OUT.value:
        saving.write(path, forms[pathlib.Path(path).suffix]())
    print(comparison.markdown(lines), end="")
