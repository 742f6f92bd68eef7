"""From what a user names to videos."""

import pytest

from mer_jax.errors import UserError
from mer_jax.inference import video_list


@pytest.fixture
def films(tmp_path):
    for name in ("a.mp4", "B.MOV", "deep/a.avi", "deep/er/c.gif", "frames/1.png", "frames/2.png"):
        path = tmp_path / "films" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("notes.md", "cover.jpg", "empty/x.csv", ".hidden.mp4"):
        path = tmp_path / "films" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path / "films"


def test_a_folder_gives_its_videos_and_its_folders_of_frames(films):
    found = video_list.find([str(films)])
    assert list(found) == ["B.MOV", "a.mp4", "deep/a.avi", "deep/er/c.gif", "frames"]
    assert found["deep/a.avi"] == str(films / "deep" / "a.avi")
    assert video_list.find([str(films / "frames")]) == {"frames": str(films / "frames")}


def test_a_picture_beside_folders_of_videos_hides_none(tmp_path):
    for name in ("poster.jpg", "s01/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(video_list.find([str(tmp_path)])) == ["s01/a.mp4"]
    for name in ("s02/contact_sheet.jpg", "s02/clip_1/1.png", "s02/clip_2/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    notes = list[str]()
    found = video_list.find([str(tmp_path)], notes=notes)
    assert list(found) == ["s01/a.mp4", "s02/clip_1", "s02/clip_2"]
    left_out = "1 picture(s) beside videos or folders of frames are left out"
    assert notes == [f"{tmp_path / 's02'}: {left_out}", f"{tmp_path}: {left_out}"]
    assert not video_list.is_single([str(tmp_path / "s02")])


def test_a_name_that_begins_with_a_tilde_is_no_users_home(films):
    assert video_list.is_single(["~$a.mp4"]) and not video_list.is_pattern("~$a.mp4")
    assert video_list.find(["~$a.mp4"]) == {"~$a.mp4": "~$a.mp4"}
    video_list.check_output("~$out", "~$a.mp4")
    (films / "~$a.mp4").touch()
    (films / "list.txt").write_text("~$a.mp4\n")
    found = video_list.find([str(films / "list.txt")])
    assert found == {"~$a.mp4": str(films / "~$a.mp4")}


def test_a_list_in_the_current_folder_names_nothing_above_it(films, monkeypatch):
    monkeypatch.chdir(films / "deep")
    (films / "deep" / "list.txt").write_text("../a.mp4\n")
    (name,) = video_list.find(["list.txt"])
    assert name == (films / "a.mp4").as_posix().lstrip("/")


def test_one_video_or_several(films):
    for one in ("a.mp4", "frames", "nothing.mp4", "empty"):
        assert video_list.is_single([str(films / one)]), one
    assert video_list.is_single(["camera:0"]) and video_list.is_single(["synthetic:3"])
    for several in (str(films), str(films / "deep"), "list.txt", str(films / "*.mp4")):
        assert not video_list.is_single([several]), several
    assert not video_list.is_single([str(films / "a.mp4"), "camera:0"])
    (films / "a[1].mp4").touch()
    assert video_list.is_single([str(films / "a[1].mp4")])


def test_a_list_names_paths_relative_to_itself(films):
    text = "a.mp4  # the first\n\n# none\ndeep/a.avi\n../films/B.MOV\nsynthetic:2\n/else/d.mp4\n"
    (films / "list.txt").write_text(text)
    found = video_list.find([str(films / "list.txt")])
    assert list(found) == ["a.mp4", "deep/a.avi", "B.MOV", "synthetic_2", "else/d.mp4"]
    assert found["else/d.mp4"] == "/else/d.mp4" and found["synthetic_2"] == "synthetic:2"
    (films / "film #1.mp4").touch()
    (films / "list.txt").write_text("film #1.mp4\n  film #1.mp4\nfilm #2.mp4 # gone\n")
    found = video_list.find([str(films / "list.txt")])
    assert list(found) == ["film #1.mp4", "film"], "a comment where there is no such file"
    (films / "list.txt").write_text("# nothing")
    with pytest.raises(UserError, match="the list names no video"):
        video_list.find([str(films / "list.txt")])


def test_patterns_and_names_that_two_videos_would_have(films):
    assert list(video_list.find([str(films / "*.[mM]*4"), str(films / "a.mp4")])) == ["a.mp4"]
    with pytest.raises(UserError, match=r"would both be called a\.avi"):
        video_list.find([str(films / "deep" / "a.avi"), "other/a.avi"])
    with pytest.raises(UserError, match="no file matches"):
        video_list.find([str(films / "*.wmv")])
    with pytest.raises(UserError, match=r"'\\udcff\.mp4' is not UTF-8; rename it"):
        video_list.find([str(films / "\udcff.mp4")])
