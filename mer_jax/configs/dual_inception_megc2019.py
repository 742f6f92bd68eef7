r"""Dual-Inception on the MEGC2019 composite (Zhou et al. 2019), from stored flow maps: u and v.

Published: UF1 0.7322, UAR 0.7278. The public code of the challenge entry (xly135846/MEGC2019)
trains each fold on the two other databases alone, with Adam at 1e-4, batches of 3 and, of 40
epochs, the one of the lowest loss of the other subjects of the tested database, and repeats the
whole a hundred times, of which the paper names no round; its class_weight="auto" is a text, which
Keras ignores. Here all other subjects are trained on, rate, batches and epochs were chosen by the
training loss, and the last epoch counts. The network has no normalization, so the maps' 0..255
become 0..1 (method.flow_scale). Time: half an hour on 2 CPU cores. DIR is a folder with
index.csv and the 442 maps.
  mer-jax run dual_inception_megc2019 \
      --config.data.root=DIR --workdir=runs/dual_inception
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="Dual-Inception, MEGC2019",
        data="flow_maps",
        method=dict(name="flow_maps", channels=("u", "v"), flow_scale=255.0),
        model="dual_inception",
        protocol="megc2019",
        train=dict(epochs=20, batch_size=64, learning_rate=1e-3, schedule="cosine"),
    )
