"""Training: all folds of a job as one compiled program.

result, = training.fit(examples, labels, [folds], training.Settings(epochs=50), ...)
"""

from mer_jax.training.loop import Checkpointing, Hooks, Interrupted, fit
from mer_jax.training.parallel import Parallel
from mer_jax.training.records import Result
from mer_jax.training.settings import Settings

__all__ = ["Checkpointing", "Hooks", "Interrupted", "Parallel", "Result", "Settings", "fit"]
