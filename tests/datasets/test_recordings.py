"""Long videos in the layouts and with the faults of the published sheets, laid down by hand."""

import csv
import dataclasses
import pathlib
import pickle

import cv2
import numpy as np
import openpyxl
import pytest

from mer_jax import faces
from mer_jax import recordings as records
from mer_jax.datasets import identity, prepared, recordings
from mer_jax.datasets.synthetic import long_videos
from mer_jax.errors import DataError, UserError
from mer_jax.metrics import matching
from mer_jax.recordings import Interval, Recording

PIXELS = cv2.imencode(".jpg", np.full((6, 5, 3), 80, np.uint8))[1].tobytes()


def lay(folder, pattern, numbers):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / pattern.format(number)).write_bytes(PIXELS)


def workbook(path, **tabs):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in tabs.items():
        tab = book.create_sheet(name)
        for row in rows:
            tab.append(row)
    book.save(path)


def marks(video):
    """(onset, apex, offset, kind, emotion, action units), instants as numbers of the files."""
    numbers = video.read.numbers
    at = lambda index: None if index is None else int(numbers[index])
    return [
        (at(i.onset), at(i.apex), at(i.offset), i.kind, i.emotion, i.action_units)
        for i in video.intervals
    ]


HEAD = (
    *("Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type"),
    *("Action Units", "Notes"),
)


def samm(root, *rows, emotions=True):
    lay(root / "SAMM_longvideos/006_1", "006_1_{:04d}.jpg", range(1, 31))
    lay(root / "SAMM_longvideos/006_2", "006_2_{:04d}.jpg", range(1, 11))
    text = [["SAMM Long Videos Dataset - FACS Codes"], [], ['"/" = or']]
    workbook(root / "SAMM_LongVideos_V2_Release.xlsx", FACS_Movement_Only=[*text, HEAD, *rows])
    if emotions:
        head = ["Subject", "Filename", "Onset Frame", "Estimated Emotion"]
        workbook(
            root / "SAMM_20181215_Micro_FACS_Codes_v2.xlsx",
            MICRO_ONLY=[head, ["006", "006_1_2", 999, "Anger"]],
        )


MICRO = ("006", "006_1_2", 1, 12, 15, 20, 9, "Micro - 1/2", "4+7", None)


def test_samm_long_videos(tmp_path):
    macro = ("006", "006_1_2", 1, 2.4000000000000004, -1, 6.6, 5, "Macro", "12", "Blinks")
    begun = ("006", "006_1_3", 1, 0, 23.2, 29.999999999999996, 31, "Macro", "1", None)
    samm(tmp_path, macro, MICRO, begun)
    found = recordings.inspect("samm_lv", tmp_path, crop="none")
    assert not found.problems
    assert recordings.counts(found.recordings) == {"recordings": 2, "micro": 1, "macro": 2}
    assert found.published == {"recordings": 147, "micro": 159, "macro": 343}
    first, second = found.recordings
    assert (first.key, first.fps, len(first)) == ("samm_lv/006/006_1", 200.0, 30)
    assert marks(first) == [
        (1, 23, 30, "macro", None, "1"),  # rounded; frame 0 is the first
        (2, None, 7, "macro", None, "12"),  # -1: no apex
        (12, 15, 20, "micro", "anger", "4+7"),  # the emotion is in the other sheet
    ]
    assert first.intervals[2].onset == 11  # files count from 1
    assert second.intervals == () and first[28:].shape == (2, 6, 5, 1)
    assert any("onset frame 0 became 1" in note.what for note in found.notes)
    assert any("has 1 micro-expressions where 159 are" in note.what for note in found.notes)


def test_units_that_cannot_be_read_are_noted(tmp_path):
    """Of the published sheet, which loses AU1 here; 17 of its 502 rows have such pieces."""
    row = ("006", "006_1_3", 1, 2, 3, 6, 5, "Macro", "twice - L1B+L2B+25", None)
    samm(tmp_path, MICRO, row)
    notes = [note.what for note in recordings.inspect("samm_lv", tmp_path).notes]
    assert "in the action units 'twice - L1B+L2B+25', 'twice - L1B' was ignored" in notes


