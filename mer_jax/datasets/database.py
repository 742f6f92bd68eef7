"""Reads a database from its folders and its label sheet, and collects all mismatches.

A mismatch that the user can repair is a problem; a known one of the published data is a note on how
it was resolved.
"""

import collections
import pathlib
from collections.abc import Iterable

from mer_jax.datasets import clip_building, folders, sheets
from mer_jax.datasets.records import NOT_THERE, Database, Inspection, IssueLog, Row, Source
from mer_jax.io import reading
from mer_jax.keys import folded


def inspect(
    spec: Database,
    root: str | pathlib.Path,
    *,
    images: str = "",
    labels: str = "",
    allow_mismatch: bool = False,
    exclude: Iterable[str] = (),
) -> Inspection:
    """Reads all of a database; no image is decoded.

    A clip has all frames of its folder (of a recording: those from onset to offset), and
    its onset, apex and offset are indices of these.

    Args:
      spec: the database.
      root: its folder, or a parent of it.
      images: which kind of images, a key of `spec.layouts`; "" takes the first that exists
        (`folders.choose`).
      labels: the label sheet, if it is elsewhere or there are several releases.
      allow_mismatch: continue where the sheet and the frames disagree: the nearest frame, at most
        ten away, replaces a missing one, an apex outside its clip becomes None. Each is a note.
      exclude: keys of clips ("casme2/sub01/EP02_01f") to leave out.
    """
    root = reading.expanded(root)
    if missing := spec.missing(root, images):
        return Inspection([], missing, [], spec.published, spec.subjects)
    log = IssueLog(spec.known_issues)
    kind, top = _choose(spec, root, images, log)
    layout, exclude_folders = spec.layouts[kind], folders.other_folder_names(spec.layouts, kind)
    found, notes = folders.scan(top, layout, exclude=exclude_folders) if top else ([], [])
    log.notes += notes
    by_key = _by_key(spec, layout, found, log)
    if spec.sheets:
        path = sheets.choose(spec, root, labels, log)
        rows = sheets.rows(spec, root, path, log) if path else []
    else:
        rows = _folder_rows(spec, by_key.values(), log)
        if labels:
            what = f"{spec.title} ({kind}) is labeled by its folders; leave data.labels out"
            log.add_problem(labels, what)
    spelled = {folded(*key): key for key in by_key}
    excluded = {tuple(key.split("/", 2)) for key in exclude}
    keys = {(spec.name, row.subject, row.name) for row in rows}
    keys |= {(spec.name, *row_key) for row_key in by_key}
    for key in sorted(excluded - keys):
        log.add_problem("/".join(key), NOT_THERE)
    clips, used, without_folder = [], set(), collections.defaultdict(list)
    listed = set()  # folders whose problems are in the log
    for row in rows:
        row_key = row.subject, row.video if layout.recordings else row.name
        row_key = spelled.get(folded(*row_key), row_key)
        if row_key not in by_key:
            row_key = spelled.get(folded(row.subject, row.folder), row_key)
        used.add(row_key)
        if not row.is_clip or (spec.name, row.subject, row.name) in excluded:
            continue
        folder = by_key.get(row_key)
        clip_building.check_labels(spec, row, folder, log)
        if folder is None:
            if row.subject and row.name:  # a blank cell is among the problems already
                without_folder[row.subject].append(row)
            continue
        if folder.path not in listed:  # several clips of one recording share a folder
            listed.add(folder.path)
            log.problems += folder.problems
        if not row.invalid and not folder.problems:
            clip = clip_building.build_clip(
                spec, layout, row, folder, allow_mismatch or spec.allow_mismatch, log
            )
            clips += [clip] if clip else []
    if without_folder and by_key and not used & by_key.keys():
        what = (
            f"not one of its {len(rows)} clips has a folder below {top}, and not one of the "
            f"{len(by_key)} folders there has a row in it: one of the two is of another release "
            "or database"
        )
        log.add_problem(str(path), what)
    elif top:
        _report_without_folder(spec, without_folder, {subject for subject, _ in by_key}, log)
    if used & by_key.keys() and spec.sheets and not layout.recordings:
        without_row = [key for key in by_key if key not in used]
        shown = [key for key in sorted(without_row) if (spec.name, *key) not in excluded]
        _report_without_row({key: by_key[key] for key in shown}, log)
    return Inspection(clips, log.problems, log.notes, spec.published, spec.subjects, log.sources)


def _choose(spec, root, images, log):
    """(kind of images, the folder above its subjects or None)."""
    kinds = [images] if images else list(spec.layouts)
    found = folders.choose(root, spec.layouts, kinds)
    if found:
        others = ", ".join(f"{path} ({kind})" for kind, path in found.alternatives)
        others += "; images=KIND or root=FOLDER chooses" if others else ""
        log.sources.append(Source(f"frames ({found.kind})", str(found.top), others))
        return found.kind, found.top
    tops = " or ".join(repr(spec.layouts[kind].folder_names[0]) for kind in kinds)
    there = ", ".join(entry.name for entry in folders.list_entries(root)[:8]) or "nothing"
    log.add_problem(str(root), f"has no clips below a folder {tops}; there is: {there}")
    return kinds[0], None


def _by_key(spec, layout, found, log):
    by_key: dict[tuple[str, str], folders.Folder] = {}
    first: dict[tuple[str, str], folders.Folder] = {}
    for folder in found:
        name = folder.groups["name"]
        key = (
            spec.normalize_subject(folder.groups["subject"]),
            name if layout.recordings else spec.normalize_clip(name),
        )
        other = first.setdefault(folded(*key), folder)
        if other is folder:
            by_key[key] = folder
        else:
            log.add_problem(str(folder.path), f"is the same clip as {other.path}; remove one")
    return by_key


def _folder_rows(spec, found, log) -> list[Row]:
    rows = []
    for folder in found:
        row = spec.row_from_folder(folder)
        if isinstance(row, Row):
            rows.append(row)
        elif row:
            log.add_problem(str(folder.path), row)
        else:
            log.add_note(str(folder.path), "has no label and is left out")
    return rows


def _report_without_row(folders_by_key, log):
    for key, folder in folders_by_key.items():
        what, why = "has frames but no row in the label sheet", log.known_issue(key, "no row")
        report = log.add_note if why else log.add_problem
        report(str(folder.path), f"{what}; {why}" if why else what)


def _report_without_folder(spec, without_folder, there, log):
    for subject, rows in without_folder.items():
        missing = []
        for row in rows:
            why = log.known_issue((subject, row.name), "no folder")
            if why:
                log.add_note(f"{spec.name}/{subject}/{row.name}", why)
            else:
                missing.append(row)
        if len(missing) > 1 and subject not in there:
            what = f"none of its {len(missing)} clips has a folder, from {missing[0].name} on"
            log.add_problem(f"{spec.name}/{subject}", what)
            continue
        for row in missing:
            what = f"{row.where} names it but it has no folder of frames"
            log.add_problem(f"{spec.name}/{subject}/{row.name}", what)
