"""A row and its folder become a clip: frame numbers turn into indices of the frames read."""

import collections
import itertools

from mer_jax.clips import Clip
from mer_jax.datasets.action_units import note_of_unread
from mer_jax.datasets.folders import Folder, FolderLayout, Frames
from mer_jax.datasets.frame_sources import nearest
from mer_jax.datasets.records import ANY, Database, IssueLog, Row
from mer_jax.errors import suggestion

# Frames that `allow_mismatch` may move an instant by; CAS(ME)^3 lacks the first 8 of some clips.
_MAX_SHIFT = 10


def apply_known_issues(spec: Database, row: Row, log: IssueLog) -> None:
    """Corrects the row by the known issues that do not depend on its frames."""
    row.folder = row.name
    for issue in log.known_issues(row):
        if hasattr(row, issue.field) and issue.published in (ANY, getattr(row, issue.field)):
            was = getattr(row, issue.field)
            change = "is unchanged" if was == issue.corrected else f"became {issue.corrected!r}"
            key = f"{spec.name}/{row.subject}/{row.name}"
            log.add_note(key, f"{issue.field} {was!r} {change}; {issue.why}")
            setattr(row, issue.field, issue.corrected)


def check_labels(spec: Database, row: Row, folder: Folder | None, log: IssueLog) -> None:
    """Checks the row's emotion and action units."""
    key = f"{spec.name}/{row.subject}/{row.name}"
    if row.invalid:
        return
    for word in row.emotion.split("+"):
        if word not in spec.emotions:
            hint = suggestion(word, spec.emotions)
            log.add_problem(row.where, f"{key} has the unknown emotion {word!r}; {hint}")
            row.invalid = True
    folder_label = folder.groups.get("emotion", "").lower() if folder else ""
    if folder_label not in ("", row.emotion, spec.folder_label.get(row.emotion)):
        log.add_problem(row.where, f"{key} is {row.emotion!r} but its folder is {folder_label!r}")
        row.invalid = True
    if note := note_of_unread(row.action_units):
        log.add_note(key, note)


def _renumber(key, row, layout, numbers, log):
    """Instants in the numbering of the frames, where that is not the sheet's.

    Either the two releases of a sheet number them differently (a known issue), or somebody has
    renumbered the frames of a cropped clip from 0 or 1.
    """
    known = [issue for issue in log.known_issues(row) if issue.field == "numbering"]
    options = [
        row.instants,
        *(issue.corrected for issue in known if issue.published == row.instants),
    ]
    fits = [o for o in options if {number for number in o if number is not None} <= set(numbers)]
    from_one = numbers[0] in (0, 1) and numbers[-1] - numbers[0] + 1 == len(numbers)
    for onset, apex, offset in options:
        if fits or layout.recordings or not from_one or None in (onset, offset):
            break
        if offset - onset + 1 == len(numbers):
            shift = numbers[0] - onset
            fits = [(numbers[0], None if apex is None else apex + shift, numbers[-1])]
    if fits and fits[0] != row.instants:
        why = known[0].why if fits[0] in options else "the frames are renumbered"
        log.add_note(key, f"onset, apex and offset {row.instants} became {fits[0]}; {why}")
        row.instants = fits[0]


def build_clip(
    spec: Database,
    layout: FolderLayout,
    row: Row,
    folder: Folder,
    allow_mismatch: bool,
    log: IssueLog,
) -> Clip | None:
    """The clip, or None if its instants do not match its frames (`log` gets the problem)."""
    key = f"{spec.name}/{row.subject}/{row.name}"
    where = f"{key} ({row.where})" if row.where != str(folder.path) else key
    numbers, files = folder.numbers, folder.files
    onset, apex, offset = row.instants
    if row.has_instants:
        _renumber(key, row, layout, numbers, log)
        instants = _ordered(spec, layout, row, where, allow_mismatch, log)
        if instants is None:
            return None
        onset, apex, offset = instants
    if layout.recordings:
        if onset is None:  # a clip of a recording begins there
            log.add_problem(where, "has no onset frame; fill in the cell")
            return None
        offset = offset if offset is not None else apex if apex is not None else onset
        inside = [i for i, number in enumerate(numbers) if onset <= number <= offset]
        numbers, files = tuple(numbers[i] for i in inside), tuple(files[i] for i in inside)
    if len(files) < 2:
        span = f" from {onset} to {offset}" if layout.recordings else ""
        what = f"{folder.path} has {len(files)} frame(s){span}; a clip has at least 2"
        log.add_problem(where, what)
        return None
    indices = _indices((onset, apex, offset), numbers, folder, allow_mismatch, where, log)
    if indices is None:
        return None
    return Clip(
        database=spec.name,
        subject=row.subject,
        name=row.name,
        read=Frames(key, files, spec.gray),
        emotion=row.emotion,
        fps=row.fps or spec.fps,
        onset=indices[0] or 0,
        apex=indices[1],
        offset=indices[2],
        action_units=row.action_units,
        objective=row.objective,
    )


