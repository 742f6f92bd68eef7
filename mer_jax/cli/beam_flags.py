"""The flags of the commands that can work on many machines, by Apache Beam."""

import sys
from typing import Any

from absl import flags

from mer_jax.errors import UserError

_RUNNER = flags.DEFINE_string(
    "runner", None, "A runner of Apache Beam: DirectRunner, FlinkRunner, ..."
)
_OPTIONS = flags.DEFINE_list("beam_pipeline_options", [], "Options of the runner: NAME=VALUE,...")


def pipeline(*, jobs: int) -> Any:
    """`datasets.beam.download_config` of --runner, or None.

    jobs: processes of DirectRunner.

    Raises `UserError` for options without a runner, and as `download_config`.
    """
    if _RUNNER.value is None:
        if _OPTIONS.value:
            raise UserError("--beam_pipeline_options are those of a --runner; name one")
        return None
    from mer_jax.datasets import beam

    return beam.download_config(_RUNNER.value, options=_OPTIONS.value, jobs=jobs)


def cancel() -> None:
    """Cancels the pipeline that runs, if any, for a process that ends."""
    if "mer_jax.datasets.beam" in sys.modules:
        sys.modules["mer_jax.datasets.beam"].cancel()
