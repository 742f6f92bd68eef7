"""`BOUNDS`, the one table of the valid values of options, by the option's name.

Where a name has two meanings, the row of the function ("psn.frames") or of its section
("data.frames") comes first. `options` checks values against it.
"""

import functools
import importlib
import math
import numbers
from typing import Any, NamedTuple

from mer_jax.io.reading import MAX_NUMBER


class Bound(NamedTuple):
    """The valid values of an option.

    >>> Bound(float, "(0, 1]").description
    'a number, above 0 and at most 1'
    >>> Bound(int, "[1, 9]", members=(2, 2)).fits((3, 4))
    True
    """

    kind: type  # bool, int, float or str; object: any value
    interval: str = ""  # of numbers, for example "[0, 1)"
    choices: tuple | str = ()  # the only values; a str: the path of their container in mer_jax
    members: tuple[int, int] = (0, 0)  # of a tuple: least and most; (0, 0): one value, no tuple
    open: bool = False  # whether a user's own "package.module:Name" is valid too

    @property
    def known(self) -> tuple:
        """The choices as a tuple."""
        if isinstance(self.choices, tuple):
            return self.choices
        module, _, name = self.choices.rpartition(".")
        found = getattr(importlib.import_module(f"mer_jax.{module}"), name)
        return tuple(found() if callable(found) else found)

    @property
    def description(self) -> str:
        """The valid values in words, as in "it must be ..."."""
        least, most = self.members
        if most:
            count = str(least) if least == most else f"{least} or more" if least else "any number"
            each = self._replace(members=(0, 0)).description
            return f"a tuple of {count}, each {each}"
        if self.choices:
            return " or ".join(map(repr, self.known))
        if self.kind in (bool, str):
            return "True or False" if self.kind is bool else "text"
        if not self.interval:
            return "an integer" if self.kind is int else "a number"
        left, low, high, right = _ends(self.interval)
        ends = [f"above {low:g}" if left else f"{_shown(low)} or more"] * (low > -math.inf)
        ends += [f"{'below' if right else 'at most'} {_shown(high)}"] * (high < math.inf)
        return ", ".join(["an integer" if self.kind is int else "a number", " and ".join(ends)])

    def fits(self, value: Any) -> bool:
        """Whether `value`, a plain Python value (see `to_python`), is valid."""
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
    if not abs(value) < MAX_NUMBER:  # true of NaN, too
        return False
    left, low, high, right = _ends(interval)
    return (low < value if left else low <= value) and (value < high if right else value <= high)


def _shown(end: float) -> str:
    return str(int(end)) if end.is_integer() and end < 1e12 else f"{end:g}"


_flag, _text = Bound(bool), Bound(str)
_SOME, _ANY = (1, 1000), (0, 1000)


def _integer(interval: str, **more: Any) -> Bound:
    return Bound(int, interval, **more)


def _number(interval: str, **more: Any) -> Bound:
    return Bound(float, interval, **more)


def _one_of(*choices: Any, kind: type = str) -> Bound:
    """One of `choices`, or of the container that a single dotted path names."""
    named = len(choices) == 1 and "." in str(choices[0])
    return Bound(kind, choices=choices[0] if named else choices)


def _tuple_of(bound: Bound, count: int | tuple[int, int]) -> Bound:
    return bound._replace(members=(count, count) if isinstance(count, int) else count)


def _unchecked(reason: str) -> Bound:
    """Any value: an array, a function, ...; `reason` documents the row."""
    del reason
    return Bound(object)


# Frames, pixels of a side, units: more is a mistake that would fill the memory. Quantities that can
# be larger (pixels of an image, seeds, epochs) have intervals of their own.
LENGTH = _integer("[1, 100000]")
_POSITIVE, _NOT_NEGATIVE = _number("(0, 1e6]"), _number("[0, 1e15]")
_FRACTION = _number("[0, 1]")
_SEED = _integer(f"[0, {2**32 - 1}]")
_SIDES = _tuple_of(LENGTH, 2)

