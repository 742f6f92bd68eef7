import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mer_jax import datasets
from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import beam
from mer_jax.datasets import tfds as module
from mer_jax.datasets.tfds import Config, MicroExpressions, example
from tests.datasets import replica


@pytest.mark.parametrize("database, options", [("casme2", {}), ("samm", {"allow_mismatch": True})])
def test_every_clip_of_a_reader_is_an_example(tmp_path, monkeypatch, database, options):
    monkeypatch.setattr(module, "_SHARD", 3)
    replica.write(database, tmp_path / "raw", subjects=2)
    config = database
    if options:
        config = Config(name=f"{database}_settled", database=database, options=options)
    builder = MicroExpressions(config=config, data_dir=tmp_path / "out")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=tmp_path / "raw", compute_stats="skip"
        )
    )
    source = builder.as_data_source("train")
    clips = datasets.load(database, tmp_path / "raw", **options)
    examples = [source[i] for i in range(len(source))]
    found = {(one["subject"].decode(), one["name"].decode()): one for one in examples}
    files = list((tmp_path / "out").rglob("*.array_record-*"))
    assert len(files) == -(-len(clips) // 3)
    assert list(found) == [(clip.subject, clip.name) for clip in clips]
    assert len(source) == len(clips) == len(found)
    for clip in clips:
        one = found[clip.subject, clip.name]
        np.testing.assert_array_equal(one["frames"], clip.frames)
        assert one["database"].decode() == database and one["fps"] == clip.fps
        assert one["emotion"].decode() == clip.emotion
        assert (one["onset"], one["offset"]) == (clip.onset, clip.offset)
        assert one["apex"] == (-1 if clip.apex is None else clip.apex)
        assert one["action_units"].decode() == clip.action_units
        assert one["landmarks"].shape == (0, 2)


def test_frames_in_the_unit_range_are_stored_in_256_steps():
    frames = np.linspace(-0.1, 1.1, 24, dtype=np.float32).reshape(2, 3, 4, 1)
    marks = np.arange(136, dtype=np.float32).reshape(68, 2)
    clip = Clip(
        database="a", subject="b", name="c", read=in_memory(frames), emotion="d", landmarks=marks
    )
    made = example(clip)
    assert made["frames"].dtype == np.uint8
    np.testing.assert_allclose(made["frames"] / 255, frames.clip(0, 1), atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(made["landmarks"], marks)
    assert made["apex"] == made["offset"] == -1


def test_beam_writes_the_same_shards(tmp_path, monkeypatch):
    """Over ten, the last one short: TFDS itself mixes up their lengths."""
    pytest.importorskip("apache_beam", reason="Apache Beam is an extra")
    monkeypatch.setattr(module, "_SHARD", 2)
    frames = np.arange(23 * 12, dtype=np.uint8).reshape(23, 2, 2, 3, 1)
    clips = [
        Clip(database="a", subject="b", name=str(i), read=in_memory(one), emotion="d")
        for i, one in enumerate(frames)
    ]
    config = Config(name="mine", database="casme2", clips=clips)
    options = ["direct_running_mode=in_memory", "direct_num_workers=1"]
    written = []
    for name, pipeline in (
        ("local", None),
        ("beam", beam.download_config("DirectRunner", options=options)),
    ):
        folder = module.build(tmp_path / name, config, pipeline=pipeline)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1] and len(written[0]) == 12 + 2
    source = tfds.builder_from_directory(folder).as_data_source("train")
    assert [one["name"].decode() for one in source] == [clip.name for clip in clips]
    np.testing.assert_array_equal([one["frames"] for one in source], frames)


@pytest.mark.e2e
def test_other_code_reads_it_by_name_or_folder_through_tfds_alone(tmp_path):
    """`data_source` is what `tfds.load` is without TensorFlow; no builder of ours is at hand."""
    replica.write("casme2", tmp_path / "raw", subjects=1)
    clips = datasets.load("casme2", tmp_path / "raw")
    config = Config(name="mine", database="casme2", clips=clips)
    folder = module.build(tmp_path / "out", config)
    code = (
        "import sys, tensorflow_datasets as tfds\n"
        f"there = {str(tmp_path / 'out')!r}\n"
        "by_name = tfds.data_source('micro_expressions/mine', split='train', data_dir=there)\n"
        f"builder = tfds.builder_from_directory({str(folder)!r})\n"
        "by_folder = builder.as_data_source('train')\n"
        "for source in (by_name, by_folder):\n"
        "    print([(one['name'].decode(), one['frames'].shape) for one in source])\n"
        "print(builder.info.splits['train'].num_examples, 'mer_jax' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lists, counts = told.stdout.splitlines()
    want = repr([(clip.name, clip.frames.shape) for clip in clips])
    assert lists == [want, want] and counts == f"{len(clips)} False"


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed"
)
def test_no_tensorflow_is_needed():
    assert "tensorflow" not in sys.modules
