r"""MEAN, the spotting network (Liong, See & Chan 2023), on SAMM Long Videos.

Its squared error is without the paper's weight decay, and half of the samples without an
expression are left out where the authors' code takes five to each one with. It takes the whole
cropped face; spans, durations and the threshold p are those of the training subjects.
  mer-jax run spot_mean --config.data.root=DIR --workdir=runs/spot_mean
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="MEAN, SAMM Long Videos",
        data="samm_lv",
        evidence={
            "name": "network",
            "pairs": "one",
            "size": (128, 128),
            "preset": "tv_l1",
            "head": "none",  # as the flow maps of `mean_recognition`, which takes its trunk
            "normalize": "sample",
            "targets": "any",
            "drop_zeros": 0.5,
        },
        model="mean_spotting",
        train={"epochs": 10, "batch_size": 32, "learning_rate": 5e-4},
    )
