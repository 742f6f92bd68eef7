"""Sweeps: a table or figure of a paper, each of its rows a job.

    ROWS = {
        "3 x 3 x 3": Row("stcnn_smic", {"model.kernel": (3, 3, 3)}, {"accuracy": 0.8293}),
    }

A file of experiments/sweeps defines ROWS. `run` runs them one after the other, each in a folder of
WORKDIR, and writes their scores beside the published ones: table.md, table.tex and table.html. A
row that has run with the same configuration, on the same data, is not run again.
"""

import collections
import json
import pathlib
import re
import runpy
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from mer_jax import configuration, datasets, experiment, models
from mer_jax.errors import UserError, filter_by_regex, located, unknown_name
from mer_jax.io import reading, saving
from mer_jax.metrics.scores import OVERALL
from mer_jax.reporting import comparison
from mer_jax.training import checkpoints


class Row(NamedTuple):
    """One row: a shipped configuration, what differs from it, and the published scores.

    changes: dotted keys, applied in order. A new name of a section brings its options. A row that
    names its database reads it from the folder of that name in data.root. published: scores by
    their names in metrics.json, in [0, 1]; "casme/uar" is that of a database's clips; a pair is a
    mean and its standard deviation. Empty if the paper gives no number.
    """

    base: str
    changes: Mapping[str, Any] = {}
    published: Mapping[str, Any] = {}


def rows(path: str | pathlib.Path, *, only: str = "") -> dict[str, Row]:
    """The rows of the file at `path`; none if it is the configuration of a single job.

    only: a regular expression that the names must match in part. Raises `UserError` if none does,
    or the file has no rows.
    """
    found = runpy.run_path(str(path)).get("ROWS", {})
    selected = {name: found[name] for name in filter_by_regex("--only", only, found)}
    if only and not found:
        raise UserError(f"{path} is a single job: it has no --only")
    if only and not selected:
        raise unknown_name("--only", only, found)
    return selected


def first_configuration(rows: Mapping[str, Row]) -> ConfigDict:
    """The configuration of the first row, for the flags of a sweep.

    The command line changes its keys, and with them those of every row.
    """
    return configured(next(iter(rows.values())), {})


def configured(row: Row, overrides: Mapping[str, Any]) -> ConfigDict:
    """The configuration of a row.

    Args:
      row: of a sweep.
      overrides: dotted keys from the command line, applied last; keys that the row does not have
        are ignored.
    """
    config = configuration.read(row.base)
    if configuration.is_spotting(config):
        raise UserError(f"{row.base} is a spotting job; the rows of a sweep are of recognition")
    config = _changed(config, row.changes)
    config = _changed(
        config, {key: name for key, name in overrides.items() if key.endswith(".name")}
    )
    is_network = not models.info(config.model.name).estimator  # others have no training settings
    config = _changed(
        config,
        {
            key: value
            for key, value in overrides.items()
            if _has(config, key) and (is_network or "train." not in key)
        },
    )
    if config.data.name in ("prepared", row.changes.get("data.name")) and overrides.get(
        "data.root"
    ):
        name = row.changes.get("data.name", "")
        if datasets.in_folder(name):
            config.data.root = str(reading.expanded(overrides["data.root"]) / name)
    return config


