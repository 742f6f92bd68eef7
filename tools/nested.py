"""Chooses among recipes by inner validation, and scores the choice on subjects that it did not see.

    python -m tools.nested experiments/sweeps/flow_recipes.py --data_root=DIR --results=runs/nested

Every row of the sweep is a recipe. The subjects are divided into five parts, and each recipe is
trained once without each pair of parts: for either part of a pair the other one is validation. For
each part the recipes are ranked by the UF1 of the clips of all other parts, and the committee of
the 1, 3, 5 or 9 first with the best UF1 there is chosen; a committee predicts by the mean
probability of its members. Each subject is then tested by the committee of its part, trained on all
other subjects. No clip of a subject has a part in the choice of its recipes or in their training:
the final score is strict leave-one-subject-out of the search and the training together.

RESULTS gets trials.md (each recipe's validation scores), and, with --final, the predictions and
scores of a run: `tools.leaderboard` reads it. Finished trainings are not run again.
"""

import itertools
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from mer_jax import (
    configuration,
    experiment,
    leakage,
    metrics,
    models,
    protocols,
    runtime,
    sweep,
    training,
)
from mer_jax.cli import command
from mer_jax.clips import Clip
from mer_jax.errors import UserError
from mer_jax.io import reading, saving
from mer_jax.metrics import Predictions
from mer_jax.protocols import Folds
from mer_jax.reporting import comparison, outputs
from mer_jax.reporting.page import score_text
from mer_jax.training import estimators, initialization

_DATA_ROOT = flags.DEFINE_string("data_root", "", "data.root of every row.")
_RESULTS = flags.DEFINE_string("results", "runs/nested", "Folder to write to, or to resume in.")
_ROWS = flags.DEFINE_string("rows", "", "Rows whose names match this regular expression.")
_FINAL = flags.DEFINE_integer("final", 0, "Seeds of the final training; 0: choose only.")
PARTS = 5
COMMITTEES = (1, 3, 5, 9)


class Recipes(NamedTuple):
    """The rows of a sweep, over the clips that they have in common."""

    configs: Mapping[str, ConfigDict]
    clips: Sequence[Clip]  # N
    labels: np.ndarray  # [N] int
    classes: tuple[str, ...]  # K
    part: np.ndarray  # [N] int, part of each clip's subject


def read(path: str | pathlib.Path, *, root: str = "", only: str = "") -> Recipes:
    """The recipes of a sweep.

    Raises `UserError` if the file has no rows, or they are of other data.
    """
    rows = sweep.rows(path, only=only)
    overrides = {"data.root": root} if root else {}
    configs = {name: sweep.configured(row, overrides) for name, row in rows.items()}
    if not configs:
        raise UserError(f"{path} has no rows")
    data = [configuration.to_dict(config)["data"] for config in configs.values()]
    if any(each != data[0] for each in data):
        raise UserError("the recipes must have the same data section")
    clips, labels, classes = experiment.prepare_clips(next(iter(configs.values())))
    parts = protocols.create("k_fold", clips, labels, folds=PARTS)
    return Recipes(configs, clips, labels, classes, parts.test.argmax(0))


def pairs(folds: Folds, part: np.ndarray) -> Folds:
    """Folds that test each pair of the parts [N], over the clips of `folds`."""
    tested = list(itertools.combinations(np.unique(part).tolist(), 2))
    test = np.stack([np.isin(part, both) for both in tested])
    return Folds(
        names=tuple("-".join(map(str, both)) for both in tested),
        clips=folds.clips,
        subjects=folds.subjects,
        train=~test,
        test=test,
        validation=np.zeros_like(test),
    )


def validation(probabilities: np.ndarray, folds: Folds, part: np.ndarray) -> np.ndarray:
    """[P, N, K]: for each part the probabilities of all clips of other parts, NaN for its own.

    Args:
      probabilities: [F, N, K], of the folds of `pairs`.
      folds: of `pairs`.
      part: [N].
    """
    names = np.unique(part)
    out = np.full((len(names), *probabilities.shape[1:]), np.nan, np.float32)
    for fold, test in zip(probabilities, folds.test):
        both = np.unique(part[test])
        for own, other in (both, both[::-1]):
            rows = part == other
            out[np.flatnonzero(names == own)[0], rows] = fold[rows]
    return out


