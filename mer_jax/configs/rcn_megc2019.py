r"""RCN-A on the MEGC2019 composite (Xia et al. 2020), from pre-computed flow maps.

Published: UF1 0.7432, UAR 0.7190, from maps of 60 x 60; --config.model.name=rcn_s and rcn_w are its
other two. The training is that of the authors' code, which makes a schedule that would halve the
rate each ten epochs, and never steps it; as there, the maps' 0..255 become 0..1
(method.flow_scale), which counts for RCN-W, whose first layer is normalized behind its ReLU.
Time: half an hour on 2 CPU cores. DIR is a folder with index.csv and the 442 maps.
  mer-jax run rcn_megc2019 \
      --config.data.root=DIR --workdir=runs/rcn_a
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="RCN, MEGC2019",
        data="flow_maps",
        method=dict(name="flow_maps", flow_scale=255.0),
        model="rcn_a",
        protocol="megc2019",
        train=dict(epochs=100, batch_size=64, learning_rate=5e-4, optimizer="sgd", momentum=0.9),
    )
