"""Faces: landmarks, crops and alignment, of one clip.

    from mer_jax import faces
    rectangle = faces.eye_rectangle(faces.eye_centers(landmarks))
    crop = faces.sample(frames, faces.grid(rectangle, size=(128, 105)), order="bilinear")
    aligned, covered = faces.align(frames, landmarks, faces.template((250, 190)))

Landmarks are [68, 2] px (x, y) in the iBUG order; boxes [4] px (x, y, width, height); left and
right are the image's. They come with a clip, from a model file (`landmarker`), or a face and its
eyes are detected (`detect_face`, `detect_eyes`). `crop_face` does all of it to a `Clip`,
`crop_recording` to a long video.
"""

from mer_jax.faces.alignment import align, template
from mer_jax.faces.cropping import CROPS, CropConfig, crop_face, crop_recording
from mer_jax.faces.detection import (
    detect_eyes,
    detect_face,
    detect_faces,
    find_eyes,
    nominal_eyes,
)
from mer_jax.faces.facial_events import blinks, speech
from mer_jax.faces.landmarker import Landmarker, landmarker
from mer_jax.faces.lwm import LocalWeightedMean, lwm_apply, lwm_fit
from mer_jax.faces.points import (
    both_eyes_box,
    eye_centers,
    eye_openness,
    face_box,
    in_profile,
    mouth_box,
    mouth_opening,
)
from mer_jax.faces.rectangles import Rectangle, box_rectangle, eye_rectangle, grid, locate
from mer_jax.faces.sampling import sample

__all__ = [
    "CROPS",
    "CropConfig",
    "Landmarker",
    "LocalWeightedMean",
    "Rectangle",
    "align",
    "blinks",
    "both_eyes_box",
    "box_rectangle",
    "crop_face",
    "crop_recording",
    "detect_eyes",
    "detect_face",
    "detect_faces",
    "eye_centers",
    "eye_openness",
    "eye_rectangle",
    "face_box",
    "find_eyes",
    "grid",
    "in_profile",
    "landmarker",
    "locate",
    "lwm_apply",
    "lwm_fit",
    "mouth_box",
    "mouth_opening",
    "nominal_eyes",
    "sample",
    "speech",
    "template",
]
