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
_integer, _number = functools.partial(Bound, int), functools.partial(Bound, float)


def _one_of(*choices: Any, kind: type = str) -> Bound:
    """One of `choices`, or of the container that a single dotted path names."""
    named = len(choices) == 1 and "." in str(choices[0])
    return Bound(kind, choices=choices[0] if named else choices)


def _tuple_of(bound: Bound, count: int | tuple[int, int]) -> Bound:
    return bound._replace(members=(count, count) if isinstance(count, int) else count)


def _each(bound: Bound, names: str) -> dict[str, Bound]:
    """The same row for several names."""
    return dict.fromkeys(names.split(), bound)


# Frames, pixels of a side, units: more is a mistake that would fill the memory. Quantities that can
# be larger (pixels of an image, seeds, epochs) have intervals of their own.
LENGTH = _integer("[1, 100000]")
_POSITIVE, _NOT_NEGATIVE = _number("(0, 1e6]"), _number("[0, 1e15]")
_FRACTION = _number("[0, 1]")
_SEED = _integer(f"[0, {2**32 - 1}]")
_SIDES = _tuple_of(LENGTH, 2)

BOUNDS: dict[str, Bound] = {
    **_each(  # a database's reader knows its values
        _text,
        "root images kind camera light part index data.labels init_from recognition.run landmarks "
        "landmarks.model examples_dir title",
    ),
    **_each(
        _flag,
        "permute_labels move_intervals allow_mismatch skip_source_check gray align antialias "
        "interpolate subtract_onset saturate smooth standardize batch_norm balanced pointwise "
        "region_weights stratified statistics_on_all_clips quiet mirror reverse spotter relative "
        "turned_views inclusive remat examples_on_host thumbnails example_figures profile by_span",
    ),
    **_each(
        _FRACTION,
        "appearance_leak blinks noise high low blend texture p apex_threshold overlap soft "
        "drop_zeros",
    ),
    **_each(
        LENGTH,
        "clips_per_subject recordings_per_subject subjects length cells depth dim filters heads "
        "hidden maps num_classes pictures over_frames.stride groups duration shortest longest "
        "smooth.width count",
    ),
    **_each(
        _number("[0, 1)"),
        "flicker zoom drop_path dropout head_dropout with_validation.fraction label_smoothing "
        "momentum validation",
    ),
    **_each(
        _POSITIVE,
        "fps exaggeration lam r1 r2 flow_scale wavelength attachment limit smoothness step "
        "tightness C unit learning_rate",
    ),
    # Smaller ones have a square that float32 does not hold.
    **_each(_number("[1e-6, 1e6]"), "sigma_data sigma_smooth"),
    **_each(
        _integer("[1, 1000000]"),
        "repeats_per_epoch max_iter batch_size schedule_every schedule.every most",
    ),
    **_each(_integer("[1, 10000]"), "bins iterations sweeps warps repeats"),
    **_each(_SIDES, "blocks frame_size size dual_inception.maps off_apexnet.maps map_size"),
    **_each(_number("[0, 10]"), "brow margin smoothing nose_margin"),
    **_each(_integer("[0, 100000]"), "frames span stride windows.margin"),
    **_each(
        _tuple_of(LENGTH, 3),
        "radii mean_recognition.maps mean_spotting.maps mtsn.maps softnet.maps ststnet.maps",
    ),
    **_each(_number("(0, 1]"), "mask_fraction tol nose_share share"),
    **_each(
        _NOT_NEGATIVE,
        "threshold gamma min_loss_change weight_decay checkpoint_seconds examples_limit_gib "
        "examples_memory_gib",
    ),
    **_each(_integer("[1, 1000]"), "pool routings model.steps seeds"),
    **_each(
        _integer("[0, 1000000]"),
        "epochs early_stopping_patience lr_plateau_patience folds_per_device",
    ),
    # arrays, functions, sections: checked where they are used
    **_each(
        Bound(object),
        "like progress weights offsets span_of rule chosen_on per_frame recognition.method "
        "recognition.model recognition.train classes reach",
    ),
    # data
    "label_scheme": _one_of("datasets.labels.schemes")._replace(open=True),
    "exclude": _tuple_of(_text, (0, 10**5)),
    "amplitude": _tuple_of(_number("[0, 2.5]"), 2),  # px: above it, a unit folds the skin
    "distractors": _tuple_of(_one_of("datasets.synthetic.long_videos.DISTRACTORS"), _ANY),
    "drift": _number("[0, 8]"),
    "emotions": _tuple_of(_one_of("datasets.synthetic.expressions.EMOTIONS"), _SOME),
    "data.frames": _tuple_of(_integer("[8, 100000]"), 2),
    "macro": _integer("[0, 1000]"),
    "macro_amplitude": _tuple_of(_number("[0, 2.5]"), 2),
    "micro": _integer("[0, 1000]"),
    "crop": _one_of("faces.cropping.CROPS"),
    "crop_size": _SIDES,
    "data.step": _integer("[1, 1000]"),
    "data.size": _tuple_of(_integer("[16, 100000]"), 2),
    # several sections
    "seconds": _number("(0, 100000]"),
    "seed": _SEED,
    # methods, video, descriptors
    "alpha": _number("[0, 10000]"),
    "alphas": _tuple_of(_number("[0, 10000]"), _SOME),
    "apex": _one_of("given", "found"),
    "channels": _tuple_of(_one_of("methods.flow_maps.CHANNELS"), _SOME),
    "chroma": _number("[0, 100]"),
    "flip": _one_of("methods.preprocessing.FLIPS"),
    "jitter": _number("[0, 0.5]"),
    "shift": _tuple_of(_integer("[0, 1000]"), 2),
    "psn.frames": _integer("[2, 100000]"),
    "num_pixels": _integer(f"[1, {2**31}]"),
    "kernel": _one_of("video.resample.KERNELS"),
    "optical_flow.kernel": _one_of("video.warp.KERNELS"),
    "prefilter.kernel": _one_of("video.warp.KERNELS"),
    "warp.kernel": _one_of("video.warp.KERNELS"),
    "kernels": _tuple_of(_one_of("video.resample.KERNELS"), _SOME),
    "psn.lam": _NOT_NEGATIVE,  # 0: that of `rpca`
    "num_frames": _integer("[2, 10000]"),
    "mapping": _one_of("descriptors.lbp.MAPPINGS"),
    "percents": _tuple_of(_number("(0, 100]"), _SOME),
    "points": _one_of(4, 8, kind=int),
    "preset": _one_of("video.flow.PRESETS"),
    "regions": _one_of("methods.flow_maps.REGIONS"),
    "flow_maps.normalize": _one_of("methods.flow_maps.NORMALIZATIONS"),
    "rotation": _number("[-360, 360]"),
    "scaling": _one_of("methods.stcnn.SCALINGS"),
    "scheme": _one_of("video.strain.SCHEMES"),
    "median_filter.size": _integer("[1, 99]"),
    "split": _one_of("length", "frames"),
    "bin_of.start": _number("[-7, 7]"),
    "time": _one_of("methods.preprocessing.TIMES"),
    "vectors": _tuple_of(_one_of("methods.flow_maps.CHANNELS"), _ANY),
    # the energies of optical flow
    "late_spacing": _number("(1, 100]"),
    "median": _integer("[1, 99]"),
    "omega": _number("(0, 2)"),
    "penalty": _one_of("video.flow_solver.PENALTIES"),
    "spacing": _number("(1, 100]"),
    "stages": _tuple_of(_FRACTION, _SOME),
    # models
    "backbone": _one_of("models.backbones.BACKBONES"),
    "degree": _integer("[0, 100]"),
    "block": _one_of("models.bdcnn.FUSED", kind=int),
    "depths": _tuple_of(LENGTH, _SOME),
    "fusion": _one_of("models.psn.FUSIONS"),
    "graph": _tuple_of(_FRACTION, (0, 10**6)),
    "model.kernel": _tuple_of(_integer("[1, 1000]"), 3),
    "svm.kernel": _one_of("linear", "poly", "rbf", "sigmoid"),
    "rcn_w.maps": _integer("[4, 100000]"),  # a quarter of them has the widest receptive field
    "perception": _one_of("nn.tpu.PERCEPTIONS"),
    "recurrent_layers": _integer("[0, 4]"),
    "shape": _tuple_of(LENGTH, _SOME),
    "statistics": _one_of("separate", "shared"),
    "streams": _one_of("models.psn.STREAMS"),
    "width": _number("(0, 100]"),
    "widths": _tuple_of(LENGTH, _SOME),
    # protocols
    "by": _one_of("subject", "sample"),
    "folds": _integer("[2, 1000000]"),
    "fraction": _number("(0, 1)"),
    "test_counts": _tuple_of(_integer("[0, 1000000]"), _ANY),
    # train
    "model_selection": _one_of("last", "best_val", "best_test"),
    "learning_rates": _tuple_of(_POSITIVE, _ANY),
    "loss": _one_of("training.losses.LOSSES")._replace(open=True),
    "mixup": _number("[0, 1000]"),
    "optimizer": _one_of("training.optimizers.OPTIMIZERS"),
    "lr_plateau_rule": _one_of("training.settings.PLATEAU_RULES"),
    "precision": _one_of("training.settings.PRECISIONS"),
    "sampler": _one_of("training.rng.SAMPLERS"),
    "schedule": _one_of("training.optimizers.SCHEDULES"),
    "schedule_rate": _number("(0, 1000]"),
    "schedule.rate": _number("(0, 1000]"),
    "schedule.steps": _integer(f"[1, {2**31}]"),
    "data_dtype": _one_of("float32", "float16"),
    # spotting
    "compute.evidence": _one_of("spotting.evidence.EVIDENCE"),
    "stlbp_ip.span": _one_of(3, 5, 7, 9, kind=int),
    "compute.span": _integer("[1, 100000]"),
    "leave_one_subject_out.method": _one_of("spotting.evidence.EVIDENCE"),
    "kinds": _tuple_of(_one_of("recordings.KINDS"), (1, 2)),
    "pairs": _one_of("spotting.samples.PAIRS"),
    "head": _one_of("spotting.evidence.HEADS"),
    "normalize": _one_of("spotting.samples.NORMALIZATIONS"),
    "targets": _one_of("spotting.targets.TARGETS"),
    "intervals.name": _one_of("spotting.intervals.RULES"),
    "after": _tuple_of(_integer("[0, 100000]"), 2),
    "before": _tuple_of(_integer("[0, 100000]"), 2),
    "fill": _number("[-1e6, 1e6]"),
    "propose.duration": _tuple_of(LENGTH, 2),
    "radius": _integer("[0, 1000]"),
    # a job
    "within": _one_of("training.parallel.WITHIN"),
    "across": _one_of("training.parallel.ACROSS"),
}


def bound(section: str, owner: str, name: str) -> Bound | None:
    """The row of option `name` of function `owner` in `section`; None if there is none."""
    rows = (BOUNDS.get(key) for key in (f"{owner}.{name}", f"{section}.{name}", name))
    return next(filter(None, rows), None)
