import numpy as np
import pytest

from mer_jax.errors import DataError, UserError
from mer_jax.metrics import matching, spotting_files
from mer_jax.metrics.matching import Event
from mer_jax.recordings import Interval, Recording

TABLES = {
    "vid,pred_onset,pred_offset,type\n006_1,5,9,me\n006_1,20,40.0,mae\n": [
        Event("006", "006_1", 5, 9, "micro"), Event("006", "006_1", 20, 40, "macro"),
    ],
    '"video","onset","offset"\n"abc",5,9\n': [Event("abc", "abc", 5, 9)],
    "vid;onset;offset;type\ns15_0401;-3;9;Micro\n": [Event("s15", "s15_0401", -3, 9, "micro")],
    "subject,video,onset,offset,emotion\n17,017_3,316,428,Positive\n\n": [
        Event("17", "017_3", 316, 428, "", "positive"),
    ],
    "subject,video_name,start_frame,apex_frame,end_frame,type_idx,au\n"
    "casme_015,casme_015_0401,557,572,608,1,4+10\ncasme_015,casme_015_0401,7,8,9,2,4\n": [
        Event("casme_015", "casme_015_0401", 557, 608, "macro"),
        Event("casme_015", "casme_015_0401", 7, 9, "micro"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", TABLES)
def test_the_tables_of_the_field(tmp_path, text):
    path = tmp_path / "pred.csv"
    path.write_text(text)
    assert spotting_files.is_table(path) and not spotting_files.is_log(path)
    assert spotting_files.read(path) == TABLES[text]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("006_1,x,9,me", "line 3: onset is 'x', not the number of a frame"),
        ("006_1,5.5,9,me", "line 3: onset is '5.5'"),
        ("006_1,5,,me", "line 3: offset is ''"),
        ("006_1,9,5,me", "line 3: the offset 5 is before the onset 9"),
        (",5,9,me", "line 3: the cell of the video is blank"),
        ("006_1,5,9,mi", "line 3: 'mi' is no kind of expression"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, line, message):
    path = tmp_path / "pred.csv"
    path.write_text(f"vid,pred_onset,pred_offset,type\n006_1,1,2,me\n{line}\n")
    with pytest.raises(DataError) as error:
        spotting_files.read(path)
    assert message in str(error.value)


def test_missing_columns_are_named(tmp_path):
    path = tmp_path / "pred.csv"
    path.write_text("vid,start\n1,2\n")
    with pytest.raises(UserError, match="line 1 has no column onset or pred_onset or start_frame"):
        spotting_files.read(path)
    assert not spotting_files.is_table(path)


LOG = """1
006_1   566     743     560     740     TP
006_1   -       -       900     950     FP
2
15_0401 557     608     -       -       FN
15_0401 557     608     100     120     FP
"""


def test_a_log_of_2020(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(LOG)
    assert spotting_files.is_log(path)
    log = spotting_files.read_log(path)
    assert log.truths == [
        Event("006", "006_1", 566, 743, database="samm_lv"),
        Event("15", "15_0401", 557, 608, database="casme_squared"),
    ]  # fmt: skip
    assert len(log.predictions) == 3 and log.claimed == {"TP": 1, "FP": 2, "FN": 1}
    path.write_text(LOG + "abc 5 9 - - FN\n")  # the subject of a table, too
    assert spotting_files.read_log(path).truths[-1].subject == "abc"
    path.write_text(LOG + "what\n")
    with pytest.raises(DataError, match="line 7: is neither 1 nor 2"):
        spotting_files.read_log(path)


@pytest.mark.parametrize(
    ("log", "verdicts"),
    [
        ("\ns15/15_0401* 557 608 __ __ FN\ns15/15_0401* __ __ 528 590 FP\n", (0, 1, 1)),
        ("s15/15_0401,557.0,608.0,,,FN,0\ns15/15_0401,nan,nan,528.0,590.0,FP,1\n", (0, 1, 1)),
        ("2\n15_0401\t557\t608\t528\t590\tTP\n", (1, 0, 0)),
    ],
    ids=["MEGC 2021", "with commas", "MEGC 2020"],
)
def test_logs_as_others_write_them(tmp_path, log, verdicts):
    path = tmp_path / "log.txt"
    path.write_text(log)
    assert spotting_files.is_log(path) and spotting_files.is_table(path)
    found = spotting_files.read_log(path)
    assert tuple(found.claimed.values()) == verdicts
    for (event,), ends in ((found.truths, (557, 608)), (found.predictions, (528, 590))):
        assert (event.onset, event.offset) == ends
        assert matching.identify(event.subject, event.video) == ("15", "401")


def test_an_expression_to_the_end_of_its_video_ends_at_its_apex(tmp_path):
    """The annotations of CAS(ME)^2 that ABPN and AUW-GCN distribute have 44 such rows of 357."""
    path = tmp_path / "cas(me)_new.csv"
    path.write_text(
        "subject,video_name,start_frame,apex_frame,end_frame,type_idx\n"
        "casme_015,casme_015_0402,2155,2163,0,1\n"
    )
    assert spotting_files.read(path) == [Event("casme_015", "casme_015_0402", 2155, 2163, "macro")]
    path.write_text(path.read_text().replace("apex_frame", "au"))
    with pytest.raises(DataError, match="the offset 0 is before the onset 2155"):
        spotting_files.read(path)


def test_what_is_written_is_read(tmp_path):
    named = [Event("006", "006_1", 5, 9, "micro"), Event("006", "006_1", 5, 19, "macro")]
    assert spotting_files.read(spotting_files.write(tmp_path / "a.csv", named)) == named
    felt = [Event("006", "006_1", 5, 9, "", "fear")]
    assert spotting_files.read(spotting_files.write(tmp_path / "b.csv", felt)) == felt
    unknown = [*named, Event("s1", "s1_1", 5, 190)]  # as micro it would hit no macro-expression
    again = [event._replace(kind="") for event in unknown]
    assert spotting_files.read(spotting_files.write(tmp_path / "d.csv", unknown)) == again
    both = [*named, Event("006", "006_1", 50, 59, "micro", "fear")]
    assert spotting_files.read(spotting_files.write(tmp_path / "c.csv", both)) == both


def test_the_intervals_of_a_recording_meet_those_of_a_file(tmp_path):
    """CAS(ME)^2 calls a recording 0401 of s15; its predictions are files of s15_0401 and kin."""
    read = lambda start, stop: np.zeros((stop - start, 2, 2, 1), np.uint8)
    video = Recording("casme_squared", "s15", "0401", read, 99, 30.0, (Interval(5, 7, 14),))
    truths = matching.events([video])
    for vid in ("s15_0401", "15_401", "casme_015_0401", "S15_0401"):
        path = tmp_path / "pred.csv"
        path.write_text(f"vid,pred_onset,pred_offset,type\n{vid},5,14,me\n{vid},60,70,me\n")
        found = matching.match_events(truths, spotting_files.read(path))
        assert found.counts.sum((0, 1)).tolist() == [1, 1, 0], vid
    spotting_files.write(path, [event._replace(emotion="") for event in truths])
    found = matching.match_events(truths, spotting_files.read(path))
    assert found.counts.sum((0, 1)).tolist() == [1, 0, 0]