def _indices(instants, numbers, folder, allow_mismatch, where, log):
    """(onset, apex, offset) as indices of the frames, or None with the problems."""
    valid = _check_numbers(numbers, folder, allow_mismatch, where, log)
    ends = f"frames {numbers[0]} to {numbers[-1]}"
    indices: list[int | None] = []
    for instant, number in zip(("onset", "apex", "offset"), instants):
        index = None if number is None else nearest(numbers, number)
        if number is not None and index is not None and numbers[index] != number:
            what = f"{instant} frame {number} is not in {folder.path} ({ends})"
            moved = abs(numbers[index] - number)
            if moved > _MAX_SHIFT:
                hint = "are the files renumbered, or of another release?"
                log.add_problem(where, f"{what}; the nearest is {moved} frames off: {hint}")
                return None
            if allow_mismatch:
                log.add_note(where, f"{what}; frame {numbers[index]} replaces it")
            else:
                valid = False
                log.add_problem(
                    where, f"{what}; allow_mismatch=True takes frame {numbers[index]} instead"
                )
        indices.append(index)
    onset, _, offset = instants
    if valid and onset is not None and indices[2] == indices[0]:
        valid = False  # the nearest frames of both are one
        log.add_problem(where, f"frames {onset} to {offset} are not in {folder.path} ({ends})")
    return indices if valid else None


def _ordered(spec, layout, row, where, allow_mismatch, log):
    """(onset, apex, offset) in order, or None."""
    onset, apex, offset = row.instants
    if onset is None:
        log.add_problem(where, "has no onset frame; fill in the cell")
        return None
    if offset is None:
        # A whole recording goes on after the clip.
        end = "clip ends at its apex" if layout.recordings else "clip's last frame replaces it"
        log.add_note(where, f"has no offset frame; the {end}")
    elif offset <= onset:
        log.add_problem(where, f"the offset frame {offset} is not after the onset frame {onset}")
        return None
    if apex is None:
        if "apex" in spec.columns:  # a database that marks none needs no notes
            log.add_note(where, "has no apex frame; the clip's apex is None")
    elif apex < onset or (offset is not None and apex > offset):
        what = f"the apex frame {apex} is outside the clip's {onset} to {offset}"
        why = log.known_issue((row.subject, row.name), "outside")
        if not why and not allow_mismatch:
            log.add_problem(where, what)
            return None
        log.add_note(where, f"{what}; {why or 'it is None'}")
        apex = None
    elif apex in (onset, offset):
        end = "onset" if apex == onset else "offset"
        log.add_note(where, f"the apex frame {apex} is the {end} frame too, as published")
    return onset, apex, offset


def _check_numbers(numbers, folder, allow_mismatch, where, log) -> bool:
    gaps, step = _gaps(numbers)
    if step > 1:
        what = f"{folder.path} has numbers in steps of {step}"
        log.add_note(where, f"{what}: if frames were left out, its rate is 1 / {step} of the full")
    if not gaps:
        return True
    if allow_mismatch:
        log.add_note(where, f"{folder.path} lacks frame(s) {gaps}; those around them are joined")
        return True
    log.add_problem(
        where, f"{folder.path} lacks frame(s) {gaps}; allow_mismatch=True joins those around them"
    )
    return False


def _gaps(numbers) -> tuple[str, int]:
    """The frame numbers that are missing between the first and the last, in words; their step."""
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    usual = collections.Counter(steps).most_common(1)[0][0]
    gaps = [
        f"{a + usual}" if b - a == 2 * usual else f"{a + usual} to {b - usual}"
        for a, b in itertools.pairwise(numbers)
        if b - a > usual
    ]
    more = f" and {len(gaps) - 6} more" if len(gaps) > 6 else ""
    return ", ".join(gaps[:6]) + more, usual
