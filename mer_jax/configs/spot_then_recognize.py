r"""Spot-then-recognize on synthetic long videos: strain peaks, then STSTNet on their intervals.

Needs no data. 4 rendered subjects, each 60 s in two recordings; the recognizer of a fold is trained
on the marked intervals of its training subjects, as the spotter is.
  mer-jax run spot_then_recognize --workdir=runs/spot_then_recognize
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="Spot-then-recognize in synthetic long videos",
        data={
            "name": "synthetic",
            "subjects": 4,
            "seconds": 30.0,
            "micro": 6,
            "macro": 3,
            "amplitude": (0.7, 1.5),
            "gray": True,
        },
        evidence="strain",
        recognition={
            "method": "flow_maps",
            "model": "ststnet",
            "train": {"epochs": 60, "batch_size": 32, "learning_rate": 1e-3},
        },
    )
