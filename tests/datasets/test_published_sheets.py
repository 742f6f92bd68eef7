"""What the databases' own sheets and folders are like: each case on a small database made here."""

import zipfile

import numpy as np
import pytest

from mer_jax import datasets
from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import labels
from mer_jax.errors import DataError
from tests import real_sheets
from tests.datasets import replica

CASME2 = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None]
CASME2 = [*CASME2, "Action Units", "Estimated Emotion"]
CASME3 = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
SMIC = ["Subject", "Filename", "OnsetF", "OffsetF", "TotalMF1", "Emotion"]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "a.jpg"
    replica.save(path, replica.draw(0, 1, (8, 8))[0])
    return path


@pytest.fixture
def lay(tmp_path, picture):
    """lay("Cropped/sub01/EP01_01/img{n}.jpg", 3, 9): frames 3 to 9, links to one picture."""

    def lay(path, first, last):
        for n in range(first, last + 1):
            file = tmp_path / path.format(n=n)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.hardlink_to(picture)

    return lay


def casme2(root, *rows, name="CASME2-coding-20140508.xlsx", classes=None):
    """rows: (subject, clip, onset, apex, offset, units, emotion)."""
    cells = [[s, c, None, on, apex, off, None, au, emo] for s, c, on, apex, off, au, emo in rows]
    replica.table(root / name, {"Sheet1": [CASME2, *cells]})
    if classes:
        head = ["Subject", "Filename", "Objective Class"]
        replica.table(root / "CASME2-ObjectiveClasses.xlsx", {"Sheet1": [head, *classes]})


def casme2_row(clip="EP01_01", onset=46, apex=59, offset=86, units="4", emotion="others"):
    return "01", clip, onset, apex, offset, units, emotion


def instants(clip):
    """(onset, apex, offset) as the numbers in the names of the files."""
    numbers = [int("".join(filter(str.isdigit, file.stem))) for file in clip.read.files]
    return tuple(i if i is None else numbers[i] for i in (clip.onset, clip.apex, clip.offset))


def sources(found):
    return "\n".join(map(str, found.sources))


# Item 2: another modality.


def test_folders_of_another_modality_are_no_frames(tmp_path, lay):
    row = ["spNO.1", "a", 355, 359, 360, "5", "II", "others"]
    replica.table(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [CASME3, row]})
    for modality in ("depth", "frame", "video"):
        lay(f"Part_A_ME_clip/{modality}/spNo.1_a_355/{{n}}.jpg", 355, 360)
    found = datasets.inspect("casme3", tmp_path)
    assert not found.problems
    assert {file.parts[-3] for file in found.clips[0].read.files} == {"frame"}
    assert "folder(s) named 'depth', 'video' hold another modality" in str(found.notes)
    (sheet,) = tmp_path.glob("*.xlsx")
    found = datasets.inspect("casme3", tmp_path / "Part_A_ME_clip/depth", labels=str(sheet))
    assert not found.clips and "has no clips below" in str(found.problems)


# Items 3 and 4: published errors, by their content.


@pytest.mark.parametrize(
    ("row", "subject", "kept"),
    [
        ([11, "disgust1_5", 1221, 1230, 1224], "s27", (1221, None, 1224)),
        ([14, "happy2_1", 2169, 2203, 2202], "s31", (2169, None, 2202)),
        ([15, "anger1_12", 2407, 2455, 2451], "s32", (2407, None, 2451)),
        ([11, "disgust1_5", 1221, 1230, 1225], "s27", None),  # another error is none we know
    ],
)
def test_an_apex_after_its_offset_is_a_known_issue_of_casme_squared(
    tmp_path, lay, row, subject, kept
):
    sheet = [[*row, 4, "negative", "macro-expression", "anger"]]
    replica.table(tmp_path / "CAS(ME)^2code_final.xlsx", {"CASFEcode_final": sheet})
    lay(f"cropped/{subject}/{row[1]}/img{{n}}.jpg", row[2], row[3])
    found = datasets.inspect("casme_squared", tmp_path, kind="all")
    if kept is None:
        assert "the apex frame 1230 is outside the clip's 1221 to 1225" in str(found.problems)
        return
    assert not found.problems and instants(found.clips[0]) == kept
    assert "the published apex is after the offset" in str(found.notes)


