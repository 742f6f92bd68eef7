"""From what a job said to what it is worth: scores, intervals, logs, figures, the report.

predictions = read("WORKDIR")                  # or anybody's log
scores(predictions.confusion())["uf1"]
summary(predictions, protocol="loso")
report.build("WORKDIR")
"""

from mer_jax.metrics.confusion import confusion
from mer_jax.metrics.predictions import Predictions, read, write_csv, write_log
from mer_jax.metrics.scores import scores
from mer_jax.metrics.summary import combine_variants, summary
from mer_jax.reporting import report

__all__ = [
    "Predictions",
    "combine_variants",
    "confusion",
    "read",
    "report",
    "scores",
    "summary",
    "write_csv",
    "write_log",
]
