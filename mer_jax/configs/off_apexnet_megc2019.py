r"""OFF-ApexNet on the MEGC2019 composite (Gan et al. 2019), from pre-computed flow maps: u and v.

Published: UF1 0.7196, UAR 0.7096 (tvaranka/meb measured UF1 0.7032 without
leaks, of a variant with one stream of 3 x 3 kernels and dropout). How it was trained is
not settled: rate and epochs were decided by the training loss. It normalizes nothing, so the maps'
0..255 come as 0..1 (method.flow_scale). Time: five minutes on 2 CPU cores. DIR is a folder with
index.csv and the 442 maps.
  mer-jax run off_apexnet_megc2019 \
      --config.data.root=DIR --workdir=runs/off_apexnet
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="OFF-ApexNet, MEGC2019",
        data="flow_maps",
        method=dict(name="flow_maps", channels=("u", "v"), flow_scale=255.0),
        model="off_apexnet",
        protocol="megc2019",
        train=dict(epochs=15, batch_size=64, learning_rate=1e-3),
    )
