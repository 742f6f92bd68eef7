"""Options of functions: their defaults, read off the signatures, and the bounds of their values.

`BOUNDS` is the one table of what an option's value may be, by the option's name. Where a name means
two things, the row of the function ("psn.frames") or of its room ("data.frames") comes first.
Everything that is created by name goes through `check`; public functions that take options are
`checked`. What lies between several options or depends on arrays, the functions look after.
"""

import functools
import importlib
import inspect
import math
import numbers
import os
import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from mer_jax.errors import UserError, unknown_name
from mer_jax.io.reading import MAX_NUMBER

_F = TypeVar("_F", bound=Callable)


class Bound(NamedTuple):
    """What the value of an option may be."""

    kind: type  # bool, int, float or str; object: anything
    interval: str = ""  # of numbers, as in "[0, 1)"
    choices: tuple | str = ()  # these alone; a str names what holds them, below mer_jax
    members: tuple[int, int] = (0, 0)  # members of a tuple, least and most; (0, 0): one value
    open: bool = False  # whether a user's own "package.module:Name" passes too

    @property
    def known(self) -> tuple:
        """The choices themselves."""
        if isinstance(self.choices, tuple):
            return self.choices
        module, _, name = self.choices.rpartition(".")
        found = getattr(importlib.import_module(f"mer_jax.{module}"), name)
        return tuple(found() if callable(found) else found)

    @property
    def words(self) -> str:
        """What follows "it must be"."""
        least, most = self.members
        if most:
            how = str(least) if least == most else f"{least} or more" if least else "any number"
            each = self._replace(members=(0, 0)).words
            return f"a tuple of {how}, each {each}"
        if self.choices:
            return " or ".join(map(repr, self.known))
        if self.kind in (bool, str):
            return "True or False" if self.kind is bool else "text"
        if not self.interval:
            return "a whole number" if self.kind is int else "a number"
        left, low, high, right = _ends(self.interval)
        ends = [f"above {low:g}" if left else f"{_shown(low)} or more"] * (low > -math.inf)
        ends += [f"{'below' if right else 'at most'} {_shown(high)}"] * (high < math.inf)
        return ", ".join(["a whole number" if self.kind is int else "a number", " and ".join(ends)])

    def fits(self, value: Any) -> bool:
        """Whether it may be `value`, a plain Python one."""
        least, most = self.members
        if most:
            one = self._replace(members=(0, 0))
            inside = isinstance(value, tuple) and least <= len(value) <= most
            return inside and all(map(one.fits, value))
        if self.kind is object:
            return True
        wanted: Any = {int: numbers.Integral, float: numbers.Real}.get(self.kind, self.kind)
        if not isinstance(value, wanted) or isinstance(value, bool) != (self.kind is bool):
            return False
        if self.choices:
            return value in self.known or (self.open and ":" in value)
        return self.kind in (bool, str) or not self.interval or _inside(value, self.interval)


@functools.cache
def _ends(interval: str) -> tuple[bool, float, float, bool]:
    """(open, least, most, open) of "[0, 1)"."""
    low, high = interval[1:-1].split(",")
    return interval[0] == "(", float(low), float(high), interval[-1] == ")"


def _inside(value: float, interval: str) -> bool:
    if not abs(value) < MAX_NUMBER:  # no number too
        return False
    left, low, high, right = _ends(interval)
    return (low < value if left else low <= value) and (value < high if right else value <= high)


def _shown(end: float) -> str:
    return str(int(end)) if end.is_integer() and end < 1e12 else f"{end:g}"


_flag, _text = Bound(bool), Bound(str)
_SOME, _ANY = (1, 1000), (0, 1000)


def _whole(interval: str, **more: Any) -> Bound:
    return Bound(int, interval, **more)


def _real(interval: str, **more: Any) -> Bound:
    return Bound(float, interval, **more)


def _one_of(*choices: Any, kind: type = str) -> Bound:
    """Of these; a single one with a dot in it names what holds them."""
    named = len(choices) == 1 and "." in str(choices[0])
    return Bound(kind, choices=choices[0] if named else choices)


def _several(bound: Bound, count: int | tuple[int, int]) -> Bound:
    return bound._replace(members=(count, count) if isinstance(count, int) else count)


def _free(why: str) -> Bound:
    """No value to be bound: an array, a function, ...; `why` is for who reads the table."""
    del why
    return Bound(object)


# Frames, pixels of a side, units: more is a slip, and fills the memory. Larger numbers that mean
# something (pixels of an image, seeds, epochs) have their own ends.
_LENGTH = _whole("[1, 100000]")
_POSITIVE, _NOT_NEGATIVE = _real("(0, 1e6]"), _real("[0, 1e15]")
_SHARE = _real("[0, 1]")
_SEED = _whole(f"[0, {2**32 - 1}]")
_SIDES = _several(_LENGTH, 2)

