r"""MicroExpFuseNet on CAS(ME)^2: Reddy et al. 2019, Tables V and VIII; eyes and mouth by landmarks.

Published: Intermediate 83.25 % (78.57 +- 5.78 % over epochs 91 to 100), Late 79.31 %
(73.20 +- 3.87 %), by the best epoch on one split by sample with Table IV's counts;
stcnn_casme_squared.py lists the leaks, and why too few clips are published. Late fusion:
--config.model.name=fusenet_late. The clips need 68 landmarks.
Batches of 8 are the paper's; its code has 16.
Time: an hour on 2 CPU cores. DIR holds casme_squared/.
  mer-jax run fusenet_casme_squared \
      --config.data.root=DIR --workdir=runs/fusenet
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="MicroExpFuseNet, CAS(ME)^2",
        data=dict(name="stcnn_casme_squared", label_scheme="stcnn_casme_squared"),
        method=dict(name="fusenet", length=96),
        model="fusenet_intermediate",
        protocol=dict(name="hold_out", by="sample", test_counts=(21, 12, 8)),
        train=dict(epochs=100, batch_size=8, learning_rate=1e-2, optimizer="sgd", momentum=0.0),
    )
