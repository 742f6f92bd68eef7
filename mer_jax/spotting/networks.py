"""Spotting by networks: the folds of a kind as one job, and each fold's network on any recording.

Folds of one span share their samples and are trained together by `training.fit`: inputs and targets
as in `spotting.samples`, strict (last epoch, or the best of validation subjects). Their weights are
written to FOLDER/KIND_SPAN/SUBJECT-KIND.npz, from which `Scorer` reads them again.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from flax import nnx

from mer_jax import leakage, models, runtime
from mer_jax.errors import UserError
from mer_jax.io import large_arrays, learning_curves, reading, saving
from mer_jax.methods import example_cache
from mer_jax.options import checked
from mer_jax.protocols import Folds, with_validation
from mer_jax.recordings import KINDS, Recording
from mer_jax.spotting import per_recording, samples
from mer_jax.spotting import targets as frames_targets
from mer_jax.spotting.protocol import Fold, plan
from mer_jax.spotting.samples import TARGETS, Sampling
from mer_jax.training import (
    Checkpointing,
    Hooks,
    Parallel,
    Result,
    Settings,
    fit,
    initialization,
    rng,
)
from mer_jax.training.records import State

# Parameters of `train` that are no options of the evidence.
NOT_OPTIONS = (
    "kinds",
    "emotions",
    "parallel",
    "fingerprint",
    "checkpoint_seconds",
    "should_stop",
    "quiet",
)
_WINDOW = 256  # frames that a window of regions scores (PEM, AUW-GCN)
_Samples = msgspec.defstruct("_Samples", [("samples", list[int])])  # of a group's folds.json
_BATCH = 128  # samples of one call of a trained network


def grid(duration: int) -> int:
    """Half of a mean duration, rounded to 2^n or 3 * 2^n frames: folds share their samples.

    Of two that are equally near it is the smaller.

    >>> [grid(duration) for duration in (2, 10, 13, 40, 54)]
    [1, 4, 6, 16, 24]
    """
    steps = sorted(factor * 2**n for factor in (1, 3) for n in range(16))
    return min(steps, key=lambda step: (abs(step - duration / 2), step))


def group_name(fold: Fold) -> str:
    """KIND_SPAN: folds of one group share their samples, and a folder."""
    return f"{fold.kind}_{fold.span}"


class Emotions(NamedTuple):
    """What a network that recognizes as well learns of the marked intervals."""

    classes: tuple[str, ...]
    labels: Mapping[str, Sequence[int]]  # Recording.key -> class of each interval, -1: none


class Architecture(NamedTuple):
    """A network by name and sizes."""

    name: str  # of `models.networks()`
    sizes: Mapping[str, Any]
    outputs: int = 1

    def build(self, shape: Sequence[int]) -> Callable[[nnx.Rngs], nnx.Module]:
        """A function that makes the network for samples of `shape` from its random streams."""
        return lambda rngs: models.create(
            self.name, num_classes=self.outputs, rngs=rngs, shape=tuple(shape), **self.sizes
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
    """A fold's trained network: scores the frames of any recording."""

    sampling: Sampling
    architecture: Architecture
    normalize: str
    weights: Mapping[str, np.ndarray]  # dotted path -> values, "params.", "model_state.", ...
    kind: str  # of the expressions

    @runtime.pinned()
    def samples(self, inputs: np.ndarray) -> np.ndarray:
        """[M, H, W, C] samples of `samples.stream` -> [M, K] outputs."""
        if not len(inputs):
            return np.zeros((0, self.architecture.outputs), np.float32)
        shape = inputs.shape[1:]
        name, sizes = self.architecture.name, self.architecture.sizes
        sizes_key = tuple(sorted(sizes.items()))
        apply, like = _apply(name, sizes_key, self.architecture.outputs, shape, self.normalize)
        leaves = initialization.named_leaves(like).items()
        needed = {path: leaf.shape for path, leaf in leaves if leaf.dtype == np.float32}
        if needed != {path: array.shape for path, array in self.weights.items()}:
            raise UserError(
                f"the weights are not those of {name} for samples of {shape}; run the job again"
            )
        trees = initialization.replace_leaves(like, self.weights)
        found = []
        for begin in range(0, len(inputs), _BATCH):
            part = inputs[begin : begin + _BATCH]
            padded = np.concatenate([part, np.zeros((_BATCH - len(part), *shape), part.dtype)])
            found.append(np.asarray(apply(trees, padded.astype(np.float32)))[: len(part)])
        return np.concatenate(found)

    @runtime.pinned()
    def evidence(self, recording: Recording) -> np.ndarray:
        """The evidence of every frame, as `samples.of_frames`, streamed in constant memory."""
        parts = [(at, self.samples(x)) for at, x in samples.stream(recording, self.sampling)]
        return self.of_frames(parts, recording.length)

    def of_frames(self, parts: Iterable[tuple[np.ndarray, np.ndarray]], length: int) -> np.ndarray:
        """`samples.of_frames` of this network's outputs."""
        return samples.of_frames(parts, length, self.sampling, kind=self.kind)