BOUNDS: dict[str, Bound] = {
    # data
    "root": _text,
    "label_scheme": _one_of("datasets.labels.schemes"),
    "permute_labels": _flag,
    "camera": _text,  # the reader knows which there are, as of `images`, `kind`, `light` and `part`
    "images": _text,
    "kind": _text,
    "light": _text,
    "part": _text,
    "index": _text,
    "data.labels": _text,
    "exclude": _several(_text, (0, 10**5)),
    "allow_mismatch": _flag,
    "skip_source_check": _flag,
    "amplitude": _several(_real("[0, 2.5]"), 2),  # px: above it, a unit folds the skin
    "appearance_leak": _SHARE,
    "blinks": _SHARE,
    "clips_per_subject": _LENGTH,
    "distractors": _several(_one_of("datasets.synthetic.long_videos.DISTRACTORS"), _ANY),
    "drift": _real("[0, 8]"),
    "emotions": _several(_one_of("datasets.synthetic.expressions.EMOTIONS"), _SOME),
    "flicker": _real("[0, 1)"),
    "data.frames": _several(_whole("[8, 100000]"), 2),
    "macro": _whole("[0, 1000]"),
    "macro_amplitude": _several(_real("[0, 2.5]"), 2),
    "micro": _whole("[0, 1000]"),
    "noise": _SHARE,
    "recordings_per_subject": _LENGTH,
    "data.size": _several(_whole("[16, 100000]"), 2),
    "subjects": _LENGTH,
    # several rooms
    "fps": _POSITIVE,
    "gray": _flag,
    "length": _LENGTH,
    "seconds": _real("(0, 100000]"),
    "seed": _SEED,
    "repeats_per_epoch": _whole("[1, 1000000]"),
    # methods, video, descriptors
    "align": _flag,
    "alpha": _real("[0, 10000]"),
    "alphas": _several(_real("[0, 10000]"), _SOME),
    "antialias": _flag,
    "apex": _one_of("given", "found"),
    "bins": _whole("[1, 10000]"),
    "blocks": _SIDES,
    "brow": _real("[0, 10]"),
    "channels": _several(_one_of("methods.flow_maps.CHANNELS"), _SOME),
    "chroma": _real("[0, 100]"),
    "exaggeration": _POSITIVE,
    "flip": _one_of("methods.preprocessing.FLIPS"),
    "frames": _whole("[0, 100000]"),
    "frame_size": _SIDES,
    "psn.frames": _whole("[2, 100000]"),
    "high": _SHARE,
    "low": _SHARE,
    "interpolate": _flag,
    "num_pixels": _whole(f"[1, {2**31}]"),
    "kernel": _one_of("video.resample.KERNELS"),
    "optical_flow.kernel": _one_of("video.warp.KERNELS"),
    "prefilter.kernel": _one_of("video.warp.KERNELS"),
    "warp.kernel": _one_of("video.warp.KERNELS"),
    "kernels": _several(_one_of("video.resample.KERNELS"), _SOME),
    "lam": _POSITIVE,
    "psn.lam": _NOT_NEGATIVE,  # 0: that of `rpca`
    "subtract_onset": _flag,
    "like": _free("an array of the size that is wanted"),
    "num_frames": _whole("[2, 10000]"),
    "mapping": _one_of("descriptors.lbp.MAPPINGS"),
    "margin": _real("[0, 10]"),
    "max_iter": _whole("[1, 1000000]"),
    "pad_to": _LENGTH,
    "percent": _real("(0, 100]"),
    "percents": _several(_real("(0, 100]"), _SOME),
    "points": _one_of(4, 8, kind=int),
    "preset": _one_of("video.flow.PRESETS"),
    "r1": _POSITIVE,
    "r2": _POSITIVE,
    "radii": _several(_LENGTH, 3),
    "flow_scale": _POSITIVE,
    "region": _free("a function of a clip"),
    "rng": _free("a NumPy generator"),
    "rotation": _real("[-360, 360]"),
    "saturate": _flag,
    "scaling": _one_of("methods.stcnn.SCALINGS"),
    "scheme": _one_of("video.strain.SCHEMES"),
    "mask_fraction": _real("(0, 1]"),
    "size": _SIDES,
    "median_filter.size": _whole("[1, 99]"),
    "smooth": _flag,
    "split": _one_of("length", "frames"),
    "bin_of.start": _real("[-7, 7]"),
    "time": _one_of("methods.preprocessing.TIMES"),
    "threshold": _NOT_NEGATIVE,
    "tol": _real("(0, 1]"),
    "wavelength": _POSITIVE,
    "weights": _free("an array [H, W]"),
    # the energies of optical flow
    "attachment": _POSITIVE,
    "blend": _SHARE,
    "iterations": _whole("[1, 10000]"),
    "late_spacing": _real("(1, 100]"),
    "limit": _POSITIVE,
    "median": _whole("[1, 99]"),
    "omega": _real("(0, 2)"),
    "penalty": _one_of("video.flow_solver.PENALTIES"),
    "sigma_data": _POSITIVE,
    "sigma_smooth": _POSITIVE,
    "smoothness": _POSITIVE,
    "spacing": _real("(1, 100]"),
    "stages": _several(_SHARE, _SOME),
    "step": _POSITIVE,
    "sweeps": _whole("[1, 10000]"),
    "texture": _SHARE,
    "tightness": _POSITIVE,
    "warps": _whole("[1, 10000]"),
    # models
    "C": _POSITIVE,
    "backbone": _one_of("models.backbones.BACKBONES"),
    "cells": _LENGTH,
    "degree": _whole("[0, 100]"),
    "dropout": _real("[0, 1)"),
    "filters": _LENGTH,
    "fusion": _one_of("models.psn.FUSIONS"),
    "hidden": _LENGTH,
    "model.kernel": _several(_whole("[1, 1000]"), 3),
    "svm.kernel": _one_of("linear", "poly", "rbf", "sigmoid"),
    "maps": _LENGTH,
    "dual_inception.maps": _SIDES,
    "off_apexnet.maps": _SIDES,
    "rcn_w.maps": _whole("[4, 100000]"),  # a quarter of them sees farthest
    "ststnet.maps": _several(_LENGTH, 3),
    "num_classes": _LENGTH,
    "perception": _one_of("nn.tpu.PERCEPTIONS"),
    "pointwise": _flag,
    "pool": _whole("[1, 1000]"),
    "recurrent_layers": _whole("[0, 4]"),
    "routings": _whole("[1, 1000]"),
    "shape": _several(_LENGTH, _SOME),
    "statistics": _one_of("separate", "shared"),
    "model.steps": _whole("[1, 1000]"),
    "streams": _one_of("models.psn.STREAMS"),
    "unit": _POSITIVE,
    "width": _real("(0, 100]"),
    "widths": _several(_LENGTH, _SOME),
    # protocols
    "by": _one_of("subject", "sample"),
    "folds": _whole("[2, 1000000]"),
    "fraction": _real("(0, 1)"),
    "validate.fraction": _real("[0, 1)"),
    "repeats": _whole("[1, 10000]"),
    "stratified": _flag,
    "test_counts": _several(_whole("[0, 1000000]"), _ANY),
    # train
    "batch_size": _whole("[1, 1000000]"),
    "model_selection": _one_of("last", "best_val", "best_test"),
    "epochs": _whole("[1, 1000000]"),
    "init_from": _text,
    "learning_rate": _POSITIVE,
    "learning_rates": _several(_POSITIVE, _ANY),
    "loss": _one_of("training.losses.LOSSES")._replace(open=True),
    "statistics_on_all_clips": _flag,
    "momentum": _real("[0, 1)"),
    "optimizer": _one_of("training.optimizers.OPTIMIZERS"),
    "early_stopping_patience": _whole("[0, 1000000]"),
    "lr_plateau_patience": _whole("[0, 1000000]"),
    "lr_plateau_rule": _one_of("training.settings.PLATEAU_RULES"),
    "precision": _one_of("training.settings.PRECISIONS"),
    "sampler": _one_of("shuffle", "balanced"),
    "schedule": _one_of("training.optimizers.SCHEDULES"),
    "schedule_every": _whole("[1, 1000000]"),
    "schedule_rate": _real("(0, 1000]"),
    "schedule.epochs": _whole("[1, 1000000]"),
    "schedule.every": _whole("[1, 1000000]"),
    "schedule.rate": _real("(0, 1000]"),
    "schedule.steps": _whole(f"[1, {2**31}]"),
    "seeds": _whole("[1, 1000]"),
    "min_loss_change": _NOT_NEGATIVE,
    "data_dtype": _one_of("float32", "float16"),
    "validation": _real("[0, 1)"),
    "weight_decay": _NOT_NEGATIVE,
    # spotting
    "compute.evidence": _one_of("spotting.evidence.EVIDENCE"),
    "compute.span": _whole("[2, 100000]"),
    "leave_one_subject_out.method": _one_of("spotting.evidence.EVIDENCE"),
    "leave_one_subject_out.rule": _one_of("spotting.protocol.RULES"),
    "leave_one_subject_out.kinds": _several(_one_of("recordings.KINDS"), (1, 2)),
    "p": _SHARE,
    "duration": _LENGTH,
    "shortest": _LENGTH,
    "longest": _LENGTH,
    "smooth.width": _LENGTH,
    # a job
    "checkpoint_seconds": _NOT_NEGATIVE,
    "within": _one_of("training.parallel.WITHIN"),
    "across": _one_of("training.parallel.ACROSS"),
    "folds_per_device": _whole("[0, 1000000]"),
    "remat": _flag,
    "title": _text,
}
# What a mistake in a function of these rooms is named after: the section of a configuration.
_ROOMS = {"datasets": "data", "methods": "method", "models": "model", "protocols": "protocol"}


