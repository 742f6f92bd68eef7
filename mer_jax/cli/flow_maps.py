"""Makes onset-to-apex flow maps of a database's frames, in the form that is shared in public.

    mer-jax flow-maps --database=NAME --root=DIR --out=DIR [--compare=DIR]

Each clip becomes a PNG of 28 x 28 px: u red, v green, strain blue, each stretched to its own range;
index.csv has database, subject, clip, label and file, and `--config.data.name=flow_maps
--config.data.root=DIR` trains on them. Crop raw frames by `mer-jax prepare` first, and give
--database=prepared --root=its output. --compare prints of each channel, as medians over the clips
in both folders, the correlation with the stored map of the same clip, the mean correlation with
those of other clips (chance), and the mean absolute difference in gray levels (0 to 255). Without
--database it compares the maps that are in --out already.

Example:

    mer-jax flow-maps --database=megc2019 --root=~/data --out=maps
    mer-jax flow-maps --database=prepared --root=prepared/casme2 --out=maps --compare=stored
"""

from absl import flags

from mer_jax import datasets
from mer_jax.cli import database_flags
from mer_jax.cli.command import no_arguments, required, size_of
from mer_jax.datasets import flow_maps, labels
from mer_jax.errors import UserError

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(database_flags)
_OUT = flags.DEFINE_string("out", None, "The folder that gets the maps and index.csv.")
_COMPARE = flags.DEFINE_string("compare", None, "A folder of stored maps to compare with.")
_SCHEME = flags.DEFINE_string(
    "label_scheme", "megc2019", "The labels of the index; a clip without one is left out."
)
_PRESET = flags.DEFINE_string("preset", "tv_l1", "Preset of `video.optical_flow`.")
_APEX = flags.DEFINE_enum(
    "apex", "given", ("given", "found"), "The annotated apex if there is one, or a found one."
)
_SIZE = flags.DEFINE_list("size", ["28", "28"], "H,W of a map.")
_FRAME_SIZE = flags.DEFINE_list("frame_size", ["128", "128"], "H,W px that frames are resized to.")


def main(argv: list[str]) -> None:
    """Writes maps if --database is given, and compares them if --compare is.

    Raises `UserError` for a mistake in the flags, e.g. labels that no index of maps has.
    """
    from mer_jax.methods import map_files

    no_arguments(argv)
    out = required(_OUT)
    if FLAGS.database:
        labeled = labels.label(
            _SCHEME.value, datasets.load(FLAGS.database, FLAGS.root, **database_flags.options())
        )
        if not {*labeled.classes} <= {*flow_maps.LABELS}:
            known = ", ".join(flow_maps.LABELS)
            raise UserError(f"--label_scheme={_SCHEME.value}: the labels of an index are {known}")
        maps = map_files.make(
            labeled.clips,
            size=size_of(_SIZE),
            frame_size=size_of(_FRAME_SIZE),
            preset=_PRESET.value,
            apex=_APEX.value,
        )
        names = [labeled.classes[k] for k in labeled.labels]
        index = map_files.write(out, labeled.clips, names, maps)
        print(f"{len(maps)} maps in {index}; {len(labeled.excluded)} clips have no class")
    elif not _COMPARE.value:
        raise UserError("give --database=NAME to make maps, or --compare=FOLDER to compare them")
    if _COMPARE.value:
        sides = [datasets.load("flow_maps", folder) for folder in (out, _COMPARE.value)]
        print(map_files.compare(*sides).text())
