"""`Settings`: how folds are trained; values are checked by the constructor."""

import dataclasses
import itertools

import jax.numpy as jnp

from mer_jax import options
from mer_jax.errors import UserError

# Dtype of a network's activations, and precision of float32 products. Weights, their updates, batch
# statistics and the loss are float32 throughout.
PRECISIONS = {
    "float32": (jnp.float32, "float32"),  # the default of accelerators is lower
    "tf32": (jnp.float32, "tensorfloat32"),
    "bfloat16": (jnp.bfloat16, "default"),
}

# When an epoch is better, and when the learning rate falls: (relative threshold on the best score,
# epochs beyond train.lr_plateau_patience). "pytorch" is ReduceLROnPlateau with that patience: the
# rate falls after one more epoch.
PLATEAU_RULES = {"consecutive": (0.0, 0), "pytorch": (1e-4, 1)}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How folds are trained; the `train` section of a configuration."""

    epochs: int = 50  # 0: evaluate the networks of init_from as they are
    # At most: an epoch of every fold has the steps that all clips would take, see `rng`, so that a
    # fold that trains on half of the clips has batches of half the size.
    batch_size: int = 32
    learning_rate: float = 1e-3
    learning_rates: tuple[float, ...] = ()  # train all of these, in place of learning_rate
    seed: int = 0
    seeds: int = 1  # train so many, from `seed` on, as one job
    init_from: str = ""  # initial weights: a run's working directory, or converted ones
    optimizer: str = "adam"  # "sgd", "adam", "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"  # "constant", "decay", "step", "cosine"
    schedule_rate: float = 1.0  # factor of "decay" (an epoch) and "step" (each schedule_every)
    schedule_every: int = 1
    loss: str = "cross_entropy"  # a key of `losses.LOSSES`
    label_smoothing: float = 0.0  # share of a training label that is divided over all classes
    mixup: float = 0.0  # weights of mixed training samples: Beta(mixup, mixup); 0: none
    sampler: str = "shuffle"  # "shuffle", "balanced", "sequential": see `rng`
    validation: float = 0.0  # share of a fold's training subjects held out for validation
    # "last", "best_val" (loss of the validation clips); "best_test", as in some papers, leaks
    model_selection: str = "last"
    early_stopping_patience: int = 0  # epochs without improvement until a fold stops; 0: never
    lr_plateau_patience: int = 0  # epochs until the learning rate falls tenfold; 0: never
    lr_plateau_rule: str = "consecutive"  # a key of `PLATEAU_RULES`
    min_loss_change: float = 0.0
    precision: str = "float32"  # of the networks: "float32", "tf32", "bfloat16"
    data_dtype: str = "float32"  # of the clips on the device: "float32", "float16"
    # As published: statistics over all clips, test clips included; the strict job is trained, too.
    statistics_on_all_clips: bool = False

    def __post_init__(self):
        given, known = dataclasses.asdict(self), options.defaults(type(self))
        for name, value in options.check("train", "", given, known).items():
            object.__setattr__(self, name, value)  # plain, as in JSON
        if len(set(self.learning_rates)) < len(self.learning_rates):
            raise UserError(f"train.learning_rates is {self.learning_rates}; two of them are equal")
        if self.seed + self.seeds > 2**32:
            raise UserError(f"train.seed is {self.seed}; {self.seeds} seeds end above 2**32 - 1")
        if self.optimizer != "sgd" and self.momentum != known["momentum"]:
            raise UserError(
                f"train.momentum is {self.momentum}, which train.optimizer={self.optimizer!r} does "
                f"not use; set it to {known['momentum']}, or the optimizer to 'sgd'"
            )
        if self.label_smoothing and self.loss != "cross_entropy":
            raise UserError(
                f"train.label_smoothing needs train.loss='cross_entropy', not {self.loss!r}"
            )
        owners = {"schedule_rate": ("decay", "step"), "schedule_every": ("step",)}
        for name, schedules in owners.items():
            if self.schedule not in schedules and getattr(self, name) != known[name]:
                raise UserError(
                    f"train.{name} is {getattr(self, name)}, which train.schedule="
                    f"{self.schedule!r} does not use; set it to {known[name]}, or the schedule to "
                    f"{' or '.join(map(repr, schedules))}"
                )
        if self.schedule in owners["schedule_rate"] and self.schedule_rate == 1:
            raise UserError(
                f"train.schedule={self.schedule!r} with train.schedule_rate=1 is 'constant'; "
                "give a rate below 1"
            )
        if self.lr_plateau_rule != known["lr_plateau_rule"] and not self.lr_plateau_patience:
            raise UserError("train.lr_plateau_rule needs train.lr_plateau_patience above 0")
        if not self.epochs and not self.init_from:
            raise UserError("train.epochs is 0; give trained networks by train.init_from")
        if not self.epochs and self.model_selection != "last":
            raise UserError(
                f"train.epochs is 0: there is none for train.model_selection="
                f"{self.model_selection!r} to select; leave it at 'last'"
            )
        if self.model_selection == "best_val" and not self.validation:
            raise UserError("train.model_selection is 'best_val'; set train.validation, say to 0.2")
        if (
            self.early_stopping_patience or self.lr_plateau_patience
        ) and self.model_selection == "last":
            raise UserError(
                "train.early_stopping_patience and train.lr_plateau_patience "
                "need train.model_selection='best_val'"
            )

    @property
    def variants(self) -> dict[str, "Settings"]:
        """The settings that one job trains, each of one learning rate and one seed, by name.

        The name is what differs: "seed1", "rate0.01", "rate0.01-seed1"; "" if there is one only.
        With `statistics_on_all_clips` the same without it follow: "strict" or "seed1-strict".

        >>> list(Settings(seeds=2, learning_rates=(0.1, 0.01)).variants)
        ['rate0.1-seed0', 'rate0.1-seed1', 'rate0.01-seed0', 'rate0.01-seed1']
        """
        found = {}
        rates = self.learning_rates or (self.learning_rate,)
        short = len({f"{rate:g}" for rate in rates}) == len(rates)  # enough to distinguish them
        seeds = range(self.seed, self.seed + self.seeds)
        masks = (True, False) if self.statistics_on_all_clips else (False,)
        for statistics_on_all_clips, rate, seed in itertools.product(masks, rates, seeds):
            parts = [f"rate{rate:g}" if short else f"rate{rate!r}"] * (len(rates) > 1)
            parts += [f"seed{seed}"] * (len(seeds) > 1)
            parts += ["strict"] * (self.statistics_on_all_clips and not statistics_on_all_clips)
            found["-".join(parts)] = dataclasses.replace(
                self,
                learning_rate=rate,
                learning_rates=(),
                seed=seed,
                seeds=1,
                statistics_on_all_clips=statistics_on_all_clips,
            )
        return found

    @property
    def as_published(self) -> bool:
        """True if test clips affect training or model selection."""
        return self.model_selection == "best_test" or self.statistics_on_all_clips
