"""Replays a finished job's folds and random streams to verify that no test clip was trained on.

    mer-jax audit WORKDIR...

Reads config.json, folds.json, audit.npz, predictions.csv and metrics.json of each job, draws every
batch of every fold again from the seed, computes the scores again, and derives the leaks again (of
duplicates only the training knows). Of a spotting job it reads the folds and records of
each of its networks, and verifies that durations are those of the training subjects' expressions
in truth.csv. Exit code: 0 what metrics.json claims is true, 1 it is not, 2 a file is missing or
damaged.

Example:

    mer-jax audit runs/first
"""

import pathlib
from typing import Any

import msgspec

from mer_jax.errors import UserError

# What is read of config.json, folds.json and metrics.json.
_Config = msgspec.defstruct("_Config", [("train", dict[str, Any])])
_Folds = msgspec.defstruct("_Folds", [("fingerprint", str)])


class _Verdict(msgspec.Struct):
    strict: bool
    leaks: list[dict[str, Any]]


class _Metrics(msgspec.Struct):
    verdict: _Verdict
    protocol: dict[str, Any] = {}
    classes: list[str] = []
    overall: dict[str, Any] = {}
    databases: dict[str, dict[str, Any]] = {}
    multi_label: bool = False
    variants: dict[str, Any] = {}
    inflation: dict[str, Any] = {}
    spotting: dict[str, dict[str, Any]] = {}
    recognition: dict[str, Any] = {}
    strs: dict[str, Any] = {}
    folds: list[dict[str, Any]] = []  # of spotting


def audit(workdir: pathlib.Path) -> tuple[list[str], list[str]]:
    """Contradictions between a job's files, and the leaks that it declares, as sentences.

    Raises `UserError` if a file is missing or damaged.
    """
    import numpy as np

    from mer_jax import configuration, leakage, metrics
    from mer_jax.io import reading, saving
    from mer_jax.metrics.multilabel import BINARY_CLASSES, MultiLabelPredictions
    from mer_jax.protocols import Folds
    from mer_jax.reporting.outputs import STRICT
    from mer_jax.reporting.verdict import sentence

    if configuration.is_spotting_run(workdir):
        return _audit_spotting(workdir)
    _require(workdir, "config.json", "folds.json", "audit.npz", "metrics.json")
    settings = configuration.settings(reading.load_json(workdir / "config.json", _Config).train)
    folds = Folds.read(workdir / "folds.json")
    summary, declared = _verdict(workdir)
    found = leakage.replay(workdir / "audit.npz", settings, folds)
    if reading.load_json(workdir / "folds.json", _Folds).fingerprint != folds.fingerprint:
        found.append("folds.json was changed: its fingerprint is that of other folds.")
    listed = summary.verdict.leaks
    for leak in leakage.declared(settings, folds):
        if leak.to_json() not in listed:
            found.append(f"metrics.json does not declare: {sentence(leak.to_json())}")
    if summary.verdict.strict and listed:
        found.append("metrics.json claims to be strict and declares leaks.")
    predictions = metrics.read(workdir / "predictions.csv")
    tests = {
        (name, folds.clips[clip])
        for name, row in zip(folds.names, folds.test)
        for clip in row.nonzero()[0]
    }
    predicted = set(zip(predictions.fold, predictions.keys))
    if predicted != tests:
        found.append(
            f"predictions.csv: {len(predicted ^ tests)} rows differ from the folds' test clips."
        )
        return found, declared
    labels = leakage.read_audit(workdir / "audit.npz", folds)["labels"]
    of_keys = labels[[{key: n for n, key in enumerate(folds.clips)}[k] for k in predictions.keys]]
    again: Any = predictions
    if summary.multi_label:
        files = [workdir / "units" / f"{name}.csv" for name in summary.classes]
        units = [metrics.read(file, classes=BINARY_CLASSES) for file in files]
        for file, unit in zip(files, units):
            if set(zip(unit.fold, unit.keys)) != tests:
                found.append(f"units/{file.name}: its rows are not the folds' test clips.")
        again = MultiLabelPredictions(tuple(units), tuple(summary.classes))
        given = np.stack([unit.label for unit in units], 1)
    else:
        given = predictions.label
    other = int((given != of_keys).reshape(len(of_keys), -1).any(1).sum())
    if other:
        found.append(f"predictions.csv: {other} clips have other labels than in training.")
    recorded = reading.load_json(workdir / "metrics.json", dict[str, Any])
    with reading.report_damage(workdir / "metrics.json"):
        options = {name: recorded["intervals"][name] for name in ("draws", "seed")}
        expected = metrics.summary(again, protocol=summary.protocol["name"], **options)
        for part in expected.keys() & recorded.keys() - {"verdict", "intervals"}:
            found += _differences(recorded[part], saving.to_builtins(expected[part]), part)
        found += _wrong_variants(workdir, summary)
        if summary.inflation and (workdir / STRICT).is_file():
            strict = metrics.read(workdir / STRICT, classes=predictions.classes)
            if set(zip(strict.fold, strict.keys)) != tests:
                found.append(f"{STRICT}: its rows are not the folds' test clips.")
            scores = metrics.inflation(strict, predictions, **options)
            found += _differences(summary.inflation, saving.to_builtins(scores), "inflation")
        elif summary.inflation:
            declared.append(f"There is no {STRICT}: its strict scores were not derived again.")
    return found, declared