def uf1(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Of the clips with probabilities [N, K]; NaN: not one of them."""
    rows = np.isfinite(probabilities).all(-1)
    predicted = probabilities[rows].argmax(-1)
    table = metrics.confusion(labels[rows], predicted, num_classes=probabilities.shape[-1])
    return float(metrics.scores(table)["uf1"])


def choose(
    found: Mapping[str, np.ndarray], labels: np.ndarray
) -> list[tuple[tuple[str, ...], float]]:
    """The committee of each part and its validation UF1.

    Args:
      found: `validation` of each recipe.
      labels: [N].
    """
    chosen = []
    for number in range(len(next(iter(found.values())))):
        each = {name: uf1(values[number], labels) for name, values in found.items()}
        ranked = sorted(each, key=lambda name: -each[name])
        best: tuple[tuple[str, ...], float] = ((), -1.0)
        for count in COMMITTEES:
            members = tuple(ranked[:count])
            score = uf1(np.mean([found[name][number] for name in members], axis=0), labels)
            if score > best[1]:
                best = members, score
        chosen.append(best)
    return chosen


def predict(
    recipes: Recipes, name: str, folds: Folds, *, seed: int, folder: pathlib.Path, cache: dict
) -> np.ndarray:
    """[F, N, K] float32: the probabilities of the tested clips of each fold, NaN elsewhere.

    Trains one recipe, unless `folder` has the result. Raises `leakage.LeakError` if a test clip was
    trained on, and `UserError` if the recipe is not strict.
    """
    config = ConfigDict(configuration.to_dict(recipes.configs[name]))
    is_network = not models.info(config.model.name).estimator
    config.train.seed = seed if is_network else 0  # the others have no seed
    settings = configuration.check(config)
    if settings.validation or len(settings.variants) > 1:
        raise UserError(
            f"recipe {name!r}: train.validation, seeds and learning_rates are not for recipes"
        )
    examples = experiment.prepare_examples(config, recipes.clips, cache)
    digests = experiment.example_digests(recipes.clips, examples.inputs)
    sizes, count = configuration.options_of(config, "model"), len(recipes.classes)
    network = lambda rngs: models.create(
        config.model.name, num_classes=count, rngs=rngs, shape=examples.input_shape, **sizes
    )
    initial: dict[str, np.ndarray] = {}
    if settings.init_from:
        found = initialization.read(settings.init_from, network)
        if isinstance(found, list):
            raise UserError(f"recipe {name!r}: train.init_from has weights of other folds")
        initial = dict(found)
    key = saving.digest(
        "".join(digests),
        recipes.labels,
        json.dumps([configuration.to_dict(config)[part] for part in ("data", "method", "model")]),
        json.dumps(configuration.to_dict(config)["train"]),
        folds.fingerprint,
        *initial,
        *initial.values(),
    )[:12]
    path = folder / f"{sweep.folder(name)}-{key}.npz"
    if path.exists():
        shape = len(folds), len(recipes.clips), count
        return reading.load_arrays(path, {"probabilities": ("f", shape)})["probabilities"]
    if is_network:
        (result,) = training.fit(
            examples,
            recipes.labels,
            [folds],
            settings,
            num_classes=count,
            build=network,
            initial_weights=initial,
        )
    else:
        build = lambda: models.create_estimator(config.model.name, **sizes)
        result = estimators.fit(examples, recipes.labels, folds, build, num_classes=count)
    if leaks := leakage.check(settings, folds, result, digests):
        raise UserError(f"recipe {name!r} is not strict: {leaks[0].reason}")
    if result.diverged:
        print(f"{name}: training diverged in {', '.join(result.diverged)}", file=sys.stderr)
    # A network that diverged predicts nothing: all classes alike.
    finite = np.isfinite(result.probabilities)
    found = np.where(finite, result.probabilities, np.float32(1 / count))
    out = np.full((len(folds), len(recipes.clips), count), np.nan, np.float32)
    for fold, index, test, values in zip(out, result.eval_index, result.test, found):
        fold[index[test]] = values[test]
    with saving.atomic(path) as temporary:
        np.savez_compressed(temporary, probabilities=out)
    return out


def final(
    recipes: Recipes,
    committees: Sequence[Sequence[str]],
    *,
    seed: int,
    folder: pathlib.Path,
    cache: dict,
) -> Predictions:
    """Each subject's clips by the committee of its part, trained on all other subjects."""
    loso = protocols.create("loso", recipes.clips, recipes.labels)
    part_of_fold = np.array([recipes.part[test.argmax()] for test in loso.test])
    total = np.zeros((len(recipes.clips), len(recipes.classes)), np.float64)
    for name in dict.fromkeys(itertools.chain(*committees)):
        parts = [number for number, members in enumerate(committees) if name in members]
        folds = loso.take(np.flatnonzero(np.isin(part_of_fold, parts)).tolist())
        found = predict(recipes, name, folds, seed=seed, folder=folder, cache=cache)
        total += np.nan_to_num(found).sum(0)
    sizes = np.array([len(members) for members in committees])
    names = np.array(loso.names)[loso.test.argmax(0)]
    column = lambda field: np.array([getattr(clip, field) for clip in recipes.clips])
    return Predictions(
        recipes.classes,
        *(column("database"), column("subject"), column("name"), names),
        label=recipes.labels.astype(np.int32),
        probabilities=(total / sizes[recipes.part][:, None]).astype(np.float32),
    )


@runtime.pinned()
def run(
    recipes: Recipes, workdir: str | pathlib.Path, *, seeds: int = 0
) -> tuple[str, dict[str, Any]]:
    """Searches, and with `seeds` trains and scores the choice.

    Returns:
      trials.md, and the content of metrics.json ({} without `seeds`).
    """
    workdir, cache = pathlib.Path(workdir), dict[str, Any]()
    shared: dict[str, Any] = {"folder": workdir / "trainings", "cache": cache}
    folds = pairs(protocols.create("loso", recipes.clips, recipes.labels), recipes.part)
    found = {}
    for number, name in enumerate(recipes.configs, 1):
        print(f"{number} of {len(recipes.configs)}: {name}", file=sys.stderr, flush=True)
        values = predict(recipes, name, folds, seed=0, **shared)
        found[name] = validation(values, folds, recipes.part)
    chosen = choose(found, recipes.labels)
    text = _trials(found, chosen, recipes.labels)
    saving.write(workdir / "trials.md", text)
    if not seeds:
        return text, {}
    committees = [members for members, _ in chosen]
    kinds = {recipes.configs[name].model.name for members in committees for name in members}
    if all(models.info(kind).estimator for kind in kinds):
        seeds = 1  # they have none
    each = [final(recipes, committees, seed=seed, **shared) for seed in range(seeds)]
    return text, _write(workdir, each, committees, recipes)


def _write(
    workdir: pathlib.Path,
    each: Sequence[Predictions],
    committees: Sequence[Sequence[str]],
    recipes: Recipes,
) -> dict[str, Any]:
    """Writes the files of a run that `tools.leaderboard` and `mer-jax score` read."""
    names = [f"seed{number}" for number in range(len(each))]
    summaries = {
        name: metrics.summary(one, protocol="loso") | {"committees": committees}
        for name, one in zip(names, each)
    }
    summary = summaries["seed0"]
    if len(each) > 1:
        ensemble = metrics.scores_with_intervals(metrics.mean_predictions(each))
        summary["variants"] = metrics.combine_variants(summaries) | {"ensemble": ensemble}
    facts = outputs.provenance("", 0, 0.0, wall_seconds=0.0)
    # Time and memory of what was trained by an earlier call are not known.
    unknown = ("wall_seconds", "training_seconds", "peak_memory_gib")
    summary["provenance"] = {k: v for k, v in facts.items() if k not in unknown}
    train = {"epochs": 1, "model_selection": "nested", "seed": 0, "seeds": len(each)}
    first = configuration.to_dict(recipes.configs[committees[0][0]])
    config = {
        "title": "Recipes by nested validation",
        "recipes": sorted(recipes.configs),
        "data": first["data"],
        "model": {"name": first["model"]["name"]},  # of the first member
        "train": train,
    }
    for folder, one, found in zip(
        [workdir, *(workdir / "variants" / name for name in names[1:])], each, summaries.values()
    ):
        metrics.write_csv(folder / "predictions.csv", one)
        metrics.write_log(folder / "megc_log.txt", one)
        saving.write_json(folder / "config.json", config)
        saving.write_json(folder / "metrics.json", found)
    return summary


def _trials(
    found: Mapping[str, np.ndarray], chosen: Sequence[tuple[Sequence[str], float]], labels
) -> str:
    """The validation UF1 of each recipe, for each part; the best first. Then what was chosen."""
    rows = {name: [uf1(part, labels) for part in values] for name, values in found.items()}
    order = sorted(rows, key=lambda name: -float(np.mean(rows[name])))
    parts = [f"part {number + 1}" for number in range(len(chosen))]
    cells = [["recipe", "mean", *parts]]
    cells += [[name, *(f"{v:.4f}" for v in (np.mean(rows[name]), *rows[name]))] for name in order]
    cells.append(
        [
            "committee",
            *(f"{v:.4f}" for v in (np.mean([s for _, s in chosen]), *(s for _, s in chosen))),
        ]
    )
    notes = [f"{part}: {', '.join(members)}" for part, (members, _) in zip(parts, chosen)]
    return comparison.markdown(cells, notes=notes)


def main(argv: list[str]) -> None:
    """Prints the trials, and with --final the scores."""
    if len(argv) != 2:
        raise UserError("name one sweep, a file of recipes")
    recipes = read(argv[1], root=_DATA_ROOT.value, only=_ROWS.value)
    text, summary = run(recipes, _RESULTS.value, seeds=_FINAL.value)
    print(text)
    for name in ("uf1", "uar") if summary else ():
        print(f"{name}: {score_text(summary['overall'][name])}")
        if "variants" in summary:
            print(f"  seeds: {score_text(summary['variants']['overall'][name])}")
            print(f"  ensemble: {score_text(summary['variants']['ensemble'][name])}")


if __name__ == "__main__":
    raise SystemExit(command.run(command.start, sys.modules[__name__], sys.argv))
