r"""PSN: Li et al., Tables 5, 6, 9 and Figs. 7, 10, on 650 clips of four databases in four classes.

Published: recognition rate 64.92 %, F1 0.5211 (Table 5), stratified ten folds by sample: subjects
are in training and test, which the report flags; --config.protocol.name=loso is the strict number.
Time: days on 2 CPU cores. DIR holds casme/, casme2/, casme_squared/ and
samm/.
  mer-jax run psn \
      --config.data.root=DIR --workdir=runs/psn
Without a licence: --config.data.name=synthetic --config.data.label_scheme=megc2019.

The paper prints no optimizer, rate or length of training (our choice: Adam, 1e-4, 30 epochs, where
its Fig. 9 is flat); a batch of 5 clips is what its 80 rows of 16 frames amount to.
Whole tables and figures: sweeps/psn_tables5_6.py, psn_table9.py, psn_fig7.py, psn_fig10.py.
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="PSN",
        data=dict(name="psn", label_scheme="psn4"),
        method="psn",
        model="psn",
        protocol=dict(name="k_fold", folds=10, by="sample"),
        train=dict(epochs=30, batch_size=5, learning_rate=1e-4),
    )