@pytest.mark.parametrize("suffix", [".xlsx", ".xls"])
@pytest.mark.parametrize("folder", ["d_2647", "d_3647"])
def test_casme3_s_published_errors(tmp_path, lay, suffix, folder):
    rows = [
        ["spNO.149", "d", "112", "83", "358", "14", "VII", "fear"],
        ["spNO.216", "d", "3647", "2668", "2694", "38", "VII", "others"],
    ]
    path = tmp_path / f"cas(me)3_part_A_ME_label_JpgIndex_v1{suffix}"
    replica.table(path, {"Sheet1": [CASME3, *rows]})
    lay("Part_A_ME_clip/frame/spNo.149_d_112/{n}.jpg", 112, 358)
    lay(f"Part_A_ME_clip/frame/spNo.216_{folder}/{{n}}.jpg", 2647, 2694)
    found = datasets.inspect("casme3", tmp_path)
    assert not found.problems
    assert [clip.name for clip in found.clips] == ["d_112", "d_2647"]
    assert list(map(instants, found.clips)) == [(112, 160, 358), (2647, 2668, 2694)]
    assert "(3647, 2668, 2694) became (2647, 2668, 2694)" in str(found.notes)


# Item 6: two numberings of the frames.


@pytest.mark.parametrize(
    ("subject", "clip", "numberings"),
    [
        (7, "EP06_01", ((15, 49, 68), (56, 89, 116))),
        (12, "EP09_02", ((16, 59, 101), (161, 176, 206))),
    ],
)
@pytest.mark.parametrize("sheet", [0, 1])
@pytest.mark.parametrize("disk", [0, 1])
@pytest.mark.parametrize("renumbered", [False, True])
def test_two_numberings_of_casme2(
    tmp_path, lay, subject, clip, numberings, sheet, disk, renumbered
):
    casme2(tmp_path, (subject, clip, *numberings[sheet], "4", "others"))
    onset, apex, offset = numberings[disk]
    shift = onset - 1 if renumbered else 0
    path = f"Cropped/sub{subject:02d}/{clip}/reg_img{{n}}.jpg"
    lay(path, onset - shift, offset - shift)
    found = datasets.inspect("casme2", tmp_path)
    assert not found.problems
    assert instants(found.clips[0]) == (onset - shift, apex - shift, offset - shift)
    assert bool(found.notes) == (sheet != disk or renumbered)


# Item 7: renumbered frames.


@pytest.mark.parametrize("first", [0, 1])
def test_renumbered_frames_are_recognised(tmp_path, lay, first):
    casme2(tmp_path, casme2_row(), casme2_row("EP01_02", 446, 459, 486))
    for clip in ("EP01_01", "EP01_02"):
        lay(f"Cropped/sub01/{clip}/img{{n}}.jpg", first, first + 40)
    found = datasets.inspect("casme2", tmp_path)
    assert not found.problems
    for clip in found.clips:
        assert (clip.onset, clip.apex, clip.offset) == (0, 13, 40)
    assert "(46, 59, 86) became" in str(found.notes) and "renumbered" in str(found.notes)


def test_tolerance_moves_an_instant_by_ten_frames_at_most(tmp_path, lay):
    casme2(tmp_path, casme2_row(), casme2_row("EP01_02", 446, 459, 486))
    lay("Cropped/sub01/EP01_01/img{n}.jpg", 1, 76)  # ten short
    lay("Cropped/sub01/EP01_02/img{n}.jpg", 1, 76)
    found = datasets.inspect("casme2", tmp_path, allow_mismatch=True)
    assert [clip.name for clip in found.clips] == ["EP01_01"] and len(found.problems) == 1
    assert "370 frames off: are the files renumbered" in str(found.problems[0])
    (tmp_path / "Cropped/sub01/EP01_01/img76.jpg").unlink()
    assert not datasets.inspect("casme2", tmp_path, allow_mismatch=True).clips


# Item 8: which folder is read.


