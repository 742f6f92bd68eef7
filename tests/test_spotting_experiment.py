"""A spotting job from its configuration to its files, and what reads them again."""

import dataclasses
import json
import shutil
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from mer_jax import configuration, datasets, experiment, models, spotting_experiment
from mer_jax.cli import audit
from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import recordings
from mer_jax.errors import UserError
from mer_jax.inference import run_file, spotter
from mer_jax.inference import trained as recognition_runs
from mer_jax.inference.profile import DatasetProfile
from mer_jax.inference.recognizer import Recognizer
from mer_jax.metrics import matching, spotting_files
from mer_jax.metrics import spotting as scoring
from mer_jax.metrics.matching import Event
from mer_jax.protocols import Folds
from mer_jax.recordings import Interval, Recording
from mer_jax.spotting import Fold, Found, samples, trained
from mer_jax.spotting import evidence as evidences
from mer_jax.training import initialization

DATA = {
    "name": "synthetic", "recordings_per_subject": 1, "seconds": 6.0, "micro": 1, "macro": 0,
    "size": (24, 24), "gray": True,
}  # fmt: skip
NETWORK = {"name": "network", "size": (24, 24), "map_size": (12, 12)}
SMALL = {"data": DATA, "intervals": {"kinds": ("micro",)}}


def config(**given):
    return configuration.make_spotting(
        **SMALL | {"evidence": {"name": "strain", "size": (24, 24)}} | given
    )


