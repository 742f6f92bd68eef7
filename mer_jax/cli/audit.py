"""Replays a finished job's folds and random streams to verify that no test clip was trained on.

    mer-jax audit WORKDIR...

Reads config.json, folds.json, audit.npz, predictions.csv and metrics.json of each job, and draws
every batch of every fold again from the seed. Exit code: 0 what metrics.json claims is true, 1 it
is not, 2 a file is missing or damaged.

Example:

    mer-jax audit runs/first
"""

import pathlib
from typing import Any

import msgspec

from mer_jax.errors import UserError

# What is read of config.json and metrics.json.
_Config = msgspec.defstruct("_Config", [("train", dict[str, Any])])
_Verdict = msgspec.defstruct("_Verdict", [("strict", bool), ("leaks", list[dict[str, Any]])])
_Metrics = msgspec.defstruct("_Metrics", [("verdict", _Verdict)])


def audit(workdir: pathlib.Path) -> tuple[list[str], list[str]]:
    """Contradictions between a job's files, and the leaks that it declares, as sentences.

    Raises `UserError` if a file is missing or damaged.
    """
    from mer_jax import configuration, leakage, metrics
    from mer_jax.io import reading
    from mer_jax.protocols import Folds
    from mer_jax.reporting.verdict import sentence

    for name in ("config.json", "folds.json", "audit.npz", "metrics.json"):
        if not (workdir / name).is_file():
            raise UserError(f"{workdir}: no finished job to audit ({name} is not there)")
    settings = configuration.settings(reading.load_json(workdir / "config.json", _Config).train)
    folds = Folds.read(workdir / "folds.json")
    verdict = reading.load_json(workdir / "metrics.json", _Metrics).verdict
    with reading.report_damage(workdir / "metrics.json"):
        declared = [sentence(leak) for leak in verdict.leaks]
    found = leakage.replay(workdir / "audit.npz", settings, folds)
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
    if not folds.subject_disjoint and verdict.strict:
        found.append("metrics.json claims to be strict, but a subject is in training and in test.")
    if settings.as_published and verdict.strict:
        found.append("metrics.json claims to be strict, but config.json selects by test clips.")
    return found, declared


def main(argv: list[str]) -> int:
    """Audits the jobs that `argv` names; 1 if a claim of one is not true."""
    if not argv[1:]:
        raise UserError("no job is given: mer-jax audit WORKDIR")
    clean = True
    named = map(pathlib.Path, argv[1:])
    # The further seeds and learning rates of a job are in its folder.
    for workdir in (p for root in named for p in (root, *sorted(root.glob("variants/*/")))):
        found, declared = audit(workdir)
        clean &= not found
        for sentence in found:
            print(f"{workdir}: WRONG: {sentence}")
        for sentence in declared:
            print(f"{workdir}: declared: {sentence}")
        if not found:
            state = "as declared" if declared else "strict"
            print(f"{workdir}: verified: every batch was drawn again, and the job is {state}.")
    return 0 if clean else 1
