"""From a finished spotting run and a video to intervals."""

import csv

import cv2
import numpy as np
import pytest

from mer_jax import configuration, experiment
from mer_jax.datasets import recordings
from mer_jax.errors import UserError
from mer_jax.faces.rectangles import OULU
from mer_jax.inference import run_file, spotter
from mer_jax.inference.profile import framing, motion
from mer_jax.inference.tracking import FaceBox
from mer_jax.recordings import Interval, Recording
from mer_jax.reporting import spotting_overlay
from mer_jax.spotting import Fold, Rule

EYES = np.float32([[[30, 40], [50, 40]]])


class Brightness:
    """The mean gray level of a frame as evidence; an interval where it is over 100."""

    kind, rule, scorers, classes, eyes, largest = "micro", Rule(), (), (), OULU, np.inf
    folds = tuple(Fold(f"synthetic/s{n}", "micro", 5, 5, 5, 2, 10.0) for n in (1, 2))
    config = configuration.make_spotting(
        data="synthetic", evidence={"name": "strain", "size": (8, 8)}
    )

    def evidence_and_emotions(self, recording):
        values = np.concatenate([block.mean((1, 2, 3)) for _, block in recording.blocks(7)])
        return values, np.stack([np.arange(60) < 40, np.arange(60) >= 40], 1)

    def at_rate(self, fps):
        return self

    def reach(self, fps):
        return 9

    def intervals(self, evidence, fps):
        edges = np.flatnonzero(np.diff(np.pad(evidence > 100, 1).astype(int)))
        return edges.reshape(-1, 2) - [0, 1]


@pytest.fixture
def film():
    """60 frames, bright in 10 to 14, 30 to 34 and 50 to 54."""
    frames = np.full((60, 80, 80, 3), 50, np.uint8)
    for start in (10, 30, 50):
        frames[start : start + 5] = 200
    return frames


def test_intervals_are_those_of_the_runs_evidence_of_the_cropped_face(film):
    found = spotter.Spotter([Brightness()]).predict_video(film, 10.0, eye_detector=lambda f: EYES)
    assert [(each.onset, each.offset) for each in found.intervals] == [(10, 14), (30, 34), (50, 54)]
    assert found.counts == {"micro": 3} and found.num_frames == 60
    np.testing.assert_allclose(found.evidence["micro"], film.mean((1, 2, 3)), atol=1)
    lines = found.csv().splitlines()
    subjects = "long videos of 2 subjects (synthetic)"
    assert lines[0] == f"# trained on {subjects}; rendered faces: it has seen no real one"
    first = next(csv.DictReader(lines[1:]))
    assert (first["onset_s"], first["offset_s"], first["onset_frame"]) == ("1.0000", "1.4000", "10")
    assert (first["kind"], first["verdict"], float(first["evidence"])) == ("micro", "", 200)
    assert "micro: 1.00 to 1.50 s" in found.summary()
    whole = spotter.Spotter([Brightness()]).predict_video(film, 10.0, eye_detector=None)
    assert whole.intervals == found.intervals


def test_a_run_whose_framing_is_not_known_crops_no_face(film, monkeypatch):
    monkeypatch.setattr(Brightness, "eyes", None)
    with pytest.raises(UserError, match="no eyes were detected in the run's own clips"):
        spotter.Spotter([Brightness()]).predict_video(film, 10.0, eye_detector=lambda _: EYES)
    assert spotter.Spotter([Brightness()]).predict_video(film, 10.0, eye_detector=None).intervals


def test_where_the_face_is_lost_or_the_crop_moves_there_is_a_verdict(film):
    at = iter(range(0, 60, 2))  # the frames of detections, 4 a second

    def eyes(frame):
        number = next(at)
        return EYES[: int(not 28 <= number <= 36)] + np.float32([12 * (number >= 50), 0])

    found = spotter.Spotter([Brightness()]).predict_video(film, 10.0, eye_detector=eyes)
    verdicts = {each.onset: each.verdict for each in found.intervals}
    assert verdicts[10] == "" and verdicts[50] == "head moves"
    assert set(verdicts) == {10, 50} or verdicts[30] == "face lost"
    box = np.zeros((4, 2), np.float32)
    boxes = [FaceBox(0, box), FaceBox(10, None, 0), FaceBox(20, box), FaceBox(40, box + 1)]
    video = Recording("d", "s", "v", lambda a, b: film[a:b], 60, 10.0)
    of = lambda a, b: spotter._interval(Brightness(), video, np.ones(60), a, b, boxes)
    interval = lambda *ends: of(*ends).verdict
    assert [interval(*ends) for ends in ((0, 5), (12, 14), (25, 30), (38, 44), (50, 55))] == [
        *("", "face lost", "", "head moves", ""),
    ]


