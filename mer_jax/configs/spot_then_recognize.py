r"""Spot-then-recognize on synthetic long videos: the network of spot_default, then STSTNet.

Needs no data. 6 rendered subjects, each 60 s in two recordings; the recognizer of a fold is trained
on the marked intervals of its training subjects, as the spotter is. Horn and Schunck's flow where
STSTNet has TV-L1, for a short run. F1 .47 [.43, .55] (chance .08), UF1 of the hits .88 [.81, .97],
STRS .42 [.37, .48], in 246 s of processor time (experiments/results/spotting.md).
  mer-jax run spot_then_recognize --workdir=runs/spot_then_recognize
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="Spot-then-recognize in synthetic long videos",
        data={
            "name": "synthetic",
            "subjects": 6,
            "seconds": 30.0,
            "micro": 5,
            "macro": 3,
            "amplitude": (0.7, 1.5),
            "gray": True,
        },
        evidence={"name": "network", "map_size": (14, 14)},
        model="softnet",
        intervals={"smoothing": 0.0},
        train={"epochs": 10, "batch_size": 64, "learning_rate": 1e-3},
        recognition={
            "method": {"name": "flow_maps", "preset": "horn_schunck"},
            "model": "ststnet",
            "train": {"epochs": 60, "batch_size": 32, "learning_rate": 1e-3},
        },
    )
