"""Scores of predictions, with confidence intervals and tests, in NumPy; and prediction files.

predictions = read("WORKDIR")                  # or a predictions file or log of another program
scores(predictions.confusion())["uf1"]
summary(predictions, protocol="loso")
spotting.summary(truths, predictions)          # of intervals; spotting_files reads them
"""

from mer_jax.metrics.confusion import confusion
from mer_jax.metrics.prediction_files import read, write_csv, write_log
from mer_jax.metrics.predictions import Predictions, mean_predictions
from mer_jax.metrics.scores import scores
from mer_jax.metrics.summary import combine_variants, inflation, scores_with_intervals, summary

__all__ = [
    "Predictions",
    "combine_variants",
    "confusion",
    "inflation",
    "mean_predictions",
    "read",
    "scores",
    "scores_with_intervals",
    "summary",
    "write_csv",
    "write_log",
]
