r"""SOFTNet (Liong, Gan, See, Khor & Huang, ICIP 2021) on SAMM Long Videos.

The authors' code with their weights: F1 micro .1568, macro .1923 (CAS(ME)^2: .0896, .2463), with
p = .55, durations of all subjects and the regions of brows and mouth. Here the whole cropped face,
spans and durations of the training subjects; --config.intervals.p=None chooses p on them, too. The
authors' code adds flipped, blurred and noisy copies of micro-expressions; here all are mirrored.
  mer-jax run spot_softnet --config.data.root=DIR --workdir=runs/spot_softnet
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="SOFTNet, SAMM Long Videos",
        data="samm_lv",
        evidence={
            "name": "network",
            "pairs": "one",
            "stride": 1,
            "size": (128, 128),
            "preset": "tv_l1",
            "normalize": "sample",
            "targets": "any",
            "drop_zeros": 0.5,
        },
        model="softnet",
        intervals={"p": 0.55},
        train={
            "epochs": 10,
            "batch_size": 12,
            "learning_rate": 5e-4,
            "optimizer": "sgd",
            "momentum": 0.0,
        },
    )
