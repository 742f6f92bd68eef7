"""The composites' counts follow from label sheets with the published counts, without one image."""

import collections
import hashlib
import itertools

import pytest

from mer_jax import datasets
from mer_jax.clips import Clip
from mer_jax.datasets import casme2, composites, records, samm, sheets
from mer_jax.datasets.folders import Frames
from mer_jax.datasets.records import IssueLog
from mer_jax.errors import DataError, UserError
from tests.datasets import replica


def clips_of(spec, root):
    """Clips from a sheet alone: nothing that a composite needs is in the frames."""
    log = IssueLog(spec.known_issues)
    rows = sheets.rows(spec, root, sheets.choose(spec, root, "", log), log)
    assert not log.problems
    return [
        made(spec.name, r.subject, r.name, r.emotion, r.action_units, r.objective) for r in rows
    ]


def made(database, subject, name, emotion, units="", objective="", length=20):
    files = tuple(f"{k}.png" for k in range(length))
    key = f"{database}/{subject}/{name}"
    return Clip(
        database=database,
        subject=subject,
        name=name,
        read=Frames(key, files),
        emotion=emotion,
        action_units=units,
        objective=objective,
    )


def counts(found):
    return {name: int((found.labels == k).sum()) for k, name in enumerate(found.classes)}


def casme2_sheet(root):
    """255 rows of 26 subjects; sub10 and sub18 have only what the challenge leaves out."""
    rows = [
        [4, "EP12_01f", "repression"],
        [5, "EP09_05f", "repression"],
        [10, "EP01_01", "others"],
        [18, "EP01_01", "sadness"],
    ]
    left = collections.Counter(casme2.SPEC.published)
    left.subtract(row[2] for row in rows)
    others = itertools.cycle(set(range(1, 27)) - {10, 18})
    words = sorted(left.elements())
    rows += [[next(others), f"EP99_{k}", word] for k, word in enumerate(words)]
    cells = [[sub, name, None, 1, 5, 9, None, "4", word] for sub, name, word in rows]
    head = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None]
    sheet = [[*head, "Action Units", "Estimated Emotion"], *cells]
    replica.table(root / "CASME2-coding-20140508.xlsx", {"Sheet1": sheet})


