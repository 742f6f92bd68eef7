r"""The embedded default of spotting: synthetic long videos, SOFTNet on flow and strain, LOSO.

Needs no data. 8 rendered subjects, each 60 s in two recordings, with 48 micro-expressions of 0.7 to
1.5 px and 32 macro-expressions of 1.5 to 2.5 px (of frames of 64 x 64 px) among blinks, gaze, turns
of the head, speech and changing light. Smaller maps than SOFTNet's for a short run.
F1 .61 [.53, .70], chance .04, in 145 s of processor time, compilation not included; .64 (.08) over
three seeds that had no part in the choice of its settings (experiments/results/spotting.md).
  mer-jax run spot_default --workdir=runs/spotting
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="Spotting in synthetic long videos",
        data={
            "name": "synthetic",
            "subjects": 8,
            "seconds": 30.0,
            "amplitude": (0.7, 1.5),
            "gray": True,
        },
        evidence={"name": "network", "map_size": (14, 14), "head": "quadratic", "reverse": True},
        model="softnet",
        intervals={"smoothing": 0.25},
        train={"epochs": 12, "batch_size": 64, "learning_rate": 1e-3},
    )