@pytest.mark.parametrize(
    ("folders", "images", "read", "named"),
    [
        (("SAMM", "SAMM_cropped"), "", "SAMM_cropped", "SAMM (raw)"),
        (("SAMM", "SAMM_CROP"), "", "SAMM_CROP", "SAMM (raw)"),
        (("SAMM", "SAMM/SAMM_CROP"), "", "SAMM/SAMM_CROP", "SAMM (raw)"),
        (("SAMM", "SAMM_CROP"), "raw", "SAMM", "SAMM_CROP (cropped)"),
        (("SAMM/SAMM_CROP", "SAMM"), "raw", "SAMM", "SAMM_CROP (cropped)"),
        (("SAMM",), "", "SAMM", ""),
    ],
)
def test_samm_raw_and_cropped(tmp_path, lay, folders, images, read, named):
    head = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Action Units"]
    head += ["Estimated Emotion", "Objective Classes"]
    row = ["006", "006_1_2", 5, 7, 9, "4", "Anger", 3]
    replica.table(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": [head, row]})
    for folder in folders:
        lay(f"{folder}/006/006_1_2/006_{{n:05d}}.jpg", 5, 9)
    found = datasets.inspect("samm", tmp_path, images=images)
    assert not found.problems and len(found.clips) == 1
    assert found.clips[0].read.files[0].parents[2] == tmp_path / read
    assert found.sources[0].where == str(tmp_path / read) and named in found.sources[0].alternatives


def test_casme2_s_raw_folders_beside_each_other(tmp_path, lay):
    casme2(tmp_path, casme2_row(offset=66))
    for folder in ("CASME2-RAW", "CASME2_RAW_selected"):
        lay(f"{folder}/sub01/EP01_01/img{{n}}.jpg", 46, 66)
    found = datasets.inspect("casme2", tmp_path)
    assert not found.problems and "CASME2_RAW_selected, not from" in sources(found)
    found = datasets.inspect("casme2", tmp_path, images="cropped")
    assert not found.clips and "has no clips below a folder 'Cropped'" in str(found.problems)
    lay("Cropped/sub01/EP01_01/img{n}.jpg", 46, 66)
    lay("Cropped-updated/Cropped/sub01/EP01_01/img{n}.jpg", 46, 66)
    found = datasets.inspect("casme2", tmp_path)
    assert not found.problems and found.sources[0].where == str(tmp_path / "Cropped")
    assert "Cropped-updated/Cropped (cropped)" in found.sources[0].alternatives


# Item 9: formulas.


def smic(root, offset, length=5):
    rows = [SMIC, [3, "s3_ne_01", 10, offset, length, "negative"]]
    replica.table(root / "SMIC-HS-E_annotation.xlsx", {"HS": rows})


@pytest.mark.parametrize("offset", ["=C2+E2-1", "=$C$2 + E2 - 1", "=C2+4"])
def test_a_formula_without_its_value_is_computed(tmp_path, lay, offset):
    smic(tmp_path, offset)
    lay("SMIC-HS-E/s03/s3_ne_01/image{n}.jpg", 8, 20)
    found = datasets.inspect("smic", tmp_path)
    assert not found.problems and instants(found.clips[0]) == (10, None, 14)
    assert not found.notes  # a database without apexes does not lack them


@pytest.mark.parametrize("offset", ["=SUM(C2:E2)", "=VIS!D2+1", "=C2+F2", "=D2+1", "=ZZ9"])
def test_another_formula_without_its_value_is_a_problem(tmp_path, lay, offset):
    smic(tmp_path, offset)
    lay("SMIC-HS-E/s03/s3_ne_01/image{n}.jpg", 8, 20)
    (problem,) = datasets.inspect("smic", tmp_path).problems
    assert f"the 'OffsetF' cell is the formula '{offset}'" in str(problem)
    assert "row 2" in problem.where and "save it" in problem.what


# Item 10: where objective classes are from.


def test_objective_classes_have_one_source(tmp_path, lay):
    rows = [casme2_row("EP01_01"), casme2_row("EP01_02", units="6+12"), casme2_row("EP01_03")]
    for _, clip, *_ in rows:
        lay(f"Cropped/sub01/{clip}/reg_img{{n}}.jpg", 46, 86)
    casme2(
        tmp_path, *rows, classes=[["01", "EP01_01", "iv"], [1, "EP01_02", 2], ["01", "EP01_03", 7]]
    )
    found = datasets.inspect("casme2", tmp_path)
    assert [labels.objective(clip) for clip in found.clips] == ["IV", "II", "VII"]
    assert "objective classes: from CASME2-ObjectiveClasses.xlsx" in sources(found)
    casme2(tmp_path, *rows, classes=[["01", "EP01_01", "iv"], [1, "EP01_02", 9]])
    found = datasets.inspect("casme2", tmp_path)
    assert [clip.objective for clip in found.clips] == [""] * 3  # never a mixture
    assert [labels.objective(clip) for clip in found.clips] == ["III", "I", "III"]
    assert "(derived from the action units" in sources(found)
    assert "which has none for 2 clip(s), e.g. sub01/EP01_02" in sources(found)


def test_the_list_of_objective_classes_counts_before_a_column_of_the_sheet(tmp_path, lay):
    """A public copy of the sheet of 2019 has a tenth column with other classes (30 of class I where
    the published list and MEGC2018 have 25)."""
    clips = ("EP01_01", "EP01_02")
    for clip in clips:
        lay(f"Cropped/sub01/{clip}/reg_img{{n}}.jpg", 46, 86)
    casme2(tmp_path, classes=[["01", clips[0], 3], ["01", clips[1], 7]])
    cells = [["01", clip, None, 46, 59, 86, None, "4", "others", "I"] for clip in clips]
    sheet = {"Sheet1": [[*CASME2, "Objective Classes"], *cells]}
    replica.table(tmp_path / "CASME2-coding-20190701.xlsx", sheet)
    found = datasets.inspect("casme2", tmp_path)
    assert [clip.objective for clip in found.clips] == ["III", "VII"]
    assert "objective classes: from CASME2-ObjectiveClasses.xlsx" in sources(found)
    (tmp_path / "CASME2-ObjectiveClasses.xlsx").unlink()
    assert {clip.objective for clip in datasets.inspect("casme2", tmp_path).clips} == {"I"}


@pytest.mark.parametrize(
    ("units", "numeral"),
    [
        *(("4+L10", "IV"), ("4+R10", "IV"), ("R4+R10", "IV"), ("4+10", "IV")),
        *(("4+5+L10", "IV"), ("4+9+10", "IV"), ("6+12+17", "I")),
    ],
)
def test_objective_classes_beyond_the_table(units, numeral):
    """Sets that the table lacks, with the classes of the list published for CASME II."""
    read = in_memory(np.zeros((2, 4, 4, 1), np.uint8))
    clip = Clip("casme2", "sub01", "EP01", read, emotion="others", action_units=units)
    assert labels.objective(clip) == numeral
    found = labels.label("psn7", [clip])  # by PSN's own table
    assert found.classes[found.labels[0]] == "VII"


# Item 12: CAS(ME)^2 without its naming rules.


UPDATED = ("CAS(ME)^2code_final(Updated).csv", "CAS(ME)^2code_final (Updated).csv")


@pytest.mark.parametrize("name", [*UPDATED, "code_final.xlsx"])
def test_casme_squared_s_naming_rule_is_built_in(tmp_path, lay, name):
    folders = [15, 16, *range(19, 28), *range(29, 39), 40]
    rows = [
        [k + 1, "anger1_1", 10, 12, 15, 4, "negative", "micro-expression", "anger"]
        for k in range(22)
    ]
    replica.table(tmp_path / name, {"CASFEcode_final": rows})
    for number in folders:
        lay(f"rawpic/s{number}/{number}_0401girlcrashing/img{{n:03d}}.jpg", 1, 20)
    found = datasets.inspect("casme_squared", tmp_path)
    assert not found.problems
    assert [clip.subject for clip in found.clips] == [f"s{number}" for number in folders]
    assert {instants(clip) for clip in found.clips} == {(10, 12, 15)}
    assert found.published["negative"] == 21
    macro = datasets.inspect("casme_squared", tmp_path, kind="macro")
    assert not macro.clips and not macro.published, "the published counts are of the micro ones"


@pytest.mark.parametrize("name", UPDATED)
def test_casme_squared_s_updated_sheet_comes_first(tmp_path, lay, name):
    row = [1, "anger1_1", 10, 12, 15, 4, "negative", "micro-expression", "anger"]
    replica.table(tmp_path / name, {"CASFEcode_final": [row]})
    replica.table(tmp_path / "CAS(ME)^2code_final.xlsx", {"CASFEcode_final": [row, row]})
    lay("rawpic/s15/15_0401girlcrashing/img{n:03d}.jpg", 1, 20)
    found = datasets.inspect("casme_squared", tmp_path)
    assert [each.where for each in found.sources if each.what == "labels"] == [str(tmp_path / name)]


# Item 13: other spellings, other places.


def test_other_case_clutter_and_frames_one_level_deeper(tmp_path, lay):
    casme2(tmp_path, casme2_row("EP02_01f"), casme2_row("EP02_02"))
    lay("Cropped/SUB01/ep02_01F/REG_IMG{n}.JPG", 46, 86)
    lay("Cropped/SUB01/ep02_02/frames/reg_img{n}.jpg", 46, 86)
    lay("Cropped/__MACOSX/sub01/EP02_01f/img{n}.jpg", 46, 86)
    found = datasets.inspect("casme2", tmp_path)
    assert not found.problems and not found.notes
    keys = [clip.key for clip in found.clips]
    assert keys == ["casme2/sub01/EP02_01f", "casme2/sub01/EP02_02"]
    casme2(tmp_path, casme2_row("ep02_01F"), casme2_row("ep02_02"))
    assert [clip.key for clip in datasets.load("casme2", tmp_path)] == keys


@pytest.mark.parametrize("letter", ["J", "j"])
def test_a_recording_with_a_capital_letter(tmp_path, lay, letter):
    row = ["spNO.14", "J", 12, 15, 20, "5", "II", "others"]
    replica.table(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [CASME3, row]})
    lay(f"part_A/spNO.14/{letter}/color/{{n}}.jpg", 1, 40)
    found = datasets.inspect("casme3", tmp_path)
    assert not found.problems and found.clips[0].name == "j_12"