def _differences(recorded: Any, expected: Any, name: str) -> list[str]:
    """Sentences on the numbers of metrics.json that differ from those of the predictions; of a part
    the first one. What a run of before had no name for is left out."""
    if isinstance(expected, dict) and isinstance(recorded, dict):
        shared = [key for key in expected if key in recorded]
        each = [_differences(recorded[k], expected[k], f"{name}.{k}") for k in shared]
        return [sentence for found in each for sentence in found][:1]
    if isinstance(expected, list) and isinstance(recorded, list) and len(expected) == len(recorded):
        each = [_differences(*pair, name) for pair in zip(recorded, expected)]
        return [sentence for found in each for sentence in found][:1]
    if recorded == expected:
        return []
    numbers = all(isinstance(value, int | float) for value in (recorded, expected))
    if numbers and abs(recorded - expected) <= 1e-9:
        return []
    return [
        "metrics.json: its scores are not those of predictions.csv: "
        f"{name} is {recorded}, there {expected}."
    ]


def _wrong_variants(workdir: pathlib.Path, summary: _Metrics) -> list[str]:
    """Scores over seeds and learning rates that are not those of their own files."""
    from mer_jax import metrics
    from mer_jax.io import reading, saving

    if not summary.variants:
        return []
    folders = [workdir, *(workdir / "variants" / name for name in summary.variants["names"][1:])]
    own = [summary]
    own += [reading.load_json(folder / "metrics.json", _Metrics) for folder in folders[1:]]

    recorded = summary.variants
    scored = [{"overall": each.overall, "databases": each.databases} for each in own]
    expected = metrics.combine_variants(dict(zip(recorded["names"], scored)))
    if "ensemble" in recorded:
        predictions = [metrics.read(folder / "predictions.csv") for folder in folders]
        mean = metrics.mean_predictions(predictions)
        expected["ensemble"] = saving.to_builtins(metrics.scores_with_intervals(mean))
    return _differences(recorded, expected, "variants")