def defaults(function: Callable, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Options of `function` (of a class: of its constructor and its bases') with their defaults."""
    classes: tuple[Any, ...] = inspect.getmro(function) if inspect.isclass(function) else ()
    functions = [one.__init__ for one in classes] or [function]
    found: dict[str, Any] = {}
    for one in functions:
        for name, parameter in inspect.signature(one).parameters.items():
            if parameter.default is not parameter.empty and name not in without:
                found.setdefault(name, parameter.default)
    return found


def plain(value: Any) -> Any:
    """NumPy's scalars, paths and lists as what Python, and JSON, have in their place."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


def bound(room: str, of: str, name: str) -> Bound | None:
    """The row of option `name` of a function `of` in `room`; None where there is none."""
    rows = (BOUNDS.get(key) for key in (f"{of}.{name}", f"{room}.{name}", name))
    return next(filter(None, rows), None)


def check(room: str, of: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """`given` as plain values.

    room, of: whose options they are, as "method", "strcn_a". known: the options that there are and
    their defaults; where that is None, None will do. An option of a user's own function
    ("package.module:Name") has no row in the table: it must be of the kind of its default. Raises
    `UserError` for the first that is not `known`, and offers the nearest, or that is out of bounds.
    """
    for name in given:
        if name not in known:
            owner = " ".join(filter(None, (room, of)))
            raise unknown_name(f"option of {owner}" if owner else "configuration key", name, known)
    where = f"{room}." if room else f"{of}: " if of else ""
    return {
        name: _sound(
            where + name,
            value,
            _like(known[name]) if ":" in of else bound(room, of, name),
            known[name] is None,
        )
        for name, value in given.items()
    }


def value(what: str, name: str, given: Any) -> Any:
    """`given` as a plain value, if option `name` may be it; `what` names it in the `UserError`."""
    return _sound(what, given, BOUNDS[name], False)


def checked(function: _F) -> _F:
    """`function`, whose options are looked at as it is called; arrays, traced ones too, are not."""
    room, of = _ROOMS.get(f"{function.__module__}.".split(".")[1], ""), function.__name__
    where = f"{room}." if room else f"{of}: "
    rows: dict[str, tuple[Bound, bool]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        row = bound(room, of, name)
        if parameter.kind is parameter.KEYWORD_ONLY and row and row.kind is not object:
            rows[name] = row, parameter.default is None

    @functools.wraps(function)
    def run(*args, **options):
        for name, given in options.items():
            if name in rows and (isinstance(given, np.generic) or not hasattr(given, "shape")):
                _sound(where + name, given, *rows[name])
        return function(*args, **options)

    return cast(_F, run)


def _sound(what: str, given: Any, row: Bound | None, none: bool) -> Any:
    found = plain(given)
    if row is None or (none and found is None) or row.fits(found):
        return found
    shown = re.sub(r"\s+", " ", reprlib.repr(found))[:100]
    if row.choices and row.kind is str:
        for each in found if isinstance(found, tuple) else (found,):
            if isinstance(each, str) and each not in row.known:
                raise unknown_name(what, each[:60], row.known)
    raise UserError(f"{what} is {shown}; it must be {row.words}")


def _like(default: Any) -> Bound:
    """The bound of an option that has no row: a number, a text or a flag, as its default is."""
    kind = type(plain(default))
    return Bound(kind if kind in (bool, int, float, str) else object)


def find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """The entry `name` of `known`, or the user's own object that "package.module:Name" names.

    The module must be installed, on PYTHONPATH or in the current folder. `kind` names the sort of
    object in the `UserError` that is raised for an unknown name, a module that cannot be imported,
    or an attribute that is not there or cannot be called.
    """
    if name in known:
        return known[name]
    module, colon, attribute = str(name).partition(":")
    if not colon:
        raise unknown_name(kind, name, known)
    if os.getcwd() not in sys.path:  # an installed command does not search the current folder
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except (ImportError, ValueError, TypeError) as error:  # the last two: no name of a module
        raise UserError(f"{kind} {name!r}: cannot import module {module!r} ({error})") from error
    if not callable(found):
        lacks = f"module {module!r} has no class or function {attribute!r}"
        raise UserError(f"{kind} {name!r}: {lacks}; write package.module:Name")
    return found
