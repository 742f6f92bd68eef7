r"""MER-RCNN: Xia et al. 2018, Table 2. Central pixels of the magnified clip, 5 folds by sample.

Published: accuracy 0.658 (CASME 0.632, SMIC 0.571: sweeps/mer_rcnn_table2.py). The paper's folds
are random over samples: subjects are in training and test, which the report flags.
--config.protocol.by=subject separates subjects. Time: hours on 2 CPU cores.
  mer-jax run mer_rcnn \
      --config.data.root="CASME II" --workdir=runs/mer_rcnn
Without a licence: --config.data.name=synthetic.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="MER-RCNN",
        data=dict(name="casme2", label_scheme="mer_rcnn"),
        method="mer_rcnn",
        model="mer_rcnn",
        protocol=dict(name="k_fold", folds=5, by="sample", stratified=False),
        train=dict(
            epochs=30,
            batch_size=64,
            learning_rate=1e-3,
            optimizer="sgd",
            momentum=0.9,
            weight_decay=5e-4,
            schedule="decay",
            schedule_rate=0.5,
            min_loss_change=1e-4,
        ),
    )
