"""The command as a user runs it, and what becomes of it when it is stopped or its data change."""

import dataclasses
import pathlib
import signal
import subprocess
import sys
import weakref

import numpy as np
import pytest
from absl import flags

from mer_jax import configuration, datasets, experiment, faces
from mer_jax.cli import command as cli_command
from mer_jax.cli import prepare
from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import folders, identity, prepared, tfds
from mer_jax.errors import DataError, UserError
from tests.datasets import replica

IN_MEMORY = ["direct_running_mode=in_memory", "direct_num_workers=1"]
WHOLE = faces.CropConfig("none", (20, 16), gray=True)
# The beginning of a program that says when it is at its third clip, and waits there.
AT_THIRD = """
import sys, time
from mer_jax import faces
crop_face, seen = faces.crop_face, []
def waits(*arguments, **options):
    seen.append(1)
    if len(seen) == 3:
        print("third", flush=True)
        {waits}
    return crop_face(*arguments, **options)
faces.crop_face = waits
"""


@pytest.fixture
def root(tmp_path):
    replica.write("casme2", tmp_path / "db", subjects=2, known_issues=False, size=(40, 32))
    return tmp_path / "db"


@pytest.fixture
def cropped(monkeypatch):
    """The keys of the clips that are cropped from here on."""
    keys, crop_face = [], faces.crop_face

    def counted(clip, config, **options):
        keys.append(clip.key)
        return crop_face(clip, config, **options)

    monkeypatch.setattr(faces, "crop_face", counted)
    return keys


def run(root, out, config=WHOLE, **options):
    return prepare.prepare("casme2", root, out, config=config, quiet=True, **options)


def pipeline(options=()):
    from mer_jax.datasets import beam

    return beam.download_config("DirectRunner", options=options, jobs=2)


def command(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in ("database", "root", "out", "option", "exclude", "allow_mismatch", "crop", "size"):
        flags.FLAGS[name].unparse()
    for name in ("runner", "beam_pipeline_options"):
        flags.FLAGS[name].unparse()
    code = cli_command.run(prepare.main, flags.FLAGS(["prepare", *arguments]))
    written = capsys.readouterr()
    return code, written.out, written.err


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second):
        for field in dataclasses.fields(one):
            if field.name not in ("read", "landmarks"):
                assert getattr(one, field.name) == getattr(other, field.name)
        assert (one.landmarks is None) == (other.landmarks is None)
        if one.landmarks is not None:
            np.testing.assert_allclose(one.landmarks, other.landmarks, atol=1e-4)
        np.testing.assert_array_equal(one.frames, other.frames)


def test_what_is_read_back_is_what_was_cut_out(root, tmp_path):
    raw = datasets.load("casme2", root)
    out = tmp_path / "out"
    returned = run(root, out)
    read = datasets.load("prepared", out)
    same(read, [faces.crop_face(clip, WHOLE)[0] for clip in raw])
    same(returned, read)
    assert [clip.key for clip in read] == [clip.key for clip in raw]
    assert [folders.length(clip) for clip in read] == [len(clip.frames) for clip in raw]
    left = sorted(path.name for path in out.iterdir())
    assert left == [".lock", "contact_sheet_1.png", "micro_expressions", prepared.MANIFEST]


def test_an_experiment_runs_on_it(root, tmp_path):
    run(root, tmp_path / "out")
    made = configuration.make(
        data={"name": "prepared", "root": str(tmp_path / "out"), "label_scheme": "megc2019"},
        method="flow_maps",
        model="ststnet",
    )
    raw = configuration.make(
        data={"name": "casme2", "root": str(root)}, method="flow_maps", model="ststnet"
    )
    clips, labels, classes = experiment.prepare_clips(made)
    expected, expected_labels, _ = experiment.prepare_clips(raw)
    assert [clip.key for clip in clips] == [clip.key for clip in expected]
    np.testing.assert_array_equal(labels, expected_labels)
    assert clips[0].frames.shape[1:] == (20, 16, 1) and len(classes) == 3