def _changed(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """`config` with these values; new names come first and bring their options."""
    names = {key.split(".")[0]: name for key, name in changes.items() if key.endswith(".name")}
    config = configuration.rename(config, names)
    for key, value in changes.items():
        if not _has(config, key):
            raise UserError(f"a sweep sets {key}, which its configuration does not have")
        *section, option = key.split(".")
        (config[section[0]] if section else config)[option] = value
    return config


def _has(config: ConfigDict, key: str) -> bool:
    *section, option = key.split(".")
    return option in (config[section[0]] if section else config)


def run(
    rows: Mapping[str, Row],
    workdir: str | pathlib.Path,
    *,
    overrides: Mapping[str, Any],
    devices: Sequence[jax.Device] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> str:
    """Runs every row and writes the table of those that ran.

    Args:
      rows: by name.
      workdir: each row gets a folder in it.
      overrides: dotted keys and values that replace those of every row that has the key.
      devices, should_stop: as of `experiment.run`.

    Returns:
      The table in Markdown.

    Raises:
      UserError: for a mistake in a row's configuration, before the first is run; and with every row
        that could not run (a missing database), after the others.
    """
    workdir = reading.expanded(workdir)
    folders = collections.Counter(map(folder, rows))
    for name in rows:
        if folder(name).strip(".") == "" or folders[folder(name)] > 1:
            raise UserError(
                f"row {name!r} would have the folder {folder(name)!r}, which is none or another "
                "row's, too: give it a name with other letters or digits"
            )
    jobs = {name: configured(row, overrides) for name, row in rows.items()}
    for name, job in jobs.items():
        job.title = name
        with located(f"row {name!r}"):
            configuration.check(job)
            _check_published(rows[name].published)
    found, failed, cache = [], [], dict[str, Any]()
    data: dict[str, dict[str, str]] = {}
    for number, (name, job) in enumerate(jobs.items(), 1):
        row_dir = workdir / folder(name)
        try:
            done = _finished(row_dir, job, data)
            has_run = " has run already" * done
            print(f"{number} of {len(jobs)}: {name}{has_run}", file=sys.stderr, flush=True)
            if not done:
                experiment.run(job, row_dir, devices=devices, should_stop=should_stop, cache=cache)
            found += _runs(name, rows[name], row_dir)
        except UserError as error:
            failed.append(f"  {name}: {error}")
    text = _write(workdir, found) if found else ""
    if failed:
        raise UserError("\n".join([f"{len(failed)} of {len(jobs)} rows could not run:", *failed]))
    return text


def diverged(rows: Iterable[str], workdir: str | pathlib.Path) -> list[str]:
    """The folds of the finished rows in `workdir` whose loss is not finite, as "ROW: FOLD"."""
    found = []
    for name in rows:
        path = reading.expanded(workdir) / folder(name) / "metrics.json"
        folds = reading.load_json(path, dict[str, Any])["diverged_folds"]
        found += [f"{name}: {fold}" for fold in folds]
    return found


def _write(workdir: pathlib.Path, runs: Sequence[comparison.Run]) -> str:
    rows = comparison.compare_per_clip_set(runs)
    cells = comparison.cells(rows)
    text = comparison.markdown(cells)
    saving.write(workdir / "table.md", text)
    saving.write(workdir / "table.tex", comparison.latex(cells))
    saving.write(workdir / "table.html", comparison.html(rows, cells))
    return text


def folder(name: str) -> str:
    """The folder of a row in the working directory.

    >>> folder("3 x 3 x 3, SMIC")
    '3_x_3_x_3_smic'
    """
    return re.sub(r"[^a-z0-9.]+", "_", name.lower()).strip("_")


def _check_published(published: Mapping[str, Any]) -> None:
    """Raises `UserError` for a score that the table does not have, or one that is no fraction."""
    for key, value in published.items():
        score = key.rpartition("/")[2]
        known = (*OVERALL, *comparison.AVERAGES)
        if score not in known:
            raise unknown_name("published score", score, known)
        parts = value if isinstance(value, tuple) else (value,)
        if not all(0 <= part <= 1 for part in parts):
            raise UserError(f"the published {key} is {value}; give a fraction of 1")


def _finished(workdir: pathlib.Path, job: ConfigDict, data: dict[str, dict[str, str]]) -> bool:
    """Whether the row has run with this configuration, code and data. data: kept between rows."""
    path = workdir / "config.json"
    if not (workdir / "report.html").exists() or not path.exists():
        return False
    plain = configuration.to_dict(job)
    if reading.load_json(path, Any) != json.loads(json.dumps(plain)):
        return False
    there = checkpoints.identity(workdir / "checkpoints")
    if there.get("own_code", {}) != configuration.own_code(plain):
        return False
    key = json.dumps([plain[section] for section in ("data", "protocol", "train")])
    if key not in data:
        try:
            data[key] = _data_digests(job)
        except UserError as error:
            print(
                f"{workdir} is used as it is: its data cannot be read now "
                f"({reading.error_summary(error)})",
                file=sys.stderr,
                flush=True,
            )
            return True
    provenance = reading.load_json(workdir / "metrics.json", dict[str, Any])["provenance"]
    return all(provenance.get(name) == value for name, value in data[key].items())


def _data_digests(job: ConfigDict) -> dict[str, str]:
    clips, labels, classes = experiment.prepare_clips(job)
    variants = configuration.check(job).variants
    folds = experiment.prepare_folds(job, next(iter(variants.values())), clips, labels, classes)
    return experiment.data_digests(clips, labels, folds)


def _runs(name: str, row: Row, workdir: pathlib.Path) -> list[comparison.Run]:
    """The run of a row, and one for each database with published scores."""
    parts: dict[str, dict[str, Any]] = {"": {}}
    for score, figure in row.published.items():
        database, _, score = score.rpartition("/")
        parts.setdefault(database, {})[score] = figure
    overall = comparison.open_run(workdir)
    found = [overall._replace(name=name, published=parts.pop(""))]
    clips = overall.predictions.by_database()
    for database, published in parts.items():
        if database not in clips:
            print(
                f"row {name!r}: published scores of {database} are left out; its clips are of "
                + ", ".join(clips),
                file=sys.stderr,
                flush=True,
            )
            continue
        found.append(
            overall._replace(
                name=f"{name}: {database}",
                predictions=clips[database],
                published=published,
                averages={},
            )
        )
    return found
