"""Checks a database, a composite or a configuration's data before anything is trained on it.

    mer-jax check-data --database=NAME --root=DIR [--decode] [--json] [--option=NAME=VALUE ...]
    mer-jax check-data --config=NAME --root=DIR [--decode] [--json] [--option=NAME=VALUE ...]
    mer-jax check-data --database=NAME --root=DIR --long_videos [--decode] [--json] [...]

With --config: what the configuration reads, in its classes. Prints the clips by emotion (or class)
and subject beside the published counts, the files that are read, then the problems with file or
row, then the notes: mismatches that were resolved; of a kind ten at most, then a count (--json:
all). Exit code: 0 usable, 1 not usable, 2 a mistake in the command.

Example:

    mer-jax check-data --database=casme2 --root="data/CASME II" --decode
    mer-jax check-data --config=stcnn_casme_squared --root=data
"""

import collections
import functools
import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from mer_jax import configuration, datasets, errors
from mer_jax.cli import database_flags, run_flags
from mer_jax.datasets import labels, recordings
from mer_jax.datasets.records import Inspection, Source
from mer_jax.errors import Problem, UserError

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(database_flags)
flags.DEFINE_bool("decode", False, "Also decode every frame, which may take minutes.")
flags.DEFINE_bool("json", False, "Print one JSON object.")
flags.DEFINE_bool("long_videos", False, "Check the database's long videos with their intervals.")
flags.declare_key_flag("config")
parse = functools.partial(run_flags.parse, required=False)


def decode(found: Inspection) -> Inspection:
    """`found` with every clip whose frames cannot be read moved to the problems."""
    readable, groups, problems = [], [], list(found.problems)
    for clip, group in zip(found.clips, _groups(found)):
        try:
            _ = clip.frames
            readable.append(clip)
            groups.append(group)
        except UserError as error:
            problems.append(Problem(clip.key, str(error)))
    return found._replace(clips=readable, groups=groups, problems=problems)


def decode_recordings(found: recordings.Inspection) -> recordings.Inspection:
    """Likewise with every recording whose frames cannot be read, or that has no face to crop."""
    readable, problems = [], list(found.problems)
    for video in found.recordings:
        try:
            for _ in video.blocks(64):
                pass
            readable.append(video)
        except UserError as error:
            problems.append(Problem(video.key, str(error).removeprefix(f"{video.key}: ")))
    return found._replace(recordings=readable, problems=problems)


def _groups(found: Inspection) -> Sequence[str]:
    return found.groups or [clip.emotion for clip in found.clips]


def in_classes(found: Inspection, scheme: str) -> Inspection:
    """`found` by the classes of a label scheme; clips outside of it are one note."""
    if found.problems:
        return found
    labeled = labels.label(scheme, found.clips)
    if labeled.labels.ndim > 1:
        return found
    notes = list(found.notes)
    if labeled.left_out:
        notes.insert(0, Problem(f"label scheme {scheme}", labeled.left_out))
    groups = [labeled.classes[k] for k in labeled.labels]
    published = found.published if set(found.published) <= set(labeled.classes) else {}
    return found._replace(
        clips=list(labeled.clips), groups=groups, notes=notes, published=published
    )


def summary(found: Inspection) -> dict:
    """Counts and findings as plain values."""
    emotions = collections.Counter(_groups(found))
    return {
        "clips": len(found.clips),
        "published_clips": sum(found.published.values()),
        "emotions": {
            emotion: [emotions[emotion], found.published.get(emotion, 0)]
            for emotion in dict.fromkeys([*found.published, *sorted(emotions)])
        },
        "subjects": dict(
            sorted(collections.Counter(clip.subject_key for clip in found.clips).items())
        ),
        "published_subjects": found.subjects,
        "sources": [source._asdict() for source in found.sources],
        **_issues(found),
    }


