"""`Settings`: how folds are trained, checked where they enter."""

import dataclasses
import itertools

import jax.numpy as jnp

from mer_jax import options
from mer_jax.errors import UserError

# What a network's products are computed in, and how exact a float32 product has to be. Weights,
# their updates, the statistics of batches and the loss are float32 throughout.
PRECISIONS = {
    "float32": (jnp.float32, "float32"),  # accelerators would take less unless told
    "tf32": (jnp.float32, "tensorfloat32"),
    "bfloat16": (jnp.bfloat16, "default"),
}

# What counts as a better epoch, and when the learning rate falls: (by how much of the best value so
# far, epochs beyond train.lr_plateau_patience that are not). "pytorch" is ReduceLROnPlateau's, whose patience
# train.lr_plateau_patience is then: it falls after one more epoch.
PLATEAU_RULES = {"consecutive": (0.0, 0), "pytorch": (1e-4, 1)}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How folds are trained; the `train` section of a configuration."""

    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 1e-3
    learning_rates: tuple[float, ...] = ()  # these beside each other, in the place of the one
    seed: int = 0
    seeds: int = 1  # this many, from `seed` on, beside each other as one job
    init_from: str = ""  # a run's working directory, or converted weights: where networks start
    optimizer: str = "adam"  # "sgd", "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"  # "constant", "decay", "step", "cosine"
    schedule_rate: float = 1.0  # factor of "decay" (an epoch) and "step" (each schedule_every)
    schedule_every: int = 1
    loss: str = "cross_entropy"  # one of `losses`; "sigmoid" for several labels a clip
    sampler: str = "shuffle"  # "shuffle", "balanced"
    validation: float = 0.0  # share of a fold's training persons held out for choices
    model_selection: str = (
        "last"  # "last", "validation"; "test" is what some papers did, and is marked
    )
    # Of what `model_selection` goes by: the loss that is trained, over the validation clips, as a rule.
    early_stopping_patience: int = (
        0  # a fold stops after so many epochs in a row that are not the best; 0: never
    )
    lr_plateau_patience: int = 0  # after so many the learning rate falls to a tenth; 0: never
    lr_plateau_rule: str = "consecutive"  # a key of `PLATEAU_RULES`
    min_loss_change: float = 0.0
    precision: str = "float32"  # of the networks: "float32", "tf32", "bfloat16"
    data_dtype: str = "float32"  # of the clips on the device: "float32", "float16"
    # As published: statistics over all clips, test clips included. Trained beside its strict twin.
    statistics_on_all_clips: bool = False

    def __post_init__(self):
        known = {field.name: field.default for field in dataclasses.fields(self)}
        for name, value in options.check("train", "", dataclasses.asdict(self), known).items():
            object.__setattr__(self, name, value)  # plain, as in JSON
        if len(set(self.learning_rates)) < len(self.learning_rates):
            raise UserError(f"train.learning_rates is {self.learning_rates}; two of them are equal")
        if self.seed + self.seeds > 2**32:
            raise UserError(f"train.seed is {self.seed}; {self.seeds} seeds end above 2**32 - 1")
        if self.model_selection == "best_val" and not self.validation:
            raise UserError("train.model_selection is 'best_val'; set train.validation, say to 0.2")
        if (
            self.early_stopping_patience or self.lr_plateau_patience
        ) and self.model_selection == "last":
            raise UserError(
                "train.early_stopping_patience and train.lr_plateau_patience need train.model_selection='best_val'"
            )

    @property
    def variants(self) -> dict[str, "Settings"]:
        """The settings that are trained beside each other, each of one rate and one seed.

        They are told apart by what differs: "seed1", "rate0.01", "rate0.01-seed1"; "" where there
        is one only. With mask_all each has a twin without it, "strict" or "seed1-strict", behind
        all others.
        """
        found = {}
        rates = self.learning_rates or (self.learning_rate,)
        short = len({f"{rate:g}" for rate in rates}) == len(rates)  # enough to part them
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
        """True where a test clip has a say in anything."""
        return self.model_selection == "best_test" or self.statistics_on_all_clips
