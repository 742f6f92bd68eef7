r"""MTSN (Liong, Liong, See & Chan 2022) on SAMM Long Videos: flow over two spans, soft labels.

The loss is the paper's, .7 of the hard and .3 of the soft labels; the authors' code takes the hard
ones for both. It takes the whole cropped face; spans, durations and the threshold p are those of
the training subjects. Half of the samples without an expression are left out, where the authors'
code takes as many as there are with one.
  mer-jax run spot_mtsn --config.data.root=DIR --workdir=runs/spot_mtsn
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="MTSN, SAMM Long Videos",
        data="samm_lv",
        evidence={
            "name": "network",
            "pairs": "two_spans",
            "size": (128, 128),
            "map_size": (28, 28),
            "preset": "tv_l1",
            "targets": "soft",
            "drop_zeros": 0.5,
        },
        model="mtsn",
        train={"epochs": 10, "batch_size": 128, "learning_rate": 5e-5},
    )