@functools.lru_cache(maxsize=16)
def _apply(
    name: str, sizes: tuple, outputs: int, shape: tuple[int, ...], normalize: str
) -> tuple[Callable[[Any, Any], jax.Array], dict[str, Any]]:
    """(compiled (trees, samples [B, ...]) -> scores [B, K], the trees of a fresh network)."""
    network = Architecture(name, dict(sizes), outputs).build(shape)(nnx.Rngs(0))
    network.eval()
    graph, *trees = nnx.split(network, nnx.Param, ...)
    params, model_state = map(nnx.as_pure, trees)
    examples = samples.examples(
        np.zeros((1, *shape), np.float32), normalize=normalize, mirror=False
    )
    statistics = examples.fit_statistics(examples.inputs, jnp.ones(1))
    like = {
        "params": params,
        "model_state": model_state,
        "statistics": statistics,
    }

    @jax.jit
    def apply(trees, inputs):
        x = jax.vmap(examples.eval_transform, (0, None))(inputs, trees["statistics"])
        return nnx.merge(graph, trees["params"], trees["model_state"])(x)

    return apply, like


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """The networks of all folds of a job, and what they say of its recordings."""

    folds: Sequence[Fold]  # without their p
    scorers: Mapping[str, Scorer]  # Fold.name -> its network
    chosen_on: Mapping[str, Sequence[int]]  # Fold.name -> recordings whose intervals choose p
    # (fold, index of a recording) -> [T], or [T, 3] of "regions"
    evidence: Callable[[Fold, int], np.ndarray]
    # Likewise, [T] the class of the sample nearest to each frame; of a network with emotions
    emotion: Callable[[Fold, int], np.ndarray]
    results: Mapping[str, Result]  # KIND_SPAN -> what its folds recorded
    leaks: Sequence[leakage.Leak]  # such as one recording under two names


