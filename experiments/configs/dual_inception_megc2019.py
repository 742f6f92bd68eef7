r"""Dual-Inception on the MEGC2019 composite (Zhou et al. 2019), from stored flow maps: u and v.

Published: UF1 0.7322, UAR 0.7278. There is no code of its authors: how it is trained is decided, as
STSTNet was. Time: half an hour on 2 CPU cores. DIR is a folder with index.csv and the 442 maps.
  python -m experiments.launch --config=experiments/configs/dual_inception_megc2019.py \
      --config.data.root=DIR --workdir=runs/dual_inception
"""

from mer_jax import config


def get_config():
    return config.make(
        title="Dual-Inception, MEGC2019",
        data="flow_maps",
        method={"name": "flow_maps", "channels": ("u", "v")},
        model="dual_inception",
        protocol="megc2019",
        train={"epochs": 100, "batch_size": 256, "learning_rate": 5e-5},
    )
