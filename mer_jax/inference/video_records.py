"""Many videos with one folder of results, which several processes fill and a later call resumes.

Each video has a folder in that of the results, with its outputs and video.json, which is written
last. videos.csv has a row for each video, a failed one with its reason, and predictions.csv the
rows of the prediction.csv of all videos.
"""

import csv
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mer_jax.datasets.video_source import CAMERA
from mer_jax.errors import UserError, report_write_errors
from mer_jax.io import locks, reading, saving
from mer_jax.metrics.prediction_files import escape_formula

RECORD, PREDICTION, CHART = "video.json", "prediction.csv", "prediction.png"
_COLUMNS = ("video", "status", "reason", "seconds", "fps", "rows", "labels", "notes")


class VideoRecord(msgspec.Struct):
    """What became of one video; the content of video.json."""

    video: str  # its name
    reason: str = ""  # why it failed
    seconds: float = 0.0  # of film
    fps: float = 0.0  # Hz
    rows: int = 0  # of its table: windows, or intervals
    labels: dict[str, int] = {}  # rows with each
    notes: list[str] = []
    files: str = ""  # digest of names, sizes and times of the source's files
    settings: str = ""  # digest of what the predictions depend on besides
    outputs: list[str] = []  # names of its files
    retry: bool = False  # it failed for a reason outside of the video, such as memory

    def cells(self) -> tuple[str, ...]:
        """The cells of videos.csv."""
        labels = "; ".join(f"{name}: {count}" for name, count in self.labels.items())
        cells = (self.video, "failed" if self.reason else "done", self.reason)
        numbers = (f"{self.seconds:.3f}", f"{self.fps:.6g}", str(self.rows))
        return *map(escape_formula, cells), *numbers, labels, "; ".join(self.notes)


class Tally(NamedTuple):
    """How many videos are finished, by this call or earlier, and how many are not."""

    done: int
    failed: int
    busy: int  # in work by another process


def process(
    videos: Mapping[str, str],
    out: pathlib.Path,
    work: Callable[[str, str, pathlib.Path], VideoRecord],
    *,
    settings: str,
    outputs: Sequence[str] = (PREDICTION,),
) -> Tally:
    """Calls `work(name, source, folder)` for each video that is not finished; writes the tables.

    A finished video, also a failed one, is worked on again only if its file or `settings` changed,
    if it failed for a reason outside of itself, or if a camera records it. One that another process
    works on is left to it. The tables are written also where `work` raises; all that have the same
    `settings` are in them, so that the last of several processes writes the whole ones.

    Args:
      videos: name -> source, of `video_list.find`.
      out: the folder of the results.
      work: writes the outputs into `folder` and returns the record, with a reason for a video that
        cannot be predicted.
      settings: digest of what the predictions depend on besides the video.
      outputs: names of the files that `work` writes into a folder.
    """
    done = failed = busy = 0
    try:
        for name, source in videos.items():
            folder = out / name
            with report_write_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                lock = locks.take(folder / ".lock", f"{name} is in work by another process")
            except UserError:
                busy += 1
                continue
            with lock:
                like = VideoRecord(name, files=_digest_of(source), settings=settings)
                record = None if source.startswith(CAMERA) else _finished(folder, like, outputs)
                record = record or _record(folder, like, work, source, outputs)
            failed, done = failed + bool(record.reason), done + (not record.reason)
    finally:
        if out.is_dir():
            _write_tables(out, settings)
    return Tally(done, failed, busy)


def _finished(
    folder: pathlib.Path, like: VideoRecord, outputs: Sequence[str]
) -> VideoRecord | None:
    """The record in `folder` if it is of the same files and settings, and its outputs are there."""
    record = _read(folder / RECORD)
    if record is None or record.retry:
        return None
    same = (record.files, record.settings) == (like.files, like.settings)
    there = record.reason or all((folder / name).is_file() for name in outputs)
    return record if same and there else None


def _record(
    folder: pathlib.Path, like: VideoRecord, work, source: str, outputs: Sequence[str]
) -> VideoRecord:
    """The record of `work`, after it is written."""
    # What an earlier run wrote, or a killed process left unfinished: the folder is locked.
    before = _read(folder / RECORD)
    names = {
        RECORD,
        *outputs,
        *(pathlib.PurePath(n).name for n in (before and before.outputs) or ()),
    }
    for path in (*(folder / name for name in names), *folder.glob(".part-*")):
        path.unlink(missing_ok=True)
    record = work(like.video, source, folder)
    kept = dict(files=like.files, settings=like.settings, outputs=list(outputs))
    record = msgspec.structs.replace(record, **kept)
    saving.write_json(folder / RECORD, msgspec.structs.asdict(record))
    return record


def _read(path: pathlib.Path) -> VideoRecord | None:
    """None for one that is missing or damaged."""
    try:
        return reading.load_json(path, VideoRecord)
    except UserError:
        return None


def _digest_of(source: str) -> str:
    """Of the names, sizes and times of a source's files; "" for one that is no file."""
    path = pathlib.Path(source)
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [(file.name, file.stat()) for file in files]
    except OSError:
        return ""
    return saving.digest(repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats]))


def _write_tables(out: pathlib.Path, settings: str) -> None:
    """Joins all that is finished below `out` with these settings."""
    with locks.take(out / ".lock", f"{out} is in use by another process", timeout=60):
        found = ((path.parent, _read(path)) for path in sorted(out.rglob(RECORD)))
        records = [(at, each) for at, each in found if each and each.settings == settings]
        _write_csv(out / "videos.csv", [], [_COLUMNS, *(each.cells() for _, each in records)])
        tables = [
            (each.video, at / PREDICTION)
            for at, each in records
            if not each.reason and (at / PREDICTION).is_file()
        ]
        comments = [] if not tables else _lines(tables[0][1], comments=True)
        _write_csv(out / "predictions.csv", comments, _joined(tables))


def _joined(tables: list[tuple[str, pathlib.Path]]) -> Iterator[list[str]]:
    """The rows of all tables, with the name of the video first; the head once."""
    for number, (video, path) in enumerate(tables):
        rows = csv.reader(_lines(path, comments=False))
        head = next(rows)
        if not number:
            yield ["video", *head]
        yield from ([escape_formula(video), *row] for row in rows)


def _lines(path: pathlib.Path, *, comments: bool) -> list[str]:
    lines = reading.read_text(path).splitlines(keepends=True)
    return [line for line in lines if line.startswith("#") == comments]


def _write_csv(path: pathlib.Path, comments, rows) -> None:
    with saving.atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as f:
        f.writelines(comments)
        csv.writer(f, lineterminator="\n").writerows(rows)
