r"""Values that no option can have, given to every option there is.

    python -m tests.faults.fuzz_options --count=2000 --seed=1

Goes over each option of each method, network, protocol, of training, of the rendered faces and of
every public function of video and descriptors. Out of bounds or of a wrong kind, a value is
answered by one `UserError` of one line; within them it passes. Networks of random small sizes are
built or refused by a sentence.
"""

import dataclasses
import importlib
import inspect
import math
import pkgutil
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags
from flax import nnx

from mer_jax import (
    bounds,
    configuration,
    datasets,
    descriptors,
    methods,
    models,
    options,
    protocols,
    spotting,
    training,
)
from mer_jax import video as video_functions
from mer_jax.errors import UserError
from mer_jax.spotting import samples
from mer_jax.training import optimizers
from mer_jax.video import flow

# Keyword arguments that are no settings of a user: arrays, functions, what a caller passes on.
NO_OPTION = {
    *("onset_to_apex", "to_flow", "require_length", "choose_apex", "train"),
    *("flow_difference", "maximal_difference", "strain_difference"),
}


class Target(NamedTuple):
    """Something with options, and how one of them is given to it."""

    section: str
    name: str
    known: dict[str, Any]  # options and defaults; no default: inspect.Parameter.empty
    give: Callable[[str, Any], Any]


def targets() -> Iterator[Target]:
    """All that is created by name, and all public functions that take options."""
    create = {
        "method": (methods, lambda name, one: methods.create(name, [], **one)),
        "model": (models, _model),
        "protocol": (protocols, lambda name, one: protocols.create(name, [], np.zeros(0), **one)),
    }
    for section, (module, make) in create.items():
        for name in module.names():
            yield Target(section, name, module.options(name), _by_name(make, name))
    yield Target("data", "synthetic", datasets.options("synthetic"), _loaded)
    train = configuration.make(data="synthetic", method="flow_maps", model="ststnet").train
    yield Target("train", "", dict(train), lambda name, one: training.Settings(**{name: one}))
    network = lambda name, one: samples.NetworkEvidence(**{name: one})
    yield Target("evidence", "network", spotting.options("network"), network)
    for preset in ("classic_l", "tv_l1"):
        yield Target("", "optical_flow", dataclasses.asdict(flow.PRESETS[preset]), _flow(preset))
    for function in functions():
        known = {p.name: p.default for p in _keywords(function)}
        yield Target(_section(function), function.__name__, known, _called(function))


def functions() -> Iterator[Callable]:
    """Every public function with options of video, descriptors, protocols, methods, spotting."""
    modules = [optimizers]
    for package in (video_functions, descriptors, protocols, methods, spotting):
        found = pkgutil.iter_modules(package.__path__)
        modules += [importlib.import_module(f"{package.__name__}.{each.name}") for each in found]
    for name in ("methods.per_clip", "methods.example_cache", "spotting.per_recording"):
        modules.remove(importlib.import_module(f"mer_jax.{name}"))  # not called by users
    for module in modules:
        for name, function in vars(module).items():
            own = getattr(function, "__module__", "") == module.__name__ and name[0] != "_"
            if (
                own
                and inspect.isroutine(function)
                and name not in NO_OPTION
                and _keywords(function)
            ):
                yield function


def _keywords(function):
    given = inspect.signature(function).parameters.values()
    return [p for p in given if p.kind is p.KEYWORD_ONLY]


def _section(function) -> str:
    sections = {"methods": "method", "protocols": "protocol"}
    return sections.get(function.__module__.split(".")[1], "")


def _by_name(make, name):
    return lambda option, value: make(name, {option: value})


def _loaded(option, value):
    return datasets.load("synthetic", **{option: value})


def _flow(preset):
    return lambda option, value: flow.optical_flow(None, None, preset=preset, **{option: value})


def _model(name, one):
    if models.info(name).estimator:
        return models.create_estimator(name, **one)
    return models.create(name, num_classes=3, rngs=nnx.Rngs(0), **one)


def _called(function):
    count = sum(
        p.kind is not p.KEYWORD_ONLY for p in inspect.signature(function).parameters.values()
    )
    return lambda option, value: function(*[None] * count, **{option: value})


STRANGE: list[Any] = [
    *(-1, 0, 3, 10**5 + 1, 2**31 + 1, 2**32, 10**30, -0.5, 0.0, 1.0, 1.5, 1e30, True),
    *(math.nan, math.inf, -math.inf, np.float32("nan"), np.int64(-3), np.float64(2.5)),
    *(None, "", "zzz", "x" * 10_000, "a\nb", b"given", {}, {"a": 1}, set(), object(), print),
    *((), [], (1,), (1, 1), (1, 1, 1, 1), (0, 0), (-1, -1), (0, 0, 0), ("zzz", "zzz"), ("",)),
    *((math.nan, math.nan), (math.inf,), (None, None), ((1, 1), (1, 1)), [28.5, 28.5], (1, "a")),
]


