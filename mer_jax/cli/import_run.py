"""Verifies the file of a run and unpacks it to a folder for `mer-jax predict`.

    mer-jax import-run FILE FOLDER

`mer-jax predict --run=FILE` reads the file itself, too.

Example:

    mer-jax import-run first.merrun runs/theirs
    mer-jax predict --run=runs/theirs --video=me.mp4
"""

from mer_jax.cli.export_run import describe
from mer_jax.errors import UserError


def main(argv: list[str]) -> None:
    """Unpacks the file and prints what the run was trained on."""
    from mer_jax.inference import run_file

    if len(argv) != 3:
        raise UserError("give the file of a run and the folder to write")
    manifest = run_file.unpack(*argv[1:])
    print(describe(manifest))
    print(argv[2])