@pytest.mark.e2e
def test_after_kill_9_what_is_done_is_kept(root, tmp_path, cropped):
    script = f"""
import os, signal
from mer_jax import faces
from mer_jax.cli import prepare
crop_face, seen = faces.crop_face, []
def fatal(*arguments, **options):
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    seen.append(1)
    return crop_face(*arguments, **options)
faces.crop_face = fatal
config = faces.CropConfig("none", (20, 16), gray=True)
prepare.prepare("casme2", {str(root)!r}, {str(tmp_path / "out")!r}, config=config, quiet=True)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr
    work = list((tmp_path / "out" / ".work").glob("*.npz"))
    assert len(work) == 3 and not (tmp_path / "out" / prepared.MANIFEST).exists()
    with pytest.raises(DataError, match="holds no prepared database"):
        datasets.load("prepared", tmp_path / "out")
    work[0].write_bytes(work[0].read_bytes()[:-30])  # and one of them is torn
    clips = run(root, tmp_path / "out")
    assert len(cropped) == len(clips) - 2
    same(clips, [faces.crop_face(clip, WHOLE)[0] for clip in datasets.load("casme2", root)])


def test_killed_while_packing_it_is_packed_anew(root, tmp_path, cropped, monkeypatch):
    write = prepared.write
    monkeypatch.setattr(prepared, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "out")
    monkeypatch.setattr(prepared, "write", write)
    count = len(cropped)
    clips = run(root, tmp_path / "out")
    assert len(cropped) == count == len(clips)
    assert [clip.frames.shape[1] for clip in clips] == [20] * count


def test_the_same_command_again_does_nothing(root, tmp_path, cropped):
    run(root, tmp_path / "out")
    manifest = (tmp_path / "out" / prepared.MANIFEST).stat()
    del cropped[:]
    run(root, tmp_path / "out")
    assert not cropped and (tmp_path / "out" / prepared.MANIFEST).stat() == manifest


@pytest.mark.e2e
def test_one_process_at_a_time(root, tmp_path, cropped, capsys):
    """The second is refused while the first is at its third clip; the first is not disturbed."""
    out = tmp_path / "out"
    script = f"""
