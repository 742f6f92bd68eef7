r"""CapsuleNet on the MEGC2019 composite (Van Quang et al. 2019), from the videos' apex frames.

Published: UF1 0.6520, UAR 0.6506, by each subject's best test epoch
(--config.train.model_selection=best_test, flagged). The authors' backbone starts from ImageNet's
ResNet-18; here it is trained from scratch. As in their code a training frame is mirrored, turned by
up to 8 degrees and shifted; that code also changes its colors, cuts a few pixels off all sides,
turns frames in testing, too, and draws each class equally often with frames around the apex. Time:
days on 2 CPU cores.
DIR holds casme2/, smic/ and samm/.
  mer-jax run capsule_megc2019 \
      --config.data.root=DIR --workdir=runs/capsule
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="CapsuleNet, MEGC2019",
        data="megc2019",
        method={"name": "apex", "mirror": True, "rotation": 8.0, "shift": (5, 8)},
        model="capsule",
        protocol="megc2019",
        train=dict(
            epochs=30,
            batch_size=32,
            learning_rate=1e-4,
            schedule="decay",
            schedule_rate=0.9,
            loss="capsule_margin",
        ),
    )
