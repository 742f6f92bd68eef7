"""mer_jax: facial micro-expression recognition in JAX.

`import mer_jax` starts no backend and imports no other module; a name is imported when it is used:

    >>> import mer_jax
    >>> clip, *_ = mer_jax.load("synthetic", subjects=2, clips_per_subject=3)
    >>> clip.key, clip.emotion
    ('synthetic/s01/s01_01', 'disgust')
    >>> config = mer_jax.read_config("default")
    >>> config.model.name
    'ststnet'
    >>> summary = mer_jax.run(config, "runs/first")  # doctest: +SKIP

The public API: the names below, and what the modules listed in WORKSPACE.md name in `__all__` or
define without a leading underscore.
"""

import importlib
from typing import TYPE_CHECKING, Any

# ruff: noqa: F401
if TYPE_CHECKING:
    from mer_jax import (
        clips,
        configuration,
        datasets,
        descriptors,
        errors,
        experiment,
        explain,
        faces,
        inference,
        leakage,
        methods,
        metrics,
        models,
        nn,
        options,
        protocols,
        recordings,
        reporting,
        runtime,
        sweep,
        training,
        video,
    )
    from mer_jax.clips import Clip
    from mer_jax.configuration import make as make_config
    from mer_jax.configuration import read as read_config
    from mer_jax.datasets import inspect, load
    from mer_jax.datasets.labels import label
    from mer_jax.datasets.recordings import load as load_recordings
    from mer_jax.errors import DataError, UserError
    from mer_jax.experiment import run
    from mer_jax.inference import load as load_predictor
    from mer_jax.metrics import read as read_predictions
    from mer_jax.metrics import scores
    from mer_jax.recordings import Recording
    from mer_jax.video import (
        apex_index,
        difference_heatmap,
        magnify,
        optical_flow,
        optical_strain,
        resample,
        rpca,
    )

__version__ = "0.2.0"

_MODULES = (
    *("clips", "configuration", "datasets", "descriptors", "errors", "experiment", "explain"),
    *("faces", "inference", "leakage", "methods", "metrics", "models", "nn", "options"),
    *("protocols", "recordings", "reporting", "runtime", "sweep", "training", "video"),
)
_NAMES = {  # name: where it is defined
    "Clip": "clips.Clip",
    "DataError": "errors.DataError",
    "Recording": "recordings.Recording",
    "UserError": "errors.UserError",
    "apex_index": "video.apex_index",
    "difference_heatmap": "video.difference_heatmap",
    "inspect": "datasets.inspect",
    "label": "datasets.labels.label",
    "load": "datasets.load",
    "load_predictor": "inference.load",
    "load_recordings": "datasets.recordings.load",
    "magnify": "video.magnify",
    "make_config": "configuration.make",
    "optical_flow": "video.optical_flow",
    "optical_strain": "video.optical_strain",
    "read_config": "configuration.read",
    "read_predictions": "metrics.read",
    "resample": "video.resample",
    "rpca": "video.rpca",
    "run": "experiment.run",
    "scores": "metrics.scores",
}

__all__ = [*_MODULES, *_NAMES]


if not TYPE_CHECKING:  # a type checker would take any name for one of them

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name in _NAMES:
            module, _, attribute = _NAMES[name].rpartition(".")
            return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
