"""Oulu-CASIA: six posed expressions of 80 subjects at 25 Hz.

Zhao et al., Image and Vision Computing 29(9), 2011.

    OriginalImg/VL/Strong/P012/Anger/000.jpeg           visible light (VL) or infrared (NI)
    PreProcess Img/VL_Acropped/Strong/P012/Anger/000.jpeg

The last folder is the label. A sequence runs from the neutral face to the peak, so that its last
frame is the apex.
"""

import pathlib
from collections.abc import Iterable

from mer_jax.datasets import database, records
from mer_jax.datasets.folders import Folder, FolderLayout
from mer_jax.datasets.records import Inspection, Row
from mer_jax.errors import unknown_name

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
_CAMERAS = ("vl", "ni")
_LIGHTS = ("strong", "weak", "dark")


def spec(camera: str, light: str) -> records.Database:
    """The database of one camera ("vl" or "ni") under one light ("strong", "weak" or "dark")."""

    def clip_name(name: str) -> str:
        return f"{camera}_{light}_{name.lower()}"

    def row_of_folder(folder: Folder) -> Row:
        subject, emotion = folder.groups["subject"].upper(), folder.groups["name"].lower()
        last = folder.numbers[-1] if folder.numbers else None
        name = clip_name(emotion)  # its apex is not annotated: there is nothing to compare
        return Row(str(folder.path), subject, name, emotion, apex=last, has_instants=False)

    pattern = rf"(^|/){camera}(_acropped)?/{light}/(?P<subject>P\d+)/(?P<name>[a-z]+)$"
    other_cameras = "|".join(other for other in _CAMERAS if other != camera)
    other_lights = "|".join(other for other in _LIGHTS if other != light)
    exclude = rf"(^|/)(({other_cameras})(_acropped)?|{other_lights})(/|$)"
    return records.Database(
        name="oulu_casia",
        title="Oulu-CASIA",
        fps=25.0,
        layouts={
            "cropped": FolderLayout(("PreProcess Img", "PreProcessImg"), pattern, exclude=exclude),
            "original": FolderLayout(("OriginalImg",), pattern, exclude=exclude),
        },
        row_from_folder=row_of_folder,
        emotions=EMOTIONS,
        normalize_subject=str.upper,
        normalize_clip=clip_name,
        gray=camera == "ni",
        published=dict.fromkeys(EMOTIONS, 80),
        subjects=80,
    )


def inspect(
    root: str | pathlib.Path,
    *,
    camera: str = "vl",
    light: str = "strong",
    images: str = "",
    allow_mismatch: bool = False,
    exclude: Iterable[str] = (),
) -> Inspection:
    """As `database.inspect`; `camera` is "vl" or "ni", `light` "strong", "weak" or "dark"."""
    for kind, value, known in (("camera", camera, _CAMERAS), ("light", light, _LIGHTS)):
        if value not in known:
            raise unknown_name(f"{kind} of Oulu-CASIA", value, known)
    return database.inspect(
        spec(camera, light), root, images=images, allow_mismatch=allow_mismatch, exclude=exclude
    )