def test_without_the_sheet_of_emotions_there_are_none(tmp_path):
    samm(tmp_path, MICRO, emotions=False)
    found = recordings.inspect("samm_lv", tmp_path)
    assert not found.problems and marks(found.recordings[0])[0][4] is None
    assert any("no emotion of 1 micro-expression" in note.what for note in found.notes)


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        ("Emotin", "Anger", "has no column 'Estimated Emotion'"),
        ("Estimated Emotion", "Suprise", "unknown emotion 'suprise'; did you mean 'surprise'"),
    ],
)
def test_faults_of_the_sheet_of_emotions_are_named(tmp_path, head, row, message):
    samm(tmp_path, MICRO)
    file = tmp_path / "SAMM_20181215_Micro_FACS_Codes_v2.xlsx"
    rows = [["Subject", "Filename", "Onset Frame", head], ["006", "006_1_2", 999, row]]
    workbook(file, MICRO_ONLY=rows)
    (problem,) = recordings.inspect("samm_lv", tmp_path).problems
    assert file.name in problem.where and message in problem.what


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({7: "Mikro"}, "row 5: 'Mikro' is neither a micro- nor a macro-expression"),
        ({3: "soon"}, "row 5: onset is 'soon', not the number of a frame"),
        ({3: None}, "row 5: has no onset frame"),
        ({5: 11}, "row 5: the offset frame 11 is before the onset frame 12"),
        ({5: 40}, "row 5: offset frame 40 is not in"),
        ({3: 41, 4: 42, 5: 43}, "row 5: none of the frames 41 to 43 is in"),
        ({1: "006_9_1"}, "samm_lv/006/006_9: is marked in SAMM_LongVideos_V2_Release.xlsx, row 5"),
        ({1: "EP01"}, "row 5: 'EP01' is no expression of a recording"),
    ],
)
def test_a_wrong_row_is_one_sentence_with_its_place(tmp_path, change, message):
    row = list(MICRO)
    for at, value in change.items():
        row[at] = value
    samm(tmp_path, row)
    with pytest.raises(DataError) as error:
        recordings.load("samm_lv", tmp_path)
    assert message in str(error.value) and len(error.value.problems) == 1


def test_a_mismatch_can_be_allowed_and_a_recording_left_out(tmp_path):
    late = (*MICRO[:3], 25, 28, 40, *MICRO[6:])
    gone = (*MICRO[:3], 41, 42, 43, *MICRO[6:])
    samm(tmp_path, late, gone)
    found = recordings.inspect("samm_lv", tmp_path, allow_mismatch=True)
    assert not found.problems and [mark[:3] for mark in marks(found.recordings[0])] == [
        (25, 28, 30)
    ]
    assert any("the interval is left out" in note.what for note in found.notes)
    found = recordings.inspect("samm_lv", tmp_path, exclude=("samm_lv/006/006_1",))
    assert not found.problems and [video.name for video in found.recordings] == ["006_2"]
    with pytest.raises(DataError, match="is to be excluded but is not in the database"):
        recordings.load("samm_lv", tmp_path, exclude=("samm_lv/007/1",), allow_mismatch=True)


def test_a_row_twice_is_a_problem(tmp_path):
    samm(tmp_path, MICRO, MICRO)
    with pytest.raises(DataError, match="from 11 to 19 is there twice; remove one row"):
        recordings.load("samm_lv", tmp_path)


def test_an_interval_twice_with_another_apex_is_a_problem(tmp_path):
    """One prediction hits one of the two at most."""
    samm(tmp_path, MICRO, (*MICRO[:4], MICRO[4] + 1, *MICRO[5:]))
    with pytest.raises(DataError, match="from 11 to 19 is there twice; remove one row"):
        recordings.load("samm_lv", tmp_path)


SQUARED = [
    (1, "anger1_1", 5, 7, 9, "4+10", "negative", "macro-expression", "anger", None, None),
    (1, "anger1_2", 12, 14, 0, "NULL", "others", "micro-expression", "anger", None, None),
    (3, "happy5_1", 2, 8, 6, 12, "positive", "Macro-expression", "happiness", None, None),
]
TITLE = "CAS(ME)^2code_final(Updated).xlsx"