@checked
@runtime.pinned()
def train(
    recordings: Sequence[Recording],
    architecture: Architecture,
    settings: Settings,
    folder: pathlib.Path,
    *,
    kinds: Sequence[str] = KINDS,
    emotions: Emotions | None = None,
    span: int = 0,
    pairs: str = "two",
    stride: int = 0,
    size: tuple[int, int] = (64, 64),
    map_size: tuple[int, int] = (42, 42),
    preset: str = "horn_schunck",
    head: str = "affine",
    radius: int = 5,
    landmarks: str = "",
    normalize: str = "training",
    mirror: bool = True,
    reverse: bool = False,
    targets: str = "overlap",
    drop_zeros: float = 0.0,
    parallel: Parallel | None = None,
    fingerprint: Mapping[str, Any] | None = None,
    checkpoint_seconds: float = 20.0,
    should_stop: Callable[[], bool] | None = None,
    quiet: bool = True,
) -> Trained:
    """Trains a network for each subject, on the others, and kind.

    A network of the pairs "regions" scores both kinds, and is trained once for them.

    Args:
      recordings, kinds: as in `plan`.
      architecture: of the network.
      settings: how to train.
      folder: gets a folder of each kind and span: weights, checkpoints, learning curves.
      emotions: of a network that recognizes as well (SFAMNet): its first output is the score, the
        others are these classes and neutral; the loss is "spot_recognize".
      span: a published one (frames); 0: `grid` of the training subjects' mean duration (of
        "regions" 256).
      pairs, size, map_size, preset, head, radius, landmarks: as in `samples.Sampling`.
      stride: frames from one sample to the next; 0: a sixth of the span, and 2 or more.
      normalize, mirror, reverse: as in `samples.examples`.
      targets: a member of `samples.TARGETS`: "overlap" of the sample's frames with an expression;
        "any", 1 where there is an overlap, as in SOFTNet's code; "soft", `targets.soft_labels` of
        the sample's own frame (MTSN); "boundaries", `targets.boundaries` of the frames of a window
        (PEM, AUW-GCN: of the pairs "regions" alone, with the loss "boundary_focal").
      drop_zeros: share of the training samples without overlap that a fold leaves out at random.
      parallel, fingerprint, checkpoint_seconds, should_stop: as in `training.fit`.
      quiet: no progress.

    Raises:
      UserError: a recording that is shorter than a sample, settings that select on test subjects.
      training.Interrupted: see `should_stop`.
    """
    _check(settings)
    if (pairs == samples.REGIONS) != (targets == "boundaries"):
        raise UserError("evidence.pairs='regions' and evidence.targets='boundaries' go together")
    own_loss = ":" in settings.loss
    if not own_loss and (settings.loss == "boundary_focal") != (targets == "boundaries"):
        raise UserError("train.loss='boundary_focal' and evidence.targets='boundaries' go together")
    if (settings.loss == "spot_recognize") != (emotions is not None):
        raise UserError("train.loss='spot_recognize' and recognition.spotter=True go together")
    if reverse and pairs != "two":
        raise UserError(f"evidence.reverse is for pairs 'two'; those of this job are {pairs!r}")
    storage = example_cache.stage().storage
    scorers: dict[str, Scorer] = {}
    chosen_on: dict[str, Sequence[int]] = {}
    curves: dict[tuple[str, int], np.ndarray] = {}
    emotion_at: dict[tuple[str, int], np.ndarray] = {}
    results: dict[str, Result] = {}
    leaks: list[leakage.Leak] = []
    window = _WINDOW if pairs == samples.REGIONS else 0
    folds = plan(recordings, kinds=kinds, span_of=lambda mean: span or window or grid(mean))
    networks = dict.fromkeys(network_of(fold, pairs) for fold in folds)  # each is trained once
    # Of "regions" there is one group, and the landmarks are those of the frames as they are.
    small = recordings if window else samples.resized(recordings, size, storage)
    for kind, step in dict.fromkeys((fold.kind, fold.span) for fold in networks):
        group = [fold for fold in networks if (fold.kind, fold.span) == (kind, step)]
        sampling = _sampling(step, pairs, stride, size, map_size, preset, head, radius, landmarks)
        inputs, found = _collected(small, sampling, storage)
        label = functools.partial(TARGETS[targets], kind=kind, offsets=sampling.offsets)
        pairs_of = zip(recordings, found)
        labels = np.concatenate([label(video, frames) for video, (frames, _) in pairs_of])
        labels = targeted = labels.reshape(len(labels), -1)
        if emotions:
            parts = [
                samples.emotions(
                    video, frames, kind=kind, offsets=sampling.offsets,
                    classes=emotions.labels[video.key], count=len(emotions.classes),
                )
                for video, (frames, _) in zip(recordings, found)
            ]  # fmt: skip
            labels = np.concatenate([labels, np.concatenate(parts)], axis=1)
        network = architecture._replace(outputs=labels.shape[1])
        rows = _folds(recordings, found, group, targeted, settings, drop_zeros)
        examples = samples.examples(
            inputs, normalize=normalize, mirror=mirror, reverse=reverse, pairs=pairs
        )
        name = f"{kind}_{step}"
        _fit(
            examples, labels, rows, settings, network, folder / name, results,
            parallel=parallel,
            fingerprint={**(fingerprint or {}), "samples": saving.digest(inputs, labels)},
            checkpoint_seconds=checkpoint_seconds,
            should_stop=should_stop,
            quiet=quiet,
        )  # fmt: skip
        save_audit(folder / name, recordings, found, rows, targeted, results[name])
        # Still frames of two recordings may be equal; two recordings may not.
        contents = [digest for _, x in found for digest in [saving.digest(x)] * len(x)]
        leaks += leakage.check(settings, rows, results[name], contents)
        starts = np.cumsum([0, *(len(x) for _, x in found)])
        validated = dict(zip(group, rows.validation))
        for fold in folds:
            if (own := network_of(fold, pairs)) not in validated:
                continue
            weights = read_weights(folder / name, own.name)
            scorer = Scorer(sampling, network, normalize, weights, fold.kind)
            scorers[fold.name] = scorer
            of_validation = [at for at, start in enumerate(starts[:-1]) if validated[own][start]]
            train_on = [
                at for at, video in enumerate(recordings) if video.subject_key != fold.subject
            ]
            judged = any(recordings[at].of_kind(fold.kind) for at in of_validation)
            chosen_on[fold.name] = of_validation if judged else train_on
            for at, (frames, x) in enumerate(found):
                if at in chosen_on[fold.name] or at not in train_on:
                    outputs, length = scorer.samples(x), recordings[at].length
                    curves[fold.name, at] = scorer.of_frames([(frames, outputs)], length)
                    if emotions:
                        of_frames = samples.emotions_of_frames([(frames, outputs)], length)
                        emotion_at[fold.name, at] = of_frames.argmax(1)
        del found, inputs, examples  # before the samples of the next span are computed
    evidence = lambda fold, at: curves[fold.name, at]
    emotion = lambda fold, at: emotion_at[fold.name, at]
    return Trained(folds, scorers, chosen_on, evidence, emotion, results, leaks)


