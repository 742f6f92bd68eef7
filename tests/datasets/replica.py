"""Small databases in the real layouts, with drawn faces: for tests, and for trying out a job
without a licence.

`write` lays down the folders and the label sheet of one release, and the faults that the published
data are known for, and returns the clips that a reader should find there. What each database looks
like is in `replica_plans`, which knows the layouts but not the readers.
"""

import csv
import pathlib
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError, unknown_name


def databases() -> list[str]:
    """The names `write` takes."""
    from tests.datasets import replica_plans

    return sorted([*replica_plans.PLANS, "flow_maps"])


def write(
    database: str,
    root: str | pathlib.Path,
    *,
    seed: int = 0,
    subjects: int = 3,
    release: str = "",
    known_issues: bool = True,
    size: tuple[int, int] = (24, 20),
) -> list[Clip]:
    """Writes a replica below `root` (new or empty) and returns the clips it holds.

    Args:
      database: one of `databases()`.
      root: the folder.
      seed: of the drawn faces.
      subjects: how many, four clips each; known issues add their own.
      release: one of the database's releases or kinds, "" the first (see `replica_plans`).
      known_issues: whether the known faults of the published data are there too.
      size: (H, W) of a frame, px.

    Raises `UserError` for an unknown name, and where `root` has something in it.
    """
    from tests.datasets import replica_plans

    root = pathlib.Path(root)
    if database not in databases():
        raise unknown_name("database", database, databases())
    if root.exists() and any(root.iterdir()):
        raise UserError(f"{root} is not empty; a replica needs a folder of its own")
    if database == "flow_maps":
        return _flow_maps(root, seed, subjects, size)
    plan = replica_plans.PLANS[database](subjects, release, known_issues)
    clips = []
    for made in plan.clips:
        film = zlib.crc32(f"{seed} {made.path}".encode())  # clips of one recording share it
        frames = draw(film, len(made.numbers), size, gray=plan.gray)
        for number, frame in zip(made.numbers, frames):
            save(root / made.path.format(n=number), frame)
        if made.kept:
            inside = [i for i, n in enumerate(made.numbers) if made.span[0] <= n <= made.span[1]]
            index: dict[int | None, int] = {made.numbers[i]: k for k, i in enumerate(inside)}
            clips.append(
                Clip(
                    database=database,
                    subject=made.subject,
                    name=made.name,
                    read=in_memory(frames[inside]),
                    emotion=made.emotion,
                    onset=index.get(made.onset, 0),
                    apex=index.get(made.apex),
                    offset=index.get(made.offset),
                    action_units=made.action_units,
                )
            )
    for path, sheets in plan.sheets.items():
        table(root / path, sheets)
    for path, content in plan.texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, encoding="utf-8")
    return clips


def draw(seed: int, length: int, size: tuple[int, int], *, gray: bool = False) -> np.ndarray:
    """[T, H, W, C] uint8: a face whose brows and mouth move and come back."""
    import cv2

    rng = np.random.default_rng(seed)
    height, width = size
    skin, scale = rng.integers(120, 200, 3), 8  # drawn large, then averaged down
    lift, smile = rng.uniform(-0.08, 0.08, 2)
    frames = []
    for t in range(length):
        strength = np.sin(np.pi * t / max(1, length - 1))
        image = np.full((height * scale, width * scale, 3), 40, np.uint8)
        w, h = width * scale, height * scale

        def at(x, y, w=w, h=h):
            return int(x * w), int(y * h)

        def color(share, skin=skin):
            return tuple(int(c * share) for c in skin)

        cv2.ellipse(image, at(0.5, 0.5), at(0.38, 0.45), 0, 0, 360, color(1.0), -1)
        for x in (0.34, 0.66):
            cv2.circle(image, at(x, 0.42), int(0.05 * w), color(0.3), -1)
            brow = 0.32 - lift * strength
            cv2.line(image, at(x - 0.1, brow), at(x + 0.1, brow), color(0.4), int(0.03 * h))
        corner = 0.74 - smile * strength
        points = np.array([at(0.34, corner), at(0.5, 0.76), at(0.66, corner)])
        cv2.polylines(image, [points], False, color(0.5), int(0.03 * h))
        frames.append(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    frames = np.stack(frames)
    return frames[..., 1:2] if gray else frames


def save(path: pathlib.Path, frame: np.ndarray) -> None:
    """Writes one frame, RGB or grey, in the format of the path's suffix."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    image = frame[..., 0] if frame.shape[-1] == 1 else np.ascontiguousarray(frame[..., ::-1])
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix in (".jpg", ".jpeg") else []
    _, data = cv2.imencode(path.suffix, image, jpeg)
    data.tofile(path)


def table(path: pathlib.Path, sheets: Mapping[str, Sequence[Sequence]]) -> None:
    """Writes rows of cells as .xlsx, or the first sheet as .csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(next(iter(sheets.values())))
        return
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)


def _flow_maps(root, seed, subjects, size) -> list[Clip]:
    """Maps as a flow estimator leaves them: each channel stretched to 0..255."""
    rng = np.random.default_rng(seed)
    labels = ("negative", "positive", "surprise")
    rows, clips = [["database", "subject", "clip", "label", "file"]], []
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    for database, form in (("casme2", "sub{:02d}"), ("smic", "s{:02d}"), ("samm", "{:03d}")):
        for number in range(1, subjects + 1):
            for c, label in enumerate(labels):
                subject, name = form.format(number), f"EP{number:02d}_{c + 1:02d}"
                center = rng.uniform(0.2, 0.8, 2) * size
                bump = np.exp(-((y - center[0]) ** 2 + (x - center[1]) ** 2) / (size[0] / 4) ** 2)
                u, v = bump * rng.uniform(-1, 1), bump * rng.uniform(-1, 1) * (c + 1)
                (uy, ux), (vy, vx) = np.gradient(u), np.gradient(v)
                strain = np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)
                planes = [(p - p.min()) / np.ptp(p) * 255 for p in (u, v, strain)]
                frame = np.stack(planes, -1).round().astype(np.uint8)
                file = f"maps/{database}_{subject}_{name}.png"
                save(root / file, frame)
                rows.append([database, subject, name, label, file])
                clips.append(
                    Clip(
                        database=database,
                        subject=subject,
                        name=name,
                        read=in_memory(frame[None]),
                        emotion=label,
                        content="flow",
                    )
                )
    table(root / "index.csv", {"index": rows})
    return clips
