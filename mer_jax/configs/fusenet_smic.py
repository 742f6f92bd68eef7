r"""MicroExpFuseNet on SMIC-HS: Reddy et al. 2019, Tables V and VIII; eyes and mouth by landmarks.

Published: Intermediate 54.77 % (51.20 +- 3.56 % over epochs 91 to 100), Late 64.82 %
(59.95 +- 3.19 %), by the best epoch on one split by sample with Table IV's counts;
stcnn_casme_squared.py lists the leaks. Late fusion:
--config.model.name=fusenet_late. The clips need 68 landmarks.
Batches of 8 and 100 epochs are the paper's; its code has 250 epochs, batches of 4 (Intermediate)
and 16 (Late).
Time: ten minutes on 2 CPU cores. DIR holds smic/, the database.
  mer-jax run fusenet_smic \
      --config.data.root=DIR --workdir=runs/fusenet_smic
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="MicroExpFuseNet, SMIC-HS",
        data=dict(name="stcnn_smic", label_scheme="stcnn_smic"),
        method=dict(name="fusenet", length=18),
        model="fusenet_intermediate",
        protocol=dict(name="hold_out", by="sample", test_counts=(19, 6, 7)),
        train=dict(epochs=100, batch_size=8, learning_rate=1e-2, optimizer="sgd", momentum=0.0),
    )
