"""One spotting job from a configuration to a report.

    summary = experiment.run(configuration.read("spot_default"), "runs/spotting")

The working directory gets config.json, predictions.csv and truth.csv (the form of the challenges),
spotters.json (of each fold and kind: durations, span, p), metrics.json, report.html, and for
networks networks/KIND_SPAN/ with the weights of every fold, learning curves and checkpoints, from
which the same command resumes. `spotting.trained.load` reads it.

With a section `recognition`, spot-then-recognize: a run of recognition, finished or trained in
recognition/, gives each predicted interval an emotion, by a fold that was not trained on its
subject either.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mer_jax import configuration, spotting
from mer_jax.datasets import recordings as databases
from mer_jax.errors import UserError
from mer_jax.inference import profile
from mer_jax.inference import recognizer as recognition
from mer_jax.inference.recognizer import Recognizer
from mer_jax.io import reading, saving
from mer_jax.leakage import Leak, Reason
from mer_jax.methods import example_cache
from mer_jax.metrics import matching, spotting_files
from mer_jax.metrics import spotting as scoring
from mer_jax.metrics.matching import Event
from mer_jax.recordings import Interval, Recording
from mer_jax.reporting import outputs, spotting_report
from mer_jax.spotting import Found, analysis, networks, protocol
from mer_jax.spotting.networks import Emotions
from mer_jax.spotting.samples import NetworkEvidence
from mer_jax.spotting.scorers import Architecture
from mer_jax.spotting.trained import RECOGNITION
from mer_jax.training import Checkpointing, Hooks, Parallel, Settings, checkpoints, spotter_files
from mer_jax.training.spotter_files import NETWORKS, SPOTTERS

_DRAWS = 20  # of the F1 at chance


def run(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    run_recognition: Callable[..., Any],
    command: str = "",
    devices: Sequence[jax.Device] | None = None,
    should_stop: Callable[[], bool] | None = None,
    pipeline: Any = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Spots the expressions of each subject with what the others gave, and writes the report.

    Args:
      config: from `configuration.make_spotting`.
      run_recognition: `experiment.run`, for the job that trains the recognizer.
      workdir, command, devices, should_stop, pipeline, quiet: as in `experiment.run`.

    Returns:
      The content of metrics.json.

    Raises:
      UserError: for a mistake in the configuration or the data.
      training.Interrupted: see `should_stop`.
    """
    started = time.monotonic()
    settings = configuration.check(config)
    workdir = reading.expanded(workdir)
    plain, rule = configuration.to_dict(config), configuration.rule(config)
    if run := config.recognition.run:
        plain["recognition"]["run"] = str(reading.expanded(run).absolute())
    _check_pipeline(config, pipeline)
    data, kinds = config.data, tuple(config.intervals.kinds)
    # As workers on other machines see it.
    root = data.root and str(reading.expanded(data.root).absolute())
    videos = databases.load(data.name, root, **configuration.options_of(config, "data"))
    videos = _moved(videos, settings.seed) if data.move_intervals else videos
    if "model" in config:
        networks.check_rates(config.evidence.targets, videos)
    fingerprint = configuration.job_of(plain)  # the samples' digest is added where they are made
    checkpoints.verify_same_job(workdir / "checkpoints", fingerprint)
    if model := plain["evidence"].get("landmarks"):  # predict may run in another folder
        model = str(reading.expanded(model).absolute())
        plain["evidence"] = plain["evidence"] | {"landmarks": model}
    subjects = dict.fromkeys(video.subject_key for video in videos)
    given: dict[str, Any] = dict(devices=devices, should_stop=should_stop, quiet=quiet)
    run_recognizer = functools.partial(run_recognition, **given)
    recognizer = _recognizer(config, workdir, subjects, run_recognizer)
    # Before the spotter is trained.
    if recognizer and config.recognition.run:  # else its clips are those of the same recordings
        recognizer.check(videos)
    marked = recognizer.truths(videos) if recognizer else []
    emotions: Emotions | None = None
    if config.recognition.spotter:
        emotions = recognition.label_intervals(videos, config.recognition.label_scheme)
    outputs.begin(workdir, plain)
    cache, storage = example_cache.of_job(config)
    with example_cache.caching(cache, quiet=quiet, storage=storage, pipeline=pipeline):
        found, trained = _spot(config, settings, workdir, videos, emotions, fingerprint, **given)
    classes: Sequence[str] | None = None
    if recognizer is not None:
        classes, events = recognizer.classes, recognizer.recognize(videos, found)
    elif trained is not None and emotions is not None:
        classes, marked = emotions.classes, recognition.marked(videos, emotions)
        events = recognition.recognize_by_spotter(videos, found, trained, emotions)
    else:  # the form of the challenges with kinds has no emotions
        marked = [event._replace(emotion="") for event in matching.events(videos)]
        events = found.events
    found = dataclasses.replace(found, events=events)
    truths = [event for event in marked if event.kind in kinds]
    for name, events in (("truth.csv", truths), ("predictions.csv", found.events)):
        spotting_files.write(workdir / name, matching.numbered(events, videos))
    results = trained.results if trained else {}
    diverged = [name for result in results.values() for name in result.diverged]
    _write_spotters(config, workdir, videos, found, emotions, diverged)
    leaks = list[Any](recognizer.leaks if recognizer else ())
    if trained is not None:
        leaks += [leak.to_json() for leak in trained.leaks]
    if rule.p is not None:
        leaks.append(Leak(Reason.THRESHOLD, p=rule.p).to_json())
    summary = {
        "verdict": {"strict": not leaks, "leaks": leaks},
        "data": {**databases.counts(videos), "differences": databases.differences(videos)},
        **scoring.summary(truths, found.events, classes=classes),
        "chance": _chance(videos, found.events, kinds),
        "false_alarms": analysis.false_alarms(videos, found.events),
        "folds": [fold._asdict() for fold in found.folds],
        "diverged_folds": diverged,
        "provenance": outputs.provenance(
            command,
            settings.seed,
            sum(result.seconds for result in results.values()),
            wall_seconds=time.monotonic() - started,
        ),
    }
    saving.write_json(workdir / "metrics.json", summary)
    page = spotting_report.build(videos, found, summary, config=plain, rule=rule)
    saving.write(workdir / "report.html", page)
    return summary


