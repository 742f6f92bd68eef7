"""mer_jax: facial micro-expression recognition in JAX.

`import mer_jax` starts no backend and imports no room; a room is imported when it is named:

    import mer_jax
    clips = mer_jax.datasets.load("synthetic")
    mer_jax.video.magnify(frames, alpha=8.0)

The public API are these rooms and, of each, what its `__all__` names, or its functions and classes
without an underscore. WORKSPACE.md says what is in which.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mer_jax import (
        analysis,
        clips,
        config,
        datasets,
        descriptors,
        evaluation,
        experiment,
        faces,
        methods,
        models,
        nn,
        options,
        outcome,
        predict,
        problems,
        programs,
        protocols,
        reading,
        training,
        video,
    )

__version__ = "0.1.0"

__all__ = [
    "analysis",
    "clips",
    "config",
    "datasets",
    "descriptors",
    "evaluation",
    "experiment",
    "faces",
    "methods",
    "models",
    "nn",
    "options",
    "outcome",
    "predict",
    "problems",
    "programs",
    "protocols",
    "reading",
    "training",
    "video",
]


if not TYPE_CHECKING:  # to whom any name would be one

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