def test_one_jump_of_the_crop_hides_no_expression():
    """The threshold is relative to the maximum, which was that of the jump."""
    evidence = np.full(60, 0.1)
    evidence[[20, 40]] = 9.0, 1.0  # where the crop jumps, and an expression
    box = np.zeros((4, 2), np.float32)
    boxes = [FaceBox(0, box), FaceBox(10, box.copy()), FaceBox(20, box + 1)]
    found = spotter._without_jumps(evidence, Brightness(), 10.0, boxes)
    assert found[20] == found[40] == 1.0
    np.testing.assert_array_equal(np.delete(found, 20), np.delete(evidence, 20))
    # Only frames that are not computed lie far from every jump.
    ends = np.where((np.arange(60) < 3) | (np.arange(60) > 56), np.nan, evidence)
    often = [FaceBox(at, box + at) for at in (0, *range(12, 60, 8))]
    found = spotter._without_jumps(ends, Brightness(), 10.0, often)
    np.testing.assert_array_equal(found, ends)
    moving = [FaceBox(at, box + at) for at in range(0, 60, 5)]  # nothing to compare with
    for still in (moving, boxes[:2]):
        np.testing.assert_array_equal(
            spotter._without_jumps(evidence, Brightness(), 10.0, still), evidence
        )


def test_frames_before_the_first_face_show_that_face(film):
    """As black frames they were the largest movement of the video."""
    at = iter(range(0, 60, 2))
    eyes = lambda frame: EYES[: int(next(at) >= 20)]
    found = spotter.Spotter([Brightness()]).predict_video(film, 10.0, eye_detector=eyes)
    assert found.evidence["micro"][:20] == pytest.approx(found.evidence["micro"][20], abs=1)
    assert {(each.onset, each.verdict) for each in found.intervals} == {(30, ""), (50, "")}


def test_the_network_that_spots_gives_the_emotion_at_the_largest_evidence(film):
    ensemble = Brightness()
    ensemble.classes = ("positive", "negative")
    found = spotter.Spotter([ensemble]).predict_video(film, 10.0, eye_detector=None)
    assert [each.emotion for each in found.intervals] == ["positive", "positive", "negative"]
    rows = list(csv.DictReader(found.csv().splitlines()[1:]))
    assert [row["emotion"] for row in rows] == ["positive", "positive", "negative"]
    assert "micro, negative: 5.00 to 5.50 s" in found.summary()
    assert spotting_overlay._label_at(found, 52) == "micro, negative"


def test_what_moves_more_than_the_runs_expressions_is_none():
    """A texture that is stretched by up to `amount` px, as `motion` measures it."""
    texture = np.random.default_rng(0).normal(size=(64, 64))
    texture = np.uint8(np.clip(128 + 300 * cv2.GaussianBlur(texture, (0, 0), 3), 0, 255))
    y, x = np.indices((64, 64), np.float32)
    bump = np.exp(-((x - 32) ** 2 + (y - 45) ** 2) / 60)

    def film(amount):
        steps = np.sin(np.linspace(0, np.pi, 20)) * amount
        warped = [cv2.remap(texture, np.float32(x + s * bump), y, cv2.INTER_LINEAR) for s in steps]
        return np.stack(warped)[..., None]

    frames = np.concatenate([film(0.5), film(2.0)])
    video = Recording(
        "d", "s", "v", lambda a, b: frames[a:b], 40, 20.0, (Interval(10, 12, 19, "micro"),)
    )
    ensemble = Brightness()
    ensemble.config = configuration.make_spotting(data="synthetic", evidence="strain")
    found = framing([video], size=(64, 64))
    assert found.eyes is None and list(found.largest) == ["micro"]
    ensemble.largest = found.largest["micro"]
    assert ensemble.largest == pytest.approx(motion(frames[10:20]).skin)
    boxes = [FaceBox(0, np.zeros((4, 2), np.float32))]
    of = lambda a, b: spotter._interval(ensemble, video, np.ones(40), a, b, boxes).verdict
    assert (of(10, 19), of(30, 39)) == ("", "too much movement")