def test_a_sheet_of_another_kind_is_named(tmp_path, lay):
    lay("Cropped/sub01/EP01_01/img{n}.jpg", 46, 86)
    path = tmp_path / "CASME2-coding-20190701.ods"
    casme2(tmp_path, casme2_row(), name="x.xlsx")
    book = (tmp_path / "x.xlsx").read_bytes()
    path.write_bytes(book)
    assert not datasets.inspect("casme2", tmp_path).problems  # what it is, its content says
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<x/>")
    (problem,) = datasets.inspect("casme2", tmp_path).problems
    assert "is an OpenDocument sheet (.ods); save it as .xlsx" in str(problem)


def test_ten_problems_of_a_kind_are_listed(tmp_path, lay):
    casme2(tmp_path, casme2_row())
    lay("Cropped/sub01/EP01_01/img{n}_crop.jpg", 46, 86)
    with pytest.raises(DataError) as told:
        datasets.load("casme2", tmp_path)
    assert len(told.value.problems) == 41 and str(told.value).count("_crop.jpg") == 10
    assert "and 31 more of this kind: has no frame number in its name" in str(told.value)


def test_the_three_clips_that_change_their_emotion_are_noted(tmp_path, lay):
    for emotion, other in (("surprise", "2014 has sadness"), ("sadness", "2019 has surprise")):
        casme2(tmp_path, (24, "EP10_03", 46, 59, 86, "1+2", emotion))
        if emotion == "surprise":
            lay("Cropped/sub24/EP10_03/img{n}.jpg", 46, 86)
        found = datasets.inspect("casme2", tmp_path)
        assert found.clips[0].emotion == emotion and other in str(found.notes)


def test_the_script_over_real_sheets_finds_a_difference(tmp_path, capsys):
    casme2(tmp_path, casme2_row(), casme2_row("EP01_02", apex="/"))
    assert real_sheets.main(tmp_path) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[:6] == ["casme2", "2", "2", "0", "0", "0"]
    sheet = real_sheets.SHEETS[1]
    rows = real_sheets.parse(tmp_path / "CASME2-coding-20140508.xlsx", sheet)
    real_sheets.lay(tmp_path, rows)
    found = datasets.inspect("casme2", tmp_path)
    other = [rows[0]._replace(offset=85), rows[1], rows[1]._replace(clip="EP01_03")]
    _, wrong = real_sheets.compare(other, found, "casme2")
    assert (
        len(wrong) == 2 and "EP01_01 is (46, 59, 86" in wrong[0] and "EP01_03 is lost" in wrong[1]
    )
