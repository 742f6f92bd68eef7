"""Compares runs on the same clips: one table with intervals and significance.

    python -m tools.compare RUN RUN...                            prints Markdown
    python -m tools.compare RUN RUN... --out=table.tex,page.html  and writes these files
    python -m tools.compare RUN RUN... --seeds                    and the mean over the runs

RUN is a working directory, a predictions.csv or a log. Every run is compared with the first one.
The ending of an --out file says what it becomes: .md, .tex or .html.
"""

import pathlib

from absl import flags

from mer_jax.evaluation import compare, files
from mer_jax.problems import UserError, unknown
from tools.command import command, start

_OUT = flags.DEFINE_list("out", [], "Files to write: names that end in .md, .tex or .html.")
_SEEDS = flags.DEFINE_bool(
    "seeds", False, "The runs differ in their seed only: add their mean and standard deviation."
)


@command
def main(argv: list[str]) -> None:
    """Prints and writes the comparison of the runs that `argv` names."""
    if len(argv) < 3:
        raise UserError("name at least two runs")
    runs = [compare.open_run(path) for path in argv[1:]]
    rows = compare.compare(runs)
    lines = compare.cells(rows, runs=runs if _SEEDS.value else ())
    forms = {
        ".md": lambda: compare.markdown(lines),
        ".tex": lambda: compare.latex(lines),
        ".html": lambda: compare.html(rows, lines),
    }
    for path in _OUT.value:
        if pathlib.Path(path).suffix not in forms:
            raise unknown("form of --out", pathlib.Path(path).suffix, forms)
    for path in _OUT.value:
        files.write(path, forms[pathlib.Path(path).suffix]())
    print(compare.markdown(lines), end="")


if __name__ == "__main__":
    start(main)
