"""A finished run applied to any video: probabilities of the classes over time.

    predictor = mer_jax.load_predictor("runs/first")
    predictions = predictor.predict_video(frames, 100.0)      # [T, H, W, C], Hz
    print(predictions.csv())

The face is detected and cropped to match the run's own clips: eyes at the same position, frames of
the same size, windows as long as the median clip and resampled to its frame rate. The run's method
makes examples of the windows, and the networks of all folds predict them; the result is the mean of
their probabilities and its standard deviation.

All networks but one have been trained on each clip of the run's database. Scores of predictions on
that database mean nothing; the run's report has the cross-validated ones.

Many videos with one folder of results: `video_list.find` and `video_records.process`. A run as one
file, for machines without its database: `run_file.export`; `load` reads that file, too.

A window is labeled "no movement" if it moves less than 90 % of the run's own clips (`movement`).
"""

from mer_jax.faces import find_eyes
from mer_jax.inference.magnification import magnify_face
from mer_jax.inference.predictor import Predictor, load
from mer_jax.inference.profile import DatasetProfile, movement
from mer_jax.inference.video_predictions import NO_FACE, NO_MOVEMENT, VideoPredictions

__all__ = [
    "NO_FACE",
    "NO_MOVEMENT",
    "DatasetProfile",
    "Predictor",
    "VideoPredictions",
    "find_eyes",
    "load",
    "magnify_face",
    "movement",
]