from mer_jax.cli import prepare
config = faces.CropConfig("none", (20, 16), gray=True)
prepare.prepare("casme2", {str(root)!r}, {str(out)!r}, config=config, quiet=True)
"""
    command_ = [sys.executable, "-c", AT_THIRD.format(waits="sys.stdin.readline()") + script]
    with subprocess.Popen(command_, stdin=-1, stdout=-1, stderr=-1, text=True) as first:
        assert first.stdout.readline() == "third\n"
        given = ("--database=casme2", f"--root={root}", f"--out={out}", "--jobs=1")
        code, _, err = command(capsys, *given)
        assert code == 2 and "is being prepared by another process" in err
        assert err.count("\n") == 1 and not cropped
        _, err = first.communicate("go on\n")
        assert first.returncode == 0, err
    same(run(root, out), datasets.load("prepared", out))
    assert not cropped


def test_other_parameters_make_it_anew(root, tmp_path, cropped):
    run(root, tmp_path / "out")
    clips = run(root, tmp_path / "out", dataclasses.replace(WHOLE, size=(10, 8)))
    assert len(cropped) == 2 * len(clips) and clips[0].frames.shape[1:] == (10, 8, 1)
    assert len(list((tmp_path / "out" / "micro_expressions").glob("casme2_*"))) == 1


def test_a_digest_tells_what_was_prepared_and_decodes_nothing(root, tmp_path, monkeypatch):
    digests = lambda clips: [identity.digest(clip) for clip in clips]
    before = digests(run(root, tmp_path / "out"))
    (tmp_path / "out").rename(tmp_path / "moved")
    moved = datasets.load("prepared", tmp_path / "moved")
    smaller = run(root, tmp_path / "out", dataclasses.replace(WHOLE, size=(10, 8)))
    again = run(root, tmp_path / "again")
    monkeypatch.setattr(prepared, "_source", None)
    assert digests(moved) == before
    every = [*before, *digests(smaller), *digests(again)]
    assert len({*every}) == len(every)


def test_a_changed_source_is_never_read(root, tmp_path, monkeypatch):
    before = run(root, tmp_path / "out")
    frame = next((root / "Cropped/sub01").glob("*/reg_img95.jpg"))
    replica.save(frame, np.full((40, 32, 3), 200, np.uint8))
    with pytest.raises(DataError, match=r"has changed since; run mer-jax prepare again"):
        datasets.load("prepared", tmp_path / "out")
    assert len(datasets.load("prepared", tmp_path / "out", skip_source_check=True)) == len(before)
    after = [dataclasses.replace(c, read=in_memory(c.frames)) for c in run(root, tmp_path / "out")]
    assert len(datasets.load("prepared", tmp_path / "out")) == len(after)
    first = next(clip for clip in after if clip.name == frame.parent.name)
    assert abs(int(first.frames[0].mean()) - 200) <= 1
    # A copy without its source, elsewhere, is read as it is.
    root.rename(tmp_path / "away")
    (tmp_path / "out").rename(tmp_path / "moved")
    same(datasets.load("prepared", tmp_path / "moved"), after)
    monkeypatch.setattr(prepared, "VERSION", "9.9.9")
    with pytest.raises(DataError, match=r"by version 1\.3\.0, this is 9\.9\.9"):
        datasets.load("prepared", tmp_path / "moved")


@pytest.mark.parametrize("harm", ["cut", "remove", "manifest", "overwrite"])
def test_what_is_torn_is_never_read_and_made_anew(root, tmp_path, harm):
    run(root, tmp_path / "out")
    record = next((tmp_path / "out").rglob("*.array_record*"))
    if harm == "cut":
        record.write_bytes(record.read_bytes()[:-100])
    elif harm == "remove":
        record.unlink()
    elif harm == "manifest":
        path = tmp_path / "out" / prepared.MANIFEST
        path.write_text(path.read_text()[:500])
    if harm == "overwrite":
        content = bytearray(record.read_bytes())
        content[200:-200] = bytes(len(content) - 400)
        record.write_bytes(content)
        prepared._source.cache_clear()
        with pytest.raises(UserError, match=r"run mer-jax prepare again"):
            for clip in datasets.load("prepared", tmp_path / "out"):
                assert clip.frames.any()
        return
    with pytest.raises(DataError, match=r"run mer-jax prepare again"):
        datasets.load("prepared", tmp_path / "out")
    same(
        run(root, tmp_path / "out"),
        [faces.crop_face(clip, WHOLE)[0] for clip in datasets.load("casme2", root)],
    )


def test_a_clip_without_a_face_is_named_and_may_be_left_out(tmp_path, capsys, cropped):
    replica.write("casme2", tmp_path / "db", subjects=2, known_issues=False, size=(72, 60))
    folder = tmp_path / "db/Cropped/sub02/EP02_02"
    for frame in folder.iterdir():
        replica.save(frame, np.zeros((72, 60, 3), np.uint8))
    given = ("--database=casme2", f"--root={tmp_path / 'db'}", f"--out={tmp_path / 'out'}")
    given = (*given, "--size=33,27", "--jobs=1")
    code, _, err = command(capsys, *given)
    assert code == 1 and "1 problem(s)" in err
    assert "casme2/sub02/EP02_02: no face was found in its first frame" in err
    assert not (tmp_path / "out" / prepared.MANIFEST).exists()
    count = len(cropped)
    code, out, _ = command(capsys, *given, "--exclude=casme2/sub02/EP02_02")
    assert code == 0 and f"{count - 1} clips of 2 subjects" in out and len(cropped) == count
    clips = datasets.load("prepared", tmp_path / "out")
    assert {clip.frames.shape[1:] for clip in clips} == {(33, 27, 3)}
    assert not any(clip.name == "EP02_02" and clip.subject == "sub02" for clip in clips)


def test_eyes_that_are_not_found_are_noted(tmp_path, capsys, monkeypatch):
    replica.write("casme2", tmp_path / "db", subjects=1, known_issues=False, size=(72, 60))
    monkeypatch.setattr(faces.detection, "detect_eyes", lambda frame, box: None)
    given = ("--database=casme2", f"--root={tmp_path / 'db'}", f"--out={tmp_path / 'out'}")
    code, out, _ = command(capsys, *given, "--size=33,27", "--jobs=1")
    assert code == 0 and out.count("eyes not found; taken from the face's box") == 4
    assert len(datasets.inspect("prepared", tmp_path / "out").notes) == 4


def test_a_frame_that_cannot_be_read_is_named(root, tmp_path):
    frame = next((root / "Cropped/sub01").glob("*/reg_img96.jpg"))
    content = frame.read_bytes()
    size = content.index(b"\xff\xc0") + 19  # behind it there is nothing
    frame.write_bytes(content[:size] + b"\0" * (len(content) - size - 2) + content[-2:])
    found = r"reg_img96\.jpg: (cannot be read as an image|is cut short)"  # by Pillow's version
    with pytest.raises(DataError, match=found) as error:
        run(root, tmp_path / "out")
    assert len(error.value.problems) == 1


def test_rendered_faces_keep_their_landmarks_through_an_alignment(tmp_path):
    options = {"subjects": 2, "clips_per_subject": 1, "size": (50, 40), "frames": (8, 8)}
    config = faces.CropConfig("eyes", (44, 36), align=True)
    clips = prepare.prepare("synthetic", None, tmp_path, config=config, options=options, quiet=True)
    before = clips[0].frames
    for clip in datasets.load("prepared", tmp_path):
        assert clip.database == "synthetic" and clip.frames.shape[1:] == (44, 36, 3)
        eyes = faces.eye_centers(clip.landmarks)
        np.testing.assert_allclose(eyes, [[8, 12], [28, 12]], atol=1.6)  # a px of the frame
    other = options | {"noise": 0.05}  # no file tells, and neither does a clip's description
    again = prepare.prepare("synthetic", None, tmp_path, config=config, options=other, quiet=True)
    apart = again[0].frames.astype(float) - before
    assert 2 < apart.std() < 20


def test_a_folder_of_prepared_databases_is_all_of_them(root, tmp_path):
    run(root, tmp_path / "all/casme2")
    replica.write("samm", tmp_path / "samm", subjects=1, known_issues=False, size=(40, 32))
    prepare.prepare("samm", tmp_path / "samm", tmp_path / "all/samm", config=WHOLE, quiet=True)
    clips = datasets.load("prepared", tmp_path / "all")
    assert {clip.database for clip in clips} == {"casme2", "samm"}
    run(root, tmp_path / "all/twice")
    with pytest.raises(DataError, match="occurs twice"):
        datasets.load("prepared", tmp_path / "all")


def content(folder):
    """The bytes of every file below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in paths}


