"""TensorFlow Datasets over the readers, without TensorFlow: any database as array_record files.

    builder = MicroExpressions(config="casme2", data_dir="prepared")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir="~/data/CASME II")
    )
    source = builder.as_data_source("train")            # source[0]["frames"]

One example is one clip, one shard 256 of them. `beam_runner` and `beam_options` of
`tfds.download.DownloadConfig` write the shards in an Apache Beam pipeline. `mer-jax prepare` gives
a `Config` of its own, with clips that are cut out already; `datasets.load("prepared", folder)`
reads what it wrote as `Clip`s.
"""

import contextlib
import dataclasses
import functools
import io
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from mer_jax import datasets
from mer_jax.clips import Clip, to_uint8
from mer_jax.datasets.prepared import VERSION

_SHARD = 256  # clips in a file
_ANY = (None, None, None, None)
_FEATURES = {
    "frames": tfds.features.Tensor(
        shape=_ANY, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
    ),
    "database": tfds.features.Text(),
    "subject": tfds.features.Text(),
    "name": tfds.features.Text(),
    "emotion": tfds.features.Text(),
    "fps": tfds.features.Scalar(np.float32),  # 0: not known
    "onset": tfds.features.Scalar(np.int32),
    "apex": tfds.features.Scalar(np.int32),  # -1: not annotated
    "offset": tfds.features.Scalar(np.int32),  # -1: the last frame
    "action_units": tfds.features.Text(),
    "objective": tfds.features.Text(),
    "content": tfds.features.Text(),
    "landmarks": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),  # 68, or none
}


@dataclasses.dataclass
class Config(tfds.core.BuilderConfig):
    """A database, read with options.

    Args:
      database: its name, where `name` is another.
      options: those of its reader.
      clips: are written instead of the clips in manual_dir.
    """

    database: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    clips: Sequence[Clip] | None = dataclasses.field(default=None, repr=False)


class MicroExpressions(tfds.core.ShardBasedBuilder):
    """Clips of facial expressions, frame by frame, with the labels of their database."""

    VERSION = tfds.core.Version(VERSION)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "manual_dir is the folder of the database, as its reader takes it."
    )
    BUILDER_CONFIGS = [Config(name=name) for name in datasets.names() if name != "prepared"]  # noqa: RUF012

    def __init__(self, **options):
        """Those of `tfds.core.ShardBasedBuilder`; the format is array_record."""
        super().__init__(**options, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, description=self.__doc__, features=tfds.features.FeaturesDict(_FEATURES)
        )

    def _shard_iterators_per_split(self, dl_manager):
        config = self.builder_config
        clips = config.clips
        if clips is None:
            database = config.database or config.name
            root = dl_manager.manual_dir if datasets.in_folder(database) else None
            clips = datasets.load(database, root, **config.options)
        starts = range(0, len(clips), _SHARD)
        return {"train": [functools.partial(_examples, clips[i : i + _SHARD]) for i in starts]}

    def _download_and_prepare(self, dl_manager, download_config=None):
        """Writes the shards, and sets their lengths: all are full but the last.

        With Beam, TFDS 4.9.10 sorts the lengths by the names of shards, 0, 1, 10, 2, and leaves a
        file.
        """
        super()._download_and_prepare(dl_manager, download_config)
        for left in pathlib.Path(self.data_dir).glob("*.shard_infos.json"):
            left.unlink()
        splits = [
            info.replace(shard_lengths=sorted(info.shard_lengths, reverse=True))
            for info in self.info.splits.values()
        ]
        self.info.set_splits(tfds.core.splits.SplitDict(splits))

    def _example_writer(self):
        return _Writer(self.info.file_format)


class _Writer(tfds.core.ExampleWriter):
    """Writes the same bytes in every process: protobuf orders the entries of a map at random."""

    def write(self, path, examples):
        parse = tf_example_pb2.Example.FromString
        return super().write(
            path, ((key, parse(one).SerializeToString(deterministic=True)) for key, one in examples)
        )


def _examples(clips: Sequence[Clip]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, example) of each clip."""
    for clip in clips:
        content = example(clip)
        yield clip.key, content
        content.clear()  # it is written; TFDS holds all examples of a shard to count them


def example(clip: Clip) -> dict[str, Any]:
    """A clip as the features of its record; frames in [0, 1] are stored in 256 steps."""
    marks = np.zeros((0, 2), np.float32) if clip.landmarks is None else clip.landmarks
    given = {name: getattr(clip, name) for name in _FEATURES if name != "frames"}
    given |= {name: -1 for name in ("apex", "offset") if given[name] is None}
    given["fps"] = clip.fps or 0.0
    return given | {
        "frames": to_uint8(clip.frames, axes="THWC"),
        "landmarks": np.asarray(marks, np.float32),
    }


def build(
    out: pathlib.Path, config: Config, *, pipeline: tfds.download.DownloadConfig | None = None
) -> pathlib.Path:
    """Writes the records of a config with `clips` below `out` and returns their folder.

    TFDS writes to a temporary folder and renames it: there are all records or none. One clip is in
    memory at a time. `pipeline` writes several shards in an Apache Beam pipeline.
    """
    if config.clips is None or len(config.clips) <= _SHARD:
        pipeline = None
    tfds.disable_progress_bar()
    builder = MicroExpressions(config=config, data_dir=out)
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints about a download
        builder.download_and_prepare(
            download_dir=out / ".downloads",
            download_config=pipeline or tfds.download.DownloadConfig(compute_stats="skip"),
        )
    shutil.rmtree(out / ".downloads", ignore_errors=True)
    return pathlib.Path(builder.data_dir)
