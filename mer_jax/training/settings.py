"""`Settings`: how folds are trained, checked where they enter."""

import dataclasses

from mer_jax.problems import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Settings:
    """How folds are trained; the `train` section of a configuration."""

    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0
    initial: str = ""  # a run's working directory, or converted weights: where networks start
    optimizer: str = "adam"  # "sgd", "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"  # "constant", "decay", "step", "cosine"
    schedule_rate: float = 1.0  # factor of "decay" (an epoch) and "step" (each schedule_every)
    schedule_every: int = 1
    loss: str = "cross_entropy"  # "cross_entropy", "weighted", "balanced", "margin"
    sampler: str = "shuffle"  # "shuffle", "balanced"
    validation: float = 0.0  # share of a fold's training persons held out for choices
    choice: str = "last"  # "last", "validation"; "test" is what some papers did, and is marked
    patience: int = 0  # epochs
    plateau: int = 0  # epochs
    stop_change: float = 0.0
    mask_all: bool = False  # as published: statistics over all clips, test clips included

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"train.{name} is {getattr(self, name)}; it must be 1 or more")
        if not self.learning_rate > 0:
            raise UserError(f"train.learning_rate is {self.learning_rate}; it must be positive")
        for name, known in (
            ("sampler", ("shuffle", "balanced")),
            ("choice", ("last", "validation", "test")),
        ):
            if getattr(self, name) not in known:
                raise unknown(f"train.{name}", getattr(self, name), known)
        if self.choice == "validation" and not self.validation:
            raise UserError("train.choice is 'validation'; set train.validation, say to 0.2")
        if (self.patience or self.plateau) and self.choice == "last":
            raise UserError("train.patience and train.plateau need train.choice='validation'")

    @property
    def as_published(self) -> bool:
        """True where a test clip has a say in anything."""
        return self.choice == "test" or self.mask_all
