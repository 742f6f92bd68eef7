r"""HTNet on the MEGC2019 composite (Wang et al. 2024), from pre-computed flow maps.

Published: UF1 0.8603, UAR 0.8475, by each subject's best test epoch
(--config.train.model_selection=best_test, flagged). As in its code the maps come as 0..255, in
batches of 256 that are never shuffled. Its landmarks are found on the apex frames; the stored maps
have none, so all take the points that its code takes where it finds no face. Time: 117 million
parameters, 800 epochs of 68 folds, some 330 hours of 2 CPU cores; not run yet, a GPU is needed.
DIR is a folder with index.csv and the 442 maps.
  mer-jax run htnet_megc2019 \
      --config.data.root=DIR --workdir=runs/htnet
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="HTNet, MEGC2019",
        data="flow_maps",
        method={"name": "flow_maps", "regions": "htnet"},
        model="htnet",
        protocol="megc2019",
        train={"epochs": 800, "batch_size": 256, "learning_rate": 5e-5, "sampler": "sequential"},
    )
