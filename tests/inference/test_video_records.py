"""Many videos, one folder of results."""

import csv
import multiprocessing

import pytest

from mer_jax.inference import video_records
from mer_jax.inference.video_records import Tally, VideoRecord
from mer_jax.io import locks

TABLE = '# trained on clips\nstart_s,label,p_a\n0.0,a,0.7\n0.1,"b, c",0.2\n'


class Work:
    """Writes TABLE for each video; fails for those named so."""

    def __init__(self, interrupt_at=""):
        self.seen, self.interrupt_at = [], interrupt_at

    def __call__(self, name, source, folder):
        if name == self.interrupt_at:
            raise KeyboardInterrupt
        self.seen.append(name)
        if "memory" in name:
            return VideoRecord(name, "no memory", retry=True)
        if "torn" in name:
            return VideoRecord(name, "the file is torn")
        (folder / "prediction.csv").write_text(TABLE)
        return VideoRecord(name, "", 2.5, 25.0, 2, {"a": 1, "b, c": 1}, ["a note"])


@pytest.fixture
def videos(tmp_path):
    for name in ("a.mp4", "torn.mp4", "z.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return {name: str(tmp_path / name) for name in ("a.mp4", "torn.mp4", "z.mp4")}


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_each_video_is_done_once_and_again_only_if_something_changed(videos, tmp_path):
    out, work = tmp_path / "out", Work()
    process = lambda settings="s": video_records.process(videos, out, work, settings=settings)
    assert process() == Tally(done=2, failed=1, busy=0)
    assert process() == Tally(2, 1, 0) and work.seen == list(videos)
    (tmp_path / "torn.mp4").write_bytes(b"longer")
    process()
    assert work.seen[3:] == ["torn.mp4"]
    process("other settings")
    assert work.seen[4:] == list(videos)
    (out / "a.mp4" / "video.json").write_text("{")
    process("other settings")
    assert work.seen[7:] == ["a.mp4"]


def test_what_failed_for_another_reason_or_lost_its_table_is_done_again(videos, tmp_path):
    out, work = tmp_path / "out", Work()
    videos = {**videos, "memory.mp4": videos["a.mp4"], "camera_0": "camera:0"}
    process = lambda: video_records.process(videos, out, work, settings="s")
    assert process() == Tally(3, 2, 0)
    (out / "z.mp4" / "prediction.csv").unlink()
    (out / "z.mp4" / ".part-1-annotated.mp4").touch()  # of a process that was killed
    assert process() == Tally(3, 2, 0) and work.seen[5:] == ["z.mp4", "memory.mp4", "camera_0"]
    assert not list(out.rglob(".part-*"))


def test_outputs_of_a_run_before_do_not_stay_beside_a_failure(videos, tmp_path):
    out, outputs = tmp_path / "out", ("prediction.csv", "prediction.png")
    names = {"torn.mp4": videos["torn.mp4"], "z.mp4": videos["z.mp4"]}
    for name in names:
        (out / name).mkdir(parents=True)
        (out / name / "prediction.png").touch()
    (out / "torn.mp4" / "mine.txt").touch()
    process = lambda work: video_records.process(names, out, work, settings="s", outputs=outputs)
    process(work := Work())
    assert [path.name for path in out.rglob("*.*") if path.suffix in (".png", ".txt")] == [
        "mine.txt"
    ]
    process(work)
    assert work.seen == ["torn.mp4", "z.mp4", "z.mp4"], "its chart is not there"


def test_outputs_of_other_settings_do_not_stay(videos, tmp_path):
    out, names = tmp_path / "out", {"z.mp4": videos["z.mp4"]}

    def work(name, source, folder):
        (folder / "annotated.mp4").touch()
        return Work()(name, source, folder)

    film = ("prediction.csv", "annotated.mp4")
    video_records.process(names, out, work, settings="a", outputs=film)
    assert (out / "z.mp4" / "annotated.mp4").exists()
    video_records.process(names, out, Work(), settings="b")
    assert not (out / "z.mp4" / "annotated.mp4").exists()


def test_the_tables_have_all_videos_and_their_windows(videos, tmp_path):
    video_records.process(videos, tmp_path / "out", Work(), settings="s")
    head, *rows = read(tmp_path / "out" / "videos.csv")
    assert head == ["video", "status", "reason", "seconds", "fps", "rows", "labels", "notes"]
    done = ["2.500", "25", "2", "a: 1; b, c: 1", "a note"]
    assert rows == [
        ["a.mp4", "done", "", *done],
        ["torn.mp4", "failed", "the file is torn", "0.000", "0", "0", "", ""],
        ["z.mp4", "done", "", *done],
    ]
    comment, head, *rows = read(tmp_path / "out" / "predictions.csv")
    assert comment == ["# trained on clips"] and head == ["video", "start_s", "label", "p_a"]
    each = [["0.0", "a", "0.7"], ["0.1", "b, c", "0.2"]]
    assert rows == [[name, *row] for name in ("a.mp4", "z.mp4") for row in each]


def test_what_is_done_stays_when_a_call_is_interrupted(videos, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        video_records.process(videos, tmp_path / "out", Work("z.mp4"), settings="s")
    assert [row[0] for row in read(tmp_path / "out" / "videos.csv")] == [
        "video",
        "a.mp4",
        "torn.mp4",
    ]
    rest = Work()
    assert video_records.process(videos, tmp_path / "out", rest, settings="s") == Tally(2, 1, 0)
    assert rest.seen == ["z.mp4"]


def test_a_video_of_another_process_is_left_to_it(videos, tmp_path):
    folder = tmp_path / "out" / "a.mp4"
    folder.mkdir(parents=True)
    work = Work()
    with locks.take(folder / ".lock", ""):
        assert video_records.process(videos, tmp_path / "out", work, settings="s") == Tally(1, 1, 1)
    assert work.seen == ["torn.mp4", "z.mp4"]
    video_records.process(videos, tmp_path / "out", work, settings="s")
    assert work.seen[2:] == ["a.mp4"] and len(read(tmp_path / "out" / "videos.csv")) == 4


def _append(arguments):
    videos, out, file = arguments

    def work(name, source, folder):
        with open(file, "a") as log:
            log.write(f"{name}\n")
        (folder / "prediction.csv").write_text(TABLE)
        return VideoRecord(name)

    return video_records.process(videos, out, work, settings="s")


def test_processes_divide_the_videos_among_themselves(tmp_path):
    videos = {f"{number}.mp4": f"{number}.mp4" for number in range(40)}
    jobs = [(videos, tmp_path / "out", tmp_path / "log")] * 3
    with multiprocessing.get_context("fork").Pool(3) as pool:
        tallies = pool.map(_append, jobs, chunksize=1)
    assert sorted((tmp_path / "log").read_text().split()) == sorted(videos)
    assert all(tally.done + tally.busy == 40 for tally in tallies)
    assert len(read(tmp_path / "out" / "videos.csv")) == 41
    assert len(read(tmp_path / "out" / "predictions.csv")) == 2 + 80
