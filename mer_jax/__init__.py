"""mer_jax: facial micro-expression recognition in JAX.

`import mer_jax` starts no backend and imports no room; a room is imported when it is named:

    import mer_jax
    mer_jax.video.magnify(clip, alpha=8.0)
"""

import importlib

__version__ = "0.1.0"

_ROOMS = (
    *("clips", "config", "datasets", "descriptors", "evaluation", "experiment", "faces"),
    *("methods", "models", "nn", "options", "predict", "problems", "protocols", "training"),
    "video",
)


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
