r"""MicroExpSTCNN on SMIC-HS: Reddy et al. 2019, Tables V and VIII.

Published: 68.75 % (best epoch on 32 clips of one split by sample: Table IV's 19 negative, 6
positive and 7 surprise), 62.50 +- 2.55 % over epochs 91 to 100. See stcnn_casme_squared.py for the
split, for what is marked and what is strict. Batches of 8 are the paper's; its code has 16.
Time: ten minutes on 2 CPU cores. DIR holds smic/, the database.
  mer-jax run stcnn_smic \
      --config.data.root=DIR --workdir=runs/stcnn_smic
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="MicroExpSTCNN, SMIC-HS",
        data=dict(name="stcnn_smic", label_scheme="stcnn_smic"),
        method=dict(name="stcnn", length=18),
        model="stcnn",
        protocol=dict(name="hold_out", by="sample", test_counts=(19, 6, 7)),
        train=dict(epochs=100, batch_size=8, learning_rate=1e-2, optimizer="sgd", momentum=0.0),
    )