def test_casme_squared_pictures(tmp_path):
    lay(tmp_path / "rawpic/s15/15_0401girlcrashing", "img{:03d}.jpg", range(1, 21))
    lay(tmp_path / "rawpic/s19/19_0508funny", "img{:03d}.jpg", range(1, 21))
    lay(tmp_path / "rawpic/s40/40_0101teeth", "img{:03d}.jpg", range(1, 4))
    workbook(tmp_path / TITLE, CASFEcode_final=SQUARED)
    found = recordings.inspect("casme_squared", tmp_path)
    assert not found.problems
    by_name = {(video.subject, video.name): marks(video) for video in found.recordings}
    assert by_name == {
        ("s15", "0401"): [
            (5, 7, 9, "macro", "negative", "4+10"),
            (12, 14, 14, "micro", "others", ""),  # no offset: the apex
        ],
        ("s19", "0508"): [(2, None, 6, "macro", "positive", "12")],  # the apex is after the offset
        ("s40", "0101"): [],  # a recording without an expression
    }
    assert len(found.notes) == 2 + 3  # two rows, three counts


def test_casme_squared_videos(tmp_path):
    folder = tmp_path / "rawvideo/s15"
    folder.mkdir(parents=True)
    writer = cv2.VideoWriter(
        str(folder / "15_0401girlcrashing.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (16, 16)
    )
    for number in range(20):
        writer.write(np.full((16, 16, 3), 10 * number, np.uint8))
    writer.release()
    workbook(tmp_path / TITLE, CASFEcode_final=SQUARED[:2])
    (video,) = recordings.load("casme_squared", tmp_path, crop="none")
    assert len(video) == 20
    assert [(each.onset, each.offset) for each in video.intervals] == [(4, 8), (11, 13)]
    for span in (slice(3, 9), slice(9, 12), slice(15, 20), slice(0, 2)):  # on, ahead, and back
        shown = video[span].mean((1, 2, 3))
        np.testing.assert_allclose(shown, 10 * np.arange(20)[span], atol=3)
    with pytest.raises(UserError, match=r"frame 20 of 20 cannot be read"):
        video.read(18, 22)
    (cropped,) = recordings.load("casme_squared", tmp_path)
    for each in (video, cropped):  # a clip of a film lies in its file
        assert [path.name for path in each.clips()[1].read.files] == ["15_0401girlcrashing.avi"]
    (third,) = recordings.load("casme_squared", tmp_path, crop="none", step=3)
    assert (len(third), third.fps) == (7, 10.0)
    for span in (slice(2, 4), slice(4, 7), slice(0, 3)):
        shown = third[span].mean((1, 2, 3))
        np.testing.assert_allclose(shown, 30 * np.arange(7)[span], atol=3)


def test_casme3(tmp_path):
    head = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Expression type", "x"]
    rows = [
        ["spNO.1", "J", "9", "11", "13", "4+15+R10", "Macro-expression", "VII"],
        ["spNO.1", "J", "3", "5", "6", "5", "Micro-expression", "II"],
        ["spNO.214", "c", "5", "5", "3460", "17+4", "Micro-expression", "III"],
    ]
    for folder, last in (("spNO.1/J", 20), ("spNO.214/c", 40)):
        lay(tmp_path / "part_A" / folder / "color", "{}.jpg", range(5, last))
        lay(tmp_path / "part_A" / folder / "depth", "{}.png", range(5, 9))
    blinks = [["Subject", "Filename", "Onset", "Offset"], ["spNO.1", "J", "7", "8"]]
    workbook(tmp_path / "CAS(ME)3_part_A_v2.xlsx", **{"AU+Emotion": [head, *rows], "eye": blinks})
    head = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    labels = [
        ["spNO.1", "J", "3", "5", "1006", "5", "II", "Disgust"],  # one instant is another
        ["spNO.214", "c", "5", "5", "34", "17+4", "III", "fear"],
    ]
    workbook(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", label=[head, *labels])
    found = recordings.inspect("casme3", tmp_path)
    assert not found.problems
    first, second = found.recordings
    assert (first.subject, first.name) == ("spNo.1", "j")
    # Frames are missing at the start of the published recordings: the nearest one is taken.
    assert marks(first) == [
        (5, 5, 6, "micro", "disgust", "5"),
        (9, 11, 13, "macro", None, "4+15+R10"),
    ]
    assert marks(second) == [(5, 5, 34, "micro", "fear", "17+4")]
    labels[1][3] = "ten"
    workbook(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", label=[head, *labels])
    (problem,) = recordings.inspect("casme3", tmp_path).problems
    assert problem.where.endswith("v2.xlsx, row 3") and "apex is 'ten'" in problem.what


def test_smic(tmp_path):
    head = [
        *("Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F"),
        *("Offset3F", None, "FirstF", "Emotion"),
    ]
    rows = [
        [3, "s3_ne_04", None, 110, 114, 121, 125, 3, -100, None, 100, "positive"],
        [20, "s20_sur_01", None, 210, 215, None, None, None, None, None, 200, "surprise"],
        [None, None, None, None, None],
        ["text below the table"],
    ]
    lay(tmp_path / "HS_long/SMIC-HS-E/s03/s3_ne_04", "image{}.jpg", range(100, 130))
    lay(tmp_path / "HS_long/SMIC-HS-E/s20/s20_sur_01", "image{}.jpg", range(200, 220))
    lay(tmp_path / "HS_long/SMIC-HS-E/s01/s1_ne_02", "image{}.jpg", range(3))
    workbook(tmp_path / "HS_long/SMIC-HS-E_annotation.xlsx", HS=[head, *rows], VIS=[head])
    found = recordings.inspect("smic", tmp_path)
    assert not found.problems and [note.what for note in found.notes] == [
        "has no row in the label sheet; it is left out",
        "has 2 recordings where 157 are published",
    ]
    first, second = found.recordings
    assert (first.subject, first.name) == ("s03", "s03_ne_04")
    assert [mark[:5] for mark in marks(first)] == [
        (
            110,
            None,
            114,
            "micro",
            "negative",
        ),  # by its name
        (121, None, 125, "micro", "negative"),
    ]
    assert [mark[4] for mark in marks(second)] == ["surprise"]


def test_two_files_of_one_number_and_two_folders_of_one_recording(tmp_path):
    samm(tmp_path, MICRO)
    (tmp_path / "SAMM_longvideos/006_1/006_1_5.jpg").write_bytes(PIXELS)
    lay(tmp_path / "SAMM_longvideos/copy/006_2", "006_2_{:04d}.jpg", range(3))
    with pytest.raises(DataError) as error:
        recordings.load("samm_lv", tmp_path)
    assert "006_1_0005.jpg and 006_1_5.jpg have one frame number" in str(error.value)
    assert "is the same recording as" in str(error.value)


def test_a_damaged_frame_is_named_when_it_is_read(tmp_path):
    samm(tmp_path, MICRO)
    (tmp_path / "SAMM_longvideos/006_1/006_1_0005.jpg").write_bytes(PIXELS[:-9])
    video = recordings.load("samm_lv", tmp_path, crop="none")[0]
    assert video[5:8].shape == (3, 6, 5, 1)
    with pytest.raises(UserError, match=r"006_1_0005\.jpg: cannot be read"):
        video[3:6]


def test_a_frame_of_another_size_is_named_in_whatever_block_it_is(tmp_path):
    samm(tmp_path, MICRO)
    cv2.imwrite(str(tmp_path / "SAMM_longvideos/006_1/006_1_0021.jpg"), np.zeros((9, 8), np.uint8))
    video = recordings.load("samm_lv", tmp_path, crop="none")[0]
    assert video[:20].shape == (20, 6, 5, 1)
    with pytest.raises(
        UserError, match=r"006_1_0021\.jpg: is 9 x 8 where 006_1_0001\.jpg is 6 x 5"
    ):
        video[20:21]


@pytest.mark.slow
def test_the_face_of_a_whole_frame_is_cropped(tmp_path):
    """A rendered face in one corner of frames that are 16 times as large."""
    samm(tmp_path, MICRO)
    still = dict(micro=0, macro=0, distractors=(), size=(150, 120), gray=True)
    face = recordings.load("synthetic", None, subjects=1, seconds=1.0, **still)[0]
    folder = tmp_path / "SAMM_longvideos/006_1"
    for number, frame in enumerate(face[:], 1):
        whole = np.full((600, 480), 90, np.uint8)
        whole[400:550, 300:420] = frame[..., 0]
        assert cv2.imwrite(str(folder / f"006_1_{number:04d}.jpg"), whole)
    stored, eyes, box = (
        recordings.load("samm_lv", tmp_path, crop=crop, **size)[0]
        for crop, size in (("none", {}), ("eyes", {"crop_size": (66, 54)}), ("box", {}))
    )
    assert stored[:2].shape == (2, 600, 480, 1) and eyes[3:6].shape == (3, 66, 54, 1)
    d = float(np.diff(faces.eye_centers(long_videos.landmarks(face)[0])[:, 0])[0])
    height, width = recordings.load("samm_lv", tmp_path)[0][0].shape[:2]
    np.testing.assert_allclose((height, width), (2.2 * d, 1.8 * d), rtol=0.1)
    found = faces.find_eyes(eyes[0])[0]
    np.testing.assert_allclose(found, [[0.4 * 30, 0.6 * 30], [1.4 * 30, 0.6 * 30]], atol=3)
    assert box[0].shape[0] == box[0].shape[1] < 130
    # Files, numbers and instants are as before; the examples of other crops are others.
    assert marks(eyes) == marks(stored) and eyes.read.files == stored.read.files
    assert len({identity.digest(video) for video in (stored, eyes, box)}) == 3
    clips = [video.clips()[0] for video in (stored, eyes, box)]
    assert len({identity.digest(clip) for clip in clips}) == 3
    keys = {prepared.digests([clip], {})[0] for clip in clips}
    own = eyes.read.files[11:20]  # the crop is found in others
    assert len(keys) == 3 and {clip.read.files[:9] for clip in clips} == {own}
    assert [len(clip.read.files) for clip in clips] == [9, 9 + 10, 9 + 10]
    again = pickle.loads(pickle.dumps(eyes))  # as workers get it
    np.testing.assert_array_equal(again[7:9], eyes[7:9])


def test_every_which_frame(tmp_path):
    """A frame stands for those up to the next one: 12 is of 10 to 12, 20 of 19 to 21."""
    samm(tmp_path, MICRO)  # from frame 12 to 20, apex 15
    found = recordings.inspect("samm_lv", tmp_path, step=3, crop="none")
    video = found.recordings[0]
    assert (len(video), video.fps) == (10, 200 / 3) and video[2:5].shape == (3, 6, 5, 1)
    assert video.numbers.tolist() == list(range(1, 31, 3))
    assert [path.stem[-2:] for path in video.read.files[:3]] == ["01", "04", "07"]
    assert marks(video)[0][:3] == (10, 13, 19)
    (event,) = matching.numbered(matching.events([video]), [video])
    assert (event.onset, event.offset) == (10, 21)
    assert not any("became" in note.what or "lacks" in note.what for note in found.notes)
    last = ("006", "006_1_3", 1, 23, 24, 30, 8, "Micro", "1", None)  # 28 is the last that is kept
    samm(tmp_path, MICRO, last)
    found = recordings.inspect("samm_lv", tmp_path, step=9, crop="none")
    assert not found.problems and marks(found.recordings[0])[1][:3] == (19, 19, 28)
    every = recordings.load("samm_lv", tmp_path, crop="none")[0]
    assert identity.digest(every) != identity.digest(video)
    near = ("006", "006_1_3", 1, 11, 14, 21, 11, "Micro - 1/2", "4+7", None)
    samm(tmp_path, MICRO, near)
    found = recordings.inspect("samm_lv", tmp_path, step=3, crop="none")
    assert len(found.recordings[0].intervals) == 1
    assert [n.what for n in found.notes if "they are one" in n.what] == [
        "two micro-expressions are from 3 to 6 of every 3. frame; they are one"
    ]


def test_a_recording_without_a_face_is_named_when_it_is_read(tmp_path):
    samm(tmp_path, MICRO)
    video = recordings.load("samm_lv", tmp_path)[0]
    with pytest.raises(UserError, match=r"006_1: no face was found in 10 frames from 0 to 29"):
        video[0]
    with pytest.raises(UserError, match="did you mean 'eyes'"):
        recordings.load("samm_lv", tmp_path, crop="eye")


@pytest.mark.parametrize("given", ["labels", "images"])
def test_a_sheet_elsewhere_and_a_kind_of_images(tmp_path, given):
    samm(tmp_path, MICRO)
    sheet = tmp_path / "mine.csv"
    with open(sheet, "w", newline="") as file:
        csv.writer(file).writerows([HEAD, ("006", "006_2_1", 2, 3, 4, 5, 3, "Micro", "1", "")])
    option = {"labels": "mine.csv", "images": "raw"}[given]
    found = recordings.load("samm_lv", tmp_path, **{given: option})
    assert [len(video.intervals) for video in found] == ([0, 1] if given == "labels" else [1, 0])


def mine(root, *, rate=30.0):
    """A database of one's own: `tests.datasets.test_recordings:mine`."""
    read = lambda start, stop: np.zeros((stop - start, 4, 4, 1), np.uint8)
    return [records.Recording("mine", "s1", str(root), read, 9, rate)]


def test_a_database_of_ones_own():
    name = "tests.datasets.test_recordings:mine"
    assert recordings.load(name, "here", rate=50.0)[0].fps == 50.0
    with pytest.raises(UserError, match="did you mean 'rate'"):
        recordings.load(name, "here", rat=50.0)


def repeated(root, *, subject="s1"):
    """A database of one's own with the same recording twice, or a subject in two spellings."""
    return [*mine("a"), *(dataclasses.replace(each, subject=subject) for each in mine("a"))]


def test_names_that_are_not_unique_are_problems():
    """Two films of one key were matched as one, and the second one's network read for both."""
    name = "tests.datasets.test_recordings:repeated"
    with pytest.raises(DataError, match="mine/s1/a: occurs twice"):
        recordings.load(name, None)
    with pytest.raises(DataError, match="'mine/s1 ': is one subject in several spellings"):
        recordings.load(name, None, subject="s1 ")


def test_unknown_names_and_missing_folders(tmp_path):
    with pytest.raises(UserError, match="did you mean 'samm_lv'"):
        recordings.load("samm_lw", tmp_path)
    with pytest.raises(UserError, match="give it as root="):
        recordings.load("samm_lv", None)
    with pytest.raises(DataError, match="is no folder; SAMM Long Videos should be there"):
        recordings.load("samm_lv", tmp_path / "no")
    with pytest.raises(DataError, match="holds no label sheet"):
        recordings.load("samm_lv", tmp_path)
    with pytest.raises(UserError, match="kind of SAMM Long Videos images"):
        recordings.load("samm_lv", tmp_path, images="cropped")


@dataclasses.dataclass
class Louder:
    """A `read` of a user's that has a file, and an option that changes its frames."""

    path: pathlib.Path
    gain: int

    def __call__(self, start, stop):
        return (np.load(self.path)[start:stop] * self.gain).astype(np.uint8)


def test_frames_that_a_users_function_gives_are_told_by_the_frames(tmp_path):
    """Through a crop and a part, whose files are those of what they read from."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 99, (20, 24, 24, 1), np.uint8))
    marked = (Interval(2, 4, 8),)
    make = lambda gain: Recording(
        "mine", "s", "v", Louder(tmp_path / "a.npy", gain), 20, 30.0, marked
    )
    cropped = lambda gain: faces.crop_recording(make(gain), faces.CropConfig("none", (12, 12)))
    for item in (make, cropped, lambda gain: make(gain).clips()[0]):
        assert identity.digest(item(1)) == identity.digest(item(1)) != identity.digest(item(2))
    one, other = (prepared.digests(make(gain).clips(), {}) for gain in (1, 2))
    assert one == prepared.digests(make(1).clips(), {}) != other
