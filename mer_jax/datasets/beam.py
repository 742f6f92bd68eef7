"""Work on many processes or machines as Apache Beam pipelines (the extra `beam`).

    config = download_config("FlinkRunner", options=["flink_master=host:8081"], jobs=4)
    for item in run(function, items, config, finished=lambda items: ...):
        ...     # its result is there

A worker imports mer_jax, and sees the folders of this process under the same paths.
"""

import concurrent.futures
import contextlib
import importlib.util
import io
import itertools
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psutil
import tensorflow_datasets as tfds

from mer_jax.errors import UserError

Item = TypeVar("Item")
_SECONDS = 1.0  # between two calls of `finished`
_LATER = 30  # calls after the end
_running: list[Any] = []  # the result of the pipeline that runs


def download_config(
    runner: str, *, options: Sequence[str] = (), jobs: int = 1
) -> tfds.download.DownloadConfig:
    """The runner and options of all pipelines, in the form in which TFDS builders take them.

    Args:
      runner: "DirectRunner" (processes of this machine), "FlinkRunner", "SparkRunner",
        "DataflowRunner", "PortableRunner", ...
      options: the runner's, each NAME=VALUE or NAME.
      jobs: processes of "DirectRunner".

    Raises:
      UserError: Beam is not installed, or does not know the runner or a value.
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError(
            f"--runner={runner} needs Apache Beam; install it with pip install 'mer_jax[beam]'"
        )
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions

    direct = runner.lower() in ("direct", "directrunner")
    local = (
        "direct_running_mode=multi_processing",
        f"direct_num_workers={jobs}",
        "default_sdk_harness_log_level=ERROR",
    )
    given = [f"--{option}" for option in (*(local if direct else ()), *options)]
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            chosen = PipelineOptions(given)
            chosen.get_all_options()
            made = _direct_runner(chosen) if direct else runner
            apache_beam.Pipeline(made, chosen)
    except SystemExit:  # argparse, after a page of usage
        reason = complaint.getvalue().strip().splitlines()[-1].rpartition("error: ")[2]
        raise UserError(f"--beam_pipeline_options: {reason}") from None
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(f"--runner={runner}: {' '.join(str(error).split())}") from None
    return tfds.download.DownloadConfig(beam_runner=made, beam_options=chosen, compute_stats="skip")


def _direct_runner(options: Any) -> Any:
    """The runner of local processes that DirectRunner is without the downloaded Prism."""
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(info))


def run(
    function: Callable[[Any], object],
    items: Sequence[Item],
    config: tfds.download.DownloadConfig,
    *,
    finished: Callable[[Sequence[Item]], Sequence[Item]],
) -> Iterator[Item]:
    """Calls `function` with each item on the workers; yields each when it is finished.

    Args:
      function: of a module, so that workers can import it; it leaves its result in a file. A worker
        calls it on the CPU, once at a time.
      items: anything that can be pickled.
      config: that of `download_config`.
      finished: (items) -> those whose results are there; called about once a second.

    Raises:
      UserError: as `report_errors`; an item that cannot be pickled, or without a result at the end.
    """
    missing = list(items)
    for after_the_end in itertools.chain(_running_pipeline(function, items, config), range(_LATER)):
        if after_the_end is not None:  # a network's file system may show a new file later
            if not missing:
                break
            time.sleep(_SECONDS)
        for item in finished(missing):
            missing.remove(item)
            yield item
    if missing:
        raise UserError(
            "the workers' results are not here; give an --out (of mer-jax run an examples_dir) "
            "that all of them see"
        )


def _running_pipeline(
    function: Callable[[Any], object], items: Sequence[Any], config: tfds.download.DownloadConfig
) -> Iterator[None]:
    """Runs the pipeline; yields about once a second, and at the end."""
    import apache_beam

    try:
        pickled = [pickle.dumps(item) for item in items]
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(f"this data cannot be sent to other processes: {error}") from None
    pipeline = apache_beam.Pipeline(config.beam_runner, config.beam_options)
    _ = (
        pipeline
        | apache_beam.Create(pickled)
        | apache_beam.Reshuffle()
        | apache_beam.Map(_call, function)
    )
    done = concurrent.futures.Future[None]()

    def work() -> None:
        try:
            result = pipeline.run()  # the direct runner returns at the end only
            _running.append(result)
            result.wait_until_finish()
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    with _deaths_of_workers() as dead:
        threading.Thread(target=work, daemon=True).start()
        while not done.done():
            if dead:
                cancel()
                raise UserError(
                    "a worker process died, perhaps out of memory; re-run the command with fewer "
                    "--jobs"
                )
            yield
            concurrent.futures.wait([done], timeout=_SECONDS)
    _running.clear()
    with report_errors():
        done.result()
    yield


@contextlib.contextmanager
def _deaths_of_workers() -> Iterator[list[str]]:
    """Lists what threads of the direct runner say of dead workers, on whose work it waits on."""
    found: list[str] = []
    before = threading.excepthook

    def hook(args: Any) -> None:
        if "Worker subprocess exited" in str(args.exc_value):
            found.append(str(args.exc_value))
        else:
            before(args)

    threading.excepthook = hook
    try:
        yield found
    finally:
        threading.excepthook = before


def cancel() -> None:
    """Cancels the pipeline of `run`, and ends the workers of this machine, for a process that ends.

    A pipeline that other machines run does not end with the process that started it.
    """
    for result in _running:
        with contextlib.suppress(Exception):
            result.cancel()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "apache_beam.runners.worker.sdk_worker_main" in process.cmdline():
                process.kill()


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Raises the errors of a pipeline as `UserError`: a worker's own sentence, where it has one."""
    try:
        yield
    except Exception as error:  # the text of a worker's traceback, or of a runner
        lines = [line for line in str(error).splitlines() if line.strip()]
        last = re.sub(r" \[while running .*", "", lines[-1] if lines else repr(error))
        name, found, sentence = last.partition("UserError: ")
        if found or isinstance(error, UserError):
            raise UserError(sentence or name) from None
        raise UserError(f"the Beam pipeline failed ({last.strip()[:300]})") from error


_one_at_a_time = threading.Lock()


def _call(item: bytes, function: Callable[[Any], object]) -> None:
    """Calls `function` on the CPU; detectors are not made for the threads of a worker."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    with _one_at_a_time:
        function(pickle.loads(item))
