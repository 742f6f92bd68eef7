"""Each database's reader against its replica, and every fault of the published data."""

import numpy as np
import openpyxl
import pytest
import xlwt

from mer_jax import datasets
from mer_jax.datasets import folders
from mer_jax.errors import DataError, UserError
from tests.datasets import replica

RELEASES = {
    "casme": ("cropped", "sections"),
    "casme2": ("2019", "2014", "updated", "csv", "raw_selected", "raw"),
    "casme3": ("clips", "raw"),
    "casme_squared": ("cropped", "bare", "selected", "raw"),
    "ck_plus": ("2010",),
    "dfme": ("flat", "subjects"),
    "flow_maps": ("",),
    "fourdme": ("v1",),
    "mmew": ("2021",),
    "mug": ("doubled", "single"),
    "oulu_casia": ("original", "cropped"),
    "samm": ("v2", "2018", "csv"),
    "smic": ("cropped", "raw", "extended"),
}
FIELDS = ("subject", "name", "emotion", "onset", "apex", "offset", "action_units", "content")


def facts(clips):
    return {clip.key: tuple(getattr(clip, field) for field in FIELDS) for clip in clips}


def said(found, where):
    return [str(note) for note in (*found.problems, *found.notes) if where in str(note)]


def test_every_database_has_a_replica():
    assert sorted(RELEASES) == replica.databases()
    assert set(RELEASES) | {"synthetic", "prepared"} == set(datasets.names())


