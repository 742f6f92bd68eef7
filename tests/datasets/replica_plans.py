"""What the replica of each database looks like: paths, sheets, releases, faults.

The facts are those of the databases' own descriptions and of public code that reads them. Nothing
here knows how `datasets` reads them, so that the two check each other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mer_jax.errors import unknown_name


class FakeFolder(NamedTuple):
    """One folder of frames; `path` has {n} for the frame number."""

    subject: str
    name: str
    emotion: str
    path: str
    numbers: tuple[int, ...]
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    action_units: str = ""
    kept: bool = True  # whether a reader should find a clip in it
    span: tuple[int, int] = (0, 10**9)  # the frames of the folder that are the clip


class Plan(NamedTuple):
    """What a replica is made of: folders of frames, label sheets, text files."""

    clips: list[FakeFolder]
    sheets: Mapping[str, Mapping[str, Sequence[Sequence]]]  # path -> sheet -> rows
    texts: dict[str, str] = {}  # noqa: RUF012 (never written to)
    gray: bool = False


_UNITS = ("4", "4+7", "L12", "R6+R12", "4+L10", "1+2", "12", "?", "14", "4+9")


def _choose(release: str, known: tuple[str, ...]) -> str:
    if release and release not in known:
        raise unknown_name("release", release, known)
    return release or known[0]


def _cell(units: str) -> str | int:
    return int(units) if units.isdigit() else units  # sheets hold a single unit as a number


def _casme2(subjects: int, release: str, known_issues: bool) -> Plan:
    release = _choose(release, ("2019", "2014", "updated", "csv", "raw_selected", "raw"))
    file = {
        "2014": "CASME2-coding-20140508.xlsx",
        "updated": "CASME2-coding-updated.xlsx",
        "csv": "CASME2-coding-20190701.csv",
    }.get(release, "CASME2-coding-20190701.xlsx")
    folder, stem = {
        "raw_selected": ("CASME2_RAW_selected", "img"),
        "raw": ("CASME2-RAW", "img"),
    }.get(release, ("Cropped", "reg_img"))
    early = 3 if release == "raw" else 0  # whole clips begin before the onset
    emotions = ("happiness", "disgust", "surprise", "repression", "others", "fear", "sadness")
    rows, clips = [], []

    def add(sub, name, onset, apex, offset, emotion, units, *, sheet=None, row=True):
        numbers = tuple(range(onset - early, offset + 1))
        path = f"{folder}/sub{sub:02d}/{name}/{stem}{{n}}.jpg"
        mark = apex if isinstance(apex, int) else None
        where = (f"sub{sub:02d}", name, emotion, path, numbers, onset, mark, offset, units)
        clips.append(FakeFolder(*where, kept=row))
        if row:
            first, top, last = sheet or (onset, apex, offset)
            subject = f"{sub:02d}" if release == "2014" else sub
            cells = [subject, name, None, first, top, last, None, _cell(units), emotion]
            rows.append(cells)

    for sub in range(1, subjects + 1):
        for c in range(4):
            onset, length = 95 + 7 * c, 8 + c  # numbers cross from two digits to three
            units, emotion = _UNITS[(4 * sub + c) % 10], emotions[(4 * sub + c) % 7]
            name = ("EP{:02d}_{:02d}f", "EP{:02d}_{:02d}", "EP{:02d}_{}", "EP{:02d}_{:02d}_02")[c]
            name = name.format(sub, c + 1)
            add(sub, name, onset, onset + 3, onset + length - 1, emotion, units)
    if known_issues:
        add(4, "EP12_01f", 20, "/", 28, "repression", "4")
        add(5, "EP09_05f", 30, 30, 38, "repression", "4+7")
        add(5, "EP16_04f", 40, 47, 47, "disgust", "4+9")
        add(9, "EP02_02f", 10, 12, 18, "others", "", row=False)
        add(24, "EP02_07", 10, 12, 18, "others", "", row=False)
        add(7, "EP06_01", 56, 89, 116, "others", "14", sheet=(15, 49, 68))
        add(12, "EP09_02", 161, 176, 206, "others", "12")
    head = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None]
    return Plan(clips, {file: {"Sheet1": [[*head, "Action Units", "Estimated Emotion"], *rows]}})


def _casme(subjects: int, release: str, known_issues: bool) -> Plan:
    release = _choose(release, ("cropped", "sections"))
    emotions = ("tense", "repression", "disgust", "happiness", "surprise")
    clips, rows = [], []
    for sub in range(1, subjects + 1):
        section = "A" if sub % 2 else "B"
        for c in range(4):
            name, onset = f"EP{sub:02d}_{c + 1}", 95 + 3 * c
            folder = f"Section {section}" if release == "sections" else "Cropped"
            stem = "" if release == "sections" else "reg_"
            digits = ":03d" if section == "B" else ""
            path = f"{folder}/sub{sub:02d}/{name}/{stem}{name}-{{n{digits}}}.jpg"
            emotion, units = emotions[(sub + c) % 5], _UNITS[(sub + c) % 10]
            numbers = tuple(range(onset, onset + 9))
            place = (numbers, onset, onset + 4, onset + 8, units)
            clips.append(FakeFolder(f"sub{sub:02d}", name, emotion, path, *place))
            second = "\\" if known_issues or c else onset + 5
            times = [None, 0.25, 0.5]  # durations, one of them headed 'Onset'
            cells = [sub, name, None, onset, onset + 4, second, onset + 8, *times]
            rows.append([*cells, _cell(units), emotion])
    head = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "Onset"]
    sheet: list[list] = [[*head, "Total", "AU", "Emotion"], *rows]
    return Plan(clips, {"CASME-coded-20190721.xlsx": {"Sheet1": sheet}})


def _casme_squared(subjects: int, release: str, known_issues: bool) -> Plan:
    release = _choose(release, ("cropped", "bare", "selected", "raw"))
    folders = (15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38)
    videos = {"anger1": "0401", "disgust1": "0101", "happy1": "0502"}
    clips, rows, recordings = [], [], dict[str, tuple[int, ...]]()
    for i, number in enumerate(folders[:subjects], 1):
        for c, video in enumerate((*videos, "disgust1")):
            name, onset = f"{video}_{c + 1}", 12 + 20 * c
            apex, offset = onset + 3, onset + 8
            kind = "macro-expression" if c == 1 else "micro-expression"
            emotion = ("negative", "negative", "positive", "others")[c]
            absent = known_issues and c == 3
            place = ("4+7", emotion, kind, "anger")
            rows.append([i, name, onset, apex, 0 if absent else offset, *place])
            numbers, span = tuple(range(onset, offset + 1)), (0, 10**9)
            if release == "raw":
                recording = f"rawpic/s{number}/{number}_{videos[video]}girl/img{{n:03d}}.jpg"
                numbers = recordings.setdefault(recording, tuple(range(1, 85)))
                span, path = (onset, apex if absent else offset), recording
            elif release == "bare":
                path = f"casme^2_cropped/{number}/{name}/img{{n}}.jpg"
            else:
                top = "selectedpic" if release == "selected" else "cropped"
                path = f"{top}/s{number}/{name}/img{{n}}.jpg"
            end = (apex if release == "raw" else None) if absent else offset
            place = (path, numbers, onset, apex, end, "4+7")
            clips.append(FakeFolder(f"s{number}", name, emotion, *place, kept=c != 1, span=span))
    rule1 = [[number, f"s{number}", i] for i, number in enumerate(folders[:subjects], 1)]
    book = {"CASFEcode_final": rows, "naming rule1": rule1}
    book["naming rule2"] = [[code, name] for name, code in videos.items()]
    return Plan(clips, {"CAS(ME)^2code_final.xlsx": book})


def _samm(subjects: int, release: str, known_issues: bool) -> Plan:
    release = _choose(release, ("v2", "2018", "csv"))
    emotions = ("Anger", "Other", "Happiness", "Surprise", "Contempt", "Disgust", "Fear", "Sadness")
    units = ("4+7", "7B", "L12A", "A12+A7", "(R6 or R12)+R15", "R14A or 17A or 24A", "10A/B")
    units += ("A/L12", "ref(7B)+43", "T23", "R14+17+soft focus")
    clips, rows = [], list[list]()

    def add(sub, name, onset, apex, offset, k, *, digits=5, sheet=None):
        top = apex if sheet is None or sheet[1] == apex else None
        numbers = tuple(range(onset, offset + 1))
        path = f"SAMM/{sub:03d}/{name}/{sub:03d}_{{n:0{digits}d}}.jpg"
        emotion, text = emotions[k % 8], units[k % 11]
        place = (path, numbers, onset, top, offset, text)
        clips.append(FakeFolder(f"{sub:03d}", name, emotion.lower(), *place))
        first, high, last = sheet or (onset, apex, offset)
        duration = f"=F{len(rows) + 15}-D{len(rows) + 15}+1"
        cells = [f"{sub:03d}" if k % 2 else sub, name, "2", first, high, last, duration]
        rows.append([*cells, "1/2", text, emotion, "III" if "4" in text else "VII", "a note"])

    for sub in range(6, 6 + subjects):
        for c in range(4):
            onset = 9997 + c
            add(sub, f"{sub:03d}_{c + 1}_2", onset, onset + 3, onset + 8, 4 * sub + c)
    if known_issues:
        add(13, "013_1_8", 2501, 2505, 2510, 0, digits=4)
        add(13, "013_1_9", 5730, 5735, 5739, 1, sheet=(5730, 5735, 5793))
        add(28, "028_4_1", 1100, None, 1110, 3, sheet=(1100, -1, 1110))
        add(32, "032_3_1", 4940, None, 4950, 4, sheet=(4940, 4960, 4950))
    head = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame"]
    head += ["Duration", "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"]
    above = [["SAMM: micro-movements"], ["Key"], ["/ = or"], *[["A prefix", "asymmetric"]] * 9, []]
    if release == "v2":
        return Plan(
            clips,
            {"SAMM_Micro_FACS_Codes_v2.xlsx": {"MICRO_ONLY": [*above, head, *rows]}},
            gray=True,
        )
    suffix = "csv" if release == "csv" else "xlsx"
    path = f"SAMM_20181215_Micro_FACS_Codes_v2.{suffix}"
    return Plan(clips, {path: {"MICRO_ONLY": [head, *rows]}}, gray=True)


_CODES = {"negative": "ne", "positive": "po", "surprise": "sur"}


def _smic(subjects: int, release: str, known_issues: bool) -> Plan:
    """HS, VIS and NIR side by side; the clips returned are those of HS."""
    release = _choose(release, ("cropped", "raw", "extended"))
    if release == "extended":
        return _smic_extended(subjects, known_issues)
    stem = "reg_image" if release == "cropped" else "image"
    clips = []
    for part in ("HS", "VIS", "NIR"):
        for sub in range(1, subjects + 1):
            for emotion, code in _CODES.items():
                first = 999996 + 10 * sub  # numbers cross from six digits to seven
                place = f"SMIC_all_{release}/{part}/s{sub}/micro/{emotion}/s{sub}_{code}_01"
                numbers = tuple(range(first, first + 6))
                path, name = f"{place}/{stem}{{n}}.bmp", f"s{sub:02d}_{code}_01"
                clips.append(
                    FakeFolder(f"s{sub:02d}", name, emotion, path, numbers, kept=part == "HS")
                )
            rest = f"SMIC_all_{release}/{part}/s{sub}/non_micro/s{sub}_non_01/{stem}{{n}}.bmp"
            clips.append(FakeFolder(f"s{sub:02d}", "", "", rest, (1, 2, 3), kept=False))
    return Plan(clips, {})


def _smic_extended(subjects: int, known_issues: bool) -> Plan:
    clips, rows = [], []

    def add(sub, code, number, emotion, *, said="", folder=True, row=True, second=None):
        first, onset, offset = 302370, 302373, 302378
        raw, name = f"s{sub}_{code}_{number:02d}", f"s{sub:02d}_{code}_{number:02d}"
        path = f"SMIC-E_raw image/HS_long/SMIC-HS-E/s{sub:02d}/{raw}/image{{n}}.jpg"
        numbers = tuple(range(first, first + 12))
        if folder:
            place = (path, numbers, onset, None, offset)
            clips.append(FakeFolder(f"s{sub:02d}", name, emotion, *place, kept=row))
        if row:
            again = [second, second + 2 if second else None]
            ends = [None, first, first + 11, 6, None, 12]
            rows.append([sub, raw, None, onset, offset, *again, *ends, said or emotion])

    for sub in range(11, 11 + subjects):
        for k, (emotion, code) in enumerate(_CODES.items()):
            add(sub, code, 1, emotion, second=302380 if k == 1 else None)
    if known_issues:
        add(18, "sur", 3, "surprise", said="negative")
        for sub, code, number in ((3, "ne", 3), (9, "sur", 2)):
            add(sub, code, number, "negative" if code == "ne" else "surprise", folder=False)
        add(1, "ne", 2, "negative", row=False)
    head = ["Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", None, "FirstF"]
    head += ["LastF", "TotalMF1", "TotalMF2", "TotalVL", "Emotion"]
    after: list[list] = [[], ["MF: frames of the movement"], [None, "VL: frames of the video"]]
    vis = [11, "s11_ne_01", None, 5, 9, None, None, None, 1, 12, 5, None, 12, "negative"]
    sheets: dict[str, list[list]] = {"VIS": [head, vis], "HS": [head, *rows, *after]}
    return Plan(clips, {"SMIC-HS-E_annotation.xlsx": sheets})


def _casme3(subjects: int, release: str, known_issues: bool) -> Plan:
    release = _choose(release, ("clips", "raw"))
    emotions = ("disgust", "surprise", "others", "fear", "anger", "sad", "happy")
    clips, rows = [], []

    def add(sub, letter, onset, apex, offset, emotion, *, said=None, missing=(), recording=80):
        if release == "raw":
            numbers = range(1, recording)
            path = f"part_A/spNO.{sub}/{letter}/color/{{n}}.jpg"
        else:
            numbers = range(onset, offset + 1)
            path = f"Part_A_ME_clip/frame/spNo.{sub}_{letter}_{onset}/{{n}}.jpg"
        numbers = tuple(n for n in numbers if n not in missing)
        span = (onset, offset) if release == "raw" else (0, 10**9)
        place = (path, numbers, onset, apex, offset, "4+7")
        clips.append(FakeFolder(f"spNo.{sub}", f"{letter}_{onset}", emotion, *place, span=span))
        printed = emotion.capitalize() if emotion == "others" else emotion
        offset = offset if said is None else said
        rows.append([f"spNO.{sub}", letter, onset, apex, offset, "4+7", "III", printed])

    for sub in range(1, subjects + 1):
        for c in range(4):  # two expressions in each of the recordings a and b
            onset = 10 + 20 * c
            place = ("ab"[c // 2], onset, onset + (0 if c == 1 and known_issues else 3), onset + 7)
            add(
                sub,
                *place,
                emotions[(sub + c) % 7],
                missing=(14,) if known_issues and c < 2 else (),
            )
    if known_issues:
        add(214, "c", 27, 30, 34, "fear", said=3460)
        if release == "clips":
            add(40, "e", 1812, 1820, 1845, "anger", said=0)
    head = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    path = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
    return Plan(clips, {path: {"readme": [["frames"]], "label": [head, *rows]}})


def _mmew(subjects: int, release: str, known_issues: bool) -> Plan:
    _choose(release, ("2021",))
    emotions = ("happiness", "anger", "surprise", "disgust", "fear", "sadness", "others")
    clips, rows = [], []
    for sub in range(1, subjects + 1):
        for c in range(4):
            name, emotion = f"S{sub:02d}-{c + 1:02d}-001", emotions[(2 * sub + c) % 7]
            folder = "repression" if emotion == "others" and known_issues else emotion
            path = f"Micro_Expression/{folder}/{name}/{{n}}.jpg"
            place = (path, tuple(range(1, 13)), 1, 6, 12, "4+7")
            clips.append(FakeFolder(f"S{sub:02d}", name, emotion, *place))
            rows.append([sub, name, 1, 6, 12, "4+7", emotion, None])
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units"]
    sheet: list[list] = [[*head, "Estimated Emotion", "remarks"], *rows]
    return Plan(clips, {"MMEW_Micro_Exp.xlsx": {"Sheet1": sheet}})


def _dfme(subjects: int, release: str, known_issues: bool) -> Plan:
    """The published sheets have no known fault."""
    release = _choose(release, ("flat", "subjects"))
    emotions = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
    head = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion")
    head = (*head, "EmotionId", "Fps", "AU")
    clips, sheets = [], {}
    for at, (folder, file) in enumerate(
        (("DFME_train", "training"), ("test_data_A", "testA"), ("test_data_B", "testB"))
    ):
        rows: list[list] = []
        for sub in range(1 + at, 1 + subjects, 3):
            for c in range(1, 5):
                code = (sub + c) % 7
                subject, name = f"sub{sub:04d}", f"sub{sub:04d}_{c:02d}"
                inner = f"{subject}/{name}" if release == "subjects" else name
                place = (f"{folder}/{inner}/{{n:05d}}.png", tuple(range(8)), 0, 3, 6, "4+L10")
                clips.append(FakeFolder(subject, name, emotions[code], *place))
                rows.append([subject, name, 0, 3, 6, emotions[code], code, (500, 300, 200)[at]])
                rows[-1].append("4+L10")
        if rows:
            sheets[f"{file}_full_with_AU.xlsx"] = {"Sheet1": [head, *rows]}
    return Plan(clips, sheets)


def _fourdme(subjects: int, release: str, known_issues: bool) -> Plan:
    _choose(release, ("v1",))
    emotions = ("Positive", "Negative", "Surprise", "Others")
    clips, rows = [], []
    for sub in range(1, subjects + 1):
        for c, said in enumerate(emotions):
            said = "Negative & Repression" if known_issues and c == 1 else said
            units = "4+12(k)" if known_issues and c == 2 else "4+7"
            name, subject = f"{sub:02d}_{c + 1}_gray", f"s{sub:02d}"
            emotion = "+".join(sorted(said.lower().split(" & ")))
            path = f"gray_micro/{subject}/{name}/{{n}}.jpg"
            place = (path, tuple(range(1, 11)), 1, 4, 10, units)
            clips.append(FakeFolder(subject, name, emotion, *place))
            rows.append([subject, c + 1, name, 1, 4, 10, said, units, 1, 0, 1])
    head = ["sub_ID", "fold", "fold_name", "Onset", "Apex", "Offset", "Emotion", "AUs"]
    sheet: list[list] = [[*head, "AU4", "AU12", "Total"], *rows]
    return Plan(clips, {"4DME_Labelling_Micro_release v1.xlsx": {"Sheet1": sheet}}, gray=True)


def _ck_plus(subjects: int, release: str, known_issues: bool) -> Plan:
    _choose(release, ("2010",))
    emotions = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    clips, texts = [], {}
    for sub in range(5, 5 + subjects):
        for c in range(1, 5):
            code, labeled = (sub + c) % 7, not (known_issues and c == 4)
            subject, name, last = f"S{sub:03d}", f"{c:03d}", 5 + c
            stem = f"{subject}_{name}"
            path = f"cohn-kanade-images/{subject}/{name}/{stem}_{{n:08d}}.png"
            place = (path, tuple(range(1, last + 1)), None, last, None)
            clips.append(FakeFolder(subject, name, emotions[code], *place, kept=labeled))
            if labeled:
                text = f"Emotion/{subject}/{name}/{stem}_{last:08d}_emotion.txt"
                texts[text] = f"   {code + 1:.7e}\n"
    return Plan(clips, {}, texts)


def _mug(subjects: int, release: str, known_issues: bool) -> Plan:
    release = _choose(release, ("doubled", "single"))
    emotions = ("anger", "disgust", "happiness", "neutral")
    clips = []
    for sub in range(1, subjects + 1):
        for emotion in emotions:
            above = f"{sub:03d}/{sub:03d}" if release == "doubled" else f"{sub:03d}"
            path = f"subjects3/{above}/{emotion}/take000/img_{{n:04d}}.jpg"
            name = f"{emotion}_take000"
            clips.append(FakeFolder(f"{sub:03d}", name, emotion, path, tuple(range(8))))
    return Plan(clips, {})


def _oulu_casia(subjects: int, release: str, known_issues: bool) -> Plan:
    """Strong and weak visible light side by side; the clips returned are those of the strong."""
    release = _choose(release, ("original", "cropped"))
    clips = []
    for sub in range(1, subjects + 1):
        for emotion in ("Anger", "Disgust", "Happiness", "Surprise"):
            for light in ("Strong", "Weak"):
                top = "OriginalImg/VL" if release == "original" else "PreProcess Img/VL_Acropped"
                path = f"{top}/{light}/P{sub:03d}/{emotion}/{{n:03d}}.jpeg"
                name, kept = f"vl_strong_{emotion.lower()}", light == "Strong"
                place = (path, tuple(range(7)), None, 6)
                clips.append(FakeFolder(f"P{sub:03d}", name, emotion.lower(), *place, kept=kept))
    return Plan(clips, {})


PLANS: dict[str, Callable[[int, str, bool], Plan]] = {
    "casme": _casme,
    "casme2": _casme2,
    "casme3": _casme3,
    "casme_squared": _casme_squared,
    "ck_plus": _ck_plus,
    "dfme": _dfme,
    "fourdme": _fourdme,
    "mmew": _mmew,
    "mug": _mug,
    "oulu_casia": _oulu_casia,
    "samm": _samm,
    "smic": _smic,
}
