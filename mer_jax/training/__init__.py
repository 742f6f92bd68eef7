"""Training: the fold engine.

result = training.fit(examples, labels, folds, training.Settings(epochs=50), ...)
"""

from mer_jax.training.loop import Interrupted, Result, Settings, fit

__all__ = ["Interrupted", "Result", "Settings", "fit"]
