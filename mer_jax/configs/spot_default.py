r"""The embedded default of spotting: synthetic long videos, SOFTNet on flow and strain, LOSO.

Needs no data. 8 rendered subjects, 30 s each, with blinks, gaze, turns of the head, speech and
changing light.
  mer-jax run spot_default --workdir=runs/spotting
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="Spotting in synthetic long videos",
        data={"name": "synthetic", "subjects": 8, "recordings_per_subject": 1, "seconds": 30.0},
        evidence={"name": "network", "map_size": (28, 28)},
        model="softnet",
        intervals={"smoothing": 0.5},
        train={"epochs": 10, "batch_size": 64, "learning_rate": 1e-3},
    )