@pytest.mark.e2e
@pytest.mark.parametrize("runner", [None, "DirectRunner"])
def test_several_processes_write_the_same(root, tmp_path, runner):
    if runner:
        pytest.importorskip("apache_beam", reason="Apache Beam is an extra")
    run(root, tmp_path / "two", jobs=2, pipeline=runner and pipeline())
    run(root, tmp_path / "one")
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_a_pipeline_lists_the_clips_that_fail_and_continues_from_the_others(
    root, tmp_path, cropped
):
    pytest.importorskip("apache_beam", reason="Apache Beam is an extra")
    spoiled = next((root / "Cropped/sub01").glob("*/reg_img96.jpg"))
    intact = spoiled.read_bytes()
    replica.save(spoiled, np.zeros((20, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r"reg_img96\.jpg is .* have one size") as error:
        run(root, tmp_path / "out", pipeline=pipeline(IN_MEMORY))
    assert len(error.value.problems) == 1
    count = len(cropped)
    spoiled.write_bytes(intact)
    run(root, tmp_path / "out", pipeline=pipeline(IN_MEMORY))
    assert len(cropped) == count + 1
    run(root, tmp_path / "local")
    assert content(tmp_path / "out") == content(tmp_path / "local")


def test_workers_that_do_not_see_the_folder_are_noticed(root, tmp_path, monkeypatch):
    pytest.importorskip("apache_beam", reason="Apache Beam is an extra")
    from mer_jax.datasets import beam

    monkeypatch.setattr(beam, "_LATER", 0)
    monkeypatch.setattr(prepare, "_crop", lambda task: "")
    with pytest.raises(UserError, match="results are not here; give an --out"):
        run(root, tmp_path / "out", pipeline=pipeline(IN_MEMORY))


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("runner", [None, "DirectRunner"])
def test_a_stopped_command_resumes(root, tmp_path, cropped, runner, number):
    """Each signal ends it at its third clip, within seconds; two are kept."""
    if runner:
        pytest.importorskip("apache_beam", reason="Apache Beam is an extra")
    given = ["prepare", "--database=casme2", f"--root={root}", f"--out={tmp_path / 'out'}"]
    given += ["--crop=none", "--size=20,16", "--gray", "--jobs=1"]
    if runner:
        options = ",".join(IN_MEMORY)
        given += [f"--runner={runner}", f"--beam_pipeline_options={options}"]
    script = f"from mer_jax.cli import main\nmain({given!r})"
    command_ = [sys.executable, "-c", AT_THIRD.format(waits="time.sleep(100)") + script]
    with subprocess.Popen(command_, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "third\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert err.endswith("stopped; re-run the same command to resume\n")
    assert len(list((tmp_path / "out/.work").glob("*.npz"))) == 2
    clips = run(root, tmp_path / "out", pipeline=runner and pipeline(IN_MEMORY))
    assert len(cropped) == len(clips) - 2
    run(root, tmp_path / "local")
    assert content(tmp_path / "out") == content(tmp_path / "local")


def test_few_clips_are_held_at_a_time(root, tmp_path, monkeypatch):
    """However many there are: a database is larger than the memory."""
    frames, alive = [], []

    def watched(read):
        def wrapper(*arguments):
            frames.append(weakref.ref(made := read(*arguments)))
            alive.append(sum(one() is not None for one in frames))
            return made

        return wrapper

    monkeypatch.setattr(folders.Frames, "__call__", watched(folders.Frames.__call__))
    monkeypatch.setattr(prepare, "_frames", watched(prepare._frames))
    clips = run(root, tmp_path / "out")
    assert len(alive) >= 2 * len(clips) > 10
    assert max(alive) <= 2


def test_nothing_but_its_own_records_is_removed(root, tmp_path):
    """A database in OUT/micro_expressions was deleted as older records."""
    out = tmp_path / "data"
    own = out / "micro_expressions" / "CASME II"
    own.parent.mkdir(parents=True)
    root.rename(own)
    for inside in (own, own.parent):
        with pytest.raises(UserError, match="contains, or is inside, the database's folder"):
            run(inside, out)
    root = own.rename(tmp_path / "db")
    for name in ("casme2_of_mine", "casme2_" + "0" * 20, "smic_" + "0" * 20):
        (own.parent / name).mkdir()
    run(root, out)
    left = {path.name for path in own.parent.iterdir()}
    assert {"casme2_of_mine", "smic_" + "0" * 20} < left and "casme2_" + "0" * 20 not in left


def lambdas(root):
    """A reader of the user's whose frames are read by a local function."""
    level = int((pathlib.Path(root) / "level.txt").read_text())
    frames = np.full((3, 20, 16, 1), level, np.uint8)
    return [Clip("mine", "s1", f"c{n}", lambda: frames, "anger") for n in range(2)]


def test_frames_of_a_local_function_are_read_in_one_process_and_compared(tmp_path, capsys):
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "level.txt").write_text("50")
    name = f"{__name__}:lambdas"
    make = lambda: prepare.prepare(
        name, tmp_path / "db", tmp_path / "out", config=WHOLE, jobs=2, quiet=True
    )
    assert {int(clip.frames.max()) for clip in make()} == {50}
    assert "one process" in capsys.readouterr().err
    (tmp_path / "db" / "level.txt").write_text("90")
    with pytest.raises(DataError, match="has changed since"):
        datasets.load("prepared", tmp_path / "out")
    assert {int(clip.frames.max()) for clip in make()} == {90}


def test_a_sheet_elsewhere_is_found_from_other_folders(root, tmp_path, monkeypatch):
    (sheet,) = root.glob("*.xlsx")
    (tmp_path / "here").mkdir()
    sheet.rename(tmp_path / "here" / "mine.xlsx")
    monkeypatch.chdir(tmp_path / "here")
    run(root, tmp_path / "out", options={"labels": "mine.xlsx"})
    monkeypatch.chdir(tmp_path)
    assert datasets.load("prepared", tmp_path / "out")
    (tmp_path / "here" / "mine.xlsx").unlink()
    with pytest.raises(DataError, match=r"cannot be read any more \(casme2: 1 problem"):
        datasets.load("prepared", tmp_path / "out")


def test_a_source_that_moved_is_followed_when_it_is_prepared_again(root, tmp_path, cropped):
    """Its manifest kept the old place, so that a later change of the sheet went unseen."""
    run(root, tmp_path / "out")
    (sheet,) = root.glob("*.xlsx")
    root = root.rename(tmp_path / "moved")
    sheet = (root / sheet.name).rename(tmp_path / "mine.xlsx")
    del cropped[:]
    assert run(root, tmp_path / "out", options={"labels": str(sheet)}) and not cropped
    manifest = prepared.read(tmp_path / "out")
    assert (manifest["root"], manifest["options"]) == (str(root), {"labels": str(sheet)})
    assert datasets.load("prepared", tmp_path / "out")
    sheet.unlink()
    with pytest.raises(DataError, match=r"cannot be read any more \(casme2: 1 problem\(s\): \S"):
        datasets.load("prepared", tmp_path / "out")


def test_a_full_disk_while_packing_is_a_sentence_and_keeps_earlier_records(
    root, tmp_path, monkeypatch
):
    """ArrayRecord raises a `RuntimeError`; the records before were removed first."""
    before = run(root, tmp_path / "out")
    full = RuntimeError("write() failed: No space left on device; writing out/x.array_record")

    def build(*_, **__):
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(tfds, "build", build)
        with pytest.raises(UserError, match=r"out: cannot be written \(No space left on device\)"):
            run(root, tmp_path / "out", dataclasses.replace(WHOLE, size=(10, 8)))
    same(datasets.load("prepared", tmp_path / "out"), before)


def test_another_database_is_not_overwritten_whatever_its_version(root, tmp_path, monkeypatch):
    run(root, tmp_path / "out")
    monkeypatch.setattr(prepared, "VERSION", "9.9.9")
    options = {"subjects": 1, "clips_per_subject": 1}
    with pytest.raises(UserError, match="has casme2 already"):
        prepare.prepare("synthetic", None, tmp_path / "out", config=WHOLE, options=options)


def test_mistakes_are_one_sentence(root, tmp_path, capsys):
    run(root, tmp_path / "out")
    with pytest.raises(UserError, match="is inside, the database's folder"):
        run(root, root / "prepared")
    with pytest.raises(UserError, match="has casme2 already"):
        options = {"subjects": 1, "clips_per_subject": 1}
        prepare.prepare("synthetic", None, tmp_path / "out", config=WHOLE, options=options)
    with pytest.raises(UserError, match="not prepared again"):
        prepare.prepare("prepared", tmp_path / "out", tmp_path / "more", config=WHOLE)
    with pytest.raises(UserError, match="no such landmark model"):
        run(root, tmp_path / "more", model=str(tmp_path / "no.dat"))
    given = ("--database=casme2", f"--root={root}", f"--out={tmp_path / 'x'}")
    a_file = tmp_path / "file"
    a_file.write_text("")
    for wrong, words in (
        (given[:2], "give --database=NAME"),
        ((*given, "--size=big"), "--size=big is not H,W"),
        ((*given, "--size=0,4"), "at least one pixel"),
        ((*given, "--beam_pipeline_options=a=b"), "are those of a --runner"),
        ((*given, "--option=images"), "not of the form NAME=VALUE"),
        ((*given, "--option=labels=2019"), "labels"),
        (("--database=casme3d", *given[1:]), "unknown database"),
        ((*given[:2], f"--out={root / 'x' / 'y'}"), "is inside, the database's folder"),
        ((*given[:2], f"--out={a_file / 'out'}"), "Not a directory"),
    ):
        code, _, err = command(capsys, *wrong)
        assert code == 2 and words in err and err.count("\n") == 1