def test_what_cannot_be_spotted(film, tmp_path):
    spots = spotter.Spotter([Brightness()])
    with pytest.raises(UserError, match="no face was found"):
        spots.predict_video(film, 10.0, eye_detector=lambda frame: EYES[:0])
    with pytest.raises(UserError, match="frame rate is not known"):
        spots.predict_video(film, 0.0)
    with pytest.raises(UserError, match="is no finished spotting run"):
        spotter.load(tmp_path)
    assert not run_file.is_spotting(tmp_path)


def test_the_time_line_is_below_the_film_and_its_cursor_moves(film):
    found = spotter.Spotter([Brightness()]).predict_video(film, 10.0, eye_detector=lambda f: EYES)
    pictures = list(spotting_overlay.annotate(lambda: iter(film), found, alpha=2.0))
    assert len(pictures) == 60 and len({picture.shape for picture in pictures}) == 1
    near = lambda rows, color: np.abs(rows.astype(int) - color).max(-1) < 10
    orange = lambda picture: np.flatnonzero(near(picture[-4], (230, 159, 0)))
    columns = np.flatnonzero(near(pictures[0][-30:], (0, 114, 178)).any(0))
    starts = columns[np.diff(columns, prepend=-9) > 1]
    assert [orange(pictures[frame])[0] for frame in (10, 30, 50)] == pytest.approx(starts, abs=2)
    assert np.diff(starts) == pytest.approx(0.9 * pictures[0].shape[1] / 3, abs=1.5)
    figure = spotting_overlay.over_time(found)
    (axes,) = figure.axes
    bars = [line.get_xdata() for line in axes.lines[1:]]
    np.testing.assert_allclose(bars, [[1.0, 1.5], [3.0, 3.5], [5.0, 5.5]])
    shaded = found._replace(intervals=(found.intervals[1]._replace(verdict="head moves"),))
    (axes,) = spotting_overlay.over_time(shaded).axes
    assert axes.patches[0].get_x() == 3.0 and len(axes.lines) == 1


@pytest.mark.e2e
def test_a_recording_of_the_run_is_spotted_as_its_ensemble_does(tmp_path):
    config = configuration.make_spotting(
        data={"name": "synthetic", "subjects": 2, "recordings_per_subject": 1, "seconds": 8.0}
        | {"micro": 1, "macro": 1},
        evidence={"name": "strain", "size": (24, 24)},
    )
    experiment.run(config, tmp_path / "run", quiet=True)
    assert run_file.is_spotting(tmp_path / "run")
    spots = spotter.load(tmp_path / "run")
    options = configuration.options_of(config, "data")
    video = recordings.load("synthetic", None, **options)[0]
    found = spots.predict_video(video[:], video.fps, eye_detector=None)
    for ensemble in spots.ensembles:
        expected = ensemble.evidence(video)
        known = ~np.isnan(expected)
        assert known.sum() > len(known) / 2
        correlation = np.corrcoef(found.evidence[ensemble.kind][known], expected[known])[0, 1]
        assert correlation > 0.95  # a crop is smoothed and shrunk before it is gray


def test_a_video_too_short_for_one_kind_is_spotted_for_the_other(film):
    class Long(Brightness):
        kind = "macro"

        def evidence_and_emotions(self, recording):
            raise UserError(f"{recording.key}: has 60 frames, so that 161 or more are needed")

    found = spotter.Spotter([Brightness(), Long()]).predict_video(film, 10.0, eye_detector=None)
    assert list(found.evidence) == ["micro"]
    assert found.notes[0].startswith("macro-expressions cannot be spotted: has 60 frames")
    with pytest.raises(UserError, match="macro-expressions cannot be spotted"):
        spotter.Spotter([Long()]).predict_video(film, 10.0, eye_detector=None)
