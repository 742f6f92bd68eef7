r"""STSTNet on the MEGC2019 composite (Liong et al. 2019, Table III), from pre-computed flow maps.

Published: UF1 0.7353, UAR 0.7605, which is macro precision (its log gives UAR 0.7186); others
measured UF1 0.7127 without leaks. The authors' loader never shuffles
(--config.train.sampler=sequential); here batches are drawn. Ours:
experiments/results/megc2019.md. Time: half an hour on 2 CPU cores.
data.root is a folder with index.csv (database, subject, clip, label, file) and the 442 maps.
  mer-jax run ststnet_megc2019 \
      --config.data.root=DIR --workdir=runs/ststnet
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="STSTNet, MEGC2019",
        data="flow_maps",
        method="flow_maps",
        model="ststnet",
        protocol="megc2019",
        train=dict(epochs=800, batch_size=256, learning_rate=5e-5),
    )
