r"""SOFTNet (Liong, See & Wong, ICIP 2021) on SAMM Long Videos.

Published: F1 macro .2169, micro .1520, both .1881 (CAS(ME)^2: .2410, .1173, .2022), with p = .55,
durations of all subjects and the regions of brows and mouth; beside the authors' weights their code
has macro .1923, micro .1568 (CAS(ME)^2: .2463, .0896). Here the whole cropped face,
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