def _issues(found: Inspection | recordings.Inspection) -> dict:
    items = found.clips if isinstance(found, Inspection) else found.recordings
    return {
        "usable": bool(items) and not found.problems,
        "problems": [problem._asdict() for problem in found.problems],
        "notes": [note._asdict() for note in found.notes],
    }


def page(database: str, root: str | None, facts: dict) -> str:
    """The summary as text."""
    lines = [
        database + f" in {root}" * bool(root),
        "",
        f"{'emotion':<24}{'here':>6}{'published':>11}",
    ]
    for emotion, (here, published) in facts["emotions"].items():
        lines.append(f"{emotion:<24}{here:>6}{published or '-':>11}")
    lines.append(f"{'all':<24}{facts['clips']:>6}{facts['published_clips'] or '-':>11}")
    count, published = len(facts["subjects"]), facts["published_subjects"] or "-"
    lines += [f"{'subjects':<24}{count:>6}{published:>11}", ""]
    lines += [f"{subject:<24}{clips:>6}" for subject, clips in facts["subjects"].items()]
    if 0 < facts["clips"] < facts["published_clips"] / 2:
        lines += ["", "fewer than half of the published clips are here: is all of it unpacked?"]
    lines += ["", *(str(Source(**source)) for source in facts["sources"])]
    return "\n".join(lines + _findings(facts))


def _findings(facts: dict) -> list[str]:
    """Lines of the problems, the notes and the verdict."""
    lines = []
    for title in ("problem", "note"):
        findings = [Problem(**finding) for finding in facts[f"{title}s"]]
        lines += ["", f"{len(findings)} {title}(s)"]
        lines += errors.format_problems(findings, max_per_kind=datasets.MAX_PER_KIND)
    if facts["usable"]:
        return [*lines, "", "usable"]
    if not facts["problems"]:
        return [*lines, "", "not usable: nothing is left; the notes tell why"]
    return [*lines, "", "not usable until the problems are fixed", database_flags.HINTS]


def check_recordings(database: str, root: str | None, options: dict[str, Any]) -> int:
    """Prints the counts and the problems of a database of long videos; 1 if there are problems."""
    found = recordings.inspect(database, root, **(options | database_flags.options()))
    found = decode_recordings(found) if FLAGS.decode else found
    here = recordings.counts(found.recordings)
    facts = {"counts": here, "published": dict(found.published), **_issues(found)}
    if FLAGS.json:
        print(json.dumps(facts, indent=1))
        return 0 if facts["usable"] else 1
    lines = [
        f"{database}, long videos" + f" in {root}" * bool(root),
        "",
        f"{'':<24}{'here':>6}{'published':>11}",
    ]
    lines += [f"{name:<24}{n:>6}{found.published.get(name, '-'):>11}" for name, n in here.items()]
    print("\n".join(lines + _findings(facts)))
    return 0 if facts["usable"] else 1


def main(argv: list[str]) -> int:
    """Inspects the database that the flags name; 1 where it is not usable."""
    config = run_flags.CONFIG.value if FLAGS["config"].present else None
    database = config.data.name if config else FLAGS.database
    root = FLAGS.root or (config.data.root if config else None)
    if len(argv) > 1 or bool(config) == bool(FLAGS.database):
        raise UserError("give --root=FOLDER and one of --database=NAME and --config=NAME")
    if not root and database != "synthetic":
        raise UserError(f"give the folder of {database} by --root=FOLDER")
    options = configuration.options_of(config, "data") if config else {}
    if FLAGS.long_videos or (config and configuration.is_spotting(config)):
        return check_recordings(database, root, options)
    found = datasets.inspect(database, root, **(options | database_flags.options()))
    if config:
        found = in_classes(found, config.data.label_scheme)
    facts = summary(decode(found) if FLAGS.decode else found)
    print(json.dumps(facts, indent=1) if FLAGS.json else page(database, root, facts))
    return 0 if facts["usable"] else 1