@pytest.mark.parametrize("known_issues", [True, False])
@pytest.mark.parametrize(("name", "release"), [(n, r) for n in RELEASES for r in RELEASES[n]])
def test_round_trip(tmp_path, name, release, known_issues):
    written = replica.write(name, tmp_path, subjects=2, release=release, known_issues=known_issues)
    clips = datasets.load(name, tmp_path)
    assert facts(clips) == facts(written)
    by_key = {clip.key: clip for clip in clips}
    for clip in written[:: max(1, len(written) // 4)]:
        got, want = by_key[clip.key].frames, clip.frames
        assert got.dtype == np.uint8 and got.shape == want.shape
        assert np.abs(got.astype(int) - want).mean() < 10  # JPEG


def test_loading_decodes_no_image(tmp_path, monkeypatch):
    written = replica.write("casme2", tmp_path, subjects=2)
    opened = []
    monkeypatch.setattr(folders, "read_image", lambda path, **_: opened.append(path))
    clips = datasets.load("casme2", tmp_path)
    assert not opened and [folders.length(clip) for clip in clips] == [
        len(clip.frames) for clip in written
    ]


def test_casme2_faults(tmp_path):
    replica.write("casme2", tmp_path, subjects=1)
    found = datasets.inspect("casme2", tmp_path)
    clips = {clip.key: clip for clip in found.clips}
    assert not found.problems
    assert clips["casme2/sub04/EP12_01f"].apex is None
    assert "has no apex frame" in said(found, "sub04/EP12_01f")[0]
    assert clips["casme2/sub05/EP09_05f"].apex == 0
    assert "is the onset frame too" in said(found, "sub05/EP09_05f")[0]
    assert "is the offset frame too" in said(found, "sub05/EP16_04f")[0]
    assert "published without a label" in said(found, "sub09/EP02_02f")[0]
    assert "published without a label" in said(found, "sub24/EP02_07")[0]
    assert "became (56, 89, 116)" in said(found, "sub07/EP06_01")[0]
    assert not said(found, "sub12/EP09_02")
    assert clips["casme2/sub12/EP09_02"].offset == 206 - 161
    assert clips["casme2/sub01/EP01_3"].action_units == "12"  # a number in the sheet


def test_casme2_says_which_release_it_reads(tmp_path):
    replica.write("casme2", tmp_path / "a", subjects=1, known_issues=False)
    replica.write("casme2", tmp_path / "b", subjects=2, known_issues=False, release="2014")
    (tmp_path / "b" / "CASME2-coding-20140508.xlsx").rename(tmp_path / "a/CASME2-coding-x.xlsx")
    found = datasets.inspect("casme2", tmp_path / "a")
    assert "not from CASME2-coding-x.xlsx; labels=FILE chooses" in str(found.sources[1])
    assert not found.problems
    found = datasets.inspect("casme2", tmp_path / "a", labels="CASME2-coding-x.xlsx")
    assert "none of its 4 clips has a folder" in said(found, "casme2/sub02")[0]
    found = datasets.inspect("casme2", tmp_path / "a", labels="elsewhere.xlsx")
    assert "labels= should name" in str(found.problems[0])


@pytest.mark.parametrize(
    ("name", "published"),
    [("casme", "CASME-coded-20190721.xls"), ("casme2", "CASME2_label_Ver_2.xls")],
)
def test_sheets_that_were_published_as_xls(tmp_path, name, published):
    written = replica.write(name, tmp_path, subjects=1)
    (modern,) = tmp_path.glob("*.xlsx")
    rows = openpyxl.load_workbook(modern).worksheets[0].iter_rows(values_only=True)
    old = xlwt.Workbook()
    sheet = old.add_sheet("Sheet1")
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            sheet.write(r, c, cell)
    old.save(str(tmp_path / published))
    modern.unlink()
    assert facts(datasets.load(name, tmp_path)) == facts(written)


def test_casme_has_two_apex_columns_and_a_duration(tmp_path):
    replica.write("casme", tmp_path, subjects=2, release="sections", known_issues=False)
    files = sorted(p.name for p in (tmp_path / "Section B/sub02/EP02_1").iterdir())
    assert files[0] == "EP02_1-095.jpg"
    clips = datasets.load("casme", tmp_path)
    assert {(clip.onset, clip.apex, clip.offset) for clip in clips} == {(0, 4, 8)}


def test_casme_squared_kinds_and_missing_offset(tmp_path):
    replica.write("casme_squared", tmp_path, subjects=2)
    count = {k: len(datasets.load("casme_squared", tmp_path, kind=k)) for k in ("micro", "macro")}
    assert count == {"micro": 6, "macro": 2}
    assert len(datasets.load("casme_squared", tmp_path, kind="all")) == 8
    found = datasets.inspect("casme_squared", tmp_path)
    assert "has no offset frame" in said(found, "s15/disgust1_4")[0]
    with pytest.raises(UserError, match="unknown kind of expression 'mikro'; did you mean 'micro'"):
        datasets.load("casme_squared", tmp_path, kind="mikro")


@pytest.mark.parametrize(
    ("release", "note"),
    [
        ("cropped", "has no offset frame; the clip's last frame replaces it"),
        ("raw", "has no offset frame; the clip ends at its apex"),
    ],
)
def test_what_replaces_a_missing_offset_is_told(tmp_path, release, note):
    replica.write("casme_squared", tmp_path, subjects=2, release=release)
    found = datasets.inspect("casme_squared", tmp_path)
    assert said(found, "s15/disgust1_4")[0].endswith(note)
    (clip,) = [clip for clip in found.clips if clip.key.endswith("s15/disgust1_4")]
    assert (clip.apex == len(clip.frames) - 1) == (release == "raw")


def test_samm_faults(tmp_path):
    replica.write("samm", tmp_path, subjects=2)
    found = datasets.inspect("samm", tmp_path)
    clips = {clip.name: clip for clip in found.clips}
    assert not found.problems
    assert clips["028_4_1"].apex is None and clips["032_3_1"].apex is None
    assert "outside the clip's 1100 to 1110" in said(found, "028_4_1")[0]
    assert clips["013_1_9"].offset == 9 and "5793 became 5739" in said(found, "013_1_9")[0]
    assert len(clips["013_1_8"].frames) == 10  # four digits
    assert clips["006_1_2"].frames.shape[-1] == 1
    assert {clip.objective for clip in found.clips} == {"III", "VII"}


def test_samm_free_words_in_the_action_units(tmp_path):
    replica.write("samm", tmp_path, subjects=4)
    notes = said(datasets.inspect("samm", tmp_path), "soft focus")
    assert notes and "was ignored" in notes[0]


def test_smic_parts_keep_persons_together(tmp_path):
    replica.write("smic", tmp_path, subjects=2)
    clips = [c for part in ("hs", "vis", "nir") for c in datasets.load("smic", tmp_path, part=part)]
    assert (
        len({clip.key for clip in clips}) == 18 and len({clip.subject_key for clip in clips}) == 2
    )
    assert {clip.fps for clip in clips} == {100.0, 25.0}
    assert clips[-1].frames.shape[-1] == 1  # infrared
    assert clips[0].key == "smic/s01/s01_ne_01" and clips[6].name == "s01_ne_01_vis"
    with pytest.raises(UserError, match="unknown part of SMIC"):
        datasets.load("smic", tmp_path, part="uv")


def test_smic_name_and_folder_agree(tmp_path):
    replica.write("smic", tmp_path, subjects=1)
    clip = tmp_path / "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01"
    clip.rename(clip.parents[1] / "positive/s1_ne_01")
    with pytest.raises(DataError, match="lies in folder 'positive', which its name contradicts"):
        datasets.load("smic", tmp_path)


def test_smic_extended_faults(tmp_path):
    replica.write("smic", tmp_path, subjects=1, release="extended")
    found = datasets.inspect("smic", tmp_path)
    clips = {clip.name: clip for clip in found.clips}
    assert not found.problems
    assert clips["s18_sur_03"].emotion == "surprise"
    assert "'negative' became 'surprise'" in said(found, "s18_sur_03")[0]
    assert "lacks this clip" in said(found, "s03_ne_03")[0]
    assert "lacks this clip" in said(found, "s09_sur_02")[0]
    assert "does not annotate it" in said(found, "s1_ne_02")[0]
    assert clips["s11_ne_01"].onset == 3 and len(clips["s11_ne_01"].frames) == 12


def test_casme3_faults(tmp_path):
    replica.write("casme3", tmp_path, subjects=1)
    found = datasets.inspect("casme3", tmp_path)
    clips = {clip.key: clip for clip in found.clips}
    assert not found.problems
    assert clips["casme3/spNo.40/e_1812"].offset == 33
    assert "3460 became 34" in said(found, "spNo.214")[0]
    assert "lacks frame(s) 14" in said(found, "spNo.1/a_10")[0]
    assert "is the onset frame too" in said(found, "spNo.1/a_30")[0]


def test_mmew_others_lie_in_repression(tmp_path):
    written = replica.write("mmew", tmp_path, subjects=3)
    assert "others" in {clip.emotion for clip in written}
    assert (tmp_path / "Micro_Expression" / "repression").is_dir()
    assert not datasets.inspect("mmew", tmp_path).problems
    folder = next((tmp_path / "Micro_Expression" / "repression").iterdir())
    (tmp_path / "Micro_Expression" / "fear").mkdir(exist_ok=True)
    folder.rename(tmp_path / "Micro_Expression" / "fear" / folder.name)
    assert "its folder is 'fear'" in str(datasets.inspect("mmew", tmp_path).problems[0])


@pytest.mark.parametrize(
    "cell, told", [("1", ""), ("sub01", ""), ("S02", "'S02'"), ("4+7", "'4+7'")]
)
def test_mmew_subject_of_another_number(tmp_path, cell, told):
    """The name of a clip begins with its subject; exchanged columns do not pass."""
    replica.write("mmew", tmp_path, subjects=2)
    sheet = tmp_path / "MMEW_Micro_Exp.xlsx"
    book = openpyxl.load_workbook(sheet)
    book.worksheets[0]["A2"] = cell
    book.save(sheet)
    found = datasets.inspect("mmew", tmp_path)
    assert {clip.subject for clip in found.clips} == {"S01", "S02"}
    problems = [str(problem) for problem in found.problems]
    assert len(problems) == bool(told)
    assert all(f"subject {told} of a clip named S01-01-001" in problem for problem in problems)


def test_fourdme_several_emotions(tmp_path):
    replica.write("fourdme", tmp_path, subjects=1)
    clips = datasets.load("fourdme", tmp_path)
    assert clips[1].emotion == "negative+repression" and clips[2].action_units == "4+12(k)"


def test_fourdme_in_the_folder_of_cd6mes_authors(tmp_path):
    replica.write("fourdme", tmp_path, subjects=1)
    raw = datasets.load("fourdme", tmp_path)
    (folder,) = tmp_path.rglob("gray_micro")
    folder.rename(folder.with_name("gray_micro_crop"))
    found = datasets.inspect("fourdme", tmp_path, allow_mismatch=True)
    assert [clip.key for clip in found.clips] == [clip.key for clip in raw]


def test_fourdme_rows_that_differ_in_case_are_one_clip(tmp_path):
    replica.write("fourdme", tmp_path, subjects=1)
    (sheet,) = tmp_path.glob("*.xlsx")
    book = openpyxl.load_workbook(sheet)
    head, first = [[cell.value for cell in row] for row in book.active.iter_rows(max_row=2)]
    name = head.index("fold_name")
    book.active.append([*first[:name], first[name].swapcase(), *first[name + 1 :]])
    book.save(sheet)
    found = datasets.inspect("fourdme", tmp_path)
    (problem,) = found.problems
    assert problem.where == f"{sheet.name}, row {book.active.max_row}"
    assert f"{first[name].swapcase()} again (first in {sheet.name}, row 2)" in problem.what


def test_ck_plus_labels(tmp_path):
    replica.write("ck_plus", tmp_path, subjects=1)
    found = datasets.inspect("ck_plus", tmp_path)
    assert len(found.clips) == 3 and "has no label" in said(found, "S005/004")[0]
    assert all(clip.apex == len(clip.frames) - 1 for clip in found.clips)
    (tmp_path / "Emotion").rename(tmp_path / "away")  # as the archive is often unpacked
    (tmp_path / "Emotion_labels").mkdir()
    (tmp_path / "._Emotion").write_text("of a file manager")
    (tmp_path / "away").rename(tmp_path / "Emotion_labels" / "Emotion")
    labels = tmp_path / "Emotion_labels/Emotion/S005/001"
    (labels / "._S005_001_00000006_emotion.txt").write_text("\0")
    again = datasets.inspect("ck_plus", tmp_path)
    assert facts(again.clips) == facts(found.clips) and not again.problems
    (labels / "S005_001_00000006_emotion.txt").write_text("nine")
    assert "not one of the numbers 1 to 7" in str(datasets.inspect("ck_plus", tmp_path).problems)


def test_oulu_casia_lights(tmp_path):
    replica.write("oulu_casia", tmp_path, subjects=1)
    weak = datasets.load("oulu_casia", tmp_path, light="weak")
    assert weak[0].name == "vl_weak_anger" and weak[0].apex == 6
    with pytest.raises(DataError, match="has no clips below a folder 'PreProcess Img'"):
        datasets.load("oulu_casia", tmp_path, camera="ni")
    with pytest.raises(UserError, match="unknown light"):
        datasets.load("oulu_casia", tmp_path, light="dim")


def test_the_registry_names_what_it_does_not_know(tmp_path):
    with pytest.raises(UserError, match="unknown database 'cassme2'; did you mean 'casme2'"):
        datasets.load("cassme2", tmp_path)
    with pytest.raises(UserError, match="give it as root="):
        datasets.load("casme2")
    with pytest.raises(UserError, match="option of data casme2 'imags'; did you mean 'images'"):
        datasets.load("casme2", tmp_path, imags="raw")
    with pytest.raises(UserError, match="unknown kind of CASME II images 'row'"):
        datasets.load("casme2", tmp_path, images="row")
    with pytest.raises(UserError, match="unknown option of data synthetic"):
        datasets.load("synthetic", nothing_such=1)


def test_the_folder_one_stands_in(tmp_path, monkeypatch):
    """The name of the top folder counts, and "." has none."""
    replica.write("smic", tmp_path, subjects=1)
    monkeypatch.chdir(tmp_path / "SMIC_all_cropped" / "HS")
    assert facts(datasets.load("smic", ".")) == facts(datasets.load("smic", tmp_path))


def test_names_that_begin_with_a_tilde(tmp_path):
    for name in ("casme2", "smic", "dfme", "flow_maps", "psn"):
        assert "~$data" in str(datasets.inspect(name, "~$data").problems[0])
    replica.write("casme2", tmp_path, subjects=1)
    (problem,) = datasets.inspect("casme2", tmp_path, labels="~$a.xlsx").problems
    assert "is no file; labels= should name the label sheet" in str(problem)


def test_labels_where_the_folders_are_the_labels(tmp_path):
    replica.write("smic", tmp_path, subjects=1)
    problems = datasets.inspect("smic", tmp_path, labels="mine.xlsx").problems
    assert "is labeled by its folders; leave data.labels out" in str(problems[0])


def test_long_videos_are_not_said_to_be_unknown(tmp_path):
    with pytest.raises(UserError, match=r"samm_lv has long videos: .* samm_lv_intervals"):
        datasets.load("samm_lv", tmp_path)
    with pytest.raises(UserError, match="did you mean 'casme2'"):
        datasets.load("CASME2", tmp_path)