def samm_sheet(root):
    """159 rows of 29 subjects, 025 with Other alone; objective classes as published."""
    words = list(collections.Counter(samm.SPEC.published).elements())
    words.remove("other")
    published = zip(["I", "II", "III", "IV", "V", "VI", "VII"], (24, 13, 20, 8, 3, 7, 84))
    classes = [name for name, count in published for _ in range(count)]
    subjects = itertools.cycle(sorted(set(range(6, 35)) - {25}))
    rows = [[25, "025_1_1", "Other", classes[0]]]
    rows += [[next(subjects), f"x_{k}", w, c] for k, (w, c) in enumerate(zip(words, classes[1:]))]
    cells = [[f"{s:03d}", n, 1, 5, 9, "4", w.capitalize(), c] for s, n, w, c in rows]
    head = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Action Units"]
    sheet = [["free text"], [*head, "Estimated Emotion", "Objective Classes"], *cells]
    replica.table(root / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": sheet})


def smic(part=""):
    published = {"": (70, 51, 43), "_vis": (23, 28, 20)}[part]
    words = [w for w, n in zip(("negative", "positive", "surprise"), published) for _ in range(n)]
    subjects = itertools.cycle(range(1, 17) if not part else range(9, 17))
    return [made("smic", f"s{next(subjects):02d}", f"c{k}{part}", w) for k, w in enumerate(words)]


@pytest.fixture(scope="module")
def sheeted(tmp_path_factory):
    root = tmp_path_factory.mktemp("sheets")
    casme2_sheet(root)
    samm_sheet(root)
    return {"casme2": clips_of(casme2.SPEC, root), "samm": clips_of(samm.SPEC, root)}


def test_megc2019_has_442_clips_of_68_subjects(sheeted):
    found = composites.compose("megc2019", [*sheeted["casme2"], *smic(), *sheeted["samm"]])
    rules = composites.get("megc2019")
    assert counts(found) == rules.published and len(found.clips) == 442
    assert len({clip.subject_key for clip in found.clips}) == rules.subjects
    parts = collections.Counter(
        (clip.database, found.classes[k]) for clip, k in zip(found.clips, found.labels)
    )
    assert [parts["casme2", c] for c in found.classes] == [88, 32, 25]
    assert [parts["samm", c] for c in found.classes] == [92, 26, 15]
    people = collections.Counter(
        person.split("/")[0] for person in {c.subject_key for c in found.clips}
    )
    assert people == {"casme2": 24, "smic": 16, "samm": 28}
    keys = [key for key, _ in found.excluded]
    assert "casme2/sub04/EP12_01f" in keys and "casme2/sub05/EP09_05f" in keys


def test_the_sheet_of_256_rows_has_one_clip_that_the_challenge_has_not(sheeted):
    """MEB, whose sheet it is, leaves sub24/EP02_07 (disgust) out by name; the organizers' list has
    88 negative clips of CASME II."""
    more = made("casme2", "sub24", "EP02_07", "disgust", "9")
    found = composites.compose("megc2019", [*sheeted["casme2"], more, *smic(), *sheeted["samm"]])
    assert len(found.clips) == 442 and more.key in [key for key, _ in found.excluded]


def test_megc2018_has_253_clips_of_47_subjects(sheeted):
    """CASME II's classes as in the list of davidnvq/me_recognition: 25, 15, 99, 26, 20 of 26
    subjects; SAMM's as in its sheet, of 21 subjects (here spread over more)."""
    classes = zip(("I", "II", "III", "IV", "V", "VI", "VII"), (25, 15, 99, 26, 20, 1, 69))
    clips = [
        made("casme2", f"sub{k % 26 + 1:02d}", f"{name}_{k}", "others", "4", name)
        for name, count in classes
        for k in range(count)
    ]
    found = composites.compose("megc2018", [*clips, *sheeted["samm"], *smic()])
    assert counts(found) == composites.get("megc2018").published and len(found.clips) == 253


def test_psn_table_4():
    table = {  # positive, negative, surprise, others
        "casme": (8, 100, 14, 67),
        "casme2": (24, 132, 15, 77),
        "casme_squared": (2, 18, 7, 27),
        "samm": (21, 30, 14, 94),
    }
    units = ("6+12", "4+7", "1+2", "14")
    clips = [
        made(database, f"s{k % 20}", f"{c}_{k}", "others", units[c])
        for database, row in table.items()
        for c, count in enumerate(row)
        for k in range(count)
    ]
    found = composites.compose("psn", clips)
    assert counts(found) == composites.get("psn").published and len(found.clips) == 650


def test_r3d_table_1(sheeted):
    # CAS(ME)^2's published sheet has 19, 4, 8 (MTSN's copy of it, by its action units).
    table = {"casme": (80, 6, 14), "casme2": (145, 25, 15), "casme_squared": (19, 6, 6)}
    units = ("4", "12", "1+2")
    clips = [
        made(database, f"s{k % 20}", f"{c}_{k}", "others", units[c])
        for database, row in table.items()
        for c, count in enumerate(row)
        for k in range(count)
    ]
    clips += [made("casme2", "s1", f"x{k}", "others", "14") for k in range(70)]
    found = composites.compose("r3d", [*clips, *smic(), *smic("_vis"), *sheeted["samm"]])
    published = composites.get("r3d").published
    assert sum(published.values()) == 618
    # one clip of SAMM's class I more than the paper counts
    assert counts(found) == {**published, "positive": published["positive"] + 1}
    assert len({c.subject_key for c in found.clips if c.database == "smic"}) == 16


def test_stcnn_takes_long_clips_only():
    table = {"happy1_1": 94, "anger2_1": 76, "disgust1_2": 36}
    long = [
        made("casme_squared", f"s{k}", name, "negative", length=96 + k % 3)
        for name, count in table.items()
        for k in range(count)
    ]
    short = [made("casme_squared", f"t{k}", "happy1_1", "positive", length=95) for k in range(9)]
    found = composites.compose("stcnn_casme_squared", [*long, *short])
    assert counts(found) == {"happy": 94, "angry": 76, "disgust": 36}
    assert len(found.excluded) == 9 and "has 95 frames and" in found.excluded[0][1]
    lengths = [
        (18, "negative", 79),
        (18, "positive", 34),
        (40, "surprise", 43),
        (17, "negative", 8),
    ]
    clips = [
        made("smic", f"s{k}", f"{word}{length}_{k}", word, length=length)
        for length, word, count in lengths
        for k in range(count)
    ]
    found = composites.compose("stcnn_smic", clips)
    assert counts(found) == composites.get("stcnn_smic").published and len(found.clips) == 156


def test_cd6me_keeps_every_clip():
    sizes = composites.get("cd6me").published
    clips = [made(d, "s", str(k), "others", "4+12") for d, n in sizes.items() for k in range(n)]
    found = composites.compose("cd6me", [*clips, made("smic", "s01", "a", "negative")])
    assert len(found.clips) == 2031 and found.labels.shape == (2031, 12)
    assert found.labels.sum(0)[[2, 8]].tolist() == [2031, 2031] and found.labels.sum() == 4062
    assert found.excluded == (("smic/s01/a", "smic is not part of cd6me"),)


def test_a_difference_from_the_published_set_has_both_values(sheeted):
    found = composites.compose("megc2019", [*sheeted["casme2"], *smic(), *sheeted["samm"]])
    # Clips of other names: the counts agree, the clips do not.
    told = composites.differences("megc2019", found)
    assert [line.split()[0] for line in told] == ["casme2", "smic", "samm"]
    assert all("the published counts but other clips or classes" in line for line in told)
    fewer = composites.compose("megc2019", [*sheeted["casme2"], *smic()[:-1], *sheeted["samm"]])
    told = composites.differences("megc2019", fewer)
    assert "surprise has 82 clip(s) where 83 are published" in told
    assert "smic surprise has 42 clip(s) where 43 are published" in told
    lines = b"s01/a negative\ns01/b positive"  # the sorted lines, by hand
    digest = composites.digest([("s01", "b", "positive"), ("s01", "a", "negative")])
    assert digest == hashlib.sha256(lines).hexdigest()[:16]


@pytest.mark.parametrize("release", ["sadness", "surprise"])  # of 2014, of 2019
def test_megc2019_is_one_set_whatever_the_release(release):
    """The releases of CASME II disagree on the emotion of three clips."""
    names = ("EP07_01", "EP07_04f", "EP10_03")
    clips = [made("casme2", "sub24", name, release) for name in names]
    found = composites.compose("megc2019", [*clips, made("casme2", "sub24", "EP1", "surprise")])
    assert [clip.name for clip in found.clips] == ["EP1"] and len(found.excluded) == 3


def parts(root, *, subjects=2, names=("casme2", "smic", "samm")):
    for name in names:
        replica.write(name, root / name, subjects=subjects)


def test_a_composite_is_checked_at_load(tmp_path):
    parts(tmp_path)
    with pytest.raises(
        DataError, match=r"negative has \d+ clip\(s\) where 250 are published"
    ) as told:
        datasets.load("megc2019", tmp_path)
    assert len(told.value.problems) == 1 and "allow_mismatch=True continues" in str(told.value)
    found = datasets.inspect("megc2019", tmp_path, allow_mismatch=True)
    assert not found.problems and "where 250 are published" in str(found.notes[0])
    assert {clip.database for clip in found.clips} == {"casme2", "smic", "samm"}
    assert set(found.groups) == {"negative", "positive", "surprise"}
    assert "leaves out" in str(found.notes[1])
    with pytest.raises(UserError, match="unknown composite 'megc'"):
        composites.get("megc")


def test_a_composite_leaves_out_and_tolerates(tmp_path):
    parts(tmp_path)
    frame = tmp_path / "casme2/Cropped/sub01/EP01_01f/reg_img95.jpg"
    frame.unlink()
    key = "casme2/sub01/EP01_01f"
    assert "onset frame 95" in str(datasets.inspect("megc2019", tmp_path).problems)
    clips = datasets.load("megc2019", tmp_path, exclude=[key])
    assert key not in {clip.key for clip in clips}
    assert datasets.load("megc2019", tmp_path, allow_mismatch=True)
    told = datasets.inspect("megc2019", tmp_path, exclude=["casme/sub01/EP01", "smic/s1/x"])
    assert "megc2019 has no clips of such a database" in str(told.problems[0])
    assert f"smic/s1/x: {records.NOT_THERE}" in map(str, told.problems)


def test_one_part_of_smic_may_lack_what_another_part_leaves_out(tmp_path):
    """R3D reads two parts of SMIC."""
    replica.write("smic", tmp_path / "smic", subjects=1)
    found = datasets.inspect("r3d", tmp_path, exclude=["smic/s01/s01_po_01_vis"])
    assert "excluded" not in str(found.problems)
    assert len(found.clips) == 5


def test_a_composite_is_loaded_by_name_from_one_folder(tmp_path, caplog):
    parts(tmp_path, names=("smic",), subjects=1)
    (tmp_path / "smic").rename(tmp_path / "SMIC")
    clips = datasets.load("stcnn_smic", tmp_path)
    assert clips == [] and "differs from the published set: negative has 0" in caplog.text
    for name in ("CASME II", "CAS(ME)^2", "SAMM_CROP"):
        (tmp_path / name).mkdir()
    found = str(datasets.inspect("psn", tmp_path).problems)
    assert f"{tmp_path}/CASME II" in found and f"{tmp_path}/CAS(ME)^2" in found
    assert f"{tmp_path}/SAMM_CROP" in str(datasets.inspect("megc2019", tmp_path).problems)
    (tmp_path / "SAMM").mkdir()  # its own name comes first, whatever lies beside it
    found = str(datasets.inspect("megc2019", tmp_path).problems)
    assert f"{tmp_path}/SAMM_CROP" not in found and f"{tmp_path}/SAMM" in found
    assert datasets.options("megc2019") == {"allow_mismatch": False, "exclude": ()}
    with pytest.raises(UserError, match="is read from a folder; give it as root="):
        datasets.load("megc2019")
    with pytest.raises(UserError, match="unknown option of data megc2019 'stride'"):
        datasets.load("megc2019", tmp_path, stride=2)
