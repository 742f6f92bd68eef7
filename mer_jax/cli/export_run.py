"""Writes a finished run to one file, which `mer-jax predict` reads on any machine.

    mer-jax export-run WORKDIR FILE [--license=TEXT]

FILE holds the networks, the configuration, the profile of the clips (of a spotting run: durations,
thresholds, and the run that labels its intervals), the class names and the databases with the
number of clips and subjects, their licenses and addresses; no clip and no code. Whether a trained
network may be handed on is decided by the databases' licenses; name yours with --license.

Example:

    mer-jax export-run runs/first first.merrun --license="CC BY 4.0"
    mer-jax predict --run=first.merrun --video=me.mp4
"""

from absl import flags

from mer_jax.cli import databases
from mer_jax.errors import UserError
from mer_jax.io import reading

_LICENSE = flags.DEFINE_string("license", "", "The license of the file, in your words.")


def main(argv: list[str]) -> None:
    """Writes the file and prints the licenses of its data."""
    from mer_jax.inference import run_file

    if len(argv) != 3:
        raise UserError("give the working directory of a run and the file to write")
    workdir, path = (reading.expanded(each) for each in argv[1:])
    manifest = run_file.export(workdir, path, licenses=licenses(), license=_LICENSE.value)
    print(describe(manifest))
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


def licenses() -> dict[str, str]:
    """Name of a database -> its license and where it is obtained, in words."""
    terms = "license as in the owners' agreement"
    found = {each.name: f"{terms}; {each.form} ({each.address})" for each in databases.SOURCES}
    return found | {"synthetic": "rendered by mer_jax, free of licenses"}


def describe(manifest) -> str:
    """What a run was trained on, and under which licenses."""
    rows = [
        f"  {each.name}: {each.clips} {manifest.content} of {each.subjects} subjects; "
        f"{each.license}"
        for each in manifest.databases
    ]
    own = manifest.license or "not stated by its exporter"
    title = f"{manifest.title or 'a run'} (mer_jax {manifest.version})"
    return "\n".join([f"{title}: trained on {manifest.trained_on}", *rows, f"  license: {own}"])