BOUNDS: dict[str, Bound] = {
    # data
    "root": _text,
    "label_scheme": _one_of("datasets.labels.schemes"),
    "permute_labels": _flag,
    "move_intervals": _flag,
    "camera": _text,  # its reader knows the values, also of `images`, `kind`, `light`, `part`
    "images": _text,
    "kind": _text,
    "light": _text,
    "part": _text,
    "index": _text,
    "data.labels": _text,
    "exclude": _tuple_of(_text, (0, 10**5)),
    "allow_mismatch": _flag,
    "skip_source_check": _flag,
    "amplitude": _tuple_of(_number("[0, 2.5]"), 2),  # px: above it, a unit folds the skin
    "appearance_leak": _FRACTION,
    "blinks": _FRACTION,
    "clips_per_subject": LENGTH,
    "distractors": _tuple_of(_one_of("datasets.synthetic.long_videos.DISTRACTORS"), _ANY),
    "drift": _number("[0, 8]"),
    "emotions": _tuple_of(_one_of("datasets.synthetic.expressions.EMOTIONS"), _SOME),
    "flicker": _number("[0, 1)"),
    "data.frames": _tuple_of(_integer("[8, 100000]"), 2),
    "macro": _integer("[0, 1000]"),
    "macro_amplitude": _tuple_of(_number("[0, 2.5]"), 2),
    "micro": _integer("[0, 1000]"),
    "noise": _FRACTION,
    "recordings_per_subject": LENGTH,
    "data.size": _tuple_of(_integer("[16, 100000]"), 2),
    "subjects": LENGTH,
    # several sections
    "fps": _POSITIVE,
    "gray": _flag,
    "length": LENGTH,
    "seconds": _number("(0, 100000]"),
    "seed": _SEED,
    "repeats_per_epoch": _integer("[1, 1000000]"),
    # methods, video, descriptors
    "align": _flag,
    "alpha": _number("[0, 10000]"),
    "alphas": _tuple_of(_number("[0, 10000]"), _SOME),
    "antialias": _flag,
    "apex": _one_of("given", "found"),
    "bins": _integer("[1, 10000]"),
    "blocks": _SIDES,
    "brow": _number("[0, 10]"),
    "channels": _tuple_of(_one_of("methods.flow_maps.CHANNELS"), _SOME),
    "chroma": _number("[0, 100]"),
    "exaggeration": _POSITIVE,
    "flip": _one_of("methods.preprocessing.FLIPS"),
    "frames": _integer("[0, 100000]"),
    "frame_size": _SIDES,
    "psn.frames": _integer("[2, 100000]"),
    "high": _FRACTION,
    "low": _FRACTION,
    "interpolate": _flag,
    "num_pixels": _integer(f"[1, {2**31}]"),
    "kernel": _one_of("video.resample.KERNELS"),
    "optical_flow.kernel": _one_of("video.warp.KERNELS"),
    "prefilter.kernel": _one_of("video.warp.KERNELS"),
    "warp.kernel": _one_of("video.warp.KERNELS"),
    "kernels": _tuple_of(_one_of("video.resample.KERNELS"), _SOME),
    "lam": _POSITIVE,
    "psn.lam": _NOT_NEGATIVE,  # 0: that of `rpca`
    "subtract_onset": _flag,
    "like": _unchecked("an array of the wanted size"),
    "num_frames": _integer("[2, 10000]"),
    "mapping": _one_of("descriptors.lbp.MAPPINGS"),
    "margin": _number("[0, 10]"),
    "max_iter": _integer("[1, 1000000]"),
    "percents": _tuple_of(_number("(0, 100]"), _SOME),
    "points": _one_of(4, 8, kind=int),
    "preset": _one_of("video.flow.PRESETS"),
    "r1": _POSITIVE,
    "regions": _one_of("methods.flow_maps.REGIONS"),
    "r2": _POSITIVE,
    "radii": _tuple_of(LENGTH, 3),
    "flow_scale": _POSITIVE,
    "flow_maps.normalize": _one_of("methods.flow_maps.NORMALIZATIONS"),
    "progress": _unchecked("a function"),
    "rotation": _number("[-360, 360]"),
    "saturate": _flag,
    "scaling": _one_of("methods.stcnn.SCALINGS"),
    "scheme": _one_of("video.strain.SCHEMES"),
    "mask_fraction": _number("(0, 1]"),
    "size": _SIDES,
    "median_filter.size": _integer("[1, 99]"),
    "smooth": _flag,
    "split": _one_of("length", "frames"),
    "bin_of.start": _number("[-7, 7]"),
    "time": _one_of("methods.preprocessing.TIMES"),
    "threshold": _NOT_NEGATIVE,
    "tol": _number("(0, 1]"),
    "vectors": _tuple_of(_one_of("methods.flow_maps.CHANNELS"), _ANY),
    "wavelength": _POSITIVE,
    "weights": _unchecked("an array [H, W]"),
    "zoom": _number("[0, 1)"),
    # the energies of optical flow
    "attachment": _POSITIVE,
    "blend": _FRACTION,
    "iterations": _integer("[1, 10000]"),
    "late_spacing": _number("(1, 100]"),
    "limit": _POSITIVE,
    "median": _integer("[1, 99]"),
    "omega": _number("(0, 2)"),
    "penalty": _one_of("video.flow_solver.PENALTIES"),
    "sigma_data": _POSITIVE,
    "sigma_smooth": _POSITIVE,
    "smoothness": _POSITIVE,
    "spacing": _number("(1, 100]"),
    "stages": _tuple_of(_FRACTION, _SOME),
    "step": _POSITIVE,
    "sweeps": _integer("[1, 10000]"),
    "texture": _FRACTION,
    "tightness": _POSITIVE,
    "warps": _integer("[1, 10000]"),
    # models
    "C": _POSITIVE,
    "gamma": _NOT_NEGATIVE,
    "standardize": _flag,
    "backbone": _one_of("models.backbones.BACKBONES"),
    "batch_norm": _flag,
    "cells": LENGTH,
    "balanced": _flag,
    "degree": _integer("[0, 100]"),
    "block": _one_of("models.bdcnn.FUSED", kind=int),
    "depths": _tuple_of(LENGTH, _SOME),
    "dim": LENGTH,
    "drop_path": _number("[0, 1)"),
    "dropout": _number("[0, 1)"),
    "filters": LENGTH,
    "fusion": _one_of("models.psn.FUSIONS"),
    "heads": LENGTH,
    "graph": _tuple_of(_FRACTION, (0, 10**6)),
    "head_dropout": _number("[0, 1)"),
    "hidden": LENGTH,
    "model.kernel": _tuple_of(_integer("[1, 1000]"), 3),
    "svm.kernel": _one_of("linear", "poly", "rbf", "sigmoid"),
    "maps": LENGTH,
    "dual_inception.maps": _SIDES,
    "mean_recognition.maps": _tuple_of(LENGTH, 3),
    "mean_spotting.maps": _tuple_of(LENGTH, 3),
    "mtsn.maps": _tuple_of(LENGTH, 3),
    "off_apexnet.maps": _SIDES,
    "rcn_w.maps": _integer("[4, 100000]"),  # a quarter of them has the widest receptive field
    "softnet.maps": _tuple_of(LENGTH, 3),
    "ststnet.maps": _tuple_of(LENGTH, 3),
    "num_classes": LENGTH,
    "pictures": LENGTH,
    "perception": _one_of("nn.tpu.PERCEPTIONS"),
    "pointwise": _flag,
    "pool": _integer("[1, 1000]"),
    "recurrent_layers": _integer("[0, 4]"),
    "region_weights": _flag,
    "routings": _integer("[1, 1000]"),
    "shape": _tuple_of(LENGTH, _SOME),
    "statistics": _one_of("separate", "shared"),
    "model.steps": _integer("[1, 1000]"),
    "streams": _one_of("models.psn.STREAMS"),
    "unit": _POSITIVE,
    "width": _number("(0, 100]"),
    "widths": _tuple_of(LENGTH, _SOME),
    # protocols
    "by": _one_of("subject", "sample"),
    "folds": _integer("[2, 1000000]"),
    "fraction": _number("(0, 1)"),
    "with_validation.fraction": _number("[0, 1)"),
    "repeats": _integer("[1, 10000]"),
    "stratified": _flag,
    "test_counts": _tuple_of(_integer("[0, 1000000]"), _ANY),
    # train
    "batch_size": _integer("[1, 1000000]"),
    "model_selection": _one_of("last", "best_val", "best_test"),
    "epochs": _integer("[0, 1000000]"),
    "init_from": _text,
    "learning_rate": _POSITIVE,
    "learning_rates": _tuple_of(_POSITIVE, _ANY),
    "loss": _one_of("training.losses.LOSSES")._replace(open=True),
    "statistics_on_all_clips": _flag,
    "label_smoothing": _number("[0, 1)"),
    "mixup": _number("[0, 1000]"),
    "momentum": _number("[0, 1)"),
    "optimizer": _one_of("training.optimizers.OPTIMIZERS"),
    "early_stopping_patience": _integer("[0, 1000000]"),
    "lr_plateau_patience": _integer("[0, 1000000]"),
    "lr_plateau_rule": _one_of("training.settings.PLATEAU_RULES"),
    "precision": _one_of("training.settings.PRECISIONS"),
    "sampler": _one_of("training.rng.SAMPLERS"),
    "schedule": _one_of("training.optimizers.SCHEDULES"),
    "schedule_every": _integer("[1, 1000000]"),
    "schedule_rate": _number("(0, 1000]"),
    "schedule.every": _integer("[1, 1000000]"),
    "schedule.rate": _number("(0, 1000]"),
    "schedule.steps": _integer(f"[1, {2**31}]"),
    "seeds": _integer("[1, 1000]"),
    "min_loss_change": _NOT_NEGATIVE,
    "data_dtype": _one_of("float32", "float16"),
    "validation": _number("[0, 1)"),
    "weight_decay": _NOT_NEGATIVE,
    # spotting
    "quiet": _flag,
    "compute.evidence": _one_of("spotting.evidence.EVIDENCE"),
    "span": _integer("[0, 100000]"),
    "stlbp_ip.span": _one_of(3, 5, 7, 9, kind=int),
    "compute.span": _integer("[2, 100000]"),
    "leave_one_subject_out.method": _one_of("spotting.evidence.EVIDENCE"),
    "kinds": _tuple_of(_one_of("recordings.KINDS"), (1, 2)),
    "offsets": _unchecked("frames"),
    "span_of": _unchecked("a function"),
    "rule": _unchecked("a Rule"),
    "chosen_on": _unchecked("a function"),
    "pairs": _one_of("spotting.samples.PAIRS"),
    "stride": _integer("[0, 100000]"),
    "over_frames.stride": LENGTH,
    "per_frame": _unchecked("arrays [T, ...]"),
    "map_size": _SIDES,
    "head": _one_of("spotting.evidence.HEADS"),
    "normalize": _one_of("spotting.samples.NORMALIZATIONS"),
    "mirror": _flag,
    "reverse": _flag,
    "targets": _one_of("spotting.targets.TARGETS"),
    "drop_zeros": _number("[0, 1)"),
    "intervals.name": _one_of("spotting.intervals.RULES"),
    "recognition.run": _text,
    "spotter": _flag,
    "recognition.method": _unchecked("a section"),
    "recognition.model": _unchecked("a section"),
    "recognition.train": _unchecked("a section"),
    "groups": LENGTH,
    "relative": _flag,
    "smoothing": _number("[0, 10]"),
    "p": _FRACTION,
    "duration": LENGTH,
    "shortest": LENGTH,
    "longest": LENGTH,
    "smooth.width": LENGTH,
    "after": _tuple_of(_integer("[0, 100000]"), 2),
    "apex_threshold": _FRACTION,
    "before": _tuple_of(_integer("[0, 100000]"), 2),
    "fill": _number("[-1e6, 1e6]"),
    "inclusive": _flag,
    "most": _integer("[1, 1000000]"),
    "landmarks": _text,
    "landmarks.model": _text,
    "nose_margin": _number("[0, 10]"),
    "nose_share": _number("(0, 1]"),
    "overlap": _FRACTION,
    "classes": _unchecked("of each interval"),
    "count": LENGTH,
    "propose.duration": _tuple_of(LENGTH, 2),
    "radius": _integer("[0, 1000]"),
    "reach": _unchecked("kind -> frames"),
    "share": _number("(0, 1]"),
    "sigma": _POSITIVE,
    "soft": _FRACTION,
    "windows.margin": _integer("[0, 100000]"),
    # a job
    "checkpoint_seconds": _NOT_NEGATIVE,
    "examples_dir": _text,
    "examples_limit_gib": _NOT_NEGATIVE,
    "examples_memory_gib": _NOT_NEGATIVE,
    "within": _one_of("training.parallel.WITHIN"),
    "across": _one_of("training.parallel.ACROSS"),
    "folds_per_device": _integer("[0, 1000000]"),
    "remat": _flag,
    **dict.fromkeys(("thumbnails", "example_figures", "profile"), _flag),
    "title": _text,
}


def bound(section: str, owner: str, name: str) -> Bound | None:
    """The row of option `name` of function `owner` in `section`; None if there is none."""
    rows = (BOUNDS.get(key) for key in (f"{owner}.{name}", f"{section}.{name}", name))
    return next(filter(None, rows), None)
