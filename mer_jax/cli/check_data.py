"""Compares a database with its published counts and lists its problems.

    mer-jax check-data --database=NAME --root=DIR [--decode] [--json] [--option=NAME=VALUE ...]

Prints the clips by emotion and subject beside the published counts, then every problem with its
file or row, then the notes: mismatches that were resolved. Exit code: 0 usable, 1 not usable, 2 a
mistake in the command.

Example:

    mer-jax check-data --database=casme2 --root="data/CASME II" --decode
"""

import collections
import json

from absl import flags

from mer_jax import datasets
from mer_jax.cli import database_flags
from mer_jax.datasets.records import Inspection
from mer_jax.errors import Problem, UserError

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(database_flags)
flags.DEFINE_bool("decode", False, "Also decode every frame, which may take minutes.")
flags.DEFINE_bool("json", False, "Print one JSON object.")


def decode(found: Inspection) -> Inspection:
    """`found` with every clip whose frames cannot be read moved to the problems."""
    readable, problems = [], list(found.problems)
    for clip in found.clips:
        try:
            _ = clip.frames
            readable.append(clip)
        except UserError as error:
            problems.append(Problem(clip.key, str(error)))
    return found._replace(clips=readable, problems=problems)


def summary(found: Inspection) -> dict:
    """Counts and findings as plain values."""
    emotions = collections.Counter(clip.emotion for clip in found.clips)
    return {
        "usable": not found.problems,
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
        "problems": [problem._asdict() for problem in found.problems],
        "notes": [note._asdict() for note in found.notes],
    }


def page(database: str, root: str, facts: dict) -> str:
    """The summary as text."""
    lines = [f"{database} in {root}", "", f"{'emotion':<24}{'here':>6}{'published':>11}"]
    for emotion, (here, published) in facts["emotions"].items():
        lines.append(f"{emotion:<24}{here:>6}{published or '-':>11}")
    lines.append(f"{'all':<24}{facts['clips']:>6}{facts['published_clips'] or '-':>11}")
    count, published = len(facts["subjects"]), facts["published_subjects"] or "-"
    lines += [f"{'subjects':<24}{count:>6}{published:>11}", ""]
    lines += [f"{subject:<24}{clips:>6}" for subject, clips in facts["subjects"].items()]
    for title, findings in (("problem(s)", facts["problems"]), ("note(s)", facts["notes"])):
        lines += ["", f"{len(findings)} {title}"]
        lines += [f"  {finding['where']}: {finding['what']}" for finding in findings]
    lines += ["", "usable" if facts["usable"] else "not usable until the problems are fixed"]
    if not facts["usable"]:
        lines.append(database_flags.HINTS)
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Inspects the database that the flags name; 1 where it is not usable."""
    if len(argv) > 1 or not FLAGS.database or not FLAGS.root:
        raise UserError("give --database=NAME and --root=FOLDER, and nothing else")
    found = datasets.inspect(FLAGS.database, FLAGS.root, **database_flags.options())
    facts = summary(decode(found) if FLAGS.decode else found)
    text = json.dumps(facts, indent=1) if FLAGS.json else page(FLAGS.database, FLAGS.root, facts)
    print(text)
    return 0 if facts["usable"] else 1
