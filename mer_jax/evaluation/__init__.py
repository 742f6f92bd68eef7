"""From what a job said to what it is worth: scores, intervals, logs, figures, the report.

predictions = read("WORKDIR")                  # or anybody's log
scores(predictions.confusion())["uf1"]
summary(predictions, protocol="loso")
report.build("WORKDIR")
"""

from mer_jax.evaluation import report
from mer_jax.evaluation.confusion import confusion
from mer_jax.evaluation.predictions import Predictions, read, write_csv, write_log
from mer_jax.evaluation.scores import scores
from mer_jax.evaluation.summary import over_variants, summary

__all__ = [
    "Predictions",
    "confusion",
    "over_variants",
    "read",
    "report",
    "scores",
    "summary",
    "write_csv",
    "write_log",
]