def recordings_of(given):
    return recordings.load("synthetic", None, **configuration.options_of(given, "data"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("strain")
    return workdir, experiment.run(config(title="strains"), workdir, quiet=True)


@pytest.mark.e2e
def test_a_rule_without_training(finished):
    workdir, summary = finished
    counts = summary["spotting"]["micro"]
    assert counts["tp"] + counts["fn"] == 2 and "f1" in counts
    assert 0 <= summary["chance"]["micro"] < 0.5
    assert json.loads((workdir / "metrics.json").read_text())["folds"] == summary["folds"]
    # What the page shows is derived again.
    claims = json.loads((workdir / "metrics.json").read_text())
    for score in ("precision", "recall"):
        other = json.loads(json.dumps(claims))
        other["spotting"]["both"][score]["low"] = 0.9
        (workdir / "metrics.json").write_text(json.dumps(other))
        ((sentence,), _) = audit.audit(workdir)
        assert "its scores of both are not those of predictions.csv" in sentence
    (workdir / "metrics.json").write_text(json.dumps(claims))
    # The files hold what was scored.
    found = matching.match_events(
        *(spotting_files.read(workdir / name) for name in ("truth.csv", "predictions.csv"))
    )
    assert found.counts.sum((0, 1)).tolist() == [counts["tp"], counts["fp"], counts["fn"]]
    page = (workdir / "report.html").read_text()
    assert "<h1>strains" in page and "STRICT" in page and page.count("<svg") == 3
    assert page.index("F1 ") < page.index("leave one")


class Numbered(NamedTuple):
    """The `read` of a recording whose first file has the number 7, and which lacks number 60."""

    read: Callable
    numbers: np.ndarray = np.delete(np.arange(7, 188), 53)

    def __call__(self, start, stop):
        return self.read(start, stop)


def numbered_files(root):
    """A database of one's own: `tests.test_spotting_experiment:numbered_files`."""
    del root
    options = {name: value for name, value in DATA.items() if name != "name"}
    found = recordings.load("synthetic", None, **options)
    return [dataclasses.replace(video, read=Numbered(video.read)) for video in found]


@pytest.mark.parametrize("wrong", [np.arange(179), np.arange(180.0), np.zeros(180, int), "a"])
def test_numbers_that_cannot_be_are_named_before_training(wrong):
    video = recordings_of(config())[0]
    read = Numbered(video.read, wrong)
    with pytest.raises(UserError, match=f"{video.key}: the attribute `numbers` .* 180 ascending"):
        _ = dataclasses.replace(video, read=read).numbers


def test_a_recognizer_trains_on_the_intervals_of_ones_own_recordings():
    name = "tests.test_spotting_experiment:numbered_files"
    job = configuration.recognition_job(config(data={"name": name}, recognition=RECOGNITION))
    clips = datasets.load(job.data.name, job.data.root, kind=job.data.kind)
    marked = [each for video in numbered_files(None) for each in video.intervals if each.emotion]
    assert len(clips) == len(marked) == 2


@pytest.mark.e2e
def test_files_count_frames_as_the_database_does(finished, tmp_path):
    workdir, from_0 = finished
    name = "tests.test_spotting_experiment:numbered_files"
    summary = experiment.run(config(data={"name": name}), tmp_path, quiet=True)
    assert summary["folds"] == from_0["folds"] and audit.audit(tmp_path) == ([], [])
    for file in ("truth.csv", "predictions.csv"):
        ends = lambda run, file=file: np.array([x[2:4] for x in spotting_files.read(run / file)])
        was = ends(workdir)
        np.testing.assert_array_equal(ends(tmp_path), was + 7 + (was >= 53))


def recognizer_of(size, channels, fps, networks=None):
    own = DatasetProfile(size, channels, None, fps, 9, True, 0.0, 0.0, 0.0, "")
    return Recognizer(networks, {}, [], own)


def test_a_recognizer_of_other_clips_is_named():
    videos = recordings_of(config())
    recognizer_of((24, 24), 1, 30.0).check(videos)
    with pytest.raises(UserError, match=r"are 24 x 24 x 1 .* data\.crop_size=\(128, 105\)"):
        recognizer_of((128, 105), 3, 30.0).check(videos)


@pytest.mark.parametrize(("fps", "length", "apex"), [(30.0, 20, 5), (30.1, 20, 5), (60.0, 40, 10)])
def test_intervals_are_recognized_at_the_rate_of_the_runs_clips(fps, length, apex):
    """As `mer-jax predict` does: twice the rate, twice the frames."""
    seen = []

    class Networks(NamedTuple):
        classes: tuple = ("anger", "fear")

        def probabilities_of(self, clips, rows):
            seen.extend(clips)
            return np.array([[0.0, 1.0]] * len(clips))

    video = recordings_of(config())[0]
    event = Event(video.subject, video.name, 30, 49, "micro", database=video.database)
    curve = np.where(np.arange(180) == 35, 1.0, 0.0)
    fold = Fold(video.subject_key, "micro", 10, 10, 10, 5, 30.0)
    found = Found([event], [fold], {(video.key, "micro"): curve})
    recognizer = recognizer_of((24, 24), 1, fps, Networks())._replace(
        rows={video.subject_key: (0,)}
    )
    (labeled,) = recognizer.recognize([video], found)
    assert labeled.emotion == "fear"
    (clip,) = seen
    assert len(clip.frames) == length and (clip.onset, clip.offset) == (0, length - 1)
    assert abs(clip.apex - apex) <= 1 and clip.key == f"{video.key}_micro_30_49"


@pytest.mark.e2e
def test_a_mistake_leaves_a_finished_run_as_it_is(finished):
    workdir, _ = finished
    content = lambda: {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    before = content()
    given = config(recognition={"run": str(workdir / "typo")})
    with pytest.raises(UserError, match="typo"):
        experiment.run(given, workdir, quiet=True)
    assert content() == before


@pytest.mark.e2e
def test_a_finished_run_spots_in_another_recording(finished):
    workdir, summary = finished
    (ensemble,) = trained.load(workdir)
    assert [fold._asdict() for fold in ensemble.folds] == summary["folds"]
    video = recordings_of(config())[0]
    evidence = ensemble.evidence(video)
    assert evidence.shape == (180,) and np.nanmax(evidence) > 0
    ends = ensemble.intervals(evidence, video.fps)
    assert len(ends) and (ends[:, 0] < ends[:, 1]).all()

    # A frame has no say further away than it reaches, and has one there or a frame nearer.
    def spoiled(start, stop):
        frames = np.array(video.read(start, stop))
        frames[max(0, 90 - start) : max(0, 91 - start)] = 0
        return frames

    other = ensemble.evidence(dataclasses.replace(video, read=spoiled))
    differ = np.flatnonzero(~np.isclose(other, evidence, equal_nan=True, rtol=1e-3))
    assert 0 <= ensemble.reach(video.fps) - np.abs(differ - 90).max() <= 1
    twice = ensemble.at_rate(60.0)
    assert [f.span for f in twice.folds] == [2 * f.span for f in ensemble.folds]
    with pytest.raises(UserError, match=r"at 3 Hz a micro-expression .* give a video of \d+ Hz"):
        ensemble.at_rate(3.0)
    (workdir / "spotters.json").write_text('{"folds": [{"subject": 1}]}')
    with pytest.raises(UserError, match=r"spotters\.json is damaged"):
        trained.load(workdir)


@pytest.mark.e2e
def test_a_network_is_trained_and_read_again(tmp_path):
    given = config(
        evidence=NETWORK | {"pairs": "one"},
        model={"name": "mean_spotting", "maps": (1, 1, 1), "filters": 1},
        train={"epochs": 2},
    )
    tmp_path, file = tmp_path / "run", tmp_path / "run.merrun"
    summary = experiment.run(given, tmp_path, quiet=True)
    assert summary["diverged_folds"] == [] and len(summary["folds"]) == 2
    assert audit.audit(tmp_path) == ([], [])
    again = configuration.load(tmp_path / "config.json")
    assert configuration.to_dict(again) == configuration.to_dict(given)
    (ensemble,) = trained.load(tmp_path)
    video = recordings_of(config())[0]
    each = [scorer.evidence(video) for scorer in ensemble.scorers]
    duration = round(np.median([fold.duration for fold in ensemble.folds]))
    smoothed = ensemble.rule.smooth(np.mean(each, 0), duration)
    np.testing.assert_allclose(ensemble.evidence(video), smoothed, rtol=1e-5, atol=1e-6)
    # MEAN's recognition: each fold takes the frozen trunk that never saw its subject, no more.
    build = lambda rngs: models.create(
        "mean_recognition", num_classes=3, rngs=rngs, shape=(12, 12, 3), maps=(1, 1, 1), filters=1
    )
    names = [fold.subject for fold in ensemble.folds]
    found = initialization.read(tmp_path, build, folds=names[::-1])
    for weights, scorer in zip(found, ensemble.scorers[::-1]):
        assert len(weights) == 10 and all(name.startswith("trunk.") for name in weights)
        kernel = scorer.weights["params.trunk.convs.0.kernel"]
        np.testing.assert_array_equal(weights["trunk.convs.0.kernel"], kernel)
    with pytest.raises(UserError, match=r"no network without synthetic/s09 alone"):
        initialization.read(tmp_path, build, folds=["synthetic/s09"])
    tested = np.eye(2, dtype=bool)
    folds = Folds(tuple(names), ("a", "b"), tuple(names), ~tested, tested, tested & False)
    assert initialization.pretraining_overlap(tmp_path, folds) == 0
    swapped = dataclasses.replace(folds, train=tested, test=~tested)
    assert initialization.pretraining_overlap(tmp_path, swapped) == 2
    assert not initialization.trained_elsewhere(tmp_path)
    # The run as one file.
    manifest = run_file.export(tmp_path, file, licenses={"synthetic": "free"})
    assert manifest.databases == [run_file.Database("synthetic", 2, 2, "free")]
    run_file.unpack(file, tmp_path / "theirs")
    films = [spotter.load(each) for each in (tmp_path, file, tmp_path / "theirs")]
    assert run_file.is_spotting(file) and len({each.digest for each in films}) == 1
    frames = video[:60]
    csvs = {each.predict_video(frames, 30.0, eye_detector=None).csv() for each in films}
    assert len(csvs) == 1
    # What was changed afterwards is found.
    content = json.loads((tmp_path / "spotters.json").read_text())
    content["folds"][0]["longest"] += 1
    (tmp_path / "spotters.json").write_text(json.dumps(content))
    (wrong,) = audit.audit(tmp_path)[0]
    assert "its longest is" in wrong and content["folds"][0]["subject"] in wrong
    # What diverged has no say.
    path = tmp_path / "spotters.json"
    record = json.loads(path.read_text())
    names = [fold.name for fold in ensemble.folds]
    path.write_text(json.dumps(record | {"diverged": names[:1]}))
    assert [fold.name for fold in trained.load(tmp_path)[0].folds] == names[1:]
    path.write_text(json.dumps(record | {"diverged": names}))
    with pytest.raises(UserError, match="training of all folds diverged"):
        trained.load(tmp_path)


@pytest.mark.e2e
def test_a_fixed_p_is_declared(tmp_path):
    summary = experiment.run(
        config(intervals={"p": 0.5, "kinds": ("micro",)}), tmp_path, quiet=True
    )
    assert summary["verdict"] == {"strict": False, "leaks": [{"reason": "threshold", "p": 0.5}]}
    assert "fixed at 0.5" in (tmp_path / "report.html").read_text()
    path = tmp_path / "metrics.json"
    for strict, leaks in ((False, summary["verdict"]["leaks"]), (False, [])):
        path.write_text(json.dumps(summary | {"verdict": {"strict": strict, "leaks": leaks}}))
        found, (declared,) = audit.audit(tmp_path)
        assert not found and "p is fixed at 0.5" in declared
    path.write_text(json.dumps(summary | {"verdict": {"strict": True, "leaks": []}}))
    (found,), _ = audit.audit(tmp_path)
    assert "claims to be strict" in found
    micro = summary["spotting"]["micro"]
    better = micro | {"f1": micro["f1"] | {"value": 0.999}}
    for change, finding in (
        ({"spotting": summary["spotting"] | {"micro": better}}, "its scores of micro are not"),
        ({"spotting": {}}, "its scores of micro are not"),
        ({"folds": [fold | {"p": 0.3} for fold in summary["folds"]]}, "its p are not those of"),
    ):
        path.write_text(json.dumps(summary | change))
        assert finding in audit.audit(tmp_path)[0][0]


RECOGNITION = {
    "method": {"name": "flow_maps", "size": (8, 8), "preset": "horn_schunck"},
    "model": {"name": "ststnet", "maps": (1, 1, 1)},
    "train": {"epochs": 2, "batch_size": 8},
}


@pytest.fixture(scope="module")
def recognized(tmp_path_factory):
    """Three subjects whose folds all have clips of the three classes."""
    workdir = tmp_path_factory.mktemp("recognized")
    data = DATA | {"subjects": 3, "seconds": 20.0, "micro": 8}
    given = config(data=data, recognition=RECOGNITION)
    return workdir, experiment.run(given, workdir, quiet=True), given


@pytest.mark.e2e
def test_spotted_intervals_are_recognized_by_networks_that_never_saw_their_subject(recognized):
    workdir, summary, given = recognized
    assert summary["verdict"] == {"strict": True, "leaks": []}
    events = spotting_files.read(workdir / "predictions.csv")
    truths = spotting_files.read(workdir / "truth.csv")
    assert {event.emotion for event in events} <= set(summary["recognition"]["classes"])
    again = scoring.summary(truths, events, classes=summary["recognition"]["classes"])
    assert again["strs"] == summary["strs"] and again["recognition"] == summary["recognition"]
    assert summary["strs"]["value"] == pytest.approx(
        summary["spotting"]["both"]["f1"]["value"] * summary["recognition"]["f1_a"]["value"]
    )
    # The label is that of the fold of the subject, one interval after the other.
    videos = {video.name: video for video in recordings_of(given)}
    (ensemble,) = trained.load(workdir)
    for subject in ("s01", "s03"):
        networks = recognition_runs.read(workdir / "recognition", fold=f"synthetic/{subject}")
        fold = next(f for f in ensemble.folds if f.subject == f"synthetic/{subject}")
        for event in [event for event in events if event.subject == subject][:2]:
            values = evidences.compute(
                videos[event.video], evidence="strain", span=fold.span, size=(24, 24)
            )
            values = ensemble.rule.smooth(values, fold.duration)
            apex = event.onset + int(np.nanargmax(values[event.onset : event.offset + 1]))
            cut = Interval(event.onset, apex, event.offset)
            (clip,) = dataclasses.replace(videos[event.video], intervals=(cut,)).clips()
            best = networks.probabilities([clip])[0, 0].argmax()
            networks.programs.clear()
            assert event.emotion == networks.classes[best]
    page = (workdir / "report.html").read_text()
    assert "STRS" in page and "Recognized" in page


@pytest.mark.e2e
def test_intervals_of_any_video_get_an_emotion_from_the_run_or_its_file(recognized, tmp_path):
    """The mean of all folds, whose own predictions are computed one after the other."""
    workdir, _, given = recognized
    run_file.export(workdir, tmp_path / "run.mer")
    video = recordings_of(given)[0]
    found, same = (
        spotter.load(run).predict_video(video[:], video.fps, eye_detector=None)
        for run in (workdir, tmp_path / "run.mer")
    )
    assert found.csv() == same.csv() and found.intervals
    # An entry that no digest verifies, and a recognizer that was left behind.
    with zipfile.ZipFile(tmp_path / "run.mer") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(entries["run.json"])
    digests = manifest["digests"].items()
    manifest["digests"] = {k: v for k, v in digests if not k.startswith("recognition/")}
    with zipfile.ZipFile(tmp_path / "changed.mer", "w") as archive:
        for name, content in (entries | {"run.json": json.dumps(manifest)}).items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="the digests are not of its entries"):
        spotter.load(tmp_path / "changed.mer")
    shutil.copytree(workdir, tmp_path / "alone", ignore=shutil.ignore_patterns("recognition"))
    for use in (spotter.load, audit.audit, lambda run: run_file.export(run, tmp_path / "no.mer")):
        with pytest.raises(UserError, match="is not there; copy the whole folder"):
            use(tmp_path / "alone")
    networks = recognition_runs.read(workdir / "recognition")
    (ensemble,) = trained.load(workdir)
    for each in found.intervals[:3]:
        apex = each.onset + int(found.evidence["micro"][each.onset : each.offset + 1].argmax())
        assert each.offset - each.onset + 1 >= ensemble.shortest(video.fps)
        clip = Clip(
            "v", "s", "c", in_memory(video[each.onset : each.offset + 1]), "",
            fps=video.fps, apex=apex - each.onset,
        )  # fmt: skip
        best = networks.probabilities([clip])[:, 0].mean(0).argmax()
        networks.programs.clear()
        assert each.emotion == networks.classes[best]


@pytest.mark.e2e
def test_a_recognizer_that_was_trained_on_a_tested_subject_is_refused(recognized, tmp_path):
    """A finished run serves another spotting job, unless a fold lacks."""
    workdir, summary, given = recognized
    data = {"name": "synthetic"} | configuration.options_of(given, "data")
    given = config(data=data, recognition={"run": str(workdir / "recognition")})
    other = experiment.run(given, tmp_path / "strict", quiet=True)
    assert other["recognition"] == summary["recognition"]
    path = workdir / "recognition" / "folds.json"
    content = json.loads(path.read_text())
    first = content["folds"][0]
    moved = first["test"].pop()
    first["train"].append(moved)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"was trained on synthetic/s01, which spotting tests"):
        experiment.run(given, tmp_path / "leaky", quiet=True)
    assert not (tmp_path / "leaky" / "predictions.csv").exists()


@pytest.mark.e2e
def test_one_network_spots_and_recognizes(tmp_path):
    """SFAMNet: its label of an interval is that of the sample nearest to the apex."""
    given = config(
        data=DATA | {"seconds": 12.0, "micro": 3},
        evidence=NETWORK | {"pairs": "one", "stride": 4},
        model={"name": "sfamnet", "maps": 1, "filters": 1},
        train={"epochs": 2, "loss": "spot_recognize"},
        recognition={"spotter": True},
    )
    summary = experiment.run(given, tmp_path, quiet=True)
    events = spotting_files.read(tmp_path / "predictions.csv")
    assert summary["recognition"]["classes"] == ["negative", "positive", "surprise"]
    assert summary["verdict"]["strict"] and events
    (ensemble,) = trained.load(tmp_path)
    for row, video in enumerate(recordings_of(given)):
        scorer, duration = ensemble.scorers[row], ensemble.folds[row].duration
        blocks = zip(*samples.stream(video, scorer.sampling))
        frames, inputs = (np.concatenate(each) for each in blocks)
        outputs = scorer.samples(inputs)
        assert outputs.shape == (len(frames), 5)  # score, three emotions, neutral
        values = np.interp(np.arange(video.length), frames, outputs[:, 0], left=0, right=0)
        values = ensemble.rule.smooth(np.float32(values), duration)
        for event in [event for event in events if event.video == video.name]:
            apex = event.onset + values[event.onset : event.offset + 1].argmax()
            nearest = np.abs(frames - apex).argmin()
            if 2 * abs(frames[nearest] - apex) == 4:
                continue  # as near to two samples
            label = outputs[nearest, 1:4].argmax()
            assert event.emotion == summary["recognition"]["classes"][label]


@pytest.mark.e2e
def test_windows_of_regions_are_spotted_by_proposals(tmp_path):
    """PEM, trained once for both kinds; what is read back gives the intervals of the job."""
    given = config(
        data=DATA | {"seconds": 12.0, "micro": 2, "macro": 2},
        evidence=NETWORK | {
            "pairs": "regions", "targets": "boundaries", "radius": 1, "span": 30, "mirror": True,
        },
        model={"name": "pem", "maps": 4},
        train={"epochs": 20, "learning_rate": 1e-2, "loss": "boundary_focal"},
        intervals={"name": "proposals", "most": 4},
    )  # fmt: skip
    summary = experiment.run(given, tmp_path, quiet=True)
    assert [path.name for path in sorted((tmp_path / "networks").iterdir())] == ["both_30"]
    videos = recordings_of(given)
    again = []
    for ensemble in trained.load(tmp_path):
        for row, video in enumerate(videos):
            fold = ensemble.folds[row]
            values = ensemble.scorers[row].evidence(video)
            assert values.shape == (360, 3) and values.min() >= 0 and values.max() <= 1
            ends = ensemble.rule.intervals(
                values, fold.p, fold.duration, fold.shortest, fold.longest
            )
            assert len(ends) <= 4
            again += [(video.name, fold.kind, *each) for each in ends.tolist()]
        with pytest.raises(UserError, match="the video has 60 Hz: resample it"):
            ensemble.at_rate(60.0)
    faster = given.copy_and_resolve_references()
    faster.data.fps = 200.0
    with pytest.raises(UserError, match=r"has 200 Hz; .* by data\.step=8 \(of databases on disk\)"):
        experiment.run(faster, tmp_path / "faster", quiet=True)
    events = spotting_files.read(tmp_path / "predictions.csv")
    assert sorted(again) == sorted((e.video, e.kind, e.onset, e.offset) for e in events)
    assert len(summary["folds"]) == 4 and summary["diverged_folds"] == []


def test_intervals_at_random_places():
    """The control keeps number, kind and duration of the intervals, and draws their onsets."""
    videos = recordings.load("synthetic", None, subjects=1, seconds=30.0)
    moved = spotting_experiment._moved(videos, 0)
    for video, other in zip(videos, moved):
        key = lambda each: (each.kind, each.duration, each.emotion)
        assert sorted(map(key, video.intervals)) == sorted(map(key, other.intervals))
        assert video.intervals != other.intervals
        assert all(each.onset <= each.apex <= each.offset < 900 for each in other.intervals)


def test_chance_is_the_share_of_places_that_hit():
    """One expression of 10 frames of 100, one prediction of as many in the middle: of the 91
    places of an onset 7 overlap by a half or more, those up to 3 frames away."""
    video = Recording("d", "s", "v", lambda i, j: None, 100, 30.0, (Interval(0, None, 9),))
    videos = [dataclasses.replace(video, name=f"v{n}") for n in range(200)]
    events = [Event("s", each.name, 45, 54, "micro", database="d") for each in videos]
    found = spotting_experiment._chance(videos, events, ("micro",))
    assert abs(found["micro"] - 7 / 91) < 0.02


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"evidence": "strains"}, "did you mean 'strain'"),
        ({"evidence": "network"}, "'network' needs a model"),
        ({"model": "softnet"}, "evidence strain has no model"),
        ({"train": {"epochs": 2}}, "trains no network"),
        ({"intervals": {"p": 2.0}}, r"intervals\.p is 2"),
        ({"intervals": {"name": "peak"}}, "did you mean 'peaks'"),
        ({"recognition": {"methods": "x"}}, "did you mean 'method'"),
        ({"recognition": {"method": "flow_maps"}}, "recognition has no model"),
        ({"recognition": {"spotter": True}}, "needs evidence 'network'"),
        ({"recognition": {"run": 3}}, r"recognition\.run is 3; it must be text"),
        ({"data": {"name": "synthetic", "second": 3}}, "did you mean 'seconds'"),
    ],
    ids=str,
)
def test_a_mistake_is_one_sentence(given, message):
    with pytest.raises(UserError, match=message):
        config(**given)


def test_the_sections_of_a_spotting_job():
    found = config()
    assert configuration.is_spotting(found)
    renamed = configuration.rename(found, {"data": "samm_lv", "evidence": "flow"})
    assert renamed.data.root is None and renamed.evidence.name == "flow"
    published = config(intervals={"p": 0.5})
    published.intervals.p = None
    assert configuration.rule(published).p is None
    del found["intervals"]
    with pytest.raises(UserError, match="has no section 'intervals'"):
        configuration.check(found)
