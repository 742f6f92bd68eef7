"""Oulu-CASIA: six posed expressions of 80 subjects at 25 Hz (Zhao et al., IVC 29(9), 2011).

    OriginalImg/VL/Strong/P012/Anger/000.jpeg           visible light (VL) or infrared (NI)
    PreProcess Img/VL_Acropped/Strong/P012/Anger/000.jpeg

The folder is the label; a sequence runs from neutral to the peak, so the apex is the last frame.
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
    """One camera under one light."""

    def clip(name: str) -> str:
        return f"{camera}_{light}_{name.lower()}"

    def row(folder: Folder) -> Row:
        subject, emotion = folder.groups["subject"].upper(), folder.groups["name"].lower()
        last = folder.numbers[-1] if folder.numbers else None
        return Row(str(folder.path), subject, clip(emotion), emotion, apex=last, has_instants=False)

    pattern = rf"(^|/){camera}(_acropped)?/{light}/(?P<subject>P\d+)/(?P<name>[a-z]+)$"
    cameras = "|".join(other for other in _CAMERAS if other != camera)
    lights = "|".join(other for other in _LIGHTS if other != light)
    exclude = rf"(^|/)(({cameras})(_acropped)?|{lights})(/|$)"
    return records.Database(
        name="oulu_casia",
        title="Oulu-CASIA",
        fps=25.0,
        layouts={
            "cropped": FolderLayout(("PreProcess Img", "PreProcessImg"), pattern, exclude=exclude),
            "original": FolderLayout(("OriginalImg",), pattern, exclude=exclude),
        },
        row_from_folder=row,
        emotions=EMOTIONS,
        normalize_subject=str.upper,
        normalize_clip=clip,
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