def _check_pipeline(config: ConfigDict, pipeline: Any) -> None:
    """Raises `UserError` unless the workers of a pipeline can write to the cache of examples."""
    if pipeline and not config.examples_limit_gib:
        raise UserError("--runner needs a cache of examples; set examples_limit_gib above 0")
    if pipeline and isinstance(pipeline.beam_runner, str) and not config.examples_dir:
        raise UserError(
            f"--runner={pipeline.beam_runner} needs --config.examples_dir, a folder that all of "
            "its workers see"
        )


# Nine parameters: those of `run`, and what it has made of them.
def _spot(
    config: ConfigDict,
    settings: Settings,
    workdir: pathlib.Path,
    videos: Sequence[Recording],
    emotions: Emotions | None,
    fingerprint: Mapping[str, Any],
    *,
    devices: Sequence[jax.Device] | None,
    should_stop: Callable[[], bool] | None,
    quiet: bool,
) -> tuple[Found, networks.Trained | None]:
    """The intervals that each fold finds in its test subject's recordings, and its networks."""
    rule, kinds = configuration.rule(config), tuple(config.intervals.kinds)
    options = configuration.options_of(config, "evidence")
    if "model" not in config:
        method = config.evidence.name
        found = spotting.leave_one_subject_out(
            videos, method=method, rule=rule, kinds=kinds, quiet=quiet, **options
        )
        return found, None
    trained = networks.train(
        videos,
        Architecture(config.model.name, configuration.options_of(config, "model")),
        settings,
        NetworkEvidence(**options),
        checkpointing=Checkpointing(workdir / NETWORKS, fingerprint, config.checkpoint_seconds),
        kinds=kinds,
        emotions=emotions,
        parallel=Parallel(**config.parallel, remat=config.remat, devices=devices),
        hooks=Hooks(should_stop=should_stop, quiet=quiet),
    )
    chosen_on = lambda fold: trained.chosen_on[fold.name]
    found = protocol.spot(
        videos, trained.folds, trained.evidence, rule=rule, chosen_on=chosen_on, quiet=quiet
    )
    return found, trained


def _write_spotters(
    config: ConfigDict,
    workdir: pathlib.Path,
    videos: Sequence[Recording],
    found: Found,
    emotions: Emotions | None,
    diverged: Sequence[str],
) -> None:
    """Writes what `spotting.trained` and `mer-jax audit` read of the recordings and folds."""
    numbers = {video.key: spotter_files.runs(video.numbers, step=video.step) for video in videos}
    from_0 = {video.key: [(0, video.length, 1)] for video in videos}
    spotters: dict[str, Any] = {"recordings": list(numbers), "diverged": diverged}
    spotters["numbers"] = {key: runs for key, runs in numbers.items() if runs != from_0[key]}
    spotters |= {"folds": [fold._asdict() for fold in found.folds]}
    if emotions:
        kinds = dict.fromkeys(fold.kind for fold in found.folds)
        recognized = [kind for kind in kinds if emotions.taught(videos, kind)]
        spotters |= {"classes": emotions.classes, "recognized": recognized}
    if not config.data.move_intervals:
        spotters |= profile.framing(videos, size=tuple(config.evidence.size))._asdict()
    saving.write_json(workdir / SPOTTERS, spotters)


def _recognizer(
    config: ConfigDict,
    workdir: pathlib.Path,
    subjects: Iterable[str],
    run_recognition: Callable[[ConfigDict, pathlib.Path], Any],
) -> Recognizer | None:
    """The recognizer of the section `recognition`, trained first if it is no finished run."""
    run = config.recognition.run
    if job := configuration.recognition_job(config):
        run = workdir / RECOGNITION
        run_recognition(job, run)
    return recognition.load(run, subjects) if run else None


def _chance(
    videos: Sequence[Recording], events: Sequence[Event], kinds: Sequence[str]
) -> dict[str, float]:
    """The F1 of the same intervals against expressions at random places, mean of some draws."""
    found: dict[str, list[float]] = {}
    for draw in range(_DRAWS):
        moved = matching.events(_moved(videos, 2**32 + draw))  # beyond the seeds of jobs
        truths = [event for event in moved if event.kind in kinds]
        for kind, counts in matching.match_events(truths, events).by_kind().items():
            found.setdefault(kind, []).append(float(scoring.scores(counts.sum(0))["f1"]))
    return {kind: float(np.mean(each)) for kind, each in found.items()}


def _moved(videos: Sequence[Recording], seed: int) -> list[Recording]:
    """The recordings with their intervals at random places: a control that scores at chance."""
    rng = np.random.default_rng(seed)

    def moved(each: Interval, length: int) -> Interval:
        by = int(rng.integers(0, length - each.duration + 1)) - each.onset
        apex = None if each.apex is None else each.apex + by
        return dataclasses.replace(each, onset=each.onset + by, apex=apex, offset=each.offset + by)

    return [
        dataclasses.replace(
            video, intervals=tuple(moved(each, video.length) for each in video.intervals)
        )
        for video in videos
    ]