def strange(draw: random.Random) -> Any:
    """A value of any kind."""
    kind = draw.randrange(6)
    if kind == 0:
        return draw.choice(STRANGE)
    if kind == 1:
        return draw.choice((-1, 1)) * int(10 ** draw.uniform(0, 40))
    if kind == 2:
        return draw.choice((-1, 1)) * 10 ** draw.uniform(-30, 300)
    if kind == 3:
        return "".join(map(chr, draw.choices(range(1, 0x3000), k=draw.randrange(300))))
    if kind == 4:
        return np.float32(10 ** draw.uniform(-3, 30))
    return tuple(strange(draw) for _ in range(draw.randrange(5)))


def within(bound: bounds.Bound) -> list[Any]:
    """Values of the ends of a bound and between them, read off its row."""
    least, most = bound.members
    if most:
        one = bound._replace(members=(0, 0))
        return [(value,) * max(least, 1) for value in within(one)] + [()] * (least == 0)
    if bound.choices:
        return list(bound.known)
    if bound.kind in (bool, str):
        return [True, False] if bound.kind is bool else ["", "a name"]
    low, high = (float(end) for end in bound.interval[1:-1].split(","))
    if bound.kind is int:
        return [int(low), int(high), (int(low) + int(high)) // 2, np.int64(low)]
    ends = [low] * (bound.interval[0] == "[") + [high] * (bound.interval[-1] == "]")
    return [*ends, (low + high) / 2, np.float32((low + high) / 2)]


def refused(target: Target, option: str, value: Any) -> str:
    """'' where the value is answered by one sentence, else what came instead."""
    shown = f"{target.section} {target.name} {option}={value!r:.60}"
    try:
        target.give(option, value)
    except UserError as error:
        words = str(error)
        good = len(words) < 400 and "\n" not in words and option in words
        return "" if good else f"{shown}: {words[:500]}"
    except BaseException as error:
        return f"{shown}: {type(error).__name__}: {error}"
    return f"{shown}: taken"


def wrong_values(target: Target, option: str, values: list[Any]) -> list[Any]:
    """Those of `values` that the option may not have."""
    row, default = bounds.bound(target.section, target.name, option), target.known[option]
    return [
        value
        for value in values
        if not (row is None or row.fits(options.to_python(value)) or (value is default is None))
    ]


def network(draw: random.Random, name: str) -> str:
    """'' where a network of small random sizes answers, or is refused by a sentence."""
    sizes: dict[str, Any] = {}
    for option in models.options(name):
        row = bounds.bound("model", name, option)
        assert row is not None
        small = {int: list(range(1, 7)), float: [0.01, 0.1, 0.3]}.get(row.kind)
        some = within(row._replace(members=(0, 0))) if row.choices or not small else small
        values = tuple(draw.choice(some) for _ in range(row.members[0] or 1))
        value = values if row.members[1] else values[0]
        if row.fits(value) and draw.random() < 0.7:
            sizes[option] = value
    shape = options.defaults(models.info(name).load())["shape"]
    tall = draw.choice((1, 2, 5, 9, 17, 33, 65, 140))
    sides = [draw.choice((1, 2, 3, 6, 13, tall)) if draw.random() < 0.5 else tall for _ in shape]
    sizes["shape"] = (*sides[:-1], shape[-1])

    def answer():
        made = models.create(name, num_classes=3, rngs=nnx.Rngs(0), **sizes)
        shapes = made.input_shape
        each = lambda shape: jax.numpy.zeros((2, *shape))
        x = {k: each(s) for k, s in shapes.items()} if isinstance(shapes, dict) else each(shapes)
        return made(x)

    try:
        out = nnx.eval_shape(answer)
    except UserError as error:
        return (
            "" if "\n" not in str(error) and len(str(error)) < 400 else f"{name} {sizes}: {error}"
        )
    except Exception as error:
        return f"{name} {sizes}: {type(error).__name__}: {str(error)[:300]}"
    return "" if out.shape == (2, 3) else f"{name} {sizes}: gives {out.shape}"


def main(_: list[str]) -> None:
    """Fuzzes; prints what was not answered by a sentence."""
    draw = random.Random(flags.FLAGS.seed)
    every = [(target, option) for target in targets() for option in target.known]
    tried, built, found = 0, 0, []
    while tried < flags.FLAGS.count:
        target, option = draw.choice(every)
        for value in wrong_values(target, option, [strange(draw)]):
            tried += 1
            found.append(refused(target, option, value))
            if tried % 50 == 0:
                built += 1
                found.append(network(draw, draw.choice(models.networks())))
    found = list(filter(None, found))
    print(f"{tried} values for {len(every)} options, {built} networks; of these {len(found)} fail")
    print("\n".join(found))
    raise SystemExit(bool(found))


if __name__ == "__main__":
    flags.DEFINE_integer("count", 10_000, "Values to try.")
    flags.DEFINE_integer("seed", 0, "Of what is drawn.")
    app.run(main)
