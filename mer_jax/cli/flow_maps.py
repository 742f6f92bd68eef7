"""Makes onset-to-apex flow maps of a database's frames, as the field passes them on.

    mer-jax flow-maps --database=NAME --root=DIR --out=DIR [--compare=DIR]

Each clip becomes a PNG of 28 x 28 px: u red, v green, strain blue, each stretched to its own range;
index.csv has database, subject, clip and label, and `--config.data.name=flow_maps` trains on it.
Faces should be cropped: crop raw frames by `mer-jax prepare` first, and give its output here.
--compare prints how far the maps are from stored ones of the same clips: the median correlation of
each channel, that with maps of other clips, and the mean difference in gray levels. Without
--database it compares the maps that lie in --out already.

Example:

    mer-jax flow-maps --database=megc2019 --root=~/data --out=maps
    mer-jax flow-maps --database=prepared --root=prepared/casme2 --out=maps --compare=stored
"""

from absl import flags

from mer_jax import datasets
from mer_jax.cli import database_flags
from mer_jax.cli.command import no_arguments, required, size_of
from mer_jax.datasets import labels
from mer_jax.errors import UserError

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(database_flags)
_OUT = flags.DEFINE_string("out", None, "The folder that gets the maps and index.csv.")
_COMPARE = flags.DEFINE_string("compare", None, "A folder of stored maps to compare with.")
_SCHEME = flags.DEFINE_string("label_scheme", "megc2019", "The classes of the index.")
_PRESET = flags.DEFINE_string("preset", "tv_l1", "The optical flow.")
_APEX = flags.DEFINE_enum("apex", "given", ("given", "found"), "The marked apex, or a found one.")
_SIZE = flags.DEFINE_list("size", ["28", "28"], "H,W of a map.")
_FRAME_SIZE = flags.DEFINE_list("frame_size", ["128", "128"], "H,W px that frames are resized to.")


def main(argv: list[str]) -> None:
    """Writes the maps and prints the comparison that the flags name."""
    from mer_jax.methods import map_files

    no_arguments(argv)
    out = required(_OUT)
    if FLAGS.database:
        found = labels.label(
            _SCHEME.value, datasets.load(FLAGS.database, FLAGS.root, **database_flags.options())
        )
        maps = map_files.make(
            found.clips,
            size=size_of(_SIZE),
            frame_size=size_of(_FRAME_SIZE),
            preset=_PRESET.value,
            apex=_APEX.value,
        )
        named = [found.classes[k] for k in found.labels]
        index = map_files.write(out, found.clips, named, maps)
        print(f"{len(maps)} maps in {index}; {len(found.excluded)} clips have no class")
    elif not _COMPARE.value:
        raise UserError("give --database=NAME to make maps, or --compare=FOLDER to compare them")
    if _COMPARE.value:
        sides = [datasets.load("flow_maps", folder) for folder in (out, _COMPARE.value)]
        print(map_files.compare(*sides).text())
