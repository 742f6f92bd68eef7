"""CK+: 593 posed sequences of 123 subjects, 327 of them labeled (Lucey et al., CVPRW 2010).

    cohn-kanade-images/S005/001/S005_001_00000001.png
    Emotion/S005/001/S005_001_00000011_emotion.txt      one number, 1 to 7

Labels may also be in Emotion_labels/Emotion. Sequences run from neutral to the peak: the apex is
the last frame. Those without a label are left out. Most sequences were digitized at 30 Hz.
"""

import functools
import pathlib

from mer_jax.datasets import database, records
from mer_jax.datasets.annotations import slug
from mer_jax.datasets.folders import Folder, FolderLayout, list_entries
from mer_jax.datasets.records import Row

EMOTIONS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")  # 1 to 7


def _row(folder: Folder) -> Row | str | None:
    sequence = pathlib.Path(*folder.path.parts[-2:])
    above = folder.path.parents[2]
    tops = [e for e in list_entries(above) if slug(e.name) in ("emotion", "emotionlabels")]
    found = [pathlib.Path(entry.path) for entry in tops if entry.is_dir()]
    if not found:
        return f"has no folder of labels {above / 'Emotion'} beside its images"
    found += [top / "Emotion" for top in found]
    files = sorted(f for top in found for f in (top / sequence).glob("[!.]*_emotion.txt"))
    if not files:
        return None
    words = files[0].read_text(encoding="utf-8", errors="replace").split()
    try:
        emotion = EMOTIONS[[float(n) for n in range(1, 8)].index(float(words[0]))]
    except (IndexError, ValueError):
        return f"its label {files[0]} is not one of the numbers 1 to 7"
    subject, name = folder.groups["subject"].upper(), folder.groups["name"]
    last = folder.numbers[-1] if folder.numbers else None
    return Row(str(folder.path), subject, name, emotion, apex=last, has_instants=False)


SPEC = records.Database(
    name="ck_plus",
    title="CK+",
    fps=30.0,
    layouts={
        "images": FolderLayout(
            ("cohn-kanade-images", "extended-cohn-kanade-images"),
            r"(^|/)(?P<subject>S\d+)/(?P<name>\d+)$",
            r".*_(\d+)",
        )
    },
    row_from_folder=_row,
    emotions=EMOTIONS,
    normalize_subject=str.upper,
    published=dict(zip(EMOTIONS, (45, 18, 59, 25, 69, 28, 83))),
    subjects=118,
)

inspect = functools.partial(database.inspect, SPEC)