def _audit_spotting(workdir: pathlib.Path) -> tuple[list[str], list[str]]:
    """`audit` of a spotting job."""
    from mer_jax import configuration
    from mer_jax.io import saving
    from mer_jax.leakage import Leak, Reason
    from mer_jax.metrics import matching, spotting_files
    from mer_jax.metrics import spotting as scoring
    from mer_jax.metrics.prediction_files import normalize_name
    from mer_jax.reporting.verdict import sentence
    from mer_jax.spotting import sample_folds, scorers, trained
    from mer_jax.training import spotter_files

    _require(workdir, spotter_files.SPOTTERS, "truth.csv", "predictions.csv", "metrics.json")
    summary, declared = _verdict(workdir)
    config, found = configuration.load(workdir / "config.json"), []
    if (p := config.intervals.p) is not None:
        fixed = sentence(Leak(Reason.THRESHOLD, p=p).to_json())
        if summary.verdict.strict:
            found.append(f"metrics.json claims to be strict. {fixed}")
        elif fixed not in declared:  # a run of before there was this leak
            declared.append(fixed)
    trained.recognition_run(workdir)  # raises if it was left behind
    if run := config.recognition.run:
        declared.append(f"The recognizer is the run {run}: audit that, too.")
    folds = spotter_files.read_folds(workdir)
    truths, predictions = (
        spotting_files.read(workdir / name) for name in ("truth.csv", "predictions.csv")
    )
    subject = lambda fold: fold.subject.partition("/")[2]
    # Files count frames as the database does.
    name_of = lambda subject, video: matching.identify(subject, video, by_number=False)
    numbers = {
        name_of(*key.split("/", 2)[1:]): runs
        for key, runs in spotter_files.read_record(workdir).numbers.items()
    }
    truths, predictions = (
        [_from_0(event, numbers.get(name_of(event.subject, event.video))) for event in side]
        for side in (truths, predictions)
    )
    for fold in folds:
        found += [
            f"Fold {fold.name}: its {name} is {value}, that of its training subjects {expected}."
            for name, value, expected in _lengths(fold, truths, subject(fold))
            if value != expected
        ]
    classes = [normalize_name(name) for name in summary.recognition.get("classes", ())]
    again = scoring.summary(truths, predictions, classes=classes or None)
    for kind, scores in again["spotting"].items():
        claimed = summary.spotting.get(kind, {})
        if not claimed or _differences(claimed, saving.to_builtins(scores), kind):
            found.append(f"metrics.json: its scores of {kind} are not those of predictions.csv.")
    for part in ("recognition", "strs"):
        claimed = getattr(summary, part)
        if bool(claimed) != bool(again.get(part)):
            found.append(f"metrics.json: its {part} is not that of predictions.csv.")
        elif claimed:
            expected = saving.to_builtins(again[part]) | {"classes": claimed.get("classes")}
            found += _differences(claimed, expected, part)
    if [fold.get("p") for fold in summary.folds] != [fold.p for fold in folds]:
        found.append(f"metrics.json: its p are not those of {spotter_files.SPOTTERS}.")
    tested = {(subject(fold), fold.kind) for fold in folds}
    if foreign := {(event.subject, event.kind) for event in predictions} - tested:
        found.append(f"predictions.csv: {len(foreign)} subjects and kinds are tested by no fold.")
    if "model" not in config:
        return found, declared
    settings = configuration.settings(config.train.to_dict())
    trained_folds = [scorers.network_of(fold, config.evidence.pairs) for fold in folds]
    for name in dict.fromkeys(map(spotter_files.group_name, trained_folds)):
        own = {fold.name: fold for fold in trained_folds if spotter_files.group_name(fold) == name}
        rows, wrong = sample_folds.replay(
            workdir / spotter_files.NETWORKS / name, settings, drop_zeros=config.evidence.drop_zeros
        )
        found += wrong
        if set(rows.names) != set(own):
            found.append(f"{name}: its folds are not those of {spotter_files.SPOTTERS}.")
        for fold_name, test in zip(rows.names, rows.test):
            fold = own.get(fold_name)
            if fold and test.tolist() != [each == fold.subject for each in rows.subjects]:
                found.append(f"Fold {fold_name}: it tests recordings of another subject.")
        if not rows.subject_disjoint:
            found.append(f"{name}: a subject is in training and in test.")
    return found, declared


def _from_0(event, runs):
    """The event with its frames counted from 0, by the numbers that its recording has."""
    from mer_jax.training.spotter_files import index_of

    ends = {name: index_of(runs, getattr(event, name)) for name in ("onset", "offset") if runs}
    return event._replace(**ends)


def _lengths(fold, truths, subject: str) -> list[tuple[str, int, int]]:
    """(name, its value in a fold, that of the expressions of the training subjects)."""
    frames = [
        event.offset - event.onset + 1
        for event in truths
        if event.kind == fold.kind and event.subject != subject
    ]
    mean = max(1, round(sum(frames) / len(frames))) if frames else 0
    expected = dict(duration=mean, shortest=min(frames, default=0), longest=max(frames, default=0))
    return [(name, getattr(fold, name), value) for name, value in expected.items()]


def _require(workdir: pathlib.Path, *names: str) -> None:
    for name in names:
        if not (workdir / name).is_file():
            raise UserError(f"{workdir}: no finished job to audit ({name} is not there)")


def _verdict(workdir: pathlib.Path) -> tuple[_Metrics, list[str]]:
    """What metrics.json claims, and the leaks that it declares, as sentences."""
    from mer_jax.io import reading
    from mer_jax.reporting.verdict import sentence

    path = workdir / "metrics.json"
    summary = reading.load_json(path, _Metrics)
    with reading.report_damage(path):
        return summary, [sentence(leak) for leak in summary.verdict.leaks]


def main(argv: list[str]) -> int:
    """Audits the jobs that `argv` names; 1 if a claim of one is not true."""
    if not argv[1:]:
        raise UserError("no job is given: mer-jax audit WORKDIR")
    clean = True
    named = map(pathlib.Path, argv[1:])
    # The further seeds and learning rates of a job, and its recognizer, are in its folder.
    folders = ("variants/*/", "recognition/", "recognition/variants/*/")
    parts = lambda root: (root, *(part for each in folders for part in sorted(root.glob(each))))
    for workdir in (part for root in named for part in parts(root)):
        found, declared = audit(workdir)
        clean &= not found
        for sentence in found:
            print(f"{workdir}: WRONG: {sentence}")
        for sentence in declared:
            print(f"{workdir}: declared: {sentence}")
        if not found:
            state = "as declared" if declared else "strict"
            print(f"{workdir}: verified: what was derived again agrees, and the job is {state}.")
    return 0 if clean else 1