def _sampling(span, pairs, stride, size, map_size, *others) -> Sampling:
    stride = stride or max(2, span // 6)
    return Sampling(span, pairs, stride, tuple(size), tuple(map_size), *others)


def network_of(fold: Fold, pairs: str) -> Fold:
    """A fold's own network by kind and span; of "regions" the one of its subject."""
    if pairs != samples.REGIONS:
        return fold
    return Fold(fold.subject, "both", 0, 0, 0, fold.span, fold.fps)


def sampling_of(options: Mapping[str, Any], span: int) -> Sampling:
    """The samples of a span (frames), by the options of `train`."""
    names = ("pairs", "stride", "size", "map_size", "preset", "head", "radius", "landmarks")
    return _sampling(span, *(options[name] for name in names))


def read(folder: pathlib.Path, fold: Fold, architecture: Architecture, **options: Any) -> Scorer:
    """The trained network of `fold`, from the folder and with the options of `train`.

    Raises `UserError` if its weights are damaged or missing.
    """
    sampling = sampling_of(options, fold.span)
    own = network_of(fold, sampling.pairs)
    weights = read_weights(folder / group_name(own), own.name)
    if sampling.pairs == samples.REGIONS:
        outputs = len(frames_targets.OUTPUTS) * sampling.shape[0]
        architecture = architecture._replace(outputs=outputs)
    return Scorer(sampling, architecture, options["normalize"], weights, fold.kind)


def _check(settings: Settings) -> None:
    """Raises `UserError` for settings that spotting does not have."""
    if settings.as_published:
        raise UserError(
            "spotting selects nothing on test subjects: train.model_selection is 'last' or "
            "'best_val', and train.statistics_on_all_clips False"
        )
    if settings.init_from:
        raise UserError(
            "spotting trains its networks from fresh weights; leave train.init_from empty"
        )
    if len(settings.variants) > 1:
        raise UserError("spotting trains one seed and learning rate a job; run it again for others")


def _collected(
    recordings: Sequence[Recording], sampling: Sampling, storage: large_arrays.Storage
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """(samples [N, H, W, C], of each recording its frames [M] and its part [M, H, W, C] of them).

    The samples of a recording are copied to their rows: all are in memory once, or mapped.
    """
    frames = [samples.frames_of(video, sampling) for video in recordings]
    ends = np.cumsum([len(each) for each in frames])
    model = sampling.landmarks and saving.digest(pathlib.Path(sampling.landmarks).read_bytes())
    computed = per_recording.compute(
        recordings, samples.collected, sampling._asdict(), group="samples", depends_on=model
    )
    rows, begin = np.zeros(0), 0
    for entry in computed:
        maps = entry["maps"]
        if not begin:
            shape = (int(ends[-1]), *maps.shape[1:])
            rows = large_arrays.empty(shape, maps.dtype, storage=storage)
        rows[begin : begin + len(maps)] = maps
        begin += len(maps)
    return rows, list(zip(frames, np.split(rows, ends[:-1])))


def _folds(
    recordings: Sequence[Recording],
    found: Sequence[tuple[np.ndarray, np.ndarray]],
    group: Sequence[Fold],
    labels: np.ndarray,
    settings: Settings,
    drop_zeros: float,
) -> Folds:
    """The folds over samples: the test subject's are tested, all others' trained on."""
    subjects = [video.subject_key for video, (at, _) in zip(recordings, found) for _ in at]
    test = np.array([np.array(subjects) == fold.subject for fold in group])
    folds = Folds(
        names=tuple(fold.name for fold in group),
        clips=tuple(f"{v.key}@{at}" for v, (frames, _) in zip(recordings, found) for at in frames),
        subjects=tuple(subjects),
        train=~test,
        test=test,
        validation=np.zeros_like(test),
    )
    if settings.validation:
        folds = with_validation(folds, fraction=settings.validation, seed=settings.seed)
    if not drop_zeros:
        return folds
    return _without_zeros(folds, labels, settings, drop_zeros)


def _without_zeros(folds: Folds, labels: np.ndarray, settings: Settings, share: float) -> Folds:
    """Folds that leave out a share of the training samples without overlap, at random."""
    zero, keep = labels.max(1) <= 0, []
    for name in folds.names:
        key = rng.fold_in_name(rng.fold_key(settings.seed, name), "drop zeros")
        keep.append(~zero | (np.asarray(jax.random.uniform(key, zero.shape)) >= share))
    return dataclasses.replace(folds, train=folds.train & np.stack(keep))


def save_audit(
    folder: pathlib.Path,
    recordings: Sequence[Recording],
    found: Sequence[tuple[np.ndarray, np.ndarray]],
    rows: Folds,
    labels: np.ndarray,
    result: Result,
) -> None:
    """Writes what `replay` reads: the folds over recordings, and what was recorded of samples."""
    counts = [len(frames) for frames, _ in found]
    starts = np.cumsum([0, *counts[:-1]])
    test, validation = rows.test[:, starts], rows.validation[:, starts]
    folds = Folds(
        rows.names,
        tuple(video.key for video in recordings),
        tuple(video.subject_key for video in recordings),
        train=~(test | validation),
        test=test,
        validation=validation,
    )
    saving.write_json(folder / "folds.json", folds.to_json() | {"samples": counts})
    leakage.save_audit(folder / "audit.npz", labels, 1, result)


@checked
def replay(
    folder: pathlib.Path, settings: Settings, *, drop_zeros: float = 0.0
) -> tuple[Folds, list[str]]:
    """Draws the batches of a finished group of folds again, as `leakage.replay`.

    Args:
      folder: of a kind and span, FOLDER/KIND_SPAN of `train`.
      settings, drop_zeros: as of `train`.

    Returns:
      Its folds over recordings, and one sentence for each disagreement.

    Raises:
      UserError: a file is missing or damaged.
    """
    path = folder / "folds.json"
    folds = Folds.read(path)
    counts = reading.load_json(path, _Samples).samples
    with reading.report_damage(path):
        each = np.repeat(np.arange(len(folds.clips)), counts)
    samples_of = Folds(
        folds.names,
        tuple(f"{folds.clips[at]} sample {number}" for number, at in enumerate(each)),
        tuple(folds.subjects[at] for at in each),
        folds.train[:, each],
        folds.test[:, each],
        folds.validation[:, each],
    )
    if drop_zeros:
        labels = leakage.read_audit(folder / "audit.npz", samples_of)["labels"]
        samples_of = _without_zeros(samples_of, labels, settings, drop_zeros)
    return folds, leakage.replay(folder / "audit.npz", settings, samples_of)


def _fit(
    examples, labels, folds, settings, architecture, folder, results, *,
    parallel, fingerprint, checkpoint_seconds, should_stop, quiet,
) -> None:  # fmt: skip
    """Trains a group of folds and writes their weights to `folder`."""

    def write(members: range, state: State) -> None:
        chosen = state.best or (state.params, state.model_state)
        trees = dict(zip(("params", "model_state"), chosen), statistics=state.statistics)
        leaves = initialization.named_leaves(trees)
        # Keys and counters of dropout stay out: they are not needed to predict.
        real = {name: np.asarray(a) for name, a in leaves.items() if a.dtype == np.float32}
        for row, index in enumerate(members):
            arrays = {name: array[row] for name, array in real.items()}
            with saving.atomic(_weights_file(folder, folds.names[index])) as path:
                np.savez(path, **arrays)

    folder.mkdir(parents=True, exist_ok=True)
    with learning_curves.jsonl_writer(folder / "metrics.jsonl") as line:
        results[folder.name] = fit(
            examples,
            labels,
            [folds],
            settings,
            num_classes=architecture.outputs,
            build=architecture.build(examples.input_shape),
            parallel=parallel,
            checkpointing=Checkpointing(
                folder / "checkpoints", dict(fingerprint), checkpoint_seconds
            ),
            hooks=Hooks(lambda _, record: line(record), should_stop, quiet, write),
        )[0]


def weights_file(folder: pathlib.Path, fold: Fold, pairs: str) -> pathlib.Path:
    """The file of a fold's weights in the folder of `train`, of networks of these pairs."""
    own = network_of(fold, pairs)
    return _weights_file(folder / group_name(own), own.name)


def _weights_file(folder: pathlib.Path, name: str) -> pathlib.Path:
    return folder / f"{name.replace('/', '-').replace(' ', '-')}.npz"


def read_weights(folder: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """The weights of fold `name` in `folder`. Raises `UserError` if they are damaged or missing."""
    path = _weights_file(folder, name)
    with reading.report_damage(path), np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
